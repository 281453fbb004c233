//! Models that are served, by `isolate-job deploy` and by the API, on Docker 28 with moto in place of Amazon S3: nothing but the services
//! of AWS is replaced. Needs `hack/engines`, `hack/s3`, `hack/sagemaker-model --prepare`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod api;
mod deploy;
mod image;
mod site;
mod transform;
