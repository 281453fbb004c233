//! Mounts, credential files, arguments and inherited descriptors on real containers: each way is first shown open with
//! bare runc and then closed behind the shim, and what ordinary containers need is shown to work.
//!
//! Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod annotations;
mod credentials;
mod descriptors;
mod docker;
mod kernel;
mod overlay;
mod propagation;
mod sockets;
mod system;
