//! The lists of requests other than those that create jobs and models: endpoints, tags, and the operations that take a name or a filter.

use super::{Lists, all};

const VARIANTS: &str = "an endpoint has one container; leave it out";
const CAPTURE: &str = "requests and answers are not kept; leave it out";
const COMPONENTS: &str =
    "inference components are not supported; give EnableNetworkIsolation and VpcConfig of the model";
const HOST: &str = "the container runs on this host, whose capacity is not managed; leave it out";
const ONE: &str = "there is one container on this host; the value is kept in the description";
const FLEET: &str = "there are no warm pools and no training plans; leave it out";
const ROLLOUT: &str = "an endpoint is created at once; leave it out";

pub(in crate::request) const LISTS: &[Lists] = &[
    Lists {
        name: "CreateEndpointConfigInput",
        taken: &["EndpointConfigName", "ProductionVariants", "Tags"],
        without_effect: &[],
        refused: &[
            ("DataCaptureConfig", CAPTURE),
            ("KmsKeyId", super::VOLUME_KEY),
            ("AsyncInferenceConfig", "invocations are answered at once; leave it out"),
            ("ExplainerConfig", "predictions are not explained; leave it out"),
            ("ShadowProductionVariants", VARIANTS),
            ("ExecutionRoleArn", COMPONENTS),
            ("VpcConfig", COMPONENTS),
            ("EnableNetworkIsolation", COMPONENTS),
            ("MetricsConfig", "metrics are not published; leave it out"),
            ("CrossRegionTrafficConfig", HOST),
        ],
    },
    Lists {
        name: "ProductionVariant",
        taken: &[
            "VariantName",
            "ModelName",
            "InitialInstanceCount",
            "InstanceType",
            "ContainerStartupHealthCheckTimeoutInSeconds",
        ],
        without_effect: &[
            ("InitialVariantWeight", ONE),
            (
                "VolumeSizeInGB",
                "data is bounded by the free disk space; the value is kept in the description",
            ),
            (
                "ModelDataDownloadTimeoutInSeconds",
                "the transfer has no time limit; the value is kept in the description",
            ),
        ],
        refused: &[
            ("InstancePools", HOST),
            ("VariantInstanceProvisionTimeoutInSeconds", HOST),
            ("AcceleratorType", "Elastic Inference is not available; leave it out"),
            ("CoreDumpConfig", "core dumps are not uploaded; leave it out"),
            (
                "ServerlessConfig",
                "serverless inference is not supported; give InstanceType and InitialInstanceCount",
            ),
            ("EnableSSMAccess", "a session would open the isolated container; leave it out"),
            ("ManagedInstanceScaling", HOST),
            ("RoutingConfig", VARIANTS),
            ("InferenceAmiVersion", "there is no AMI; leave it out"),
            ("CapacityReservationConfig", HOST),
            ("AcceleratorPartitionLayouts", HOST),
        ],
    },
    Lists {
        name: "CreateEndpointInput",
        taken: &["EndpointName", "EndpointConfigName", "Tags"],
        without_effect: &[],
        refused: &[("DeploymentConfig", ROLLOUT)],
    },
    all("AddTagsInput", &["ResourceArn", "Tags"]),
    all("DeleteEndpointConfigInput", &["EndpointConfigName"]),
    all("DeleteEndpointInput", &["EndpointName"]),
    all("DeleteModelInput", &["ModelName"]),
    all("DeleteTagsInput", &["ResourceArn", "TagKeys"]),
    all("DescribeEndpointConfigInput", &["EndpointConfigName"]),
    all("DescribeEndpointInput", &["EndpointName"]),
    all("DescribeModelInput", &["ModelName"]),
    all("DescribeTrainingJobRequest", &["TrainingJobName"]),
    all("ListEndpointConfigsInput", PAGE),
    all("ListEndpointsInput", PAGE_OF_STATES),
    all("ListModelsInput", PAGE),
    all("ListTagsInput", &["ResourceArn", "NextToken", "MaxResults"]),
    Lists {
        name: "ListTrainingJobsRequest",
        taken: PAGE_OF_STATES,
        without_effect: &[],
        refused: &[("WarmPoolStatusEquals", FLEET), ("TrainingPlanArnEquals", FLEET)],
    },
    all("StopTrainingJobRequest", &["TrainingJobName"]),
    // Tuning jobs.
    all("DescribeHyperParameterTuningJobRequest", &["HyperParameterTuningJobName"]),
    all("ListHyperParameterTuningJobsRequest", PAGE_OF_STATES),
    all(
        "ListTrainingJobsForHyperParameterTuningJobRequest",
        &["HyperParameterTuningJobName", "NextToken", "MaxResults", "StatusEquals", "SortBy", "SortOrder"],
    ),
    all("StopHyperParameterTuningJobRequest", &["HyperParameterTuningJobName"]),
    // Transform jobs.
    all("DescribeTransformJobRequest", &["TransformJobName"]),
    all("ListTransformJobsRequest", PAGE_OF_STATES),
    all("StopTransformJobRequest", &["TransformJobName"]),
];

const PAGE: &[&str] = &[
    "SortBy",
    "SortOrder",
    "NextToken",
    "MaxResults",
    "NameContains",
    "CreationTimeBefore",
    "CreationTimeAfter",
];

const PAGE_OF_STATES: &[&str] = &[
    "SortBy",
    "SortOrder",
    "NextToken",
    "MaxResults",
    "NameContains",
    "CreationTimeBefore",
    "CreationTimeAfter",
    "LastModifiedTimeBefore",
    "LastModifiedTimeAfter",
    "StatusEquals",
];
