//! DescribeModel. A model has no states.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Scope, Time, arn, echo};
use crate::request::{Document, Model};

/// What DescribeModel answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ModelStatus {
    pub model_arn: String,
    pub creation_time: Time,
    /// The request's members.
    #[serde(flatten)]
    pub given: Map<String, Value>,
}

const ECHOED: &[&str] =
    &["ModelName", "PrimaryContainer", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"];

impl ModelStatus {
    /// A model that was just created.
    #[must_use]
    pub fn new(model: &Document<Model>, scope: &Scope, now: Time) -> Self {
        let model_arn = arn(scope, "model", &model.data.model_name);
        Self { model_arn, creation_time: now, given: echo(&model.given, ECHOED) }
    }
}
