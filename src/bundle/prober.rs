//! The files at paths of the host, resolved as the kernel will: an open file reveals its type and its path.
//! Reads only.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::mount_table::{HostMount, MountTable};
use super::path_fd::PathFd;
use super::root_fs::RootFs;
use super::socket_search::{SearchTarget, SocketSearch};
use crate::rules::MountSource;
use crate::rules::mounts::{Class, FileKind, FileSystem, SYSTEM_DIRECTORIES};

/// The host's directory of homes.
const HOMES: &str = "/home";
/// How many overlays the kernel stacks (FILESYSTEM_MAX_STACK_DEPTH).
const STACKED: usize = 2;

/// Known directories of the host, by device and inode.
#[derive(Default)]
struct KnownDirectories {
    directories: Option<HostDirectories>,
    dev: Option<Option<u64>>,
}

struct HostDirectories {
    system: BTreeMap<(u64, u64), &'static str>,
    homes: Option<(u64, u64)>,
}

impl KnownDirectories {
    fn directories(&mut self) -> &HostDirectories {
        self.directories.get_or_insert_with(|| {
            // If a directory has two names (/var/run), the first one is reported.
            let names = SYSTEM_DIRECTORIES.iter().rev();
            let system = names.filter_map(|path| Some((identity(path)?, *path))).collect();
            HostDirectories { system, homes: identity(HOMES) }
        })
    }

    /// The file system of `/dev`, for statfs(2) a tmpfs like any other.
    fn dev(&mut self) -> Option<u64> {
        let device = |path| Some(identity(path)?.0);
        *self.dev.get_or_insert_with(|| device("/dev").filter(|dev| Some(*dev) != device("/")))
    }
}

fn identity(path: &str) -> Option<(u64, u64)> {
    Some(std::fs::metadata(path).ok()?).map(|it| (it.dev(), it.ino()))
}

/// Facts shared by all sources, determined when first needed.
pub(super) struct Prober<'a> {
    pub(super) root: &'a RootFs,
    pub(super) search: SocketSearch,
    known: KnownDirectories,
    mounted: Option<MountTable>,
    /// By device.
    file_systems: BTreeMap<u64, FileSystem>,
}

impl<'a> Prober<'a> {
    pub(super) fn new(root: &'a RootFs) -> Self {
        let (known, file_systems) = (KnownDirectories::default(), BTreeMap::new());
        Self { root, search: SocketSearch::new(), known, mounted: None, file_systems }
    }

    /// The file at a path; with the sockets in it, if `searched`.
    pub(super) fn probe(&mut self, path: &Path, searched: bool) -> Result<MountSource> {
        let shown = || format!("cannot inspect {}", path.display());
        let opened = match PathFd::plain(path) {
            Ok(opened) => opened,
            Err(errno) => return Ok(self.unopened(path, errno)),
        };
        let stat = opened.stat().with_context(shown)?;
        let mut source = self.inspect(&opened, &stat, 0).with_context(shown)?;
        // A system directory is refused as such, and one on another machine is not searched: that may take
        // arbitrarily long.
        let foreign = matches!(source.file_system.class, Class::Network | Class::System);
        if searched && source.kind == FileKind::Directory && source.system.is_none() && !foreign {
            let (bound, real, below) = (opened.link(), &*source.real, &*source.below);
            let found = self.search.run(&SearchTarget {
                opened: &opened,
                bound: &bound,
                real,
                below,
                hidden: &[],
            })?;
            source.sockets = found.sockets.into_iter().collect();
            source.fifos = found.fifos.into_iter().collect();
            source.searched = found.complete;
        }
        Ok(source)
    }

    /// A path that cannot be opened.
    fn unopened(&self, path: &Path, errno: Errno) -> MountSource {
        let node = match errno {
            Errno::ENOENT | Errno::ENOTDIR => FileKind::Missing,
            Errno::ELOOP => FileKind::Inaccessible("links lead through /proc or in circles".into()),
            errno => FileKind::Inaccessible(errno.desc().to_lowercase()),
        };
        let mut source = MountSource::new(PathBuf::new(), node, FileSystem::none());
        if source.kind == FileKind::Missing {
            // An earlier mount may create it.
            let there = path.ancestors().skip(1).find_map(|ancestor| PathFd::plain(ancestor).ok());
            source.in_rootfs =
                there.and_then(|there| there.path().ok()).is_some_and(|real| self.is_in_rootfs(&real));
            source.real = path.to_owned();
        }
        source
    }

    /// Describes an open file; `depth` overlays are stacked on it.
    pub(super) fn inspect(&mut self, opened: &PathFd, stat: &FileStat, depth: usize) -> Result<MountSource> {
        let real = opened.path()?;
        let file_system = self.file_system(opened, stat)?;
        let mut source = MountSource::new(real, node(stat), file_system);
        source.identity = Some((stat.st_dev, stat.st_ino));
        source.in_rootfs = self.is_in_rootfs(&source.real);
        if source.kind == FileKind::Directory {
            let known = self.known.directories();
            let identity = (stat.st_dev, stat.st_ino);
            source.system = known.system.get(&identity).copied();
            source.holds_homes = known.homes == Some(identity);
            source.below = self.mounted()?.below(&source.real);
        }
        if source.file_system.name == "overlay" && source.system.is_none() {
            source.layers = self.layers(&source.real, depth)?;
            source.holds_homes |= source.layers.iter().any(|layer| layer.holds_homes);
        }
        Ok(source)
    }

    fn file_system(&mut self, opened: &PathFd, stat: &FileStat) -> Result<FileSystem> {
        if let Some(known) = self.file_systems.get(&stat.st_dev) {
            return Ok(known.clone());
        }
        let mut found = opened.file_system()?;
        if found.name == "tmpfs" && self.known.dev() == Some(stat.st_dev) {
            found = FileSystem::of_name("devtmpfs");
        }
        self.file_systems.insert(stat.st_dev, found.clone());
        Ok(found)
    }

    fn is_in_rootfs(&self, real: &Path) -> bool {
        real.starts_with(&self.root.path)
    }

    /// A file on an overlay of the host, as it is in each layer. The overlay of the host's own root needs no
    /// layers: its paths decide.
    pub(super) fn layers(&mut self, real: &Path, depth: usize) -> Result<Vec<MountSource>> {
        let Some(mount) = self.mounted()?.mount_of(real).filter(HostMount::is_overlay) else {
            return Ok(Vec::new());
        };
        let inside = mount.inside(real);
        let unclear = |layer: &str, why: &str| {
            vec![MountSource::new(layer, FileKind::Inaccessible(why.into()), FileSystem::none())]
        };
        let layers = mount.layers();
        if layers.is_empty() || depth == STACKED {
            return Ok(unclear("of an overlay", "it is not listed"));
        }
        // A layer at the mount point itself is below the overlay; its path shows the overlay.
        let below = layers.into_iter().filter(|layer| Path::new(layer) != mount.point);
        let layers: Vec<_> = below.map(|layer| (mount.places_of(&layer), layer)).collect();
        let mut sources = Vec::new();
        for (places, layer) in layers {
            let opened = places.iter().map(|place| PathFd::plain(place)).reduce(|found, next| found.or(next));
            match (Path::new(&layer).is_absolute(), opened) {
                (_, Some(Ok(top))) => sources.extend(self.in_layer(&top, &inside, depth)?),
                (true, Some(Err(errno))) => return Ok(unclear(&layer, &errno.desc().to_lowercase())),
                _ => return Ok(unclear(&layer, "its path is relative")),
            }
        }
        Ok(sources)
    }

    fn in_layer(&mut self, top: &PathFd, inside: &Path, depth: usize) -> Result<Option<MountSource>> {
        let opened = match top.within(inside, OFlag::O_PATH) {
            Ok(opened) => opened,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = opened.stat()?;
        self.inspect(&opened, &stat, depth + 1).map(Some)
    }

    pub(super) fn mounted(&mut self) -> Result<&MountTable> {
        match &mut self.mounted {
            Some(table) => Ok(table),
            none => Ok(none.insert(MountTable::read()?)),
        }
    }
}

/// The type of a file.
pub(super) fn node(stat: &FileStat) -> FileKind {
    let (major, minor) = (major(stat.st_rdev) as i64, minor(stat.st_rdev) as i64);
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => FileKind::File,
        SFlag::S_IFDIR => FileKind::Directory,
        SFlag::S_IFSOCK => FileKind::Socket,
        SFlag::S_IFIFO => FileKind::Fifo,
        SFlag::S_IFCHR => FileKind::Character(major, minor),
        SFlag::S_IFBLK => FileKind::Block(major, minor),
        _ => FileKind::Inaccessible("it is not a kind of file".into()),
    }
}
