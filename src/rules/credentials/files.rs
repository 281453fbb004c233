//! `credential-files`: files and directories from which programs read AWS credentials are masked
//! (`linux.maskedPaths`): a file reads as empty, a directory is empty. Their table is `paths`;
//! [`crate::bundle`] finds out which exist.

use std::collections::BTreeSet;

use serde_json::json;

use super::paths::{CredentialPath, IN_HOMES, Masked, NAMED, SECRETS, SECRETS_VARIABLE};
use crate::config::{Edit, EditOp, Pointer, View};
use crate::rules::mount::{clean, is_within};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "credential-files",
    promise: "no file in which AWS credentials are looked for can be read",
    reference: "AWS SDKs and Tools Reference Guide, \"Location of the shared config and credentials files\"; runtime-spec, config-linux.md, \"Masked Paths\"",
    process: true,
    answers: &[Answer::Set, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

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

/// What [`crate::bundle`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// Paths in the container, without links.
    pub paths: Vec<String>,
    /// Why they could not be searched for.
    pub refused: Option<String>,
    /// Directories that were not searched completely.
    pub unsearched: Vec<String>,
}

/// The value of the last `HOME`, which counts.
#[must_use]
pub fn home<'v>(view: &'v View) -> Option<&'v str> {
    let entries = view.process.as_ref()?.env.iter().rev();
    entries.filter_map(|entry| entry.strip_prefix("HOME=")).next().filter(|home| home.starts_with('/'))
}

/// The homes in a passwd(5). One that is not absolute is relative to where a process may start.
#[must_use]
pub fn homes_of(passwd: &str, view: &View) -> BTreeSet<String> {
    let homes = passwd.lines().filter_map(|line| line.split(':').nth(5)).filter(|home| !home.is_empty());
    homes.flat_map(|home| [clean(home), absolute(home, view)]).collect()
}

/// The files named by variables that are not credentials themselves, and what makes them masked.
#[must_use]
pub fn named(view: &View) -> Vec<(String, Masked)> {
    let mut files = Vec::new();
    for (name, value) in variables(view) {
        if name == "XDG_CONFIG_HOME" {
            let below = |place: &CredentialPath| Some((place.path.strip_prefix(".config/")?, place.masked));
            let below = IN_HOMES.iter().filter_map(below);
            files.extend(below.map(|(path, masked)| (absolute(&format!("{value}/{path}"), view), masked)));
        }
        let Some((_, inside, masked)) = NAMED.iter().find(|(named, ..)| *named == name) else { continue };
        for value in value.split(':').filter(|value| !value.is_empty()) {
            if inside.is_empty() {
                files.push((absolute(value, view), *masked));
            }
            files.extend(inside.iter().map(|file| (absolute(&format!("{value}/{file}"), view), *masked)));
        }
    }
    files
}

/// The directories whose files are secrets.
#[must_use]
pub fn secrets(view: &View) -> Vec<String> {
    let systemd = variables(view).filter(|(name, _)| *name == SECRETS_VARIABLE);
    let systemd = systemd.map(|(_, value)| absolute(value, view));
    SECRETS.iter().map(|directory| (*directory).to_owned()).chain(systemd).collect()
}

fn variables<'v>(view: &'v View) -> impl Iterator<Item = (&'v str, &'v str)> {
    let entries = view.process.iter().flat_map(|process| process.env.iter());
    entries.filter_map(|entry| entry.split_once('=')).filter(|(_, value)| !value.is_empty())
}

/// A path as the process resolves it.
fn absolute(path: &str, view: &View) -> String {
    let cwd = view.process.as_ref().and_then(|process| process.cwd.as_deref()).unwrap_or("/");
    if path.starts_with('/') { clean(path) } else { clean(&format!("{cwd}/{path}")) }
}

/// Paths in the container that credential variables name, and whether the variable names a directory. Paths
/// of the kernel and top-level ones (`/etc`, `/tmp`) are left alone.
#[must_use]
pub fn pointers(view: &View) -> Vec<(String, bool)> {
    let mut paths = Vec::new();
    for (name, value) in variables(view) {
        let Some((pointer, directory)) = POINTERS.iter().find(|(p, _)| p.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let values = if *pointer == "BOTO_PATH" { value.split(':').collect() } else { vec![value] };
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let path = match (value.strip_prefix("~/"), home(view)) {
                (Some(rest), Some(home)) => format!("{home}/{rest}"),
                _ => absolute(value, view),
            };
            let path = clean(&path);
            let of_kernel = ["/proc", "/sys"].iter().any(|directory| is_within(&path, directory));
            if !of_kernel && (!directory || path.matches('/').count() > 1) && path != "/" {
                paths.push((path, *directory));
            }
        }
    }
    paths
}

/// The paths that are not masked yet.
fn missing<'s>(view: &View, context: &'s RuleContext) -> Vec<&'s str> {
    let masked = view.linux.as_ref().and_then(|linux| linux.masked_paths.as_deref()).unwrap_or_default();
    let paths = context.host.credential_files.paths.iter().map(String::as_str);
    paths.filter(|path| !masked.iter().any(|masked| masked == path)).collect()
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    check(view, context)?;
    let mask = |path: &str| Edit {
        at: Pointer::to(&["linux", "maskedPaths"]),
        op: EditOp::Append(json!(path)),
        description: format!("{MASKED}{path}"),
    };
    let note = |path: &String| Edit {
        at: Pointer::to(&["mounts"]),
        op: EditOp::Note,
        description: format!("not all directories below {path} were searched for credential files"),
    };
    let notes = context.host.credential_files.unsearched.iter().map(note);
    Ok(missing(view, context).into_iter().map(mask).chain(notes).collect())
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    check(view, context)?;
    match missing(view, context).first() {
        None => Ok(()),
        Some(path) => Err(Violation::of(&RULE, format!("{path} is not masked"))),
    }
}

/// What masking cannot correct.
fn check(view: &View, context: &RuleContext) -> Result<(), Violation> {
    check_home(view.process.iter().flat_map(|process| process.env.iter()))?;
    match &context.host.credential_files.refused {
        None => Ok(()),
        Some(why) => Err(Violation::of(&RULE, format!("{why}{LET_THROUGH}"))),
    }
}

/// Checks the last `HOME`, which counts, of `NAME=VALUE` entries. An empty one is like none: runtimes use
/// that of passwd(5) (runc), or it means `/`.
///
/// # Errors
/// What it means depends on the process: it is not absolute, or in `/proc` (`/proc/self/cwd`).
fn check_home<'e>(entries: impl Iterator<Item = &'e str>) -> Result<(), Violation> {
    let home = entries.filter_map(|entry| entry.strip_prefix("HOME=")).last().unwrap_or_default();
    let why = match home {
        "" => return Ok(()),
        home if !home.starts_with('/') => "is not an absolute path",
        home if is_within(&clean(home), "/proc") => "leads through /proc",
        _ => return Ok(()),
    };
    Err(Violation::of(&RULE, format!("HOME {why}; write it as the path of a directory{LET_THROUGH}")))
}

const LET_THROUGH: &str = ", or set [rules] credential-files = \"allow\"";
const MASKED: &str = "masked ";

/// The path that a change of this rule masked, from its description; for `isolatectl verify`.
#[must_use]
pub fn masked<'s>(rule: &str, description: &'s str) -> Option<&'s str> {
    description.strip_prefix(MASKED).filter(|_| rule == RULE.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Kind};

    fn view(text: &str) -> View<'_> {
        Document::parse(Kind::Config, text.as_bytes()).unwrap().view().unwrap()
    }

    #[test]
    fn every_home_counts_wherever_it_is() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nes:x:1:1::/usr/share/es:/x\nhomeless:x:2:2:::/x\n\
                      ml:x:1000:1000::/home/ml/:/bin/sh\nbroken\nrelative:x:998:998::data/r:/bin/sh\n";
        let homes = homes_of(passwd, &view(r#"{"process":{"cwd":"/work"}}"#));
        let homes: Vec<_> = homes.iter().map(String::as_str).collect();
        assert_eq!(homes, ["/data/r", "/home/ml", "/root", "/usr/share/es", "/work/data/r"]);
    }

    #[test]
    fn files_that_other_variables_name_are_looked_into() {
        let view = view(
            r#"{"process":{"cwd":"/work","env":["KUBECONFIG=/k/one:two","HADOOP_CONF_DIR=/h","PIP_CONFIG_FILE=",
            "XDG_CONFIG_HOME=/x","CREDENTIALS_DIRECTORY=/run/credentials/a"]}}"#,
        );
        let named = named(&view);
        for (path, masked) in [
            ("/k/one", Masked::Eks),
            ("/work/two", Masked::Eks),
            ("/h/core-site.xml", Masked::S3a),
            ("/x/rclone", Masked::Always),
            ("/x/pip/pip.conf", Masked::CodeArtifact),
        ] {
            assert!(named.contains(&(path.to_owned(), masked)), "{path}: {named:?}");
        }
        assert_eq!(secrets(&view), ["/run/secrets", "/run/credentials/a"]);
    }

    #[test]
    fn files_that_variables_name_are_found_and_shallow_directories_are_not() {
        let text = r#"{"process":{"cwd":"/work","env":["HOME=/root","AWS_CONFIG_FILE=/etc/aws/config",
            "aws_shared_credentials_file=creds","BOTO_PATH=/a/b:~/c","AWS_ECR_CACHE_DIR=/tmp","RCLONE_CONFIG=/dev/null",
            "FSSPEC_CONFIG_DIR=/etc/fsspec","AWS_CREDENTIAL_FILE=","PATH=/bin"]}}"#;
        let view = view(text);
        let wanted = [
            ("/etc/aws/config", false),
            ("/work/creds", false),
            ("/a/b", false),
            ("/root/c", false),
            ("/dev/null", false),
            ("/etc/fsspec", true),
        ];
        assert_eq!(pointers(&view), wanted.map(|(path, directory)| (path.to_owned(), directory)));
    }
}
