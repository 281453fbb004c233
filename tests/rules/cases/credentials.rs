//! Credentials.

use oci_isolate::rules::{CredentialFiles, HostFacts};
use serde_json::{Value, json};

use super::{Cases, directory, sources};

/// An access key id, as AWS' documentation has it.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

pub(super) fn cases() -> Vec<Cases> {
    let env = |entries: &[&str]| json!({"process": {"env": entries}});
    let mounts = |mounts: Value| json!({"mounts": mounts});
    vec![
        Cases {
            rule: "credentials-env",
            golden: vec![
                (
                    env(&["A=1", "aws_profile=x", "AWS_EC2_METADATA_DISABLED=false"]),
                    env(&["A=1", "AWS_EC2_METADATA_DISABLED=false"]),
                    "removed variable aws_profile (its name)",
                ),
                (
                    json!({"hooks": {
                        "createRuntime": [{"path": "/x", "env": ["AWS_PROFILE=x"]}],
                        "createContainer": [{"path": "/x", "env": ["AWS_PROFILE=x"], "timeout": 1}],
                        "startContainer": [{"path": "/x"}, {"path": "/x", "env": ["A=1", "AWS_PROFILE=x"]}],
                    }}),
                    json!({"hooks": {
                        "createRuntime": [{"path": "/x", "env": ["AWS_PROFILE=x"]}],
                        "createContainer": [{"path": "/x", "env": [], "timeout": 1}],
                        "startContainer": [{"path": "/x"}, {"path": "/x", "env": ["A=1"]}],
                    }}),
                    "removed variable AWS_PROFILE of startContainer hook 1 (its name)",
                ),
            ],
            broken: vec![
                (
                    env(&["AWS_TOKEN=", "AWS_EC2_METADATA_DISABLED=true"]),
                    "variable AWS_TOKEN is there (its name)",
                ),
                (env(&["A=1"]), "variable AWS_EC2_METADATA_DISABLED is not set"),
                (
                    json!({"hooks": {"startContainer": [{"path": "/x", "env": ["AWS_TOKEN=x"]}]}}),
                    "variable AWS_TOKEN of startContainer hook 0 is there (its name)",
                ),
            ],
            refused: vec![(env(&["A"]), "/process/env/0 has no \"=\"")],
            ..Cases::default()
        },
        Cases {
            rule: "credential-mounts",
            host: HostFacts {
                sources: sources([("/data/link", directory("/home/me/.aws"))]),
                empty: Some("/run/oci-isolate/empty".into()),
                ..HostFacts::default()
            },
            golden: vec![(
                json!({
                    "process": {"env": ["AWS_WEB_IDENTITY_TOKEN_FILE=/tokens/aws/token"]},
                    "mounts": [
                        {"destination": "/var/run/secrets/eks.amazonaws.com/serviceaccount", "type": "tmpfs"},
                        {"destination": "/root/x", "type": "bind", "source": "/data/link"},
                        {
                            "destination": "/y", "options": ["rbind"],
                            "source": "/p/kubernetes.io~projected/kube-api-access-x",
                        },
                        {"destination": "/tokens", "type": "bind", "source": "/p/kubernetes.io~projected/mine"},
                        {"destination": "/z", "type": "bind", "source": "/p/kubernetes.io~projected/other"},
                    ],
                }),
                json!({
                    "process": {"env": ["AWS_WEB_IDENTITY_TOKEN_FILE=/tokens/aws/token"]},
                    "mounts": [{"destination": "/z", "type": "bind", "source": "/p/kubernetes.io~projected/other"}],
                }),
                "removed the mount at /root/x, which carries credentials",
            )],
            broken: vec![(
                mounts(json!([{"destination": "/x", "type": "bind", "source": "/root/.aws/sso"}])),
                "/x is mounted",
            )],
            refused: vec![
                (
                    mounts(json!([{"destination": "/.fly", "type": "bind", "source": "/x"}])),
                    "/.fly is mounted",
                ),
                // Other rules make an overlay of it, and remove the variable that names the file.
                (
                    mounts(json!([
                        {"destination": "/d", "type": "bind", "source": "/data/link", "options": ["rbind", "ro"]},
                    ])),
                    "/d is mounted",
                ),
                (
                    json!({
                        "process": {"env": ["AWS_WEB_IDENTITY_TOKEN_FILE=/tokens/aws/token"]},
                        "mounts": [
                            {"destination": "/tokens", "type": "bind", "source": "/p/kubernetes.io~projected/mine"},
                        ],
                    }),
                    "/tokens is mounted",
                ),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "credential-files",
            host: HostFacts {
                credential_files: CredentialFiles {
                    paths: vec!["/root/.aws".into(), "/root/.s3cfg".into()],
                    ..CredentialFiles::default()
                },
                ..HostFacts::default()
            },
            golden: vec![(
                json!({"linux": {"maskedPaths": ["/root/.aws"]}}),
                json!({"linux": {"maskedPaths": ["/root/.aws", "/root/.s3cfg"]}}),
                "masked /root/.s3cfg",
            )],
            broken: vec![
                (json!({"linux": {}}), "/root/.aws is not masked"),
                (
                    json!({"process": {"env": ["HOME=/root", "HOME=data"]}}),
                    "HOME is not an absolute path; write it as the path of a directory, or set [rules] credential-files = \"allow\"",
                ),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "credential-args",
            broken: vec![
                (
                    json!({"hooks": {"startContainer": [{"path": "/x", "args": ["x", KEY_ID]}]}}),
                    "argument 1 of startContainer hook 0 holds an access key id; the container has no network and gets no credentials; pass data by a mount, or set [rules] credential-args = \"allow\"",
                ),
                (
                    json!({"process": {"args": ["wget", "https://b.s3.amazonaws.com/k?X-Amz-Signature=1"]}}),
                    "argument 1 holds a presigned URL; the container has no network, so the URL would not work; pass data by a mount, or set [rules] credential-args = \"allow\"",
                ),
                (
                    json!({"process": {"args": ["job", format!("--id={KEY_ID}")]}}),
                    "argument 1 holds an access key id; the container has no network and gets no credentials; pass data by a mount, or set [rules] credential-args = \"allow\"",
                ),
            ],
            refused: vec![(
                json!({"process": {
                    "env": ["AWS_EC2_METADATA_DISABLED=true"],
                    "args": ["job", "--secret-key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
                }}),
                "argument 2 holds a secret access key; the container has no network and gets no credentials; pass data by a mount, or set [rules] credential-args = \"allow\"",
            )],
            noted: vec![(
                json!({
                    "annotations": {"note": KEY_ID, "other": "x"},
                    "mounts": [{"destination": "/s3", "type": "overlay", "options": ["ro", format!("lowerdir=/{KEY_ID}")]}],
                }),
                vec![
                    "annotation note holds an access key id; the container does not see it",
                    "the options of /s3 hold an access key id",
                ],
            )],
            ..Cases::default()
        },
    ]
}
