//! Devices of a running container: the kind of a node, and which ones its control group allows.
//!
//! With control groups of version 2 that is a BPF program, which only bpf(2) can read: only nodes and
//! descriptors are checked there.

use anyhow::{Context, Result};
use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::broken_promise::BrokenPromise;
use super::members::own_groups;
use super::read;
use oci_isolate::bundle::drivers_of;
use oci_isolate::config::DeviceAccess;
use oci_isolate::rules::{allowed_against, is_usual};

/// tun: runc to 1.1 allows it to every container (libcontainer/specconv). Without CAP_NET_ADMIN it makes no device.
const OF_RUNC: (Option<i64>, Option<i64>) = (Some(10), Some(200));

/// As `character device 10:229 (misc/fuse)`, for a device that no container has by default.
pub(super) fn unusual(stat: &FileStat) -> Result<Option<String>> {
    let (kind, word) = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFCHR => ('c', "character"),
        SFlag::S_IFBLK => ('b', "block"),
        _ => return Ok(None),
    };
    let (major, minor) = (major(stat.st_rdev) as i64, minor(stat.st_rdev) as i64);
    let drivers = drivers_of(vec![(major, minor)])?;
    if is_usual(kind, major, minor, &drivers) {
        return Ok(None);
    }
    let driver = drivers.get(&('c', major, minor)).filter(|_| kind == 'c');
    let driver = driver.map_or("unknown", String::as_str);
    Ok(Some(format!("{word} device {major}:{minor} (driver {driver})")))
}

/// What the container's device control group allows beyond the usual devices. The container has its own, or
/// none that can be read.
pub(super) fn allowed(init: u32) -> Result<Vec<BrokenPromise>> {
    let mut broken = Vec::new();
    for (_, group) in own_groups(init)?.iter().filter(|(controllers, _)| controllers == "devices") {
        let list = read(&group.join("devices.list")).context("cannot read the device control group")?;
        let entries: Option<Vec<_>> = list.lines().map(entry).collect();
        let entries = entries.with_context(|| format!("cannot understand {}", group.display()))?;
        let wanted = entries.iter().filter_map(|entry| Some((entry.major?, entry.minor.unwrap_or(-1))));
        let drivers = drivers_of(wanted.collect())?;
        let others = entries.iter().filter(|entry| (entry.major, entry.minor) != OF_RUNC);
        let against = others.filter_map(|entry| allowed_against(entry, &drivers));
        broken.extend(against.map(|why| BrokenPromise::new("device-access", why)));
    }
    Ok(broken)
}

/// `c 1:3 rwm`, with `*` for all (Linux, Documentation/admin-guide/cgroup-v1/devices.rst).
fn entry(line: &str) -> Option<DeviceAccess> {
    let [kind, numbers, access] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    Some(DeviceAccess {
        allow: true,
        kind: Some(kind.to_owned()),
        major: number(major)?,
        minor: number(minor)?,
        access: Some(access.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read() {
        let drivers = oci_isolate::rules::Drivers::new();
        let against = |line: &str| allowed_against(&entry(line).unwrap(), &drivers);
        for line in ["c *:* m", "b *:* m", "c 1:3 rwm", "c 136:* rw"] {
            assert_eq!(against(line), None, "{line}");
        }
        assert_eq!(against("a *:* rwm").unwrap(), "a *:* rwm is allowed (driver unknown)");
        assert_eq!(against("b 8:0 r").unwrap(), "b 8:0 r is allowed (driver unknown)");
        assert!(entry("c 1 rwm").is_none() && entry("c x:1 rwm").is_none() && entry("").is_none());
    }
}
