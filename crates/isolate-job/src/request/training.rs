//! CreateTrainingJob, and the checks beyond its schema.

use std::collections::{BTreeMap, HashSet};

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::uri::S3Uri;

/// CreateTrainingJob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrainingJob {
    /// Unique on this host.
    pub training_job_name: String,
    /// What becomes hyperparameters.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hyper_parameters: BTreeMap<String, String>,
    /// What is run.
    pub algorithm_specification: AlgorithmSpecification,
    /// On whose behalf data is moved.
    pub role_arn: String,
    /// What is moved in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_data_config: Vec<Channel>,
    /// Where results go.
    pub output_data_config: OutputDataConfig,
    /// How many containers of which size.
    pub resource_config: ResourceConfig,
    /// Through which network data is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<VpcConfig>,
    /// When it is stopped.
    #[serde(default)]
    pub stopping_condition: StoppingCondition,
    /// Kept with the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Whether the containers are isolated.
    #[serde(default)]
    pub enable_network_isolation: bool,
    /// Has no wire to be about on one host.
    #[serde(default)]
    pub enable_inter_container_traffic_encryption: bool,
    /// What is moved in before and out during the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_config: Option<CheckpointConfig>,
    /// Variables of the containers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Only to be switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_debug_config: Option<RemoteDebugConfig>,
    /// Only to be switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_chaining_config: Option<SessionChainingConfig>,
}

/// What is run, and how it reads its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct AlgorithmSpecification {
    pub training_image: String,
    pub training_input_mode: InputMode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_definitions: Vec<MetricDefinition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_entrypoint: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_arguments: Vec<String>,
}

/// How a program reads a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputMode {
    /// Files that are there before it starts.
    File,
    /// Files; here they are there before it starts, too.
    FastFile,
    /// A FIFO for each epoch.
    Pipe,
}

/// A number that programs write into their logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct MetricDefinition {
    pub name: String,
    pub regex: String,
}

/// A directory of input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Channel {
    pub channel_name: String,
    pub data_source: DataSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<CompressionType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_wrapper_type: Option<RecordWrapper>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_mode: Option<InputMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_config: Option<ShuffleConfig>,
}

/// Where a channel comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct DataSource {
    #[serde(rename = "S3DataSource")]
    pub s3_data_source: S3DataSource,
}

/// Objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct S3DataSource {
    pub s3_data_type: S3DataType,
    pub s3_uri: String,
    #[serde(rename = "S3DataDistributionType", skip_serializing_if = "Option::is_none")]
    pub s3_data_distribution_type: Option<Distribution>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attribute_names: Vec<String>,
}

/// What a URI means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum S3DataType {
    S3Prefix,
    ManifestFile,
    AugmentedManifestFile,
    Converse,
}

/// Which container gets which objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum Distribution {
    #[default]
    FullyReplicated,
    ShardedByS3Key,
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum CompressionType {
    None,
    Gzip,
}

/// What is put around records in a FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum RecordWrapper {
    None,
    RecordIO,
}

/// In which order objects come out of a FIFO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ShuffleConfig {
    pub seed: i64,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct OutputDataConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    pub s3_output_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<OutputCompression>,
}

/// Whether results are archives or trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum OutputCompression {
    #[default]
    Gzip,
    None,
}

/// What is moved in before and out during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct CheckpointConfig {
    pub s3_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_path: Option<String>,
}

/// How many containers of which size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ResourceConfig {
    pub instance_type: String,
    pub instance_count: u32,
    #[serde(rename = "VolumeSizeInGB")]
    pub volume_size_in_gb: u32,
}

/// When a job is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct StoppingCondition {
    #[serde(default = "a_day")]
    pub max_runtime_in_seconds: u32,
}

impl Default for StoppingCondition {
    fn default() -> Self {
        Self { max_runtime_in_seconds: a_day() }
    }
}

/// The API's default.
fn a_day() -> u32 {
    86_400
}

/// Through which network data is moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct VpcConfig {
    pub subnets: Vec<String>,
}

/// Kept with a job or a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A shell for AWS in the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct RemoteDebugConfig {
    #[serde(default)]
    pub enable_remote_debug: bool,
}

/// Tags of the caller's session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct SessionChainingConfig {
    #[serde(default)]
    pub enable_session_tag_chaining: bool,
}

impl Channel {
    /// Its own mode, or the job's.
    #[must_use]
    pub fn mode(&self, job: InputMode) -> InputMode {
        self.input_mode.unwrap_or(job)
    }

    /// Whether a file of this name beside the channels is one of its FIFOs.
    fn is_fifo(&self, job: InputMode, name: &str) -> bool {
        let epoch = name.strip_prefix(&self.channel_name).and_then(|rest| rest.strip_prefix('_'));
        self.mode(job) == InputMode::Pipe && epoch.is_some_and(is_number)
    }

    /// Its objects.
    #[must_use]
    pub fn source(&self) -> &S3DataSource {
        &self.data_source.s3_data_source
    }
}

/// A number as it is printed: of an epoch.
fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

/// More containers do not fit one host's purpose; a typing error does.
const MOST_INSTANCES: u32 = 64;

impl TrainingJob {
    /// What is wrong with it, beyond its types.
    pub(super) fn refused(&self) -> Vec<Refused> {
        let mut refused = Vec::new();
        self.algorithm_specification.check(&mut refused);
        let mode = self.algorithm_specification.training_input_mode;
        check_channels(&self.input_data_config, mode, "InputDataConfig", &mut refused);
        self.output_data_config.check("OutputDataConfig", &mut refused);
        self.resource_config.check("ResourceConfig", &mut refused);
        if let Some(checkpoints) = &self.checkpoint_config {
            checkpoints.check("CheckpointConfig", &mut refused);
        }
        check_environment(&self.environment, "Environment", &mut refused);
        if self.remote_debug_config.as_ref().is_some_and(|config| config.enable_remote_debug) {
            let why = "remote debugging reaches the container through AWS; give false or leave it out";
            refused.push(Refused::new("RemoteDebugConfig.EnableRemoteDebug", why));
        }
        if self.session_chaining_config.as_ref().is_some_and(|config| config.enable_session_tag_chaining) {
            let why = "tags of the caller's session are not handed on; give false or leave it out";
            refused.push(Refused::new("SessionChainingConfig.EnableSessionTagChaining", why));
        }
        refused
    }
}

impl AlgorithmSpecification {
    fn check(&self, refused: &mut Vec<Refused>) {
        check_image(&self.training_image, "AlgorithmSpecification.TrainingImage", refused);
        check_metrics(&self.metric_definitions, "AlgorithmSpecification.MetricDefinitions", refused);
        if self.container_entrypoint.first().is_some_and(String::is_empty) {
            let why = "is empty; name a program";
            refused.push(Refused::new("AlgorithmSpecification.ContainerEntrypoint[0]", why));
        }
    }
}

impl OutputDataConfig {
    pub(super) fn check(&self, path: &str, refused: &mut Vec<Refused>) {
        check_uri(&self.s3_output_path, &format!("{path}.S3OutputPath"), refused);
    }
}

impl CheckpointConfig {
    /// Where the container has them.
    #[must_use]
    pub fn local_path(&self) -> &str {
        let path = self.local_path.as_deref().unwrap_or("/opt/ml/checkpoints");
        path.trim_end_matches('/')
    }

    pub(super) fn check(&self, path: &str, refused: &mut Vec<Refused>) {
        check_uri(&self.s3_uri, &format!("{path}.S3Uri"), refused);
        let local = self.local_path();
        let parts: Vec<_> = local.split('/').skip(1).collect();
        let is_plain = local.starts_with('/')
            && parts.iter().all(|part| !matches!(*part, "" | "." | ".."))
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
        // A volume there would hide what the platform or the system has.
        let is_taken = match parts.as_slice() {
            [
                "opt" | "bin" | "boot" | "dev" | "etc" | "lib" | "lib64" | "proc" | "root" | "run" | "sbin"
                | "sys" | "usr" | "var",
            ]
            | ["dev" | "etc" | "proc" | "sys" | "usr", ..]
            | ["opt", "ml"] => true,
            ["opt", "ml", below, ..] => *below != "checkpoints",
            _ => false,
        };
        if !is_plain || is_taken {
            let why = "cannot hold checkpoints; leave it out (/opt/ml/checkpoints), or give a directory of its own \
                       with plain characters, such as /checkpoints";
            refused.push(Refused::new(format!("{path}.LocalPath"), why));
        }
    }
}

impl ResourceConfig {
    pub(super) fn check(&self, path: &str, refused: &mut Vec<Refused>) {
        if self.instance_count == 0 || self.instance_count > MOST_INSTANCES {
            let why = format!("{} containers; give 1 to {MOST_INSTANCES}", self.instance_count);
            refused.push(Refused::new(format!("{path}.InstanceCount"), why));
        }
        if self.volume_size_in_gb == 0 {
            refused
                .push(Refused::new(format!("{path}.VolumeSizeInGB"), "nothing fits in 0 GB; give 1 or more"));
        }
    }
}

pub(super) fn check_uri(text: &str, path: &str, refused: &mut Vec<Refused>) {
    if let Err(why) = S3Uri::read(text) {
        refused.push(Refused::new(path, why));
    }
}

/// An image is a word of the engine's command line, and must not be a flag of it.
pub(super) fn check_image(image: &str, path: &str, refused: &mut Vec<Refused>) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    if !image.starts_with(|c: char| c.is_ascii_alphanumeric()) || !image.bytes().all(is_plain) {
        refused.push(Refused::new(
            path,
            "is not an image reference; give REGISTRY/NAME:TAG or NAME@sha256:DIGEST",
        ));
    }
}

/// Variables reach the engine as lines of a file.
pub(super) fn check_environment(
    environment: &BTreeMap<String, String>,
    path: &str,
    refused: &mut Vec<Refused>,
) {
    for (name, value) in environment {
        if value.contains(['\n', '\r']) {
            let why = "has a line break, which engines cannot be given; put it into a file of a channel";
            refused.push(Refused::new(format!("{path}[{name:?}]"), why));
        }
    }
}

pub(super) fn check_metrics(metrics: &[MetricDefinition], path: &str, refused: &mut Vec<Refused>) {
    for (index, metric) in metrics.iter().enumerate() {
        match Regex::new(&metric.regex) {
            Ok(regex) if regex.captures_len() < 2 => {
                let why = "has no group; put parentheses around the number";
                refused.push(Refused::new(format!("{path}[{index}].Regex"), why));
            }
            Ok(_) => {}
            Err(error) => refused.push(Refused::new(
                format!("{path}[{index}].Regex"),
                format!("{error}; look-around and back-references are not supported"),
            )),
        }
        if metrics[..index].iter().any(|other| other.name == metric.name) {
            refused
                .push(Refused::new(format!("{path}[{index}].Name"), "is a duplicate; name each metric once"));
        }
    }
}

pub(super) fn check_channels(channels: &[Channel], job: InputMode, path: &str, refused: &mut Vec<Refused>) {
    let mut names = HashSet::new();
    for (index, channel) in channels.iter().enumerate() {
        let here = format!("{path}[{index}]");
        let mut no = |member: &str, why: &str| refused.push(Refused::new(format!("{here}.{member}"), why));
        if matches!(channel.channel_name.as_str(), "." | "..") {
            no("ChannelName", "is not a directory name; give another one");
        }
        if !names.insert(channel.channel_name.as_str()) {
            no("ChannelName", "is a duplicate; name each channel once");
        }
        let is_pipe = channel.mode(job) == InputMode::Pipe;
        if !is_pipe {
            // These belong to Pipe: in other modes SageMaker has them left out, too.
            if channel.compression_type == Some(CompressionType::Gzip) {
                no("CompressionType", "objects are decompressed in Pipe mode only; leave it out");
            }
            if channel.record_wrapper_type == Some(RecordWrapper::RecordIO) {
                no("RecordWrapperType", "records are wrapped in Pipe mode only; leave it out");
            }
            if channel.shuffle_config.is_some() {
                no("ShuffleConfig", "objects are shuffled in Pipe mode only; leave it out");
            }
            if let Some(other) = channels.iter().find(|other| other.is_fifo(job, &channel.channel_name)) {
                let other = &other.channel_name;
                no("ChannelName", &format!("is the name of a FIFO of channel {other}; give another one"));
            }
        }
        let source = channel.source();
        let at = "DataSource.S3DataSource";
        match source.s3_data_type {
            S3DataType::S3Prefix | S3DataType::ManifestFile => {
                if !source.attribute_names.is_empty() {
                    no(&format!("{at}.AttributeNames"), "belongs to AugmentedManifestFile; leave it out");
                }
            }
            S3DataType::AugmentedManifestFile if is_pipe => {
                if source.attribute_names.is_empty() {
                    no(&format!("{at}.AttributeNames"), "is missing; name what is read of each line");
                }
            }
            S3DataType::AugmentedManifestFile => {
                no(
                    &format!("{at}.S3DataType"),
                    "AugmentedManifestFile is read in Pipe mode only; give ManifestFile",
                );
            }
            S3DataType::Converse => {
                no(&format!("{at}.S3DataType"), "Converse is for models of SageMaker's hub; give S3Prefix");
            }
        }
        check_uri(&source.s3_uri, &format!("{here}.{at}.S3Uri"), refused);
    }
}
