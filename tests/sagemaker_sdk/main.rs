//! SageMaker's Python SDK, unmodified, in local mode on engines with the shim. `hack/sagemaker-sdk` gets what is needed;
//! the tests need root.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod sdk;
mod v2;
mod v3;
