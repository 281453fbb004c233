//! The program that carries a tap device's traffic from user space, as rootless Podman has one (pasta,
//! slirp4netns): it is not in the namespace, and may lead past the firewall in there.

use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::pasta;
use super::processes::numbers;
use crate::policy::Ingress;
use crate::seal::{self, Netns, SocketOwner};

/// Looks for it where the namespace has a tap device, and at what it was told.
///
/// # Errors
/// It leads past `ingress`; it is not known; the namespace or /proc cannot be looked at.
pub fn check_carrier(netns: BorrowedFd<'_>, ingress: &[Ingress]) -> Result<()> {
    let links = seal::observe(netns, SocketOwner::Container)?.links;
    let Some(tap) = links.into_iter().find(|link| link.kind.as_deref() == Some("tun")) else { return Ok(()) };
    let netns = Netns::of(netns)?;
    let mut is_known = false;
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let process = entry.context("cannot list /proc")?.path();
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        let is_pasta = name.starts_with("pasta") || name.starts_with("passt");
        if !is_pasta && name.trim_end() != "slirp4netns" {
            continue;
        }
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        let arguments: Vec<_> = arguments.split_terminator('\0').skip(1).collect();
        if !arguments.iter().any(|argument| is_of(argument, netns)) {
            continue;
        }
        is_known = true;
        if is_pasta && let Some(why) = pasta::leads_past(&arguments, ingress) {
            bail!("{why}");
        }
    }
    if !is_known {
        bail!("no program is known that carries what link {} sends; pasta and slirp4netns are", tap.name);
    }
    Ok(())
}

/// Whether an argument names the namespace: by its path, by a path with `--netns=`, or by a process in it.
fn is_of(argument: &str, netns: Netns) -> bool {
    let named = argument.strip_prefix("--netns=").unwrap_or(argument);
    let is_it = |numbers| numbers == Some((netns.dev, netns.ino));
    match named.bytes().all(|byte| byte.is_ascii_digit()) {
        true => is_it(numbers(&Path::new("/proc").join(named).join("ns/net"))),
        false => named.starts_with('/') && is_it(numbers(Path::new(named))),
    }
}
