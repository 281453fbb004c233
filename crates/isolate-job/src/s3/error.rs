//! What went wrong with Amazon S3 or STS: the object, the service's code and message, and whose error it is.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use crate::progress::Fault;

/// What went wrong.
#[derive(Debug)]
pub struct Error {
    /// Whose error it is.
    pub fault: Fault,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl StdError for Error {}

/// Errors of the base credentials or of the host's clock, although the service answers them as the client's.
const OF_THE_HOST: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

impl Error {
    pub(super) fn internal(place: &str, why: impl fmt::Display) -> Self {
        Self { fault: Fault::Internal, text: format!("{place}: {why}") }
    }

    pub(super) fn client(place: &str, why: impl fmt::Display) -> Self {
        Self { fault: Fault::Client, text: format!("{place}: {why}") }
    }

    /// Of a request about this place.
    pub(super) fn of<E>(place: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let SdkError::ServiceError(service) = error {
            return Self::service(place, service.err(), service.raw().status().as_u16());
        }
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        let mut causes: Vec<String> = Vec::new();
        while let Some(error) = cause {
            if let Some(role) = error.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
                return Self::of("cannot assume the role", role);
            }
            if let Some(role) = error.downcast_ref::<AssumeRoleError>() {
                return Self::service("cannot assume the role", role, 403);
            }
            let text = error.to_string();
            if text != "other" && !causes.contains(&text) {
                causes.push(text);
            }
            cause = error.source();
        }
        let kind = match error {
            SdkError::TimeoutError(_) => "timed out",
            SdkError::ResponseError(_) => "the answer is broken",
            _ => "cannot be reached",
        };
        causes.insert(0, kind.to_owned());
        Self::internal(place, causes.join(": "))
    }

    fn service(place: &str, error: &impl ProvideErrorMetadata, status: u16) -> Self {
        // The answer to HEAD has no body, and so no code.
        let code = match (error.code(), status) {
            (Some(code), _) => code.to_owned(),
            (None, 403) => "AccessDenied".to_owned(),
            (None, 404) => "NotFound".to_owned(),
            (None, status) => format!("status {status}"),
        };
        let why = match (code.as_str(), error.message()) {
            ("PreconditionFailed", _) => "changed since it was listed (PreconditionFailed)".to_owned(),
            (code, Some(message)) => format!("{code}: {message}"),
            (code, None) => code.to_owned(),
        };
        let is_client = (400..500).contains(&status) && !matches!(status, 408 | 429);
        if is_client && !OF_THE_HOST.contains(&code.as_str()) {
            Self::client(place, why)
        } else {
            Self::internal(place, why)
        }
    }
}
