//! Every member of the requests is on exactly one of three lists: supported, without effect, or refused with a reason. A test
//! counts them against botocore's model.

mod serving;

/// What is done with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    WithoutEffect(&'static str),
    Refused(&'static str),
}

/// The members of one structure.
pub(super) struct Lists {
    pub(super) name: &'static str,
    pub(super) taken: &'static [&'static str],
    pub(super) without_effect: &'static [(&'static str, &'static str)],
    pub(super) refused: &'static [(&'static str, &'static str)],
}

/// The lists of every structure.
pub(super) fn lists() -> impl Iterator<Item = &'static Lists> {
    LISTS.iter().chain(serving::LISTS)
}

pub(super) fn verdict(structure: &str, member: &str) -> Verdict {
    let Some(lists) = lists().find(|lists| lists.name == structure) else {
        return Verdict::Refused("this version does not know it");
    };
    let of =
        |list: &[(&str, &'static str)]| list.iter().find(|(name, _)| *name == member).map(|(_, why)| *why);
    if lists.taken.contains(&member) {
        Verdict::Taken
    } else if let Some(why) = of(lists.without_effect) {
        Verdict::WithoutEffect(why)
    } else {
        Verdict::Refused(of(lists.refused).unwrap_or("this version does not know it"))
    }
}

/// Members that the API leaves out for forms of a job that are not supported.
pub(super) fn needed(structure: &str) -> &'static [&'static str] {
    match structure {
        "CreateTrainingJobRequest" => &["AlgorithmSpecification", "ResourceConfig"],
        "AlgorithmSpecification" | "HyperParameterAlgorithmSpecification" => &["TrainingImage"],
        "DataSource" => &["S3DataSource"],
        "ResourceConfig" => &["InstanceType", "InstanceCount", "VolumeSizeInGB"],
        "CreateModelInput" => &["PrimaryContainer"],
        "ContainerDefinition" => &["Image"],
        "ModelDataSource" => &["S3DataSource"],
        "CreateHyperParameterTuningJobRequest" => &["TrainingJobDefinition"],
        "HyperParameterTuningJobConfig" => &["HyperParameterTuningJobObjective"],
        "HyperParameterTuningResourceConfig" => &["InstanceType", "InstanceCount", "VolumeSizeInGB"],
        "ProductionVariant" => &["ModelName", "InitialInstanceCount"],
        _ => &[],
    }
}

const fn all(name: &'static str, taken: &'static [&'static str]) -> Lists {
    Lists { name, taken, without_effect: &[], refused: &[] }
}

const SPOT: &str = "there is no spot capacity; the job runs on demand";
const EXPERIMENT: &str = "experiments are not tracked; the value is kept in the status";
const RETRY: &str = "platform errors are retried independently of it; the value is kept in the status";
const VOLUME_KEY: &str = "volumes are not encrypted by this program; put the state directory on an encrypted file system and leave it out";
const HUB: &str = "SageMaker hubs are not supported; copy the data to Amazon S3";
const MODEL_TERMS: &str = "it applies to JumpStart models only, which are not supported; leave it out";
const PACKAGE: &str = "SageMaker's algorithms and model packages are not available; name an image";
const PULL: &str = "the engine pulls images with its own registry login; leave it out";
const RULES: &str = "rules are not evaluated; leave it out";
const INSTANCES: &str = "give InstanceType and InstanceCount instead";
const DEFINITIONS: &str = "give a single TrainingJobDefinition instead";
const FILTER: &str = "records are neither filtered nor joined; leave it out";

pub(super) const LISTS: &[Lists] = &[
    // CreateTrainingJob.
    Lists {
        name: "CreateTrainingJobRequest",
        taken: &[
            "TrainingJobName",
            "HyperParameters",
            "AlgorithmSpecification",
            "RoleArn",
            "InputDataConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "VpcConfig",
            "StoppingCondition",
            "Tags",
            "EnableNetworkIsolation",
            "EnableInterContainerTrafficEncryption",
            "CheckpointConfig",
            "Environment",
            "RemoteDebugConfig",
            "SessionChainingConfig",
        ],
        without_effect: &[
            ("EnableManagedSpotTraining", SPOT),
            ("DebugHookConfig", "tensors are not collected; the value is kept in the status"),
            ("ExperimentConfig", EXPERIMENT),
            ("ProfilerConfig", "jobs are not profiled; the value is kept in the status"),
            ("RetryStrategy", RETRY),
            ("InfraCheckConfig", "instances are not checked; the value is kept in the status"),
        ],
        refused: &[
            ("DebugRuleConfigurations", RULES),
            ("ProfilerRuleConfigurations", RULES),
            (
                "TensorBoardOutputConfig",
                "TensorBoard data is not uploaded separately; write it to /opt/ml/output/data",
            ),
            ("ServerlessJobConfig", "serverless jobs are not supported; name an image"),
            ("MlflowConfig", "an isolated container does not reach an MLflow server; leave it out"),
            ("ModelPackageConfig", PACKAGE),
        ],
    },
    Lists {
        name: "AlgorithmSpecification",
        taken: &[
            "TrainingImage",
            "TrainingInputMode",
            "MetricDefinitions",
            "ContainerEntrypoint",
            "ContainerArguments",
        ],
        without_effect: &[(
            "EnableSageMakerMetricsTimeSeries",
            "metrics are not published as a time series; final values are in the status",
        )],
        refused: &[("AlgorithmName", PACKAGE), ("TrainingImageConfig", PULL)],
    },
    all("MetricDefinition", &["Name", "Regex"]),
    all(
        "Channel",
        &[
            "ChannelName",
            "DataSource",
            "ContentType",
            "CompressionType",
            "RecordWrapperType",
            "InputMode",
            "ShuffleConfig",
        ],
    ),
    Lists {
        name: "DataSource",
        taken: &["S3DataSource"],
        without_effect: &[],
        refused: &[
            (
                "FileSystemDataSource",
                "file systems are not mounted; copy the data to Amazon S3 and give S3DataSource",
            ),
            ("DatasetSource", HUB),
        ],
    },
    Lists {
        name: "S3DataSource",
        taken: &["S3DataType", "S3Uri", "S3DataDistributionType", "AttributeNames"],
        without_effect: &[],
        refused: &[
            ("InstanceGroupNames", INSTANCES),
            ("ModelAccessConfig", MODEL_TERMS),
            ("HubAccessConfig", HUB),
        ],
    },
    all("ShuffleConfig", &["Seed"]),
    all("OutputDataConfig", &["KmsKeyId", "S3OutputPath", "CompressionType"]),
    all("CheckpointConfig", &["S3Uri", "LocalPath"]),
    Lists {
        name: "ResourceConfig",
        taken: &["InstanceType", "InstanceCount", "VolumeSizeInGB"],
        without_effect: &[("KeepAlivePeriodInSeconds", "there are no warm pools")],
        refused: &[
            ("VolumeKmsKeyId", VOLUME_KEY),
            ("InstanceGroups", INSTANCES),
            ("TrainingPlanArn", "capacity is this host; leave it out"),
            ("InstancePlacementConfig", "capacity is this host; leave it out"),
            ("InstancePreferences", INSTANCES),
            ("SelectedInstanceType", "it is read-only; give InstanceType"),
            ("SelectedInstanceCount", "it is read-only; give InstanceCount"),
        ],
    },
    Lists {
        name: "StoppingCondition",
        taken: &["MaxRuntimeInSeconds"],
        without_effect: &[("MaxWaitTimeInSeconds", SPOT), ("MaxPendingTimeInSeconds", "jobs are not queued")],
        refused: &[],
    },
    Lists {
        name: "VpcConfig",
        taken: &["Subnets"],
        without_effect: &[(
            "SecurityGroupIds",
            "security groups are not enforced; the value is kept in the status",
        )],
        refused: &[],
    },
    all("Tag", &["Key", "Value"]),
    all("RemoteDebugConfig", &["EnableRemoteDebug"]),
    all("SessionChainingConfig", &["EnableSessionTagChaining"]),
    // CreateModel.
    Lists {
        name: "CreateModelInput",
        taken: &[
            "ModelName",
            "PrimaryContainer",
            "ExecutionRoleArn",
            "Tags",
            "VpcConfig",
            "EnableNetworkIsolation",
        ],
        without_effect: &[],
        refused: &[
            ("Containers", "inference pipelines are not supported; give PrimaryContainer"),
            ("InferenceExecutionConfig", "it belongs to Containers; give PrimaryContainer"),
        ],
    },
    Lists {
        name: "ContainerDefinition",
        taken: &["ContainerHostname", "Image", "Mode", "ModelDataUrl", "ModelDataSource", "Environment"],
        without_effect: &[],
        refused: &[
            ("ImageConfig", PULL),
            (
                "AdditionalModelDataSources",
                "a single model data source is supported; put all files below one prefix",
            ),
            ("ModelPackageName", PACKAGE),
            ("InferenceSpecificationName", PACKAGE),
            ("MultiModelConfig", "multi-model endpoints are not supported; create one model for each"),
            ("ContainerMetricsConfig", "container metrics are not collected; leave it out"),
        ],
    },
    all("ModelDataSource", &["S3DataSource"]),
    Lists {
        name: "S3ModelDataSource",
        taken: &["S3Uri", "S3DataType", "CompressionType"],
        without_effect: &[],
        refused: &[
            ("ModelAccessConfig", MODEL_TERMS),
            ("HubAccessConfig", HUB),
            ("ManifestS3Uri", "model manifests are not supported; leave it out"),
            ("ETag", "it is read-only; leave it out"),
            ("ManifestEtag", "it is read-only; leave it out"),
        ],
    },
    // CreateHyperParameterTuningJob.
    Lists {
        name: "CreateHyperParameterTuningJobRequest",
        taken: &[
            "HyperParameterTuningJobName",
            "HyperParameterTuningJobConfig",
            "TrainingJobDefinition",
            "Tags",
        ],
        without_effect: &[],
        refused: &[
            ("TrainingJobDefinitions", DEFINITIONS),
            ("WarmStartConfig", "warm start is not supported; leave it out"),
            ("Autotune", "ranges are not chosen automatically; give ParameterRanges"),
        ],
    },
    Lists {
        name: "HyperParameterTuningJobConfig",
        taken: &[
            "Strategy",
            "HyperParameterTuningJobObjective",
            "ResourceLimits",
            "ParameterRanges",
            "TrainingJobEarlyStoppingType",
            "RandomSeed",
        ],
        without_effect: &[],
        refused: &[
            ("StrategyConfig", "it applies to Hyperband only; leave it out"),
            (
                "TuningJobCompletionCriteria",
                "completion criteria are not supported; give MaxNumberOfTrainingJobs",
            ),
        ],
    },
    all("HyperParameterTuningJobObjective", &["Type", "MetricName"]),
    all("ResourceLimits", &["MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs", "MaxRuntimeInSeconds"]),
    Lists {
        name: "ParameterRanges",
        taken: &["IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges"],
        without_effect: &[],
        refused: &[("AutoParameters", "ranges are not chosen automatically; give a range for each")],
    },
    all("IntegerParameterRange", &["Name", "MinValue", "MaxValue", "ScalingType"]),
    all("ContinuousParameterRange", &["Name", "MinValue", "MaxValue", "ScalingType"]),
    all("CategoricalParameterRange", &["Name", "Values"]),
    Lists {
        name: "HyperParameterTrainingJobDefinition",
        taken: &[
            "DefinitionName",
            "StaticHyperParameters",
            "AlgorithmSpecification",
            "RoleArn",
            "InputDataConfig",
            "VpcConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "HyperParameterTuningResourceConfig",
            "StoppingCondition",
            "EnableNetworkIsolation",
            "EnableInterContainerTrafficEncryption",
            "CheckpointConfig",
            "Environment",
        ],
        without_effect: &[("EnableManagedSpotTraining", SPOT), ("RetryStrategy", RETRY)],
        refused: &[
            (
                "TuningObjective",
                "it belongs to TrainingJobDefinitions; give HyperParameterTuningJobObjective",
            ),
            ("HyperParameterRanges", "it belongs to TrainingJobDefinitions; give ParameterRanges"),
        ],
    },
    Lists {
        name: "HyperParameterTuningResourceConfig",
        taken: &["InstanceType", "InstanceCount", "VolumeSizeInGB"],
        without_effect: &[],
        refused: &[
            ("VolumeKmsKeyId", VOLUME_KEY),
            ("AllocationStrategy", "instances are not chosen automatically; give InstanceType"),
            ("InstanceConfigs", "instances are not chosen automatically; give InstanceType"),
        ],
    },
    Lists {
        name: "HyperParameterAlgorithmSpecification",
        taken: &["TrainingImage", "TrainingInputMode", "MetricDefinitions"],
        without_effect: &[],
        refused: &[("AlgorithmName", PACKAGE)],
    },
    // CreateTransformJob.
    Lists {
        name: "CreateTransformJobRequest",
        taken: &[
            "TransformJobName",
            "ModelName",
            "MaxConcurrentTransforms",
            "ModelClientConfig",
            "MaxPayloadInMB",
            "BatchStrategy",
            "Environment",
            "TransformInput",
            "TransformOutput",
            "TransformResources",
            "DataProcessing",
            "Tags",
        ],
        without_effect: &[("ExperimentConfig", EXPERIMENT)],
        refused: &[("DataCaptureConfig", "data capture is not supported; leave it out")],
    },
    all("ModelClientConfig", &["InvocationsTimeoutInSeconds", "InvocationsMaxRetries"]),
    all("TransformInput", &["DataSource", "ContentType", "CompressionType", "SplitType"]),
    all("TransformDataSource", &["S3DataSource"]),
    all("TransformS3DataSource", &["S3DataType", "S3Uri"]),
    all("TransformOutput", &["S3OutputPath", "Accept", "AssembleWith", "KmsKeyId"]),
    Lists {
        name: "TransformResources",
        taken: &["InstanceType", "InstanceCount"],
        without_effect: &[("TransformAmiVersion", "there is no AMI; the host's system is used")],
        refused: &[("VolumeKmsKeyId", VOLUME_KEY)],
    },
    Lists {
        name: "DataProcessing",
        taken: &["JoinSource"],
        without_effect: &[],
        refused: &[("InputFilter", FILTER), ("OutputFilter", FILTER)],
    },
];
