//! CreateModel, and the checks beyond its schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::training::{CompressionType, Tag, VpcConfig, check_environment, check_image, check_uri};

/// CreateModel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Model {
    /// Unique on this host.
    pub model_name: String,
    /// What is run.
    pub primary_container: ContainerDefinition,
    /// The role with which data is transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Kept with the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The network through which data is transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<VpcConfig>,
    /// Whether the container is isolated.
    #[serde(default)]
    pub enable_network_isolation: bool,
}

/// An image and the model that it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ContainerDefinition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_hostname: Option<String>,
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ContainerMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_data_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_data_source: Option<ModelDataSource>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// How many models a container serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum ContainerMode {
    SingleModel,
    MultiModel,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ModelDataSource {
    #[serde(rename = "S3DataSource")]
    pub s3_data_source: S3ModelDataSource,
}

/// Objects of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct S3ModelDataSource {
    pub s3_uri: String,
    pub s3_data_type: S3ModelDataType,
    pub compression_type: CompressionType,
}

/// What a URI means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum S3ModelDataType {
    S3Prefix,
    S3Object,
}

impl Model {
    /// What is wrong with it beyond the schema.
    pub(super) fn refused(&self) -> Vec<Refused> {
        let mut refused = Vec::new();
        let container = &self.primary_container;
        check_image(&container.image, "PrimaryContainer.Image", &mut refused);
        check_environment(&container.environment, "PrimaryContainer.Environment", &mut refused);
        if let Some(url) = &container.model_data_url {
            check_uri(url, "PrimaryContainer.ModelDataUrl", &mut refused);
        }
        let mut no =
            |path: &str, why: &str| refused.push(Refused::new(format!("PrimaryContainer{path}"), why));
        if container.mode == Some(ContainerMode::MultiModel) {
            no(".Mode", "one model is served by a container; give SingleModel");
        }
        if container.model_data_url.is_some() && container.model_data_source.is_some() {
            no("", "has ModelDataUrl and ModelDataSource; give one of them");
        }
        let has_data = container.model_data_url.is_some() || container.model_data_source.is_some();
        let Some(source) = container.model_data_source.as_ref().map(|source| &source.s3_data_source) else {
            if has_data && self.execution_role_arn.is_none() {
                refused.push(Refused::new(
                    "ExecutionRoleArn",
                    "is missing; the model's data is read as that role",
                ));
            }
            return refused;
        };
        let at = ".ModelDataSource.S3DataSource";
        match (source.s3_data_type, source.compression_type) {
            (S3ModelDataType::S3Prefix, CompressionType::Gzip) => {
                no(&format!("{at}.CompressionType"), "an archive is one object; give S3DataType S3Object");
            }
            (S3ModelDataType::S3Prefix, CompressionType::None) if !source.s3_uri.ends_with('/') => {
                no(&format!("{at}.S3Uri"), "is a prefix of a directory; end it with a slash");
            }
            _ => {}
        }
        if self.execution_role_arn.is_none() {
            refused
                .push(Refused::new("ExecutionRoleArn", "is missing; the model's data is read as that role"));
        }
        check_uri(&source.s3_uri, &format!("PrimaryContainer{at}.S3Uri"), &mut refused);
        refused
    }
}
