//! Seals temporary network namespaces as containers' are sealed: a missing kernel feature shows here and not
//! at the first container. The caller's namespace is not changed.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result, anyhow, bail};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::Finding;
use oci_isolate::nft::AllowList;
use oci_isolate::policy::{Ingress, Protocol};
use oci_isolate::seal::{self, Desired};
use oci_isolate::settings::{Firewall, Links};

pub(super) fn check(firewall: Firewall) -> Vec<Finding> {
    let closed = sealed_as(None);
    if let Err(error) = &closed
        && error.chain().any(|cause| cause.downcast_ref() == Some(&Errno::EPERM))
    {
        // What cannot be checked does not hold, as in `verify`.
        let what = "run this as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN";
        return vec![Finding::fail("seal", format!("not tried: {error:#}"), what)];
    }
    let closed = match closed {
        Ok(()) => Finding::ok("seal", "a new network namespace was closed with nf_tables and verified"),
        Err(error) => lacking(&error, firewall),
    };
    let opened = match opened().and_then(|allow| sealed_as(Some(allow))) {
        Ok(()) => {
            Finding::ok("allow-list", "a new network namespace was opened for a port and a peer and verified")
        }
        Err(error) => Finding::warn(
            "allow-list",
            format!("{error:#}"),
            "modprobe -a nf_conntrack nft_ct nft_fib_inet, or do without ingress, peers and jobs",
        ),
    };
    vec![closed, opened]
}

/// The consequence of a namespace that cannot be closed; the settings may allow having no firewall.
fn lacking(error: &anyhow::Error, firewall: Firewall) -> Finding {
    let says = format!("{error:#}");
    let desired =
        Desired { addresses: vec![], firewall, links: Links::Down, allow_list: None, attempts: None };
    let goes_without = firewall == Firewall::IfAvailable
        && empty_namespace().is_ok_and(|netns| seal::seal(netns.as_fd(), &desired).is_ok());
    if goes_without {
        return Finding::warn("seal", says, "modprobe nf_tables: isolated containers have no firewall");
    }
    let what = "modprobe nf_tables, or set firewall = \"if-available\" in the settings: no isolated container starts";
    Finding::fail("seal", says, what)
}

/// One of everything that an allow-list can contain: ports of both protocols, a source, a peer and a prefix.
fn opened() -> Result<AllowList> {
    let (peer, prefix): (IpNet, IpNet) = ("198.51.100.1/32".parse()?, "192.0.2.0/24".parse()?);
    let port = |protocol| Ingress { protocol, first: 1, last: 80, from: Some(prefix) };
    let ingress = vec![port(Protocol::Tcp), port(Protocol::Udp)];
    Ok(AllowList { ingress, peers: [peer, prefix].into_iter().collect(), leased: None, never: [].into() })
}

fn sealed_as(allow_list: Option<AllowList>) -> Result<()> {
    let netns = empty_namespace()?;
    let (firewall, links) = (Firewall::Required, Links::Down);
    let desired = Desired { addresses: vec![], firewall, links, allow_list, attempts: None };
    seal::seal(netns.as_fd(), &desired)?;
    let seen = seal::verify(netns.as_fd())?;
    if !seen.defects.is_empty() {
        let reasons: Vec<_> = seen.defects.iter().map(ToString::to_string).collect();
        bail!("the sealed network namespace does not hold: {}", reasons.join("; "));
    }
    if seen.allow_list != desired.allow_list {
        bail!("the sealed network namespace lets through what was not asked for");
    }
    Ok(())
}

/// A network namespace of a thread that has ended: only the file keeps it.
fn empty_namespace() -> Result<File> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
        File::open("/proc/thread-self/ns/net").context("cannot open a network namespace")
    });
    made.join().map_err(|_| anyhow!("cannot make a network namespace: the thread panicked"))?
}
