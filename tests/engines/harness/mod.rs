//! What the tests of all engines share.

pub(crate) mod bundle;
pub(crate) mod capture;
pub(crate) mod containerd;
pub(crate) mod dns;
pub(crate) mod docker;
pub(crate) mod findings;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod netns;
pub(crate) mod podman;
pub(crate) mod probe;
pub(crate) mod said;
pub(crate) mod world;

use std::path::PathBuf;

/// The annotation that asks for isolation, as `key=value`.
pub(crate) const ISOLATE: &str = "io.oci-isolate.network-isolation=true";

/// Credentials that a container is started with; the values are AWS's own documentation examples.
pub(crate) const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN=FwoGZXIvYXdzEXAMPLE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/example",
];

/// The binary under test.
pub(crate) fn shim() -> PathBuf {
    std::env::var_os("OCI_ISOLATE_TEST_SHIM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_oci-isolate")), PathBuf::from)
}
