//! The network that the container would have had.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::config::View;
use crate::peers;
use crate::policy::Openings;
use crate::record::{Place, Record};
use crate::rules::{self, Network};
use crate::seal::{self, Netns};

/// The network that the container would have had.
#[derive(Debug, Default)]
pub struct Before {
    /// The namespace that it joins, when that is sealed.
    pub netns: Option<Netns>,
    /// The engine's namespace, when it is kept and sealed in place.
    pub kept: Option<Netns>,
    /// Where the namespace is that is joined or kept.
    pub path: Option<PathBuf>,
    /// The addresses that mean something beyond the namespace.
    pub addresses: Vec<IpAddr>,
}

/// A program that resolves its own host name gets an address of the network that the engine prepared, so the container
/// keeps those. A namespace that is sealed already is joined: members of a pod reach each other through it. Where
/// something stays open, the engine's own is kept, and so is that of a pod which no container of its own holds.
pub(super) fn before(view: &View, openings: &Openings) -> Result<Before> {
    let path = match rules::network(view)? {
        Network::New(_) => return Ok(Before::default()),
        Network::Host => return Ok(Before { addresses: seal::addresses(None)?, ..Before::default() }),
        Network::At(_, path) => path,
    };
    let netns = seal::netns_of(&path)?;
    if seal::is_host(netns.as_fd())? {
        if !openings.is_empty() {
            bail!("{RULE}: {} is the host's, and nothing can be opened in that", path.display());
        }
        return Ok(Before { addresses: seal::addresses(Some(netns.as_fd()))?, ..Before::default() });
    }
    let identity = Netns::of(netns.as_fd())?;
    let verified = seal::verify(netns.as_fd())?;
    if verified.broken.is_empty() && !(verified.allow.is_some() && is_left(view, identity)?) {
        check_openings(&path, identity, verified.allow.is_some(), openings)?;
        return Ok(Before { netns: Some(identity), path: Some(path), ..Before::default() });
    }
    if openings.is_empty() && !rules::of_a_pinned_pod(view) {
        return Ok(Before { addresses: seal::addresses(Some(netns.as_fd()))?, ..Before::default() });
    }
    if let Some(stranger) = peers::stranger(identity, None)? {
        // Of an isolated pod, maybe, in which something was changed since.
        if let Some(broken) = verified.broken.first().filter(|_| owner(identity).is_ok_and(|o| o.is_some())) {
            bail!("{RULE}: {} is not sealed any more: {broken}", path.display());
        }
        // Rootless Podman publishes by a process in the namespace, unless pasta or slirp4netns does it.
        let way_out = match stranger.ends_with("(rootlessport)") {
            true => {
                "; use --network=pasta, or before Podman 5 --network=slirp4netns:port_handler=slirp4netns"
            }
            false => "",
        };
        bail!(
            "{RULE}: {stranger} is in {}, and is not of an isolated container; nothing is {} for it{way_out}",
            path.display(),
            if openings.is_empty() { "sealed" } else { "opened" },
        );
    }
    Ok(Before { kept: Some(identity), path: Some(path), ..Before::default() })
}

/// Whether what is open in a namespace is left from a container that is gone: nobody has a record of it, or the pod's
/// containers have ended, and nobody is in it. Then it is like any other that an engine prepared.
fn is_left(view: &View, netns: Netns) -> Result<bool> {
    Ok((rules::of_a_pinned_pod(view) || owner(netns)?.is_none()) && peers::stranger(netns, None)?.is_none())
}

fn owner(netns: Netns) -> Result<Option<Record>> {
    let owns = |place: &Place| {
        let record = place.load().ok().flatten().filter(|_| place.has_container())?;
        (record.sealed.as_ref().map(|sealed| sealed.netns) == Some(netns)).then_some(record)
    };
    Ok(Place::all()?.iter().filter_map(owns).max_by_key(Record::lives))
}

/// Whoever joins a namespace gets all that is open in it, so it must have asked for exactly that.
fn check_openings(path: &Path, netns: Netns, open: bool, asked: &Openings) -> Result<()> {
    if !open && asked.is_empty() {
        return Ok(());
    }
    let owner = if open { owner(netns)? } else { None };
    match owner.as_ref().map(|owner| (&owner.id, owner.opened.as_ref())) {
        Some((_, Some(opened))) if opened.asked == *asked => Ok(()),
        Some((id, _)) => bail!(
            "{RULE}: {} is container {id}'s, for which other ports or peers are open; ask for the same",
            path.display()
        ),
        None if open => {
            bail!("{RULE}: ports or peers are open in {}, and nobody knows for whom", path.display())
        }
        None => bail!("{RULE}: {} is sealed, and nothing can be opened in it any more", path.display()),
    }
}

/// The rule that these checks belong to, which looks at documents only.
const RULE: &str = "network-namespace";
