//! The paths from which programs read AWS credentials: one table, which docs/rules.md repeats (a test
//! compares them). `files` masks them; [`crate::bundle`] finds out which exist.
//!
//! A file with other uses is masked only if its text refers to AWS: a login for another registry or package
//! index must stay.

use super::values;

/// A file or a directory from which programs read credentials.
#[derive(Debug, Clone, Copy)]
pub struct CredentialPath {
    /// Relative to a home, or absolute.
    pub path: &'static str,
    /// What the file must contain to be masked.
    pub masked: Masked,
    /// The program that reads it.
    pub reader: &'static str,
}

/// When a file is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masked {
    /// With any content.
    Always,
    /// A registry login for Amazon ECR.
    Ecr,
    /// A login for a package index of AWS CodeArtifact, or for Git on AWS CodeCommit.
    CodeArtifact,
    /// A cluster of Amazon EKS, or the command that creates its tokens.
    Eks,
    /// Keys of Hadoop's S3 file systems.
    S3a,
    /// Text that would be a credential as the value of a variable.
    Credential,
}

impl Masked {
    /// Whether a file with this text is masked.
    #[must_use]
    pub fn holds(self, text: &str) -> bool {
        let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match self {
            Self::Always => true,
            Self::Ecr => any(&[".dkr.ecr", "public.ecr.aws", "ecr-login", "QVdTOmV5S"]),
            Self::CodeArtifact => any(&[".codeartifact.", "git-codecommit"]),
            Self::Eks => any(&[".eks.amazonaws.com", "get-token", "aws-iam-authenticator", "k8s-aws-v1."]),
            Self::S3a => {
                any(&["fs.s3"])
                    && any(&[
                        ".access.key",
                        ".secret.key",
                        ".session.token",
                        "awsAccessKeyId",
                        "awsSecretAccessKey",
                    ])
            }
            Self::Credential => values::credential("", text, false).is_some(),
        }
    }
}

const fn always(path: &'static str, reader: &'static str) -> CredentialPath {
    CredentialPath { path, masked: Masked::Always, reader }
}

const fn when(masked: Masked, path: &'static str, reader: &'static str) -> CredentialPath {
    CredentialPath { path, masked, reader }
}

/// In each home. Paths in `.config/` also apply to `XDG_CONFIG_HOME`.
pub const IN_HOMES: [CredentialPath; 45] = [
    always(".aws", "AWS SDKs and CLI, saml2aws, awsume, s5cmd"),
    always(".aws-sso", "aws-sso-cli"),
    always(".awssecret", "timkay's aws"),
    always(".awsume", "awsume"),
    always(".awsvault", "aws-vault"),
    always(".boto", "boto, gsutil"),
    always(".config/aws-sso", "aws-sso-cli"),
    always(".config/fsspec", "fsspec, s3fs"),
    always(".config/granted", "granted"),
    always(".config/rclone", "rclone"),
    always(".duckdb/stored_secrets", "DuckDB"),
    always(".ec2", "Amazon EC2 API tools"),
    always(".ecr", "amazon-ecr-credential-helper"),
    always(".elasticbeanstalk", "EB CLI"),
    always(".granted", "granted"),
    always(".Leapp", "Leapp"),
    always(".mc", "MinIO client"),
    always(".mcli", "MinIO client"),
    always(".passwd-s3fs", "s3fs-fuse"),
    always(".rclone.conf", "rclone"),
    always(".s3cfg", "s3cmd"),
    always(".s3curl", "s3curl.pl"),
    always(".s3ql", "S3QL"),
    when(Masked::Ecr, ".config/containers/auth.json", "Podman, Skopeo"),
    when(Masked::Ecr, ".docker/config.json", "Docker"),
    when(Masked::Ecr, ".dockercfg", "Docker before 1.7"),
    when(Masked::CodeArtifact, ".config/git/credentials", "git-credential-store"),
    when(Masked::CodeArtifact, ".config/NuGet/NuGet.Config", "NuGet"),
    when(Masked::CodeArtifact, ".config/pip/pip.conf", "pip"),
    when(Masked::CodeArtifact, ".config/uv/uv.toml", "uv"),
    when(Masked::CodeArtifact, ".git-credentials", "git-credential-store"),
    when(Masked::CodeArtifact, ".gradle/gradle.properties", "Gradle"),
    when(Masked::CodeArtifact, ".m2/settings.xml", "Maven"),
    when(Masked::CodeArtifact, ".netrc", "curl, Git, pip"),
    when(Masked::CodeArtifact, ".npmrc", "npm, pnpm"),
    when(Masked::CodeArtifact, ".nuget/NuGet/NuGet.Config", "NuGet"),
    when(Masked::CodeArtifact, ".pip/pip.conf", "pip"),
    when(Masked::CodeArtifact, ".pypirc", "twine"),
    when(Masked::CodeArtifact, ".yarnrc", "Yarn 1"),
    when(Masked::CodeArtifact, ".yarnrc.yml", "Yarn"),
    when(Masked::CodeArtifact, "_netrc", "curl, Git, pip"),
    when(Masked::Eks, ".kube/config", "kubectl"),
    when(Masked::Credential, ".config/dvc/config", "DVC"),
    when(Masked::Credential, ".fog", "fog"),
    when(Masked::Credential, ".gitconfig", "Git"),
];

/// Anywhere.
pub const ABSOLUTE: [CredentialPath; 14] = [
    always("/etc/boto.cfg", "boto"),
    always("/etc/codedeploy-agent/conf", "AWS CodeDeploy agent"),
    always("/etc/passwd-s3fs", "s3fs-fuse"),
    when(Masked::Ecr, "/kaniko/.docker/config.json", "kaniko"),
    when(Masked::Ecr, "/run/containers/0/auth.json", "Podman, Skopeo"),
    when(Masked::CodeArtifact, "/etc/npmrc", "npm"),
    when(Masked::CodeArtifact, "/etc/pip.conf", "pip"),
    when(Masked::CodeArtifact, "/etc/xdg/pip/pip.conf", "pip"),
    when(Masked::S3a, "/etc/hadoop/conf/core-site.xml", "Hadoop, Spark"),
    when(Masked::S3a, "/etc/spark/conf/spark-defaults.conf", "Spark"),
    when(Masked::S3a, "/opt/hadoop/etc/hadoop/core-site.xml", "Hadoop, Spark"),
    when(Masked::S3a, "/opt/spark/conf/core-site.xml", "Spark"),
    when(Masked::S3a, "/opt/spark/conf/spark-defaults.conf", "Spark"),
    when(Masked::S3a, "/usr/local/hadoop/etc/hadoop/core-site.xml", "Hadoop, Spark"),
];

/// Variables that stay and name a file, a list of files, or a directory with these files in it.
pub const NAMED: [(&str, &[&str], Masked); 16] = [
    ("AWS_VAULT_FILE_DIR", &[], Masked::Always),
    ("DOCKER_CONFIG", &["config.json"], Masked::Ecr),
    ("HADOOP_CONF_DIR", &["core-site.xml", "hdfs-site.xml"], Masked::S3a),
    ("HADOOP_HOME", &["etc/hadoop/core-site.xml"], Masked::S3a),
    ("HIVE_CONF_DIR", &["hive-site.xml"], Masked::S3a),
    ("KUBECONFIG", &[], Masked::Eks),
    ("MC_CONFIG_DIR", &["config.json"], Masked::Always),
    ("NETRC", &[], Masked::CodeArtifact),
    ("NPM_CONFIG_GLOBALCONFIG", &[], Masked::CodeArtifact),
    ("NPM_CONFIG_USERCONFIG", &[], Masked::CodeArtifact),
    ("PIP_CONFIG_FILE", &[], Masked::CodeArtifact),
    ("REGISTRY_AUTH_FILE", &[], Masked::Ecr),
    ("S3CMD_CONFIG", &[], Masked::Always),
    ("SPARK_CONF_DIR", &["core-site.xml", "spark-defaults.conf"], Masked::S3a),
    ("SPARK_HOME", &["conf/core-site.xml", "conf/spark-defaults.conf"], Masked::S3a),
    ("YARN_CONF_DIR", &["core-site.xml"], Masked::S3a),
];

/// Directories whose files are masked one by one, if their name or their text is a credential: secrets of
/// Docker, Compose and Podman. systemd's are in `CREDENTIALS_DIRECTORY`.
pub const SECRETS: [&str; 1] = ["/run/secrets"];

/// The variable that names systemd's (systemd.exec(5), "Credentials").
pub const SECRETS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Whether a file of a mounted directory is masked for its name: a Kubernetes Secret is a directory with a
/// file for each key, and keys are often named like the variables.
#[must_use]
pub fn secret(name: &str) -> Option<Masked> {
    match name.as_bytes() {
        b"credentials" => Some(Masked::Credential),
        // Names of data are many.
        [.., b'y' | b'Y' | b'n' | b'N' | b'd' | b'D' | b't' | b'T']
            if super::names::is_credential(&as_variable(name)) =>
        {
            Some(Masked::Always)
        }
        _ => None,
    }
}

fn as_variable(name: &str) -> String {
    name.replace(['-', '.'], "_")
}

/// Of the files of one directory, those that are credentials: by their name, as a variable's, or by their text.
#[must_use]
pub fn secrets(files: &[(String, String)]) -> Vec<&str> {
    let beside_key_id = files.iter().any(|(_, text)| values::is_access_key_id(text));
    let is_one = |(name, text): &&(String, String)| {
        let name = as_variable(name);
        super::names::is_credential(&name) || values::credential(&name, text, beside_key_id).is_some()
    };
    files.iter().filter(is_one).map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sorted_within_their_kind_and_named_once() {
        for places in [&IN_HOMES[..], &ABSOLUTE] {
            let mut paths: Vec<_> = places.iter().map(|place| place.path).collect();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), places.len());
        }
    }

    #[test]
    fn files_with_other_uses_are_masked_only_when_they_lead_to_aws() {
        for (masked, yes, no) in [
            (
                Masked::Ecr,
                r#"{"auths":{"123.dkr.ecr.eu-west-1.amazonaws.com":{}}}"#,
                r#"{"auths":{"ghcr.io":{"auth":"x"}}}"#,
            ),
            (
                Masked::CodeArtifact,
                "index-url = https://aws:x@d-1.d.codeartifact.eu-west-1.amazonaws.com/pypi/p/simple/",
                "extra-index-url = https://pip.repos.neuron.amazonaws.com",
            ),
            (
                Masked::CodeArtifact,
                "machine git-codecommit.eu-west-1.amazonaws.com login x password y",
                "machine api.wandb.ai login user password x",
            ),
            (
                Masked::Eks,
                "server: https://X.gr7.eu-west-1.eks.amazonaws.com\nexec: {command: aws, args: [eks, get-token]}",
                "server: https://10.0.0.1:6443\ntoken: x",
            ),
            (
                Masked::S3a,
                "<property><name>fs.s3a.secret.key</name><value>x</value></property>",
                "<property><name>fs.s3a.endpoint</name><value>http://minio:9000</value></property>",
            ),
            (Masked::Credential, "default:\n  :aws_secret_access_key: x", "default:\n  :glesys_api_key: x"),
        ] {
            assert!(masked.holds(yes), "{masked:?}");
            assert!(!masked.holds(no), "{masked:?}");
        }
    }

    #[test]
    fn files_of_a_mounted_secret_are_told_by_their_name() {
        for name in ["AWS_SECRET_ACCESS_KEY", "aws-access-key-id", "s3.secret", "AWS_SESSION_TOKEN"] {
            assert_eq!(secret(name), Some(Masked::Always), "{name}");
        }
        assert_eq!(secret("credentials"), Some(Masked::Credential));
        for name in ["id", "config.json", "data", "secret", "key", "access_key", "train", "end"] {
            assert_eq!(secret(name), None, "{name}");
        }
    }

    #[test]
    fn secrets_are_credentials_by_name_text_and_neighbour() {
        let secret = ["wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY"].concat();
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [
            file("aws-secret-access-key", "x"),
            file("db_password", "hunter2"),
            file("aws_session", "[default]\naws_session_token = x"),
            file("s3", &secret),
            file("other", &secret),
        ];
        assert_eq!(secrets(&files), ["aws-secret-access-key", "aws_session", "s3"]);
        let beside = [file("id", &format!("AKIA{}", "IOSFODNN7EXAMPLE")), file("other", &secret)];
        assert_eq!(secrets(&beside), ["id", "other"]);
    }
}
