//! The mounts of this mount namespace, which is the runtime's, by mount point. Reads only.
//!
//! A host with hundreds of containers has as many overlays with many layers each: a line is parsed only when
//! needed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::socket_search;
use crate::proc::MountInfo;
use crate::rules::mounts::FileSystem;

/// All mounts.
pub(super) struct MountTable {
    text: Vec<u8>,
    /// By mount point, mounts at the same point in order: the ranges of their lines in the text.
    lines: Vec<(PathBuf, Range<usize>)>,
}

/// A mount of the host.
pub(super) struct HostMount<'t> {
    pub(super) point: &'t Path,
    mount: MountInfo<'t>,
}

impl MountTable {
    /// Reads the kernel's list.
    ///
    /// # Errors
    /// The list is unreadable or too large.
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
        // Paths compare by component, so whatever is below a directory follows it directly.
        let from = self.lines.partition_point(|(point, _)| point.as_path() <= real);
        let below = self.lines[from..].iter().take_while(|(point, _)| point.starts_with(real));
        below.filter_map(|line| Some((line.0.clone(), self.mounted(line)?.file_system()))).collect()
    }

    /// The mount that contains a path.
    pub(super) fn mount_of(&self, real: &Path) -> Option<HostMount<'_>> {
        let line = real.ancestors().find_map(|point| {
            let end = self.lines.partition_point(|(other, _)| other.as_path() <= point);
            self.lines[..end].last().filter(|(other, _)| other == point)
        });
        self.mounted(line?)
    }

    /// Whether a file of this mount has no other path: no other mount shows its part of the file system.
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

    /// The file system's device number as listed; files on btrfs(5) have others.
    pub(super) fn device(&self) -> u64 {
        self.mount.device()
    }

    /// Whether it is an overlay of the host, other than the host's own root.
    pub(super) fn is_overlay(&self) -> bool {
        self.mount.kind == "overlay" && self.point.parent().is_some()
    }

    /// The layers of an overlay.
    pub(super) fn layers(&self) -> Vec<String> {
        self.mount.layers()
    }

    /// The upper directory of an overlay.
    pub(super) fn upper(&self) -> Option<String> {
        self.mount.upper()
    }

    /// A host path relative to its file system's root.
    pub(super) fn inside(&self, real: &Path) -> PathBuf {
        let inside = self.mount.root().join(real.strip_prefix(self.point).unwrap_or(real));
        inside.strip_prefix("/").unwrap_or(&inside).to_owned()
    }

    /// Possible paths of an overlay's layer. An engine with many layers changes to its own directory and uses
    /// relative names: Docker and containers/storage the one above `ID/merged` (moby, overlay2/overlay.go,
    /// Get), containerd the one above `ID/fs` (mount_linux.go, compactLowerdirOption). For a container with
    /// mapped ids containers/storage mounts its own directory, or since Podman 5 a layer's, at `ID/mapped/N`
    /// with these ids, and removes that as soon as the overlay is mounted (drivers/overlay/overlay.go, get):
    /// which layer it was is then unknown, so it counts as what `ID` is, a directory of the same storage.
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

/// Substitutes for a directory below `ID/mapped/N`, in order.
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
