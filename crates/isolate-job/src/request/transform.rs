//! CreateTransformJob, and the checks beyond its schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::training::{CompressionType, S3DataType, Tag, check_environment, check_uri};

/// CreateTransformJob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransformJob {
    /// Unique on this host.
    pub transform_job_name: String,
    /// The name of a model, by CreateModel.
    pub model_name: String,
    /// The most requests at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_transforms: Option<u32>,
    /// How long and how often a request is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_client_config: Option<ModelClientConfig>,
    /// The most MB of a request.
    #[serde(rename = "MaxPayloadInMB", skip_serializing_if = "Option::is_none")]
    pub max_payload_in_mb: Option<u32>,
    /// How many records a request has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_strategy: Option<BatchStrategy>,
    /// Variables of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// What is sent to the model.
    pub transform_input: TransformInput,
    /// Where its answers go.
    pub transform_output: TransformOutput,
    /// How many containers of which size.
    pub transform_resources: TransformResources,
    /// Whether answers are joined with the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_processing: Option<DataProcessing>,
    /// Kept with the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// How long and how often a request is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ModelClientConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocations_timeout_in_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocations_max_retries: Option<u32>,
}

/// How many records a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum BatchStrategy {
    MultiRecord,
    SingleRecord,
}

/// What is sent to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformInput {
    pub data_source: TransformDataSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<CompressionType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_type: Option<SplitType>,
}

/// Where the input comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformDataSource {
    #[serde(rename = "S3DataSource")]
    pub s3_data_source: TransformS3DataSource,
}

/// Objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformS3DataSource {
    pub s3_data_type: S3DataType,
    pub s3_uri: String,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum SplitType {
    None,
    Line,
    RecordIO,
    TFRecord,
}

/// Where answers go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformOutput {
    pub s3_output_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assemble_with: Option<AssemblyType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// What separates answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum AssemblyType {
    None,
    Line,
}

/// How many containers of which size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformResources {
    pub instance_type: String,
    pub instance_count: u32,
}

/// Whether answers are joined with the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct DataProcessing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_source: Option<JoinSource>,
}

/// What answers are joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum JoinSource {
    Input,
    None,
}

impl TransformJob {
    /// What is wrong with it beyond the schema.
    pub(super) fn refused(&self) -> Vec<Refused> {
        let mut refused = Vec::new();
        check_environment(&self.environment, "Environment", &mut refused);
        let input = &self.transform_input;
        let at = "TransformInput.DataSource.S3DataSource";
        check_uri(&input.data_source.s3_data_source.s3_uri, &format!("{at}.S3Uri"), &mut refused);
        check_uri(&self.transform_output.s3_output_path, "TransformOutput.S3OutputPath", &mut refused);
        let mut no = |path: &str, why: &str| refused.push(Refused::new(path, why));
        if !matches!(
            input.data_source.s3_data_source.s3_data_type,
            S3DataType::S3Prefix | S3DataType::ManifestFile
        ) {
            no(&format!("{at}.S3DataType"), "is not supported; give S3Prefix or ManifestFile");
        }
        if input.compression_type == Some(CompressionType::Gzip) {
            no(
                "TransformInput.CompressionType",
                "objects are sent as they are; decompress them and leave it out",
            );
        }
        if matches!(input.split_type, Some(SplitType::RecordIO | SplitType::TFRecord)) {
            no("TransformInput.SplitType", "is not supported; give None or Line");
        }
        if self.batch_strategy == Some(BatchStrategy::MultiRecord)
            && input.split_type != Some(SplitType::Line)
        {
            no("BatchStrategy", "MultiRecord puts records together; give TransformInput.SplitType Line");
        }
        if self.max_payload_in_mb == Some(0) {
            no("MaxPayloadInMB", "0 sends objects as streams, which is not supported; give 1 to 100");
        }
        let concurrent = self.max_concurrent_transforms.unwrap_or(1);
        if self.max_payload_in_mb.is_some_and(|payload| payload.saturating_mul(concurrent) > 100) {
            no("MaxPayloadInMB", "is more than 100 MB times MaxConcurrentTransforms; give less");
        }
        if self.transform_resources.instance_count != 1 {
            no("TransformResources.InstanceCount", "one container transforms; give 1");
        }
        if self.data_processing.as_ref().is_some_and(|data| data.join_source == Some(JoinSource::Input)) {
            no("DataProcessing.JoinSource", "records are not joined; give None or leave it out");
        }
        refused
    }
}
