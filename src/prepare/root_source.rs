//! Looks at the root file system as at the source of a mount: runtimes bind it with all that is mounted below it, and
//! what is in it is in the container. Reads only.
//!
//! Every isolated container comes by here, so the usual ones take the list of mounts and no more than that.

use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::mounted::Mounted;
use super::open::Opened;
use super::prober::{Prober, node};
use super::search::{Found, Searched};
use crate::config::View;
use crate::record;
use crate::rules::MountSource;
use crate::rules::mounts::{Class, FileKind, SYSTEM_DIRECTORIES, clean};

/// What every container gets of its own, by destination and type; it hides what the root has there.
const HIDING: [(&str, &str); 3] = [("/dev", "tmpfs"), ("/proc", "proc"), ("/sys", "sysfs")];

impl Prober<'_> {
    /// Judges the root file system.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn root(&mut self, view: &View, bundle: &Path) -> Result<MountSource> {
        let root = self.root;
        let shown = || format!("cannot look at the root {}", root.path.display());
        let mut source = self.seen_root().with_context(shown)?;
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

    fn seen_root(&mut self) -> Result<MountSource> {
        let root = self.root;
        let stat = root.opened.stat()?;
        let table = self.mounted()?;
        // A file that has one path only is what its path says; the directories of the system need not be looked at.
        let is_only =
            |mount: &Mounted| mount.device() == stat.st_dev && table.is_only_path(mount, &root.path);
        let Some(mount) = table.of(&root.path).filter(is_only) else {
            return self.seen(&root.opened, &stat, 0);
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

    /// Sockets in the root. In an overlay those of lower layers are nobody's, so that of the upper one the files are
    /// looked for and the processes by the overlay: only there is a socket the one to which a process is bound.
    fn sockets_of_root(&mut self, view: &View, source: &MountSource) -> Result<Found> {
        let root = self.root;
        let hidden: Vec<&str> =
            HIDING.iter().filter(|hiding| hides(view, hiding)).map(|(at, _)| &at[1..]).collect();
        let device = root.opened.stat()?.st_dev;
        let is_overlay = |mount: &Mounted| mount.is_overlay() && mount.device() == device;
        let mut upper = None;
        if let Some(mount) = self.mounted()?.of(&root.path).filter(is_overlay) {
            let Some(layer) = mount.upper() else { return Ok(Found::nothing()) };
            // Where it cannot be had, all of the overlay is searched.
            let layer = mount.places_of(&layer).iter().find_map(|place| Opened::plain(place).ok());
            let inside = layer.map(|layer| layer.within(mount.inside(&root.path), OFlag::O_PATH));
            upper = match inside {
                Some(Err(Errno::ENOENT)) => return Ok(Found::nothing()),
                inside => inside.transpose()?,
            };
        }
        let opened = upper.as_ref().unwrap_or(&root.opened);
        let bound = root.opened.link();
        let searched =
            Searched { opened, bound: &bound, real: &root.path, below: &source.below, hidden: &hidden };
        self.search.of(&searched)
    }
}

/// What lies in the root that the container must not change.
fn holds(root: &Path, bundle: &Path) -> Option<&'static str> {
    // Mostly the root lies in the bundle.
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
