//! `credential-mounts`: token volumes that platforms inject, and credential files of the host's users
//! (`.aws`, `.s3cfg`: the paths that are masked with any content), are not mounted. The platform added them
//! and not the user, so they are removed and the container starts; SDKs then answer "no credentials", since
//! the variables that point to them are removed too (`credentials-env`).

use super::paths::{CredentialPath, IN_HOMES, Masked};
use crate::config::{Edit, EditOp, Mount, Pointer, View};
use crate::policy::glob;
use crate::rules::mount::{clean, is_bind, is_within};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "credential-mounts",
    promise: "no token volume of a platform and no credential file of the host's users is mounted",
    reference: "EKS User Guide, \"IAM roles for service accounts\", \"EKS Pod Identity\"; Kubernetes, \"Configure Service Accounts for Pods\"",
    process: false,
    answers: &[Answer::Strip, Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan,
    holds: |view, context| match removed_mounts(view, context).first() {
        None => Ok(()),
        Some((_, mount)) => Err(Violation::of(&RULE, format!("{} is mounted", &*mount.destination))),
    },
};

/// Destinations; `/var/run` is a link to `/run` in nearly every image.
const DESTINATIONS: [&str; 7] = [
    "/.fly",
    "/run/secrets/eks.amazonaws.com",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/run/secrets/pods.eks.amazonaws.com",
    "/var/run/secrets/eks.amazonaws.com",
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/pods.eks.amazonaws.com",
];

/// Names of volumes of kubelet.
const SOURCES: [&str; 2] = ["aws-iam-token", "eks-pod-identity-token"];

const SOURCE_GLOB: &str = "*/kubernetes.io~projected/kube-api-access-*";

/// Variables that name a token file: the path is a flag of the EKS webhook, so that the volume may be anywhere.
const POINTERS: [&str; 2] = ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];

/// Whether a mount is removed for what it carries, so that no other rule has to check it.
pub(in crate::rules) fn is_removed(view: &View, mount: &Mount, context: &RuleContext) -> bool {
    RULE.answer(&context.policy) == Answer::Strip && is_credential(view, mount, context)
}

fn is_credential(view: &View, mount: &Mount, context: &RuleContext) -> bool {
    let destination = clean(&mount.destination);
    if is_destination(&destination) {
        return true;
    }
    let Some(source) = mount.source.as_deref().filter(|_| is_bind(mount)) else { return false };
    let real = context.host.sources.get(source).and_then(|source| source.real.to_str());
    let projected = |source: &str| source.contains("/kubernetes.io~projected/");
    [Some(source), real]
        .into_iter()
        .flatten()
        .map(clean)
        .any(|source| is_source(&source) || projected(&source) && holds_a_token(view, &destination))
}

/// Whether a mount of a running container carries credentials, by its mount point and its root in its file
/// system; both clean. Which variables named a file in it is not known at that time.
#[must_use]
pub fn carries(destination: &str, source: &str) -> bool {
    is_destination(destination) || is_source(source)
}

fn is_destination(destination: &str) -> bool {
    DESTINATIONS.iter().any(|place| is_within(destination, place))
}

fn is_source(source: &str) -> bool {
    let named = || source.split('/').any(|component| SOURCES.contains(&component));
    named() || is_place(source) || glob(SOURCE_GLOB, source)
}

/// Whether it is, or lies in, a path in a home that is masked with any content.
fn is_place(source: &str) -> bool {
    let is_it = |place: &CredentialPath| {
        let at = |(at, _): (usize, &str)| {
            let rest = &source[at + 1..];
            rest.strip_prefix(place.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        place.masked == Masked::Always && source.match_indices('/').any(at)
    };
    source.contains("/.") && IN_HOMES.iter().any(is_it)
}

/// Whether a variable names a file in the directory.
fn holds_a_token(view: &View, directory: &str) -> bool {
    let entries = view.process.iter().flat_map(|process| process.env.iter());
    let mut tokens = entries
        .filter_map(|entry| entry.split_once('='))
        .filter(|(name, _)| POINTERS.iter().any(|pointer| name.eq_ignore_ascii_case(pointer)));
    tokens.any(|(_, file)| is_within(&clean(file), directory))
}

fn removed_mounts<'v>(view: &'v View, context: &RuleContext) -> Vec<(usize, &'v Mount<'v>)> {
    let list = view.mounts.as_deref().unwrap_or_default().iter().enumerate();
    list.filter(|(_, mount)| is_credential(view, mount, context)).collect()
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let edit = |(index, mount): (usize, &Mount)| Edit {
        at: Pointer::to(&["mounts"]).item(index),
        op: EditOp::Remove,
        description: format!("removed the mount at {}, which carries credentials", &*mount.destination),
    };
    Ok(removed_mounts(view, context).into_iter().map(edit).collect())
}
