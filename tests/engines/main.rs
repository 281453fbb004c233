//! Real engines, started privately, with the shim where they expect runc.
//!
//! Every test gets a throw-away host (`test_support::host`) behind which there is a throw-away internet
//! (`test_support::world`), so that "nothing gets out" is a count of packets and visits and not a guess.
//! What a container can reach is first shown with bare runc: a probe that cannot get out there would
//! prove nothing when it cannot get out of an isolated container.
//!
//! `hack/engines` installs what is needed; the tests need root. `OCI_ISOLATE_TEST_SHIM` names another
//! binary to test than the one built with them.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod containerd_1;
mod containerd_2;
mod containerd_claims;
mod docker_20;
mod docker_28;
mod docker_claims;
mod opened;
mod plumbed;
mod podman_4;
mod podman_5;
mod podman_claims;
mod runc;
mod runtimes;
mod userns;
mod verified;
