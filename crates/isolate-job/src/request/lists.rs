//! Every member of the requests is on one of three lists: taken, without effect here, or refused with what to do
//! instead. None is ignored in silence; a test counts them against botocore's description.

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

pub(super) fn verdict(structure: &str, member: &str) -> Verdict {
    let Some(lists) = LISTS.iter().find(|lists| lists.name == structure) else {
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
        "HyperParameterTrainingJobDefinition" => &["ResourceConfig"],
        _ => &[],
    }
}

const fn all(name: &'static str, taken: &'static [&'static str]) -> Lists {
    Lists { name, taken, without_effect: &[], refused: &[] }
}

const SPOT: &str = "the capacity of this host is not interrupted; the job runs as one on demand";
const EXPERIMENT: &str = "there is no experiment tracking; the status has it";
const RETRY: &str = "what failed on the platform's side is taken up again by the platform; the status has it";
const VOLUME_KEY: &str =
    "the disk is the host's; keep the state directory on an encrypted file system and leave it out";
const HUB: &str = "models and data sets of a SageMaker hub are not reached; copy the data to Amazon S3";
const MODEL_TERMS: &str =
    "terms of use are accepted with models of JumpStart, which are not reached; leave it out";
const PACKAGE: &str = "algorithms and model packages are AWS's own; name an image";
const PULL: &str = "images are pulled by the engine; log it in to the registry and leave it out";
const RULES: &str = "rule evaluation jobs are not run; leave it out";
const INSTANCES: &str = "containers of one kind run on this host; give InstanceType and InstanceCount";
const DEFINITIONS: &str = "one TrainingJobDefinition is tuned; give TrainingJobDefinition";
const FILTER: &str = "records are not filtered or joined; leave it out";

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
            ("DebugHookConfig", "tensors are not collected; the status has it"),
            ("ExperimentConfig", EXPERIMENT),
            ("ProfilerConfig", "there is no profiler; the status has it"),
            ("RetryStrategy", RETRY),
            ("InfraCheckConfig", "the host is not AWS's to check; the status has it"),
        ],
        refused: &[
            ("DebugRuleConfigurations", RULES),
            ("ProfilerRuleConfigurations", RULES),
            (
                "TensorBoardOutputConfig",
                "TensorBoard's data is not uploaded apart; write it to /opt/ml/output/data",
            ),
            ("ServerlessJobConfig", "serverless jobs are AWS's own; name an image"),
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
        without_effect: &[("EnableSageMakerMetricsTimeSeries", "metrics are read from the logs at the end")],
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
        without_effect: &[("KeepAlivePeriodInSeconds", "containers start at once; nothing is kept warm")],
        refused: &[
            ("VolumeKmsKeyId", VOLUME_KEY),
            ("InstanceGroups", INSTANCES),
            ("TrainingPlanArn", "capacity is this host's; leave it out"),
            ("InstancePlacementConfig", "capacity is this host's; leave it out"),
            ("InstancePreferences", INSTANCES),
            ("SelectedInstanceType", "it is answered, not asked for; give InstanceType"),
            ("SelectedInstanceCount", "it is answered, not asked for; give InstanceCount"),
        ],
    },
    Lists {
        name: "StoppingCondition",
        taken: &["MaxRuntimeInSeconds"],
        without_effect: &[
            ("MaxWaitTimeInSeconds", SPOT),
            ("MaxPendingTimeInSeconds", "a job is not queued; it starts or is refused"),
        ],
        refused: &[],
    },
    Lists {
        name: "VpcConfig",
        taken: &["Subnets"],
        without_effect: &[(
            "SecurityGroupIds",
            "groups are kept in the status; what filters is what the subnet's network namespace has",
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
            ("Containers", "pipelines of containers are not run; give PrimaryContainer"),
            ("InferenceExecutionConfig", "it belongs to Containers; give PrimaryContainer"),
        ],
    },
    Lists {
        name: "ContainerDefinition",
        taken: &["ContainerHostname", "Image", "Mode", "ModelDataUrl", "ModelDataSource", "Environment"],
        without_effect: &[],
        refused: &[
            ("ImageConfig", PULL),
            ("AdditionalModelDataSources", "one model is loaded; put it all below one prefix"),
            ("ModelPackageName", PACKAGE),
            ("InferenceSpecificationName", PACKAGE),
            ("MultiModelConfig", "one model is served by a container; create one for each"),
            ("ContainerMetricsConfig", "metrics of the container are not collected; leave it out"),
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
            ("ManifestS3Uri", "a manifest of the model is not read; leave it out"),
            ("ETag", "it is answered, not asked for; leave it out"),
            ("ManifestEtag", "it is answered, not asked for; leave it out"),
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
            ("WarmStartConfig", "earlier tuning jobs are not read; leave it out"),
            ("Autotune", "ranges are not chosen for you; give ParameterRanges"),
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
            ("StrategyConfig", "it belongs to Hyperband; choose Random or Grid and leave it out"),
            ("TuningJobCompletionCriteria", "all jobs of a tuning job are run; give MaxNumberOfTrainingJobs"),
        ],
    },
    all("HyperParameterTuningJobObjective", &["Type", "MetricName"]),
    all("ResourceLimits", &["MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs", "MaxRuntimeInSeconds"]),
    Lists {
        name: "ParameterRanges",
        taken: &["IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges"],
        without_effect: &[],
        refused: &[("AutoParameters", "ranges are not chosen for you; give a range for each")],
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
            ("HyperParameterTuningResourceConfig", "instances are not chosen for you; give ResourceConfig"),
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
        refused: &[("DataCaptureConfig", "requests are not captured; leave it out")],
    },
    all("ModelClientConfig", &["InvocationsTimeoutInSeconds", "InvocationsMaxRetries"]),
    all("TransformInput", &["DataSource", "ContentType", "CompressionType", "SplitType"]),
    all("TransformDataSource", &["S3DataSource"]),
    all("TransformS3DataSource", &["S3DataType", "S3Uri"]),
    all("TransformOutput", &["S3OutputPath", "Accept", "AssembleWith", "KmsKeyId"]),
    Lists {
        name: "TransformResources",
        taken: &["InstanceType", "InstanceCount"],
        without_effect: &[("TransformAmiVersion", "the host's own system is used")],
        refused: &[("VolumeKmsKeyId", VOLUME_KEY)],
    },
    Lists {
        name: "DataProcessing",
        taken: &["JoinSource"],
        without_effect: &[],
        refused: &[("InputFilter", FILTER), ("OutputFilter", FILTER)],
    },
];
