//! Checks the files that a process of a container sees: mounts ([`mounts`]), the nodes in `/dev`, and the
//! paths that were masked or made read-only at `create`. Every path is resolved below the process' own root.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::container_root::{is, shows, there};
use super::devices::unusual;
use super::mounts;
use super::process_report::ProcessReport;
use super::survey::Survey;
use oci_isolate::bundle::PathFd;
use oci_isolate::record::Record;
use oci_isolate::rules::{MASKED, READONLY, credentials};

/// The maximum number of entries of `/dev`.
const ENTRIES: usize = 1 << 16;

/// Checks one process, whose mount namespace was not checked yet.
pub(super) fn inspect(case: &mut ProcessReport, record: &Record, survey: &Survey) -> Result<()> {
    let root = PathFd::root_of(&case.process).context("cannot open its root directory")?;
    mounts::inspect(case, record, survey, &root)?;
    for (path, device) in nodes(&root).context("cannot inspect its /dev")? {
        case.thing("devices", path.display(), format_args!("is {device}"));
    }
    let changes = record.applied.iter().flat_map(|of| of.descriptions.iter().map(|says| (&of.rule, says)));
    let masked = changes.filter_map(|(rule, says)| credentials::files::masked(rule, says));
    let masked = masked.map(|path| ("credential-files", path));
    for (rule, path) in masked.chain(MASKED.iter().map(|path| ("masked-paths", *path))) {
        if shows(&root, path)? {
            case.thing(rule, path, "is not masked");
        }
    }
    for path in READONLY {
        if let Some(opened) = there(&root, path)?
            && shows(&root, path)?
            && !opened.is_readonly()?
        {
            case.thing("masked-paths", path, "is writable");
        }
    }
    Ok(())
}

/// The unusual nodes in `/dev`. Mounts in it were checked as mounts.
fn nodes(root: &PathFd) -> Result<BTreeSet<(PathBuf, String)>> {
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
