//! Inspects the root file system like the source of a mount: runtimes bind it with everything mounted below
//! it, and its content is in the container. Reads only.
//!
//! Every isolated container gets here, so in the usual case only the list of mounts is read.

use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::mount_table::HostMount;
use super::path_fd::PathFd;
use super::prober::{Prober, node};
use super::socket_search::{SearchResult, SearchTarget};
use crate::config::View;
use crate::record;
use crate::rules::MountSource;
use crate::rules::mounts::{Class, FileKind, SYSTEM_DIRECTORIES, clean};

/// File systems of its own in every container, by destination and type; they hide what the root has there.
const HIDING: [(&str, &str); 3] = [("/dev", "tmpfs"), ("/proc", "proc"), ("/sys", "sysfs")];

impl Prober<'_> {
    /// Describes the root file system.
    ///
    /// # Errors
    /// It is not accessible.
    pub(super) fn root(&mut self, view: &View, bundle: &Path) -> Result<MountSource> {
        let root = self.root;
        let shown = || format!("cannot inspect the root {}", root.path.display());
        let mut source = self.inspect_root().with_context(shown)?;
        source.in_rootfs = false;
        source.holds = holds(&root.path, bundle);
        let foreign = matches!(source.file_system.class, Class::Network | Class::System);
        if source.kind == FileKind::Directory && source.system.is_none() && !foreign {
            let found = self.sockets_of_root(view, &source).with_context(shown)?;
            source.sockets = found.sockets.into_iter().collect();
            source.fifos = found.fifos.into_iter().collect();
            source.searched = found.complete;
        }
        Ok(source)
    }

    fn inspect_root(&mut self) -> Result<MountSource> {
        let root = self.root;
        let stat = root.stat;
        let table = self.mounted()?;
        // A file with a single path is identified by it; the system directories need not be inspected.
        let is_only =
            |mount: &HostMount| mount.device() == stat.st_dev && table.is_only_path(mount, &root.path);
        let Some(mount) = table.mount_of(&root.path).filter(is_only) else {
            return self.inspect(&root.opened, &stat, 0);
        };
        let mut source = MountSource::new(&root.path, node(&stat), mount.file_system());
        let named = |directory: &&&str| root.path.as_os_str() == **directory;
        source.system = SYSTEM_DIRECTORIES.iter().find(named).copied();
        source.below = table.below(&root.path);
        if source.file_system.name == "overlay" && source.system.is_none() {
            source.layers = self.layers(&root.path, 0)?;
        }
        Ok(source)
    }

    /// Sockets in the root. In an overlay, sockets in lower layers have no owner, so files are searched in
    /// the upper layer and processes are looked up through the overlay: only there a process is bound to the
    /// socket.
    fn sockets_of_root(&mut self, view: &View, source: &MountSource) -> Result<SearchResult> {
        let root = self.root;
        let hidden: Vec<&str> =
            HIDING.iter().filter(|hiding| hides(view, hiding)).map(|(at, _)| &at[1..]).collect();
        let device = root.stat.st_dev;
        let is_overlay = |mount: &HostMount| mount.is_overlay() && mount.device() == device;
        let mut upper = None;
        if let Some(mount) = self.mounted()?.mount_of(&root.path).filter(is_overlay) {
            let Some(layer) = mount.upper() else { return Ok(SearchResult::nothing()) };
            // If it cannot be opened, the whole overlay is searched.
            let layer = mount.places_of(&layer).iter().find_map(|place| PathFd::plain(place).ok());
            let inside = layer.map(|layer| layer.within(mount.inside(&root.path), OFlag::O_PATH));
            upper = match inside {
                Some(Err(Errno::ENOENT)) => return Ok(SearchResult::nothing()),
                inside => inside.transpose()?,
            };
        }
        let opened = upper.as_ref().unwrap_or(&root.opened);
        let bound = root.opened.link();
        let searched =
            SearchTarget { opened, bound: &bound, real: &root.path, below: &source.below, hidden: &hidden };
        self.search.run(&searched)
    }
}

/// Content of the root that the container must not change.
fn holds(root: &Path, bundle: &Path) -> Option<&'static str> {
    // Usually the root is in the bundle.
    let is_apart = root == bundle || !root.starts_with(bundle);
    if is_apart && std::fs::canonicalize(bundle).map_or(true, |bundle| bundle.starts_with(root)) {
        return Some("the bundle, and with it the container's config.json");
    }
    record::is_above_state(root).then_some("the records of isolated containers")
}

fn hides(view: &View, (at, kind): &(&str, &str)) -> bool {
    let mut mounts = view.mounts.iter().flatten();
    mounts.any(|mount| mount.kind.as_deref() == Some(kind) && clean(&mount.destination) == *at)
}
