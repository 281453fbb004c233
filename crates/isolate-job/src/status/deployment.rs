//! The state of a model that is served, and what DescribeEndpoint has of it.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Time, plain};

/// EndpointStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum EndpointStatus {
    Creating,
    InService,
    Deleting,
    Failed,
}

/// The status of a model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Deployment {
    pub endpoint_status: EndpointStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    pub creation_time: Time,
    pub last_modified_time: Time,
    /// Where /ping and /invocations are answered, while it is in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// The most characters of a FailureReason.
const MOST: usize = 1024;

impl Deployment {
    /// A model whose data is about to be transferred.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self {
            endpoint_status: EndpointStatus::Creating,
            failure_reason: None,
            creation_time: now,
            last_modified_time: now,
            address: None,
        }
    }

    /// It answers.
    pub fn in_service(&mut self, address: SocketAddr, now: Time) {
        (self.endpoint_status, self.address) = (EndpointStatus::InService, Some(address));
        self.last_modified_time = now;
    }

    /// It is stopped on request.
    pub fn deleting(&mut self, now: Time) {
        (self.endpoint_status, self.address) = (EndpointStatus::Deleting, None);
        self.last_modified_time = now;
    }

    /// It does not answer any more, or never did.
    pub fn fail(&mut self, why: &str, now: Time) {
        (self.endpoint_status, self.address) = (EndpointStatus::Failed, None);
        self.failure_reason = Some(plain(why).chars().take(MOST).collect());
        self.last_modified_time = now;
    }
}
