//! `create`, `run`, `restore`: decide, rewrite, record, exec. Nothing is put in place before every rule holds on
//! the new bytes; the record is written before the configuration takes its place, so that no isolated container can
//! be without one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{RuntimeCall, credential_variables, descriptors, facts, joiners, platform, release_netns};
use crate::audit::{Line, Outcome};
use crate::bundle::{Bundle, Names};
use crate::files::{Draft, Snapshot};
use crate::invocation::{ArgvEdit, Verb};
use crate::job;
use crate::policy::{Decision, Policy};
use crate::proc::ProcessId;
use crate::record::{self, Excluded, GrantedOpenings, Record, Slot};
use crate::rewrite::RuleChanges;
use crate::rules::{self, Network, SealHook};
use crate::runtime::Libseccomp;
use crate::seal;
use crate::settings::Consent;
use crate::statement::UsedFile;

pub(super) fn create(call: &RuntimeCall) -> Result<Infallible> {
    let directory = call.invocation.bundle.as_deref().map_or(Path::new("."), Path::new);
    let bundle = Bundle::read(directory, call.invocation.config.as_deref().map(Path::new))?;
    match bundle.decide(call.settings)? {
        Decision::Refuse(why) => bail!(why),
        Decision::Isolate(policy) => isolate(call, bundle, *policy),
        Decision::Platform(container) => platform::create(call, &bundle, &container),
        Decision::Observe(observed) => {
            joiners::check(call, &bundle)?;
            let seen = bundle.observe(observed, &call.settings.audit)?;
            let (why, rules) = (seen.summary(), seen.rules());
            call.audit(Line { why: Some(&why), rules, ..Line::of(Outcome::Observed) })?;
            pass_through(call)
        }
        Decision::PassThrough(why) => {
            joiners::check(call, &bundle)?;
            call.audit_passed_through(why);
            pass_through(call)
        }
    }
}

fn pass_through(call: &RuntimeCall) -> Result<Infallible> {
    if let Some(slot) = call.slot()? {
        slot.remove_stale()?;
    }
    call.runtime.exec(call.args, &[])
}

fn isolate(call: &RuntimeCall, bundle: Bundle, policy: Policy) -> Result<Infallible> {
    let Some(slot) = call.slot()? else { bail!("a container cannot have that id") };
    let restores = call.invocation.verb == Verb::Restore;
    if restores && call.settings.restore == Consent::Refuse {
        bail!(
            "whether it was isolated when it was checkpointed is unknown; create it again, or set restore = \"allow\""
        );
    }
    // crun then removes /proc only, and where the host has another one (of a chroot) the kernel lets a user
    // namespace created by the container mount a proc of its own, in which nothing is masked
    // (mnt_already_visible).
    if call.invocation.no_pivot {
        bail!(
            "with --no-pivot the machine's own mounts stay below the container's; drop it (no_pivot_root, no_pivot)"
        );
    }
    if let Some(beside) = &policy.beside {
        record::check_root(&call.root()?, beside.engine)?;
    }
    let unset = descriptors::guard(call)?;
    let strays = [credential_variables(&policy.credentials), unset].concat();
    let sealed_by_start = call.invocation.verb == Verb::Create;
    let hooked = !sealed_by_start || !policy.openings.is_empty();
    let hook = hooked.then(|| seal_hook(&slot, !sealed_by_start)).transpose()?;
    let workload = call.settings.audit.is_kept().then(|| bundle.workload()).flatten();
    let image = facts::image(call, &bundle);
    let config = UsedFile { path: bundle.config.path().to_owned(), version: bundle.config.version.clone() };
    let path = bundle.path.clone();
    let prepared = bundle.prepare(policy, hook, Snapshot::draft)?;
    let statement = facts::begin(call, image, config, &prepared)?;
    let policy = &prepared.subject.policy;
    if let Some(demand) = &policy.demanded {
        platform::demand(call, demand, policy.beside.is_some())?;
    }
    let program = call.runtime.path();
    let libseccomp = Libseccomp::of(call.runtime, record::about_runtime(program).as_deref())?;
    libseccomp.check(program, prepared.names_what_it_denies)?;

    let mut args = call.args.to_vec();
    let mut pid_file = call.invocation.pid_file.as_deref().map(std::path::absolute).transpose()?;
    if sealed_by_start && pid_file.is_none() {
        let ours = slot.pid_file();
        args = call.invocation.rewritten(call.args, &[ArgvEdit::PidFile(ours.as_os_str())]);
        pid_file = Some(ours);
    }
    let id = call.invocation.id.to_string_lossy().into_owned();
    let waived = rules::waived(&prepared.subject.policy).chain(restores.then_some("restore"));
    let waived = waived.map(str::to_owned).collect();
    let openings = prepared.subject.policy.openings;
    let opened = (!openings.is_empty()).then(|| {
        let Names { host_name, current_host, hosts, pod } = prepared.names;
        let (host_name, hosts) = job::usable_names(host_name, hosts, &id);
        let namespace = openings.job.as_ref().and_then(|job| job.namespace.as_deref());
        let names = job::names_by_kubelet(&hosts, pod.as_ref(), host_name.as_deref(), namespace);
        let servers = prepared.name_servers.into_iter();
        let never = servers.map(|server| (server, Excluded::OwnNameServer)).collect();
        let bounds = call.settings.peers.clone();
        GrantedOpenings {
            asked: openings,
            changed_peers: None,
            added_peers: None,
            bounds,
            job: call.settings.job.clone(),
            never,
            host_name,
            current_host,
            pod,
            names,
            remote: Vec::new(),
            hosts,
        }
    });
    if prepared.subject.host.empty.is_some() {
        slot.make_empty_directory()?;
    }
    if prepared.subject.host.empty_file.is_some() {
        slot.make_empty_file()?;
    }
    let record = Record {
        version: record::VERSION,
        creator: ProcessId::this()?,
        init: None,
        sealed: None,
        id,
        runtime: call.runtime.path().to_owned(),
        bundle: path,
        rootfs: prepared.rootfs,
        pinned: prepared.proven.pinned,
        pid_file,
        waived,
        why: prepared.subject.policy.why,
        firewall: prepared.subject.policy.firewall,
        links: prepared.subject.policy.links,
        attempts: prepared.subject.policy.attempts,
        network: prepared.subject.network,
        confined: prepared.subject.host.confined,
        opened,
        pod_network: prepared.pod_network,
        workload,
        audit: call.settings.audit.clone(),
        statement,
        applied: RuleChanges::of(prepared.applied),
    };
    slot.create(&record)?;
    // The network that the engine has already set up is closed before the runtime can use it.
    let closed = match &record.network {
        Network::SealedInPlace { at } => {
            let netns = prepared.netns.as_ref().with_context(|| format!("{} is not open", at.display()));
            netns.and_then(|netns| seal::lock_down(netns.as_fd()))
        }
        Network::New | Network::Replaced { .. } | Network::Joined { .. } => Ok(()),
    };
    let rules = record.applied.iter().map(|changes| changes.rule.as_str()).collect();
    let line = Line { why: Some(&record.why), rules, ..record.line_of_call(Outcome::Isolated) };
    let replace = || prepared.draft.map_or(Ok(()), Draft::put_in_place);
    let done = closed.and_then(|()| call.audit(line)).and_then(|()| replace());
    let failed = match done.and_then(|()| call.runtime.exec(&args, &strays)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // The container was not created, so it must not look as if it was.
    slot.remove(Some(record.creator))?;
    release_netns::release(&slot, record.given_namespace())?;
    Err(failed)
}

fn seal_hook(slot: &Slot, seals: bool) -> Result<SealHook> {
    let program = std::env::current_exe().context("cannot determine our own path")?;
    let utf8 =
        |path: OsString| path.into_string().ok().context("cannot name our hook: its path is not UTF-8");
    Ok(SealHook { program: utf8(program.into())?, record: utf8(slot.record().into())?, seals })
}
