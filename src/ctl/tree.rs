//! What there is to say against the files that a process of a container sees: what is mounted, the nodes in `/dev`, and
//! the paths that were masked or made read-only at `create`. Every path is resolved below the process' own root.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, makedev};

use super::devices::unusual;
use super::process::namespace;
use super::read;
use super::verify::Broken;
use crate::prepare::Opened;
use crate::record::Record;
use crate::rules::{MASKED, READONLY, credentials};

/// As many entries of `/dev` are looked at.
const ENTRIES: usize = 1 << 16;

/// Looks at one process, whose mount namespace was not looked at yet.
pub(super) fn look(pid: u32, process: &Path, record: &Record, broken: &mut Vec<Broken>) -> Result<()> {
    if namespace(process, "mnt")? == namespace(Path::new("/proc/self"), "mnt")? {
        // All of the machine is there, and to name it file by file would help nobody.
        broken.push(Broken::new("mounts", format!("process {pid} is in the host's mount namespace")));
        return Ok(());
    }
    let root = Opened::root_of(process).context("cannot open its root directory")?;
    let mut say = |rule, what: String| broken.push(Broken::new(rule, what));
    let own_groups = namespace(process, "cgroup")? != namespace(Path::new("/proc/self"), "cgroup")?;
    for line in read(&process.join("mountinfo"))?.lines() {
        let Some(mount) = Mount::read(line) else { bail!("cannot understand its mountinfo") };
        let point = mount.point;
        let writable = match mount.kind {
            "sysfs" => !mount.readonly && !record.confined,
            "cgroup" | "cgroup2" => !mount.readonly && !record.confined && !own_groups,
            _ => false,
        };
        if writable {
            let why = format!("{point} of process {pid}, a mount of {}, is writable", mount.kind);
            say("masked-paths", why);
        }
        if mount.kind == "nsfs" {
            say("mounts", format!("{point} of process {pid} is a namespace"));
            continue;
        }
        // proc(5): blanks in mount points are written as octal escapes; such a path is not looked up.
        let stat = match root.within(point, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(opened) if !point.contains('\\') => opened.stat()?,
            _ => continue,
        };
        if is(&stat, SFlag::S_IFSOCK) {
            say("mounts", format!("{point} of process {pid} is a socket of the host"));
        } else if let Some(device) = unusual(&stat)? {
            say("devices", format!("{point} of process {pid} is {device}"));
        }
    }
    for (path, device) in nodes(&root).context("cannot look at its /dev")? {
        say("devices", format!("{} of process {pid} is {device}", path.display()));
    }
    let masked = record.applied.iter().filter_map(|a| credentials::files::masked(&a.rule, &a.says));
    let masked = masked.map(|path| ("credential-files", path));
    for (rule, path) in masked.chain(MASKED.iter().map(|path| ("masked-paths", *path))) {
        if shows(&root, path)? {
            say(rule, format!("{path} of process {pid} is not masked"));
        }
    }
    for path in READONLY {
        if let Some(opened) = there(&root, path)?
            && shows(&root, path)?
            && !opened.is_readonly()?
        {
            say("masked-paths", format!("{path} of process {pid} is writable"));
        }
    }
    Ok(())
}

/// A line of proc_pid_mountinfo(5).
struct Mount<'l> {
    point: &'l str,
    kind: &'l str,
    /// The mount, or all of its file system.
    readonly: bool,
}

impl<'l> Mount<'l> {
    fn read(line: &'l str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        let mut fields = system.split(' ');
        let kind = fields.next()?;
        let readonly = |options: &str| options.split(',').next() == Some("ro");
        Some(Self { point, kind, readonly: readonly(options) || readonly(fields.nth(1)?) })
    }
}

/// The unusual nodes in `/dev`. What is mounted in it was looked at as a mount.
fn nodes(root: &Opened) -> Result<BTreeSet<(PathBuf, String)>> {
    let mut found = BTreeSet::new();
    let mut directories = vec![PathBuf::from("/dev")];
    let mut left = ENTRIES;
    let Some(dev) = there(root, "/dev")? else { return Ok(found) };
    let dev = dev.stat()?.st_dev;
    while let Some(directory) = directories.pop() {
        let here = root.within(&directory, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let names = root.within(&directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?.names(left + 1)?;
        left = left.checked_sub(names.len()).context("there is too much in it")?;
        for name in names {
            // Gone meanwhile.
            let Ok(stat) = here.stat_of(name.as_c_str()) else { continue };
            let path = directory.join(OsStr::from_bytes(name.to_bytes()));
            if is(&stat, SFlag::S_IFDIR) && stat.st_dev == dev {
                directories.push(path);
            } else if let Some(device) = unusual(&stat)? {
                found.insert((path, device));
            }
        }
    }
    Ok(found)
}

/// Whether there is something to read: neither nothing, nor /dev/null, nor an empty directory, which is what runtimes
/// mask with.
fn shows(root: &Opened, path: &str) -> Result<bool> {
    let Some(opened) = there(root, path)? else { return Ok(false) };
    let stat = opened.stat()?;
    if !is(&stat, SFlag::S_IFDIR) {
        return Ok(!is(&stat, SFlag::S_IFCHR) || stat.st_rdev != makedev(1, 3));
    }
    let open = root.within(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    let names = open.and_then(|directory| directory.names(1));
    Ok(!names.with_context(|| format!("cannot list its {path}"))?.is_empty())
}

fn there(root: &Opened, path: &str) -> Result<Option<Opened>> {
    match root.within(path, OFlag::O_PATH) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("cannot look at its {path}")),
    }
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}
