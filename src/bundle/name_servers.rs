//! The name servers of the host and of a container. None is a peer: it forwards queries, so a prefix of peers
//! that contains it would lead to the internet. Reads only.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::PathFd;
use crate::config::View;
use crate::files;
use crate::proc;

/// The files with the host's name servers, and their owners. All that exist are read, because the first one
/// may name only a stub on the loopback.
const HOST: [(&str, &str); 4] = [
    ("/etc/resolv.conf", "resolv.conf(5)"),
    ("/run/systemd/resolve/resolv.conf", "systemd-resolved(8): the servers behind 127.0.0.53"),
    (
        "/run/NetworkManager/no-stub-resolv.conf",
        "NetworkManager.conf(5), `dns`: the servers behind dnsmasq or resolved",
    ),
    ("/run/dnsmasq/resolv.conf", "dnsmasq(8) with resolvconf(8): the servers behind 127.0.0.1"),
];

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The largest file that is read, in bytes.
const LIMIT: u64 = 64 << 10;

/// The name servers of the host.
///
/// # Errors
/// A file that names them cannot be read.
pub fn of_host() -> Result<BTreeSet<IpAddr>> {
    let mut found = BTreeSet::new();
    for (path, _) in HOST {
        match files::read(Path::new(path), LIMIT) {
            Ok(file) => found.extend(parse(&file.bytes)),
            Err(error) if is_absent(&error) => (),
            Err(error) => return Err(error.context("cannot determine the name servers of the host")),
        }
    }
    Ok(found)
}

fn is_absent(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// The name servers in a process' `/etc/resolv.conf`; for a created container, its init process'.
///
/// # Errors
/// There is such a file, and it cannot be read.
pub fn of_process(process: &proc::Dir) -> Result<BTreeSet<IpAddr>> {
    let root = PathFd::root_of(process).context("cannot open the root of the init process")?;
    read(root.within(RESOLV_CONF, OFlag::O_PATH))
}

/// The name servers that a container will use according to its configuration. An engine may rewrite the file
/// before the program starts.
pub(super) fn of_bundle(view: &View, bundle: &Path, root: &Path) -> Result<BTreeSet<IpAddr>> {
    for mount in view.mounts.iter().flatten().rev() {
        let destination = Path::new("/").join(&*mount.destination);
        let Ok(below) = Path::new(RESOLV_CONF).strip_prefix(&destination) else { continue };
        let Some(source) = mount.source.as_deref() else { continue };
        let source = bundle.join(source);
        let source = if below.as_os_str().is_empty() { source } else { source.join(below) };
        return read(PathFd::plain(&source));
    }
    read(PathFd::plain(root).and_then(|root| root.within(RESOLV_CONF, OFlag::O_PATH)))
}

fn read(file: nix::Result<PathFd>) -> Result<BTreeSet<IpAddr>> {
    let context = "cannot read the /etc/resolv.conf of the container, and its name servers must not be peers";
    let file = match file {
        // A link that leads out of the container's file system is resolved within it, usually to nothing.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(BTreeSet::new()),
        file => file.context(context)?,
    };
    let stat = file.stat().context(context)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        // /dev/null or a directory contains no name server.
        return Ok(BTreeSet::new());
    }
    let limit = usize::try_from(LIMIT)?;
    let bytes = file.reopened(OFlag::O_RDONLY).and_then(|file| file.read(limit + 1)).context(context)?;
    if bytes.len() > limit {
        bail!("{context}: it is larger than {LIMIT} bytes");
    }
    Ok(parse(&bytes))
}

/// resolv.conf(5), `nameserver`; and the comment in which Docker names the servers behind its own,
/// 127.0.0.11: `# ExtServers: [10.0.0.2 host(127.0.0.53)]`.
fn parse(bytes: &[u8]) -> BTreeSet<IpAddr> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.lines().flat_map(|line| {
        let line = line.trim_start();
        let servers = line.strip_prefix("nameserver").or_else(|| line.strip_prefix("# ExtServers:"));
        servers.unwrap_or_default().split(|c: char| c.is_whitespace() || "[]()".contains(c))
    });
    // An address of IPv6 may have a zone.
    let addresses = words.filter_map(|word| word.split('%').next()?.parse::<IpAddr>().ok());
    addresses.map(|address| address.to_canonical()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_of_the_documentation() {
        let text = include_str!("../../docs/ingress-and-peers.md");
        let section = text.split("## Name servers").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `/")?.split_once("` | the host"));
        let documented: Vec<_> = rows.map(|(path, _)| format!("/{path}")).collect();
        assert_eq!(documented, HOST.map(|(path, _)| path));
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let text =
            b"# nameserver 10.0.0.9\nnameserver 10.0.0.2\n nameserver\tfd00::2 # first\nsearch 10.0.0.8\n\
            nameserver fe80::1%eth0\nnameserver ::ffff:10.0.0.3\nnameserver name.example\n\
            # ExtServers: [10.0.0.4 host(127.0.0.53)]\n\xff\nnameserver 10.0.0.5";
        let found: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "127.0.0.53", "fd00::2", "fe80::1"];
        assert_eq!(found, all);
    }
}
