//! `isolatectl verify`: looks at a running container from outside, at every process of it and not only at init, and
//! names each promise that does not hold.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{print, print_json};
use crate::files;
use crate::record::{Place, Record};
use crate::rules::credentials;
use crate::seal::{self, Netns};
use crate::settings::Credentials;

/// The most of an environment or a table of /proc that is read, in bytes.
const LIMIT: u64 = 64 << 20;

#[derive(Serialize)]
struct Verdict {
    id: String,
    root: PathBuf,
    holds: bool,
    broken: Vec<Broken>,
}

/// A promise that does not hold.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Broken {
    rule: &'static str,
    why: String,
}

pub(super) fn verify(containers: Vec<(Place, Record)>, json: bool) -> Result<ExitCode> {
    let mut verdicts = Vec::new();
    for (place, record) in containers {
        let broken = look(&record).with_context(|| format!("container {} not verified", record.id))?;
        let broken: Vec<Broken> = broken.into_iter().collect();
        verdicts.push(Verdict {
            holds: broken.is_empty(),
            root: place.root().to_owned(),
            id: record.id,
            broken,
        });
    }
    let all_hold = verdicts.iter().all(|verdict| verdict.holds);
    if json {
        print_json(&verdicts)?;
    } else {
        let mut text = String::new();
        for verdict in &verdicts {
            writeln!(text, "{}: {}", verdict.id, if verdict.holds { "holds" } else { "does not hold" })?;
            for Broken { rule, why } in &verdict.broken {
                writeln!(text, "  {rule}: {why}")?;
            }
        }
        print(&text)?;
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(record: &Record) -> Result<BTreeSet<Broken>> {
    let Some(init) = record.init.filter(|init| init.lives()) else { bail!("it is not running") };
    let mut broken = BTreeSet::new();
    let mut say = |rule: &'static str, why: String| {
        broken.insert(Broken { rule, why });
    };
    let process = PathBuf::from(format!("/proc/{}", init.pid));
    let netns = seal::netns_of(&process)?;
    let identity = Netns::of(netns.as_fd())?;
    if record.sealed.as_ref().is_some_and(|sealed| sealed.netns != identity) {
        say("network-namespace", format!("process {} left the namespace that was sealed", init.pid));
    }
    for reason in seal::verify(netns.as_fd())? {
        say("seal", reason.to_string());
    }
    let members = members(init.pid)?;
    for pid in inside(identity)?.difference(&members) {
        say("network-namespace", format!("process {pid} is in the namespace and not in the container"));
    }
    let known = sockets_of(&process)?;
    for pid in &members {
        let process = PathBuf::from(format!("/proc/{pid}"));
        // A process that ends while it is looked at breaks nothing.
        let _ = look_at(*pid, &process, identity, &known, &mut say)
            .or_else(|error| if process.exists() { Err(error) } else { Ok(()) })?;
    }
    Ok(broken)
}

/// Everything that is to be said of one process of the container.
fn look_at(
    pid: u32,
    process: &Path,
    identity: Netns,
    known: &BTreeSet<u64>,
    say: &mut impl FnMut(&'static str, String),
) -> Result<()> {
    let netns = seal::netns_of(process)?;
    if Netns::of(netns.as_fd())? != identity {
        say("network-namespace", format!("process {pid} is in another network namespace"));
    }
    let status = read(&process.join("status"))?;
    for (member, bits) in
        status.lines().filter_map(|line| line.split_once(":\t")).filter(|(m, _)| m.starts_with("Cap"))
    {
        let bits = u64::from_str_radix(bits.trim(), 16).context("cannot understand /proc/PID/status")?;
        for (bit, name) in [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")] {
            if bits & (1 << bit) != 0 {
                say("network-capabilities", format!("process {pid} has {name} ({member})"));
            }
        }
    }
    let environment = files_read(&process.join("environ"))?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let entries: Vec<&str> = environment.split('\0').filter(|entry| entry.contains('=')).collect();
    for stray in credentials::strays(&entries, &Credentials::default()) {
        say("credentials-env", format!("process {pid} has variable {} ({})", stray.name, stray.because));
    }
    for entry in std::fs::read_dir(process.join("fd")).context("cannot list descriptors")? {
        let entry = entry?;
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let number = entry.file_name().to_string_lossy().into_owned();
        let target = target.to_string_lossy().into_owned();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        if inode.is_some_and(|inode: u64| !known.contains(&inode)) {
            say(
                "descriptors",
                format!("descriptor {number} of process {pid} is a socket of another namespace or family"),
            );
        }
        if target.starts_with("net:[") || target.starts_with("mnt:[") {
            say("descriptors", format!("descriptor {number} of process {pid} is a namespace"));
        }
    }
    look_at_mounts(pid, process, say)
}

fn look_at_mounts(pid: u32, process: &Path, say: &mut impl FnMut(&'static str, String)) -> Result<()> {
    let mounts = read(&process.join("mountinfo"))?;
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(point), Some(kind)) = (fields.get(4), line.split(" - ").nth(1)) else { continue };
        if kind.starts_with("nsfs ") {
            say("mounts", format!("{point} of process {pid} is a namespace"));
        }
        // proc(5): blanks in mount points are written as octal escapes; such a path is not looked up.
        let path = process.join("root").join(point.trim_start_matches('/'));
        if !point.contains('\\')
            && std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        {
            say("mounts", format!("{point} of process {pid} is a socket of the host"));
        }
    }
    Ok(())
}

/// The processes of the container: those of its control groups, and init itself.
fn members(init: u32) -> Result<BTreeSet<u32>> {
    let mut members = BTreeSet::from([init]);
    for line in read(Path::new(&format!("/proc/{init}/cgroup")))?.lines() {
        let Some((controllers, path)) = line.split_once(':').and_then(|(_, rest)| rest.split_once(':'))
        else {
            continue;
        };
        // The root group has the whole machine in it.
        if path == "/" {
            continue;
        }
        for mounted in mounts_of(controllers)? {
            let group = mounted.join(path.trim_start_matches('/'));
            if group.is_dir() {
                let pids = libcgroups::common::get_all_pids(&group);
                let pids =
                    pids.with_context(|| format!("cannot list the processes of {}", group.display()))?;
                members.extend(pids.into_iter().filter_map(|pid| u32::try_from(pid.as_raw()).ok()));
            }
        }
    }
    Ok(members)
}

/// Where the hierarchy of these controllers is mounted; none named means version 2.
fn mounts_of(controllers: &str) -> Result<Vec<PathBuf>> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let is_it = |line: &&str| match line.split(" - ").nth(1) {
        Some(rest) if controllers.is_empty() => rest.starts_with("cgroup2 "),
        Some(rest) => {
            rest.starts_with("cgroup ") && {
                let options = rest.rsplit(' ').next().unwrap_or_default();
                controllers.split(',').all(|controller| options.split(',').any(|option| option == controller))
            }
        }
        None => false,
    };
    Ok(mounts.lines().filter(is_it).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect())
}

/// All processes in a network namespace. Those that may not be looked at are not ours.
fn inside(netns: Netns) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_it = std::fs::metadata(entry.path().join("ns/net"))
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == (netns.dev, netns.ino));
        if is_it {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// The inodes of all sockets of a process' network namespace that its tables list.
fn sockets_of(process: &Path) -> Result<BTreeSet<u64>> {
    const TABLES: [(&str, usize); 14] = [
        ("tcp", 9),
        ("tcp6", 9),
        ("udp", 9),
        ("udp6", 9),
        ("udplite", 9),
        ("udplite6", 9),
        ("raw", 9),
        ("raw6", 9),
        ("icmp", 9),
        ("icmp6", 9),
        ("unix", 6),
        ("netlink", 9),
        ("packet", 8),
        ("mptcp", 9),
    ];
    let mut known = BTreeSet::new();
    for (table, column) in TABLES {
        let path = process.join("net").join(table);
        if !path.exists() {
            continue;
        }
        let text = read(&path)?;
        known.extend(
            text.lines().skip(1).filter_map(|l| l.split_ascii_whitespace().nth(column)?.parse::<u64>().ok()),
        );
    }
    Ok(known)
}

fn read(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&files_read(path)?).into_owned())
}

fn files_read(path: &Path) -> Result<Vec<u8>> {
    Ok(files::read(path, LIMIT)?.bytes)
}
