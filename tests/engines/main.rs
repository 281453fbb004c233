//! Real engines, started privately, with the shim in place of runc.
//!
//! Every test gets a throw-away host (`test_support::host`) with a throw-away internet behind it
//! (`test_support::world`), so that "nothing gets out" is a count of packets and visits and not a guess. Everything that
//! an isolated container cannot reach is first shown to be reachable with bare runc; otherwise the probe would prove
//! nothing.
//!
//! `hack/engines` installs what is needed; the tests need root. `OCI_ISOLATE_TEST_SHIM` names another binary to test
//! than the one built with them.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod attempts;
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
mod statement;
mod userns;
mod verified;
