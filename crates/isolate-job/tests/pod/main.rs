//! `isolate-job render` against the schemas of the Kubernetes API, and `isolate-job pod`, run as in a pod: with an API server that answers
//! what the test has, and moto in place of Amazon S3 (`hack/s3`).

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod api;
mod inward;
mod manifests;
mod outward;
mod place;
#[path = "../stage/server.rs"]
#[allow(dead_code, reason = "the tests of `stage` use the rest")]
mod server;
