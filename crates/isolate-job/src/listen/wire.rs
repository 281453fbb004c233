//! The wire protocol: which operation an HTTP request asks for, and the form of answers and errors. SageMaker and CloudWatch Logs use JSON 1.1,
//! InvokeEndpoint uses REST. Nothing here does I/O.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::sigv4::Denied;
use crate::request::Refusals;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// An operation with a JSON document: of the service that signs as `sagemaker` or as `logs`.
    Json {
        /// As the signature names it.
        service: &'static str,
        /// `CreateTrainingJob`.
        operation: String,
    },
    /// InvokeEndpoint.
    Invoke {
        /// The endpoint's name.
        endpoint: String,
    },
}

/// An error as the API has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `ValidationException`.
    pub(super) kind: &'static str,
    /// What is wrong, and what to do.
    pub(super) message: String,
    /// The status of HTTP.
    pub(super) status: u16,
}

/// The most bytes of a request with a JSON document.
const MOST_OF_JSON: usize = crate::request::MOST;

/// The most bytes of the body of InvokeEndpoint, as in SageMaker: 6 MB.
pub(super) const MOST_OF_INVOKE: usize = 6 << 20;

const JSON: &str = "application/x-amz-json-1.1";

impl Call {
    /// Reads the head of a request.
    pub(super) fn read(head: &Parts) -> Result<Self, Failure> {
        if head.method != Method::POST {
            return Err(Failure::new("UnknownOperationException", "the method is not POST", 404));
        }
        if head.uri.query().is_some() {
            return Err(Failure::validation("query strings are not supported"));
        }
        let path = head.uri.path();
        if let Some(rest) = path.strip_prefix("/endpoints/")
            && let Some(endpoint) = rest.strip_suffix("/invocations")
        {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if !(1..=63).contains(&endpoint.len())
                || !endpoint.chars().all(is_name)
                || endpoint.starts_with('-')
            {
                return Err(Failure::new(
                    "ValidationError",
                    "EndpointName is not 1 to 63 letters, digits and hyphens",
                    400,
                ));
            }
            return Ok(Self::Invoke { endpoint: endpoint.to_owned() });
        }
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let (service, operation) = match target.and_then(|target| target.split_once('.')) {
            Some(("SageMaker", operation)) if path == "/" => ("sagemaker", operation),
            Some(("Logs_20140328", operation)) if path == "/" => ("logs", operation),
            _ => {
                let why = "there is no such operation; send SageMaker, SageMakerRuntime or CloudWatch Logs requests";
                return Err(Failure::new("UnknownOperationException", why, 404));
            }
        };
        Ok(Self::Json { service, operation: operation.to_owned() })
    }

    /// The most bytes of its body.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Json { .. } => MOST_OF_JSON,
            Self::Invoke { .. } => MOST_OF_INVOKE,
        }
    }

    /// The service that it has to be signed for.
    pub(super) fn service(&self) -> &'static str {
        match self {
            Self::Json { service, .. } => service,
            Self::Invoke { .. } => "sagemaker",
        }
    }
}

impl Failure {
    pub(super) fn new(kind: &'static str, message: impl Into<String>, status: u16) -> Self {
        Self { kind, message: message.into(), status }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message, 400)
    }

    pub(super) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUse", message, 400)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFound", message, 400)
    }

    /// A document that has no EnableNetworkIsolation, as the IAM condition `sagemaker:NetworkIsolation` denies it.
    pub(super) fn not_isolated(operation: &str) -> Self {
        let why = format!(
            "not authorized to perform sagemaker:{operation}: EnableNetworkIsolation is not true; containers without \
             isolation are not started here"
        );
        Self::new("AccessDeniedException", why, 400)
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::new(denied.kind, denied.message, 403)
    }
}

impl From<Refusals> for Failure {
    fn from(refusals: Refusals) -> Self {
        Self::validation(refusals.to_string())
    }
}

/// What went wrong on this host, with its causes.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new("InternalFailure", format!("{error:#}"), 500)
    }
}

/// The answer to an operation; one without an answer has an empty body.
pub(super) fn answer(result: Result<Value, Failure>) -> Answer {
    match result {
        Ok(Value::Null) => respond(200, Vec::new(), JSON),
        Ok(value) => respond(200, value.to_string().into_bytes(), JSON),
        Err(failure) => failed(&failure),
    }
}

/// An error, in both forms: `__type` is that of JSON 1.1, the header that of REST.
pub(super) fn failed(failure: &Failure) -> Answer {
    let body = json!({ "__type": failure.kind, "message": failure.message });
    let mut answer = respond(failure.status, body.to_string().into_bytes(), JSON);
    answer
        .headers_mut()
        .insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(failure.kind));
    answer
}

/// An answer with a body.
pub(super) fn respond(status: u16, body: impl Into<Bytes>, content_type: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
