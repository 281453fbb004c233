//! Into the network of a subnet of VpcConfig: its namespace, and its resolv.conf in a mount namespace of our own. Names, STS and S3
//! follow. Only before the first thread and the first socket.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::mount::{MsFlags, mount};
use nix::net::if_::InterfaceFlags;
use nix::sched::{CloneFlags, setns, unshare};

use crate::settings::Subnet;

/// Enters it.
///
/// # Errors
/// It is no network namespace, it is the host's, or no interface of it is up: that of an isolated container.
pub(super) fn enter(subnet: &Subnet) -> Result<(), String> {
    let netns = &subnet.netns;
    let of = |what: &str, error: io::Error| format!("cannot {what} {netns}: {error}");
    let file = File::open(netns).map_err(|error| of("open", error))?;
    let there = identity(&file.metadata().map_err(|error| of("open", error))?);
    let own = fs::metadata("/proc/self/ns/net").map_err(|error| of("compare", error))?;
    // Where the first process may not be inspected, our own network is taken for the host's.
    let first = fs::metadata("/proc/1/ns/net").ok();
    if identity(&own) == there || first.is_some_and(|first| identity(&first) == there) {
        return Err(format!("{netns} is this host's own network; give a network namespace of its own"));
    }
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        nix::errno::Errno::EINVAL => format!("{netns} is not a network namespace"),
        errno => of("enter", errno.into()),
    })?;
    // The interfaces of an isolated container are down.
    let mut addresses = getifaddrs().map_err(|errno| of("enter", errno.into()))?;
    let is_open = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_LOOPBACK;
    if !addresses.any(|found| found.flags & is_open == InterfaceFlags::IFF_UP) {
        return Err(format!("{netns} has no interface that is up; connect it to the subnet's network"));
    }
    subnet.resolv_conf.as_deref().map_or(Ok(()), |path| resolve_by(Path::new(path)))
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Other processes do not notice.
fn resolve_by(path: &Path) -> Result<(), String> {
    let none: Option<&str> = None;
    let of = |errno: nix::errno::Errno| format!("cannot use {} as /etc/resolv.conf: {errno}", path.display());
    unshare(CloneFlags::CLONE_NEWNS).map_err(of)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(of)?;
    mount(Some(path), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).map_err(of)
}
