//! Finds the processes of which a link in /proc reads something, in one pass over all: the link of each is read below the
//! directory that is listed, into memory that is there already. There may be thousands.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::mem::MaybeUninit;

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, RawDir, open, readlinkat_raw};

/// The processes of which `link` (`ns/net`) reads that. One that has ended or is not accessible is left out.
///
/// # Errors
/// /proc cannot be listed.
pub fn linking_to(link: &str, target: &str) -> Result<BTreeSet<u32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open("/proc", flags, Mode::empty()).context("cannot list /proc")?;
    let mut listing = [const { MaybeUninit::uninit() }; LISTING];
    let mut entries = RawDir::new(&proc, &mut listing);
    let (mut found, mut path, mut read) = (BTreeSet::new(), Vec::new(), [MaybeUninit::uninit(); LINK]);
    while let Some(entry) = entries.next() {
        let entry = entry.context("cannot list /proc")?;
        let Some(pid) = pid(entry.file_name()) else { continue };
        path.clear();
        path.extend_from_slice(entry.file_name().to_bytes());
        path.push(b'/');
        path.extend_from_slice(link.as_bytes());
        let is_it =
            readlinkat_raw(&proc, &*path, &mut read).is_ok_and(|(reads, _)| *reads == *target.as_bytes());
        if is_it {
            found.insert(pid);
        }
    }
    Ok(found)
}

fn pid(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}

/// As much as the C library asks for at once.
const LISTING: usize = 32 << 10;
/// The name of a namespace has half of it (`time_for_children:[4294967295]`). What is longer is cut off, and no target.
const LINK: usize = 64;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn processes_are_those_whose_link_reads_all_of_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let name = std::fs::read_link("/proc/self/ns/net").unwrap();
        let linking = |target: &str| linking_to("ns/net", target).unwrap();
        let name = name.to_str().unwrap();
        let found = linking(name);
        for pid in [std::process::id(), child.id()] {
            assert!(found.contains(&pid), "{pid} is not in {found:?}");
        }
        for other in ["net:[1]", &name[..8], &format!("{name}]"), ""] {
            assert!(!linking(other).contains(&child.id()), "{other}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!linking(name).contains(&child.id()));
    }
}
