//! `credential-files`: files and directories in which SDKs and S3 clients look for credentials are masked
//! (`linux.maskedPaths`): a file reads as empty, a directory is empty. Which of them are there is looked up by
//! `shim::homes`; this file knows the names.

use serde_json::json;

use crate::config::{Change, Edit, Pointer, View};
use crate::rules::mounts::clean;
use crate::rules::{Rule, Subject, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "credential-files",
    promise: "no file in which AWS credentials are looked for can be read",
    reference: "AWS SDKs and Tools Reference Guide, \"Location of the shared config and credentials files\"; runtime-spec, config-linux.md, \"Masked Paths\"",
    process: false,
    answers: &[Answer::Set, Answer::Allow],
    plan,
    holds: |view, subject| match missing(view, subject).first() {
        None => Ok(()),
        Some(path) => Err(Violation::of(&RULE, format!("{path} is not masked"))),
    },
};

/// In a home: a path, or a directory and what is masked in it.
pub const IN_HOMES: [(&str, &[&str]); 10] = [
    (".aws", &[]),
    (".awsvault", &[]),
    (".boto", &[]),
    (".config", &["fsspec", "rclone"]),
    (".ecr", &[]),
    (".mc", &[]),
    (".mcli", &[]),
    (".passwd-s3fs", &[]),
    (".rclone.conf", &[]),
    (".s3cfg", &[]),
];

/// In a home, and only when they name a registry of AWS: other registries' logins are not ours to take.
pub const REGISTRY_LOGINS: [&str; 3] = [".config/containers/auth.json", ".docker/config.json", ".dockercfg"];

/// Anywhere.
pub const ABSOLUTE: [&str; 3] = ["/etc/boto.cfg", "/etc/codedeploy-agent/conf", "/etc/passwd-s3fs"];

/// Anywhere, and only when they name a registry of AWS.
pub const ABSOLUTE_LOGINS: [&str; 2] = ["/kaniko/.docker/config.json", "/run/containers/0/auth.json"];

/// Variables that name files, and whether they name a directory.
const POINTERS: [(&str, bool); 17] = [
    ("AWS_CONFIG_FILE", false),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", false),
    ("AWS_CREDENTIAL_FILE", false),
    ("AWS_CREDENTIAL_PROFILES_FILE", false),
    ("AWS_ECR_CACHE_DIR", true),
    ("AWS_LOGIN_CACHE_DIRECTORY", true),
    ("AWS_SDK_GO_CLIENT_TLS_KEY", false),
    ("AWS_SHARED_CREDENTIALS_FILE", false),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", false),
    ("BOTO_CONFIG", false),
    ("BOTO_PATH", false),
    ("CPL_AWS_CREDENTIALS_FILE", false),
    ("FSSPEC_CONFIG_DIR", true),
    ("HADOOP_TOKEN_FILE_LOCATION", false),
    ("MC_CONFIG_ENV_FILE", false),
    ("MINIO_SHARED_CREDENTIALS_FILE", false),
    ("RCLONE_CONFIG", false),
];

/// Homes of system accounts that are nobody's: programs' directories, which many accounts share.
const NOT_HOMES: [&str; 14] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/nonexistent",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/run",
    "/var/spool",
];

/// Whether a registry's login file is one for AWS.
#[must_use]
pub fn names_ecr(text: &str) -> bool {
    [".dkr.ecr", "public.ecr.aws", "ecr-login", "QVdTOmV5S"].iter().any(|word| text.contains(word))
}

/// The value of `HOME`, of which the last counts.
#[must_use]
pub fn home<'v>(view: &'v View) -> Option<&'v str> {
    let entries = view.process.as_ref()?.env.as_deref()?.iter().rev();
    entries.filter_map(|entry| entry.strip_prefix("HOME=")).next().filter(|home| home.starts_with('/'))
}

/// The homes in a passwd(5), but for shared directories of programs.
#[must_use]
pub fn homes_of(passwd: &str) -> Vec<String> {
    let homes = passwd.lines().filter_map(|line| line.split(':').nth(5)).filter(|home| home.starts_with('/'));
    let is_home =
        |home: &String| !NOT_HOMES.iter().any(|directory| super::super::mounts::is_within(home, directory));
    homes.map(clean).filter(is_home).collect()
}

/// Paths in the container that credential variables name, and whether the variable names a directory. Those of the
/// kernel and the shallow ones (`/etc`, `/tmp`) are left alone.
#[must_use]
pub fn pointers(view: &View) -> Vec<(String, bool)> {
    let Some(process) = &view.process else { return Vec::new() };
    let cwd = process.cwd.as_deref().unwrap_or("/");
    let mut paths = Vec::new();
    for entry in process.env.iter().flatten() {
        let Some((name, value)) = entry.split_once('=') else { continue };
        let Some((pointer, directory)) = POINTERS.iter().find(|(p, _)| p.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let values = if *pointer == "BOTO_PATH" { value.split(':').collect() } else { vec![value] };
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let path = match (value.strip_prefix("~/"), home(view)) {
                (Some(rest), Some(home)) => format!("{home}/{rest}"),
                _ if value.starts_with('/') => value.to_owned(),
                _ => format!("{cwd}/{value}"),
            };
            let path = clean(&path);
            let of_kernel =
                ["/dev", "/proc", "/sys"].iter().any(|d| super::super::mounts::is_within(&path, d));
            if !of_kernel && (!directory || path.matches('/').count() > 1) && path != "/" {
                paths.push((path, *directory));
            }
        }
    }
    paths
}

/// The paths that are not among the masked ones yet.
fn missing<'s>(view: &View, subject: &'s Subject) -> Vec<&'s str> {
    let masked = view.linux.as_ref().and_then(|linux| linux.masked_paths.as_deref()).unwrap_or_default();
    let paths = subject.world.credential_files.iter().map(String::as_str);
    paths.filter(|path| !masked.iter().any(|masked| masked == path)).collect()
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    let edit = |path: &str| Edit {
        at: Pointer::to(&["linux", "maskedPaths"]),
        change: Change::Append(json!(path)),
        says: format!("{MASKED}{path}"),
    };
    Ok(missing(view, subject).into_iter().map(edit).collect())
}

const MASKED: &str = "masked ";

/// The path that a change masked, by what was said of it: a change of this rule, for whoever looks later.
#[must_use]
pub fn masked<'s>(rule: &str, says: &'s str) -> Option<&'s str> {
    says.strip_prefix(MASKED).filter(|_| rule == RULE.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_those_that_somebody_may_have_a_file_in() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/x\nnobody:x:65534:1::/nonexistent:/x\n\
                      ml:x:1000:1000::/home/ml/:/bin/sh\nbroken\njenkins:x:998:998::/var/jenkins_home:/bin/sh\n";
        assert_eq!(homes_of(passwd), ["/root", "/home/ml", "/var/jenkins_home"]);
    }

    #[test]
    fn files_that_variables_name_are_found_and_shallow_directories_are_not() {
        let text = r#"{"process":{"cwd":"/work","env":["HOME=/root","AWS_CONFIG_FILE=/etc/aws/config",
            "aws_shared_credentials_file=creds","BOTO_PATH=/a/b:~/c","AWS_ECR_CACHE_DIR=/tmp","RCLONE_CONFIG=/dev/null",
            "FSSPEC_CONFIG_DIR=/etc/fsspec","AWS_CREDENTIAL_FILE=","PATH=/bin"]}}"#;
        let view: View = serde_json::from_str(text).unwrap();
        let wanted = [
            ("/etc/aws/config", false),
            ("/work/creds", false),
            ("/a/b", false),
            ("/root/c", false),
            ("/etc/fsspec", true),
        ];
        assert_eq!(pointers(&view), wanted.map(|(path, directory)| (path.to_owned(), directory)));
    }

    #[test]
    fn only_logins_for_aws_are_taken() {
        assert!(names_ecr(r#"{"auths":{"123.dkr.ecr.eu-west-1.amazonaws.com":{}}}"#));
        assert!(!names_ecr(r#"{"auths":{"ghcr.io":{"auth":"x"}}}"#));
    }
}
