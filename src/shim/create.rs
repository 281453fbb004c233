//! `create`, `run`, `restore`: decide, rewrite, remember, exec. Nothing is written before every rule holds on the new
//! bytes; the record is written before the configuration, so that no isolated container can be without one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Call, descriptors, environment_strays, world};
use crate::config::{self, Document, Kind, View};
use crate::decision::{Decision, decide};
use crate::files::{self, Snapshot};
use crate::invocation::{Change, Verb};
use crate::policy::Policy;
use crate::record::{Inode, New, Place, Record};
use crate::rewrite::rewrite;
use crate::rules::{self, Network, SealHook, Subject};
use crate::seal::{self, Netns};

pub(super) fn create(call: &Call) -> Result<Infallible> {
    let bundle = call.invocation.bundle.as_deref().map_or(Path::new("."), Path::new);
    let bundle = std::path::absolute(bundle).context("cannot tell the bundle's directory")?;
    // crun's --config is relative to the working directory.
    let config = call.invocation.config.as_deref().map_or_else(|| bundle.join("config.json"), PathBuf::from);
    let config = files::read(&config, files::DOCUMENT_LIMIT)?;
    let annotations = unreadable(&config, config::annotations(&config.bytes))?;
    match decide(call.settings, &annotations) {
        Decision::Refuse(why) => bail!(why),
        Decision::Isolate(policy) => isolate(call, bundle, &config, policy),
        Decision::PassThrough(_) => {
            if let Some(place) = call.place()? {
                place.forget_stale()?;
            }
            call.runtime.exec(call.args, &[])
        }
    }
}

fn isolate(call: &Call, bundle: PathBuf, config: &Snapshot, policy: Policy) -> Result<Infallible> {
    let Some(place) = call.place()? else { bail!("a container cannot have that id") };
    let unset = descriptors::guard(call)?;
    let document = unreadable(config, Document::read(Kind::Config, &config.bytes))?;
    let view = unreadable(config, document.view())?;
    let before = network_before(&view)?;
    let (root, rootfs) = rootfs(&bundle, &view)?;
    let sealed_by_start = call.invocation.verb == Verb::Create;
    let hook = if sealed_by_start { None } else { Some(seal_hook(&place)?) };

    let why = policy.why.clone();
    let firewall = policy.firewall;
    let strays = [environment_strays(&policy.credentials), unset].concat();
    let world = world::look(&view, &bundle, &root, &place, before.netns)?;
    let confined = world.confined;
    let subject = Subject { policy, joins_sealed: before.netns.is_some(), world, hook };
    let rewritten = rewrite(&document, &view, &subject)?;

    let mut args = call.args.to_vec();
    let mut pid_file = call.invocation.pid_file.as_deref().map(std::path::absolute).transpose()?;
    if sealed_by_start && pid_file.is_none() {
        let ours = place.pid_file();
        args = call.invocation.rewritten(call.args, &[Change::PidFile(ours.as_os_str())]);
        pid_file = Some(ours);
    }
    let id = call.invocation.id.to_string_lossy().into_owned();
    let addresses = before.addresses;
    let joins_sealed = before.netns.is_some();
    let applied = rewritten.applied;
    let new = New { id, bundle, rootfs, pid_file, why, firewall, joins_sealed, confined, addresses, applied };
    place.claim(&Record::new(new)?)?;
    let done = rewritten.text.map_or(Ok(()), |text| config.replace(&text));
    let failed = match done.and_then(|()| call.runtime.exec(&args, &strays)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // The container was not created, so it must not look as if it was.
    place.forget()?;
    Err(failed)
}

/// The network that the container would have had.
struct Before {
    /// The namespace that it joins, when that is sealed.
    netns: Option<Netns>,
    addresses: Vec<IpAddr>,
}

/// A program that resolves its own host name gets an address of the network that the engine prepared, so the container
/// keeps those. A namespace that is sealed already is joined: members of a pod reach each other through it.
fn network_before(view: &View) -> Result<Before> {
    let path = match rules::network(view)? {
        Network::New(_) => return Ok(Before { netns: None, addresses: Vec::new() }),
        Network::Host => return Ok(Before { netns: None, addresses: seal::addresses(None)? }),
        Network::At(_, path) => path,
    };
    let netns = seal::netns_of(&path)?;
    if !seal::is_host(netns.as_fd())? && seal::verify(netns.as_fd())?.is_empty() {
        return Ok(Before { netns: Some(Netns::of(netns.as_fd())?), addresses: Vec::new() });
    }
    Ok(Before { netns: None, addresses: seal::addresses(Some(netns.as_fd()))? })
}

fn rootfs(bundle: &Path, view: &View) -> Result<(PathBuf, Inode)> {
    let Some(root) = &view.root else { bail!("config.json has no root") };
    let path = bundle.join(&root.path);
    let meta =
        std::fs::metadata(&path).with_context(|| format!("cannot look at the root {}", path.display()))?;
    Ok((path, Inode::from(&meta)))
}

fn seal_hook(place: &Place) -> Result<SealHook> {
    let program = std::env::current_exe().context("cannot tell our own path")?;
    let utf8 =
        |path: OsString| path.into_string().ok().context("cannot name our hook: its path is not UTF-8");
    Ok(SealHook { program: utf8(program.into())?, record: utf8(place.record().into())? })
}

fn unreadable<T>(config: &Snapshot, result: Result<T, config::Unreadable>) -> Result<T> {
    result.with_context(|| format!("cannot read {} with certainty", config.path().display()))
}
