//! `exec`: engines build the process from their own data and not from the rewritten configuration (dockerd
//! for `docker exec` and HEALTHCHECK, containerd's CRI plugin for `kubectl exec` and probes), so it passes
//! through the same rules. The engine's file is never changed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, setrlimit};

use super::existing_container::Existing;
use super::{RuntimeCall, credential_variables, descriptors, exec_arguments, existing_container, platform};
use crate::audit::{Line, Outcome};
use crate::bundle;
use crate::config::{Document, Kind, View};
use crate::files;
use crate::invocation::ArgvEdit;
use crate::policy::{Openings, Policy};
use crate::rewrite::{prove, rewrite};
use crate::rules::{self, HostFacts, RuleContext};
use crate::settings::SeccompSettings;

pub(super) fn exec(call: &RuntimeCall) -> Result<Infallible> {
    let record = match existing_container::find(call)? {
        Existing::Isolated(_, record) => record,
        Existing::Platform(container, _) => {
            platform::check_exec(call, &container)?;
            return call.runtime.exec(call.args, &[]);
        }
        Existing::Open => return call.runtime.exec(call.args, &[]),
    };
    if record.init.is_none() {
        bail!("it is not started yet, so its network is not sealed; start it first");
    }
    let additions = call.settings.credentials.clone();
    let unset = descriptors::guard(call)?;
    let strays = [credential_variables(&additions), unset].concat();
    let answers = call.settings.rules.clone();
    let policy = Policy {
        why: record.why.clone(),
        firewall: record.firewall,
        links: record.links,
        attempts: record.attempts,
        credentials: additions,
        // For create only: a process that joins gets the container's filter from the runtime.
        seccomp: SeccompSettings::default(),
        openings: Openings::default(),
        beside: None,
        demanded: None,
        answers,
        nonce: None,
    };
    let host =
        HostFacts { confined: record.confined, core_dumps: bundle::core_dumps(), ..HostFacts::default() };
    let subject = RuleContext { policy, network: record.network.clone(), host, hook: None };

    // A process of crun's exec has the caller's limits, unless its process file sets some; runc gives it the
    // container's.
    rules::check_core_dumps(&subject)?;
    if rules::limits_core_dumps(&subject) {
        setrlimit(Resource::RLIMIT_CORE, rules::CORE_LIMIT, rules::CORE_LIMIT)
            .context("core-dumps: cannot set the limit for core dumps")?;
    }

    let invocation = call.invocation;
    let process = invocation.process.as_ref();
    if process.is_none() {
        of_the_bundle(&record.bundle, &subject)?;
    }
    // After the descriptors that are passed to the process.
    let handed_over = invocation.preserve_fds.as_deref().and_then(|n| n.to_str()?.parse().ok());
    let first = handed_over.unwrap_or(0i32).max(0).saturating_add(3);
    let filtered = process.map(|given| filtered(Path::new(&given.value), &subject, first));
    let (filtered, mut rules) = filtered.transpose()?.unwrap_or_default();
    let removed = exec_arguments::removed(invocation, &subject)?;
    rules.extend(removed.iter().map(|(rule, _)| (*rule).to_owned()));
    let set = process.zip(filtered.as_deref()).map(|(given, path)| ArgvEdit::Set(given, path));
    let changes: Vec<ArgvEdit> =
        set.into_iter().chain(removed.into_iter().map(|(_, given)| ArgvEdit::Drop(given))).collect();
    let rules = rules.iter().map(String::as_str).collect();
    call.audit(Line { why: Some(&record.why), rules, ..record.line_of_call(Outcome::Filtered) })?;
    call.runtime.exec(&invocation.rewritten(call.args, &changes), &strays)
}

/// Without a process file, runc and youki take what the command line does not specify, capabilities and
/// variables too, from the current `config.json` in the bundle. It must satisfy the rules as it did when the
/// container was created.
fn of_the_bundle(bundle: &Path, subject: &RuleContext) -> Result<()> {
    let path = bundle.join("config.json");
    if !path.try_exists().unwrap_or(true) {
        // crun has a copy, and the others report that it is missing.
        return Ok(());
    }
    let changed =
        || format!("{} has changed since the container was created; give --process", path.display());
    let snapshot = files::read(&path, files::DOCUMENT_LIMIT)?;
    let document = Document::parse(Kind::Config, &snapshot.bytes).with_context(changed)?;
    let View { process, unknown, .. } = document.view().with_context(changed)?;
    prove(Kind::Process, &View { process, unknown, ..View::default() }, subject).with_context(changed)
}

/// A filtered copy of a process file, as a path that the runtime can open, with a descriptor of at least
/// `first`, and the rules that changed something; `None` if nothing has to change. The copy is in memory and
/// ends with the runtime: no file is left, whichever process is killed.
fn filtered(path: &Path, subject: &RuleContext, first: i32) -> Result<(Option<OsString>, BTreeSet<String>)> {
    let snapshot = files::read(path, files::DOCUMENT_LIMIT)?;
    let shown = path.display();
    let uncertain = || format!("cannot read {shown} with certainty");
    let document = Document::parse(Kind::Process, &snapshot.bytes).with_context(uncertain)?;
    let view = document.view().with_context(uncertain)?;
    let rewritten = rewrite(document, view, subject)?;
    let rules = rewritten.applied.into_iter().map(|applied| applied.rule).collect();
    let Some(text) = rewritten.text else { return Ok((None, rules)) };
    let mut memory = files::in_memory(c"process.json")?;
    memory.write_all(&text).context("cannot write a file in memory")?;
    // Without close-on-exec: the runtime opens it by this path.
    let kept = fcntl(memory.as_raw_fd(), FcntlArg::F_DUPFD(first));
    let path = format!("/proc/self/fd/{}", kept.context("cannot keep a file in memory")?);
    Ok((Some(path.into()), rules))
}
