//! The network that the container would have had.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::config::View;
use crate::peers;
use crate::policy::Openings;
use crate::record::Record;
use crate::rules::{self, Network};
use crate::seal::{self, Netns};

/// The network that the container would have had.
#[derive(Debug, Default)]
pub struct Before {
    /// The namespace that it joins, when that is another isolated container's.
    pub netns: Option<Netns>,
    /// The engine's namespace, when it is kept and sealed in place.
    pub kept: Option<Netns>,
    /// Where the namespace is that is joined or kept.
    pub path: Option<PathBuf>,
    /// The addresses that mean something beyond the namespace.
    pub addresses: Vec<IpAddr>,
}

/// A program that resolves its own host name gets an address of the network that the engine prepared, so the container
/// keeps those. The namespace of another isolated container that lives is joined: members of a pod reach each other through
/// it. Where something stays open, the engine's own is kept, and so is that of a pod which no container of its own holds.
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
    let tenant = peers::tenant(identity)?;
    if let Some(tenant) = tenant.as_ref().filter(|_| verified.defects.is_empty()) {
        check_openings(&path, tenant, verified.allow_list.is_some(), openings)?;
        if let Some(intruder) = peers::intruder(identity, None)? {
            bail!("{RULE}: {intruder} is in {}, and is not of an isolated container", path.display());
        }
        return Ok(Before { netns: Some(identity), path: Some(path), ..Before::default() });
    }
    if openings.is_empty() && !rules::of_a_pinned_pod(view) {
        return Ok(Before { addresses: seal::addresses(Some(netns.as_fd()))?, ..Before::default() });
    }
    if let Some(stranger) = peers::stranger(identity, None)? {
        // Of an isolated pod, maybe, in which something was changed since.
        if let Some(broken) = verified.defects.first().filter(|_| tenant.is_some()) {
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

/// Whoever joins a namespace gets all that is open in it, so it must have asked for exactly that.
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

/// The rule that these checks belong to, which looks at documents only.
const RULE: &str = "network-namespace";
