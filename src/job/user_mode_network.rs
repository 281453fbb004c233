//! The user-mode network of rootless Podman (pasta, slirp4netns), which carries a tap device's traffic: it is
//! not in the namespace, and may bypass the firewall in it.

use std::path::Path;

use anyhow::{Result, bail};

use super::pasta;
use crate::policy::Ingress;
use crate::proc::{Dir, Inode};
use crate::seal::Sealed;

/// Finds the program if the sealed namespace has a tap device, and checks its options. Nothing is asked in the namespace:
/// a socket that was just closed there counts as one of somebody else's for milliseconds.
///
/// # Errors
/// It bypasses `ingress`; it is unknown; /proc cannot be read.
pub fn check_user_mode_network(sealed: &Sealed, ingress: &[Ingress]) -> Result<()> {
    let Some(tap) = sealed.taps.first() else { return Ok(()) };
    let netns = sealed.netns.into();
    let mut is_known = false;
    for (_, process) in Dir::all()? {
        let name = process.comm();
        let is_pasta = name.starts_with("pasta") || name.starts_with("passt");
        if !is_pasta && name != "slirp4netns" {
            continue;
        }
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        let arguments: Vec<_> = arguments.split_terminator('\0').skip(1).collect();
        if !arguments.iter().any(|argument| is_of(argument, netns)) {
            continue;
        }
        is_known = true;
        if is_pasta && let Some(why) = pasta::bypass(&arguments, ingress) {
            bail!("{why}");
        }
    }
    if !is_known {
        bail!("link {tap} is not served by a known program (pasta, slirp4netns)");
    }
    Ok(())
}

/// Whether an argument names the namespace: by its path, by a path with `--netns=`, or by a process in it.
fn is_of(argument: &str, netns: Inode) -> bool {
    let named = argument.strip_prefix("--netns=").unwrap_or(argument);
    let found = match named.parse() {
        Ok(pid) => Dir::of(pid).ns("net").ok(),
        Err(_) => Inode::of(Path::new(named)).ok().filter(|_| named.starts_with('/')),
    };
    found == Some(netns)
}
