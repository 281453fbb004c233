//! `create`, `run`, `restore`: decide, rewrite, remember, exec. Nothing is written before every rule holds on the new
//! bytes; the record is written before the configuration, so that no isolated container can be without one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Call, descriptors, environment_strays, given_back, joiners};
use crate::audit::{Line, Outcome};
use crate::invocation::{ArgvEdit, Verb};
use crate::peers;
use crate::policy::{Decision, Policy};
use crate::prepare::Bundle;
use crate::proc::Process;
use crate::record::{self, Excluded, Opened, Record, Slot};
use crate::rewrite::changed_by;
use crate::rules::{self, Network, SealHook};
use crate::runtime::Libseccomp;
use crate::seal;
use crate::settings::Consent;

pub(super) fn create(call: &Call) -> Result<Infallible> {
    let directory = call.invocation.bundle.as_deref().map_or(Path::new("."), Path::new);
    let bundle = Bundle::read(directory, call.invocation.config.as_deref().map(Path::new))?;
    match bundle.decide(call.settings)? {
        Decision::Refuse(why) => bail!(why),
        Decision::Isolate(policy) => isolate(call, bundle, policy),
        Decision::PassThrough(why) => {
            joiners::check(call, &bundle)?;
            call.audit_passed_through(why);
            if let Some(slot) = call.slot()? {
                slot.forget_stale()?;
            }
            call.runtime.exec(call.args, &[])
        }
    }
}

fn isolate(call: &Call, bundle: Bundle, policy: Policy) -> Result<Infallible> {
    let Some(slot) = call.slot()? else { bail!("a container cannot have that id") };
    let restores = call.invocation.verb == Verb::Restore;
    if restores && call.settings.restore == Consent::Refuse {
        bail!(
            "nothing tells whether it was isolated when it was checkpointed; create it anew, or set restore = \"allow\""
        );
    }
    // crun then takes away /proc only, and where the machine has another one (of a chroot) the kernel lets a user
    // namespace that the container makes mount a proc of its own, in which nothing is covered (mnt_already_visible).
    if call.invocation.no_pivot {
        bail!(
            "with --no-pivot the machine's own mounts stay below the container's; drop it (no_pivot_root, no_pivot)"
        );
    }
    let unset = descriptors::guard(call)?;
    let strays = [environment_strays(&policy.credentials), unset].concat();
    let sealed_by_start = call.invocation.verb == Verb::Create;
    let hooked = !sealed_by_start || !policy.openings.is_empty();
    let hook = hooked.then(|| seal_hook(&slot, !sealed_by_start)).transpose()?;
    let prepared = bundle.prepare(policy, hook)?;
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
        let (name, path) = prepared.names;
        let (host_name, hosts) = peers::hosts_of(name, path, &id);
        let peers = openings.peers.clone();
        let servers = prepared.name_servers.into_iter();
        let never = servers.map(|server| (server, Excluded::OwnNameServer)).collect();
        let bounds = call.settings.peers.clone();
        Opened { asked: openings, peers, bounds, never, host_name, hosts }
    });
    if prepared.subject.host.empty.is_some() {
        slot.make_empty_directory()?;
    }
    if prepared.subject.host.empty_file.is_some() {
        slot.make_empty_file()?;
    }
    let record = Record {
        version: record::VERSION,
        creator: Process::this()?,
        init: None,
        sealed: None,
        id,
        runtime: call.runtime.path().to_owned(),
        bundle: bundle.path,
        rootfs: prepared.rootfs,
        pinned: prepared.rewritten.pinned,
        pid_file,
        waived,
        why: prepared.subject.policy.why,
        firewall: prepared.subject.policy.firewall,
        network: prepared.subject.network,
        confined: prepared.subject.host.confined,
        opened,
        audit: call.settings.audit.clone(),
        applied: prepared.rewritten.applied,
    };
    slot.claim(&record)?;
    // What the engine has plumbed already is closed before the runtime knows of it.
    let closed = match &record.network {
        Network::SealedInPlace { at } => {
            let netns = prepared.netns.as_ref().with_context(|| format!("{} is not open", at.display()));
            netns.and_then(|netns| seal::lock_down(netns.as_fd()))
        }
        Network::New | Network::Replaced { .. } | Network::Joined { .. } => Ok(()),
    };
    let rules = changed_by(&record.applied);
    let line = Line { why: Some(&record.why), rules, ..Line::of(Outcome::Isolated) };
    let replace = || prepared.rewritten.text.map_or(Ok(()), |text| bundle.config.replace(&text));
    let done = closed.and_then(|()| call.audit(line)).and_then(|()| replace());
    let failed = match done.and_then(|()| call.runtime.exec(&args, &strays)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // The container was not created, so it must not look as if it was.
    slot.forget(Some(record.creator))?;
    given_back::give_back(&slot, &record)?;
    Err(failed)
}

fn seal_hook(slot: &Slot, seals: bool) -> Result<SealHook> {
    let program = std::env::current_exe().context("cannot tell our own path")?;
    let utf8 =
        |path: OsString| path.into_string().ok().context("cannot name our hook: its path is not UTF-8");
    Ok(SealHook { program: utf8(program.into())?, record: utf8(slot.record().into())?, seals })
}
