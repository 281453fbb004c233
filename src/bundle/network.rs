//! Decides what becomes of the network that the engine requested: the only place that makes a [`Network`].

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::View;
use crate::job;
use crate::policy::{Beside, Openings, PLATFORM, PodEngine, Policy};
use crate::proc::Inode;
use crate::record::{PodNetwork, Record, Slot, Store, check_root, remedy};
use crate::rules::mounts::is_bind;
use crate::rules::{self, Network, RequestedNetwork};
use crate::seal::{self, OpenNetns};

/// A program that resolves its own host name gets an address of the network that the engine prepared, so the
/// container keeps those addresses. The namespace of another running isolated container is joined: members of
/// a pod reach each other through it. With openings the engine's own namespace is kept, and so is that of a
/// pod which no container of its own keeps alive.
///
/// Also returns the namespace that the container gets, if it existed before: it was checked through this
/// handle, and is closed through it.
///
/// # Errors
/// The namespace cannot be inspected, or the container may not have it.
pub(super) fn decide(view: &View, policy: &Policy) -> Result<(Network, Option<OpenNetns>)> {
    let (openings, beside) = (&policy.openings, policy.beside.as_ref());
    let at = match rules::requested_network(view)? {
        RequestedNetwork::New(_) => return Ok((Network::New, None)),
        RequestedNetwork::Host => return Ok((Network::Replaced { addresses: seal::addresses(None)? }, None)),
        RequestedNetwork::At(_, path) => path,
    };
    // CRI-O names the network that it made for the pod to all of its containers, and that is the platform's.
    let of_crio = beside.filter(|beside| beside.engine == PodEngine::Crio);
    let at = match of_crio.and_then(|beside| beside.sandbox.as_deref()) {
        Some(sandbox) => of_sandbox(sandbox, &OpenNetns::at(&at)?)?,
        None => at,
    };
    let netns = OpenNetns::at(&at)?;
    let replaced = || Ok((Network::Replaced { addresses: seal::addresses(Some(netns.as_fd()))? }, None));
    if netns.is_host()? {
        if !openings.is_empty() {
            bail!("{RULE}: {} is the host's, and nothing can be opened in that", at.display());
        }
        return replaced();
    }
    let verified = seal::verify(netns.as_fd())?;
    let store = Store::ours();
    let tenant = store.tenant_of(netns.id())?;
    if let Some(tenant) = tenant.as_ref().filter(|_| verified.defects.is_empty()) {
        check_openings(&at, tenant, verified.allow_list.is_some(), openings)?;
        if let Some(outsider) = job::process_outside_containers(&store, netns.id(), None)? {
            bail!("{RULE}: {outsider} is in {}, and is not of an isolated container", at.display());
        }
        return Ok((Network::Joined { at }, Some(netns)));
    }
    if openings.is_empty() && (of_crio.is_some() || !rules::of_a_pinned_pod(view)) {
        return replaced();
    }
    if let Some(foreign) = job::foreign_process(netns.id(), None)? {
        // Perhaps an isolated pod's, whose seal was changed since.
        if let Some(broken) = verified.defects.first().filter(|_| tenant.is_some()) {
            bail!("{RULE}: {} is not sealed any more: {broken}", at.display());
        }
        // Rootless Podman publishes ports by a process in the namespace, unless pasta or slirp4netns does it.
        let way_out = match foreign.ends_with("(rootlessport)") {
            true => {
                "; use --network=pasta, or before Podman 5 --network=slirp4netns:port_handler=slirp4netns"
            }
            false => "",
        };
        bail!(
            "{RULE}: {foreign} is in {}, and is not of an isolated container; nothing is {} for it{way_out}",
            at.display(),
            if openings.is_empty() { "sealed" } else { "opened" },
        );
    }
    Ok((Network::SealedInPlace { at }, Some(netns)))
}

/// The network namespace of the sandbox of a pod of CRI-O whose platform containers keep the one that is given. Only the
/// record of this id counts: the number of a namespace that is gone is given to another.
///
/// # Errors
/// There is no such sandbox.
fn of_sandbox(id: &str, given: &OpenNetns) -> Result<PathBuf> {
    let is_it = |slot: &Slot| slot.id() == id && check_root(slot.root(), PodEngine::Crio).is_ok();
    let mut init = None;
    for slot in Store::ours().slots()?.into_iter().filter(is_it) {
        let keeps =
            |record: &Record| record.pod_network.as_ref().is_some_and(|kept| kept.netns == given.id());
        let record = slot.load()?.filter(keeps);
        init = init.or(record.and_then(|record| record.init).filter(|init| init.runs()));
    }
    let init = init.with_context(|| {
        format!("{RULE}: the pod's sandbox {id} does not run or has no record; {}", remedy(PodEngine::Crio))
    })?;
    Ok(init.dir().path().join("ns/net"))
}

/// A container that joins a namespace gets all of its openings, so it must have asked for exactly those.
fn check_openings(path: &Path, tenant: &Record, open: bool, asked: &Openings) -> Result<()> {
    let (shown, id) = (path.display(), &tenant.id);
    match &tenant.opened {
        Some(opened) if opened.asked == *asked => Ok(()),
        None if !open && asked.is_empty() => Ok(()),
        None if !open => {
            bail!("{RULE}: {shown} is sealed for container {id}, and nothing can be opened in it any more")
        }
        _ => bail!(
            "{RULE}: {shown} is container {id}'s, for which other ports or peers are open; ask for the same"
        ),
    }
}

/// The network that the engine made for a pod, if platform containers keep it and this is the pod's sandbox.
///
/// # Errors
/// There is none.
pub(super) fn of_pod(view: &View, policy: &Policy, network: &Network) -> Result<Option<PodNetwork>> {
    let Some(Beside { names, .. }) = policy.beside.as_ref().filter(|_| rules::is_sandbox(view)) else {
        return Ok(None);
    };
    let (RequestedNetwork::At(_, at), Network::Replaced { .. }) = (rules::requested_network(view)?, network)
    else {
        bail!(
            "{RULE}: the pod has no network of its own for its platform containers; drop hostNetwork: true"
        );
    };
    let netns = OpenNetns::at(&at)?;
    if netns.is_host()? {
        bail!("{RULE}: {} is the host's, and platform containers have their pod's", at.display());
    }
    let shm = view.mounts.iter().flatten().find(|mount| is_bind(mount) && &*mount.destination == "/dev/shm");
    let Some(shm) = shm.and_then(|mount| mount.source.as_deref()) else {
        bail!(
            "{RULE}: the pod's sandbox has no /dev/shm, so it is not known what platform containers must not share"
        );
    };
    let shm = Inode::of(Path::new(shm)).with_context(|| format!("cannot inspect {shm}"))?;
    let containers = names.iter().map(|name| (name.clone(), None)).collect();
    let demanded = policy.demanded.as_ref().map(|demand| format!("the pod's sandbox ({})", demand.why));
    Ok(Some(PodNetwork { netns: netns.id(), at, shm, containers, own: None, demanded }))
}

/// A container that joins the network of its pod must name the platform containers with which the pod was created: the
/// annotations of a pod can be changed while it runs, and what separates the isolated containers from the
/// platform's depends on them.
///
/// # Errors
/// It names others.
pub(super) fn check_pod(policy: &Policy, netns: &OpenNetns) -> Result<()> {
    let owner = Store::ours().owner_of(netns.id())?;
    let network = owner.and_then(|(_, owner)| owner.pod_network);
    let known: BTreeSet<&str> =
        network.iter().flat_map(|network| network.containers.keys()).map(|name| &**name).collect();
    let named = policy.beside.iter().flat_map(|beside| &beside.names);
    let named: BTreeSet<&str> = named.map(|name| &**name).collect();
    if known == named {
        return Ok(());
    }
    let shown = |names: &BTreeSet<&str>| match names.is_empty() {
        true => "none".to_owned(),
        false => Vec::from_iter(names.iter().copied()).join(", "),
    };
    bail!(
        "{RULE}: annotation {PLATFORM} names {}, and when its pod was created it named {}; change it back, or create the \
         pod again",
        shown(&named),
        shown(&known)
    )
}

/// The rule that these checks belong to; the rule itself sees documents only.
const RULE: &str = "network-namespace";
