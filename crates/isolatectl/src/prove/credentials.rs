//! Ways into a container for credentials.

use super::deed::Deed;
use super::site::Site;
use super::way::{Ask, TOKEN, WAY, Way, When, later};

/// In the order of the page.
pub(super) const CREDENTIALS: &[Way] = &[
    Way {
        name: "environment",
        threat: "environment, at start",
        closed_by: "credentials-env",
        deed: |_, _| Ok(Deed::Variable("AWS_SECRET_ACCESS_KEY".into())),
        ..WAY
    },
    Way {
        name: "credentials-endpoint",
        threat: "environment, at start",
        closed_by: "credentials-env",
        deed: |_, _| Ok(Deed::Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI".into())),
        ..WAY
    },
    Way {
        name: "environment-by-exec",
        threat: "environment, by `exec`",
        closed_by: "credentials-env",
        asks: later,
        deed: |_, _| Ok(Deed::Variable("AWS_SECRET_ACCESS_KEY".into())),
        when: When::Later,
        ..WAY
    },
    Way {
        name: "credential-file",
        threat: "files in the image",
        closed_by: "credential-files",
        deed: |_, _| Ok(Deed::Read("/root/.aws/credentials".into())),
        ..WAY
    },
    Way {
        name: "token",
        threat: "files in the image",
        closed_by: "credential-mounts",
        deed: |_, _| Ok(Deed::Read(TOKEN.into())),
        ..WAY
    },
    Way {
        name: "arguments",
        threat: "arguments",
        closed_by: "credential-args",
        asks: |site| vec![Ask::Argument(format!("AWS_SECRET_ACCESS_KEY={}", secret(site)))],
        deed: |_, _| Ok(Deed::Argument("AWS_SECRET_ACCESS_KEY".into())),
        refused: true,
        ..WAY
    },
];

/// Looks like a secret access key, which a hexadecimal number does not.
fn secret(site: &Site) -> String {
    format!("wJalrXUtnFEMI/K7MDENG/bP{}", site.word)
}
