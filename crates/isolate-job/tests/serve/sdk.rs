//! SageMaker's SDKs and the aws CLI, unmodified, with `isolate-job listen` in place of AWS, and a real container. Not a part of `cargo test`:
//! `hack/sagemaker-sdk` gets more than a gigabyte of Python for it, and `hack/scikit` half a gigabyte of Debian.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod image;
mod scikit;
#[allow(dead_code, reason = "some of it is for the tests without the SDK")]
mod site;

use site::Site;

#[test]
fn an_estimator_of_the_unmodified_sdk_is_fitted_tuned_deployed_and_asked() {
    let site = Site::new();
    site.listen();
    site.sdk("v2", include_str!("sdk.py"));
}

#[test]
fn the_unmodified_aws_cli_trains_stops_deploys_invokes_and_waits() {
    let site = Site::new();
    site.listen();
    site.aws(include_str!("cli.sh"));
}
