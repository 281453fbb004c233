//! The mounts of this mount namespace, which is the runtime's, by where they are. Reads only.
//!
//! A machine with hundreds of containers has as many overlays with many layers each: a line is read when it matters.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::mountinfo::MountInfo;
use super::socket_search;
use crate::rules::mounts::FileSystem;

/// All mounts.
pub(super) struct MountTable {
    text: Vec<u8>,
    /// By mount point, those of one point in their order: where in the text their lines are.
    lines: Vec<(PathBuf, Range<usize>)>,
}

/// A mount of the machine.
pub(super) struct HostMount<'t> {
    pub(super) point: &'t Path,
    mount: MountInfo<'t>,
}

impl MountTable {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The list cannot be read, or is too large.
    pub(super) fn read() -> Result<Self> {
        let text = socket_search::read_list("/proc/self/mountinfo".as_ref())?;
        let mut lines = Vec::new();
        let mut from = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let range = from..from + line.trim_ascii_end().len();
            from += line.len();
            if let Some(mount) = MountInfo::read(&text[range.clone()]) {
                lines.push((mount.point(), range));
            }
        }
        lines.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { text, lines })
    }

    /// Mounts below a directory, by mount point.
    pub(super) fn below(&self, real: &Path) -> Vec<(PathBuf, FileSystem)> {
        // Paths compare component by component, so that what lies below a directory follows it at once.
        let from = self.lines.partition_point(|(point, _)| point.as_path() <= real);
        let below = self.lines[from..].iter().take_while(|(point, _)| point.starts_with(real));
        below.filter_map(|line| Some((line.0.clone(), self.mounted(line)?.file_system()))).collect()
    }

    /// The mount in which a path lies.
    pub(super) fn of(&self, real: &Path) -> Option<HostMount<'_>> {
        let line = real.ancestors().find_map(|point| {
            let end = self.lines.partition_point(|(other, _)| other.as_path() <= point);
            self.lines[..end].last().filter(|(other, _)| other == point)
        });
        self.mounted(line?)
    }

    /// Whether a file of this mount has no other path: no other mount of its file system shows it.
    pub(super) fn is_only_path(&self, mounted: &HostMount, real: &Path) -> bool {
        let inside = Path::new("/").join(mounted.inside(real));
        let shows = |other: &HostMount| {
            other.mount.device() == mounted.mount.device() && inside.starts_with(other.mount.root())
        };
        self.lines.iter().filter_map(|line| self.mounted(line)).filter(shows).count() == 1
    }

    fn mounted<'t>(&'t self, (point, range): &'t (PathBuf, Range<usize>)) -> Option<HostMount<'t>> {
        Some(HostMount { point, mount: MountInfo::read(&self.text[range.clone()])? })
    }
}

impl HostMount<'_> {
    pub(super) fn file_system(&self) -> FileSystem {
        FileSystem::of_name(self.mount.kind)
    }

    /// Of its file system, as it has it itself; files on btrfs(5) have others.
    pub(super) fn device(&self) -> u64 {
        self.mount.device()
    }

    /// Whether it is an overlay of the host, and not the file system of the machine itself: that is what its paths are.
    pub(super) fn is_overlay(&self) -> bool {
        self.mount.kind == "overlay" && self.point.parent().is_some()
    }

    /// Of an overlay: its directories.
    pub(super) fn layers(&self) -> Vec<String> {
        self.mount.layers()
    }

    /// Of an overlay: the directory that is written to.
    pub(super) fn upper(&self) -> Option<String> {
        self.mount.upper()
    }

    /// Where a path of the machine is in its file system, relative.
    pub(super) fn inside(&self, real: &Path) -> PathBuf {
        let inside = self.mount.root().join(real.strip_prefix(self.point).unwrap_or(real));
        inside.strip_prefix("/").unwrap_or(&inside).to_owned()
    }

    /// Where a directory of an overlay may be. An engine with many layers enters its own directory and names them from
    /// there: Docker and containers/storage the one above `ID/merged` (moby, overlay2/overlay.go, Get), containerd the one
    /// above `ID/fs` (mount_linux.go, compactLowerdirOption). For a container with mapped ids containers/storage mounts its
    /// own directory, or since Podman 5 a layer's, at `ID/mapped/N` with these ids, and takes that away as soon as the
    /// overlay is there (drivers/overlay/overlay.go, get): which layer it was nothing tells any more, so it counts as what
    /// `ID` is, a directory of the same storage.
    pub(super) fn places_of(&self, layer: &str) -> Vec<PathBuf> {
        let layer = Path::new(layer);
        if layer.is_absolute() {
            return std::iter::once(layer.to_owned()).chain(unmapped(layer)).collect();
        }
        let upper = self.upper().map(PathBuf::from).filter(|upper| upper.is_absolute());
        let above = [Some(self.point), upper.as_deref()].into_iter().flatten();
        above.filter_map(|path| Some(path.parent()?.parent()?.join(layer))).collect()
    }
}

/// What may stand for a directory below `ID/mapped/N`, in that order.
fn unmapped(layer: &Path) -> Vec<PathBuf> {
    let is_number = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_mapped =
        |path: &&Path| is_number(path) && path.parent().is_some_and(|dir| dir.ends_with("mapped"));
    let split = |mapped: &Path| {
        let container = mapped.parent()?.parent()?;
        Some(vec![container.parent()?.join(layer.strip_prefix(mapped).ok()?), container.to_owned()])
    };
    layer.ancestors().find(is_mapped).and_then(split).unwrap_or_default()
}
