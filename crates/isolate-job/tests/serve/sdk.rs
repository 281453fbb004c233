//! SageMaker's SDK, unmodified, with `isolate-job listen` in place of AWS. Not a part of `cargo test`: `hack/sagemaker-sdk` gets more
//! than a gigabyte of Python for it.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod image;
#[allow(dead_code, reason = "some of it is for the tests without the SDK")]
mod site;

use site::Site;

#[test]
fn an_estimator_of_the_unmodified_sdk_is_fitted_tuned_deployed_and_asked() {
    let site = Site::new();
    site.background("listen", &["listen"]);
    site.until_logged("listen", "listening on");
    site.sdk(include_str!("sdk.py"));
}
