//! Looks at what is behind the sources of mounts, the way the kernel will resolve them: an open file says what it is and
//! which path it has. Reads only.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::mountinfo;
use super::open::Opened;
use super::search::{self, Search};
use crate::config::View;
use crate::rules::mounts::{self, Class, FileSystem, Node, SYSTEM_DIRECTORIES};
use crate::rules::{Source, Sources};

/// The machine's directory of homes.
const HOMES: &str = "/home";
/// Overlays may lie upon overlays; the kernel stacks two (FILESYSTEM_MAX_STACK_DEPTH).
const STACKED: usize = 2;

/// The container's root file system.
pub(super) struct Root {
    pub(super) opened: Opened,
    pub(super) path: PathBuf,
    pub(super) system: Option<&'static str>,
}

/// Opens the root file system.
pub(super) fn root(path: &Path) -> Result<Root> {
    let shown = || format!("cannot look at the root {}", path.display());
    let opened = Opened::plain(path).with_context(shown)?;
    let real = opened.path().with_context(shown)?;
    let is = opened.stat().with_context(shown)?;
    let by_name = SYSTEM_DIRECTORIES.iter().find(|directory| real.as_os_str() == **directory).copied();
    // Looking at all of them would cost every container what few need.
    let machine = std::fs::metadata("/").with_context(shown)?;
    let system = by_name.or((machine.dev() == is.st_dev && machine.ino() == is.st_ino).then_some("/"));
    Ok(Root { opened, path: real, system })
}

/// Looks at the sources of all mounts; those of bind mounts are relative to the bundle.
pub(super) fn look(view: &View, bundle: &Path, root: &Root) -> Result<Sources> {
    let mut eye = Eye {
        root,
        search: Search::new(),
        known: Known::default(),
        mounted: None,
        file_systems: BTreeMap::new(),
    };
    let mut found = Sources::new();
    for mount in view.mounts.iter().flatten() {
        // Of an overlay's layers only what they are counts: sockets in an overlay are inodes of its own.
        let searched = mounts::is_bind(mount);
        for written in mounts::sources(mount) {
            if !found.contains_key(&*written) {
                let source = eye.look(&bundle.join(&*written), searched)?;
                found.insert(written.into_owned(), source);
            }
        }
    }
    Ok(found)
}

/// What directories of this machine are, by device and inode.
#[derive(Default)]
struct Known(Option<Directories>);

struct Directories {
    system: BTreeMap<(u64, u64), &'static str>,
    homes: Option<(u64, u64)>,
    /// The file system of `/dev`, for statfs(2) a tmpfs like any other.
    dev: Option<u64>,
}

impl Known {
    fn get(&mut self) -> &Directories {
        self.0.get_or_insert_with(|| {
            let identity = |path: &str| Some(std::fs::metadata(path).ok()?).map(|it| (it.dev(), it.ino()));
            // Of two names for one directory (/var/run) the first is the one that is said.
            let names = SYSTEM_DIRECTORIES.iter().rev();
            let system = names.filter_map(|path| Some((identity(path)?, *path))).collect();
            let device = |path| Some(identity(path)?.0);
            let dev = device("/dev").filter(|dev| Some(*dev) != device("/"));
            Directories { system, homes: identity(HOMES), dev }
        })
    }
}

/// A mount of the machine.
struct Mounted {
    point: PathBuf,
    file_system: FileSystem,
    root: PathBuf,
    /// Of an overlay: its directories.
    layers: Vec<String>,
}

/// What is looked up once for all sources, when the first needs it.
struct Eye<'a> {
    root: &'a Root,
    search: Search,
    known: Known,
    /// By mount point, those of one point in their order.
    mounted: Option<Vec<Mounted>>,
    /// By device.
    file_systems: BTreeMap<u64, FileSystem>,
}

impl Eye<'_> {
    fn look(&mut self, path: &Path, searched: bool) -> Result<Source> {
        let shown = || format!("cannot look at {}", path.display());
        let opened = match Opened::plain(path) {
            Ok(opened) => opened,
            Err(errno) => return Ok(self.unopened(path, errno)),
        };
        let stat = opened.stat().with_context(shown)?;
        let mut source = self.seen(&opened, &stat, 0).with_context(shown)?;
        // A directory of the system is refused for what it is, and one of another machine is not searched: that may
        // take as long as the other machine likes.
        let foreign = matches!(source.file_system.class, Class::Network | Class::System);
        if searched && source.node == Node::Directory && source.system.is_none() && !foreign {
            let found = self.search.of(&opened, &source.real, &source.below)?;
            source.sockets = found.sockets.into_iter().collect();
            source.fifos = found.fifos.into_iter().collect();
            source.searched = found.complete;
        }
        Ok(source)
    }

    /// What cannot be opened.
    fn unopened(&self, path: &Path, errno: Errno) -> Source {
        let node = match errno {
            Errno::ENOENT | Errno::ENOTDIR => Node::Missing,
            Errno::ELOOP => Node::Unclear("links lead through /proc or in circles".into()),
            errno => Node::Unclear(errno.desc().to_lowercase()),
        };
        let mut source = Source::new(PathBuf::new(), node, FileSystem::none());
        if source.node == Node::Missing {
            // An earlier mount may bring it into being.
            let there = path.ancestors().skip(1).find_map(|ancestor| Opened::plain(ancestor).ok());
            source.in_rootfs =
                there.and_then(|there| there.path().ok()).is_some_and(|real| self.is_in_rootfs(&real));
            source.real = path.to_owned();
        }
        source
    }

    /// What an open file is; `depth` overlays lie upon it.
    fn seen(&mut self, opened: &Opened, stat: &FileStat, depth: usize) -> Result<Source> {
        let real = opened.path()?;
        let file_system = self.file_system(opened, stat)?;
        let (major, minor) = (major(stat.st_rdev) as i64, minor(stat.st_rdev) as i64);
        let node = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Node::File,
            SFlag::S_IFDIR => Node::Directory,
            SFlag::S_IFSOCK => Node::Socket,
            SFlag::S_IFIFO => Node::Fifo,
            SFlag::S_IFCHR => Node::Character(major, minor),
            SFlag::S_IFBLK => Node::Block(major, minor),
            _ => Node::Unclear("it is no kind of file".into()),
        };
        let mut source = Source::new(real, node, file_system);
        source.in_rootfs = self.is_in_rootfs(&source.real);
        if source.node == Node::Directory {
            let known = self.known.get();
            let identity = (stat.st_dev, stat.st_ino);
            source.system = known.system.get(&identity).copied();
            source.holds_homes = known.homes == Some(identity);
            source.below = self.below(&source.real)?;
        }
        if source.file_system.name == "overlay" && source.system.is_none() {
            source.layers = self.layers(&source.real, depth)?;
            source.holds_homes |= source.layers.iter().any(|layer| layer.holds_homes);
        }
        Ok(source)
    }

    fn file_system(&mut self, opened: &Opened, stat: &FileStat) -> Result<FileSystem> {
        if let Some(known) = self.file_systems.get(&stat.st_dev) {
            return Ok(known.clone());
        }
        let mut found = opened.file_system()?;
        if found.name == "tmpfs" && self.known.get().dev == Some(stat.st_dev) {
            found = FileSystem::of_name("devtmpfs");
        }
        self.file_systems.insert(stat.st_dev, found.clone());
        Ok(found)
    }

    fn is_in_rootfs(&self, real: &Path) -> bool {
        real.starts_with(&self.root.path)
    }

    /// Mounts below a directory.
    fn below(&mut self, real: &Path) -> Result<Vec<(PathBuf, FileSystem)>> {
        let mounted = self.mounted()?;
        // Paths compare component by component, so that what lies below a directory follows it at once.
        let from = mounted.partition_point(|mount| mount.point.as_path() <= real);
        let below = mounted[from..].iter().take_while(|mount| mount.point.starts_with(real));
        Ok(below.map(|mount| (mount.point.clone(), mount.file_system.clone())).collect())
    }

    /// What a file on an overlay of the host is in each of its layers. The overlay that the machine itself lives on is what
    /// its paths say.
    fn layers(&mut self, real: &Path, depth: usize) -> Result<Vec<Source>> {
        let mounted = self.mounted()?;
        let found = real.ancestors().find_map(|point| {
            let end = mounted.partition_point(|mount| mount.point.as_path() <= point);
            mounted[..end].last().filter(|mount| mount.point == point).map(|mount| (mount, point))
        });
        let Some((mount, point)) = found.filter(|(_, point)| point.parent().is_some()) else {
            return Ok(Vec::new());
        };
        let inside = mount.root.join(real.strip_prefix(point).unwrap_or(real));
        let inside = inside.strip_prefix("/").unwrap_or(&inside).to_owned();
        let unclear =
            |layer: &str, why: &str| vec![Source::new(layer, Node::Unclear(why.into()), FileSystem::none())];
        if mount.layers.is_empty() || depth == STACKED {
            return Ok(unclear("of an overlay", "it is not listed"));
        }
        // A layer at the mount point itself is below the overlay; its path is that of what is seen.
        let below = |layer: &&String| Path::new(layer) != point;
        let layers: Vec<_> = mount.layers.iter().filter(below).cloned().collect();
        let mut sources = Vec::new();
        for layer in layers {
            match (Path::new(&layer).is_absolute(), Opened::plain(layer.as_ref())) {
                (true, Ok(top)) => sources.extend(self.in_layer(&top, &inside, depth)?),
                (false, _) => return Ok(unclear(&layer, "its path is relative")),
                (_, Err(errno)) => return Ok(unclear(&layer, &errno.desc().to_lowercase())),
            }
        }
        Ok(sources)
    }

    fn in_layer(&mut self, top: &Opened, inside: &Path, depth: usize) -> Result<Option<Source>> {
        let opened = match top.within(inside, OFlag::O_PATH) {
            Ok(opened) => opened,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = opened.stat()?;
        self.seen(&opened, &stat, depth + 1).map(Some)
    }

    fn mounted(&mut self) -> Result<&[Mounted]> {
        if self.mounted.is_none() {
            let text = search::list("/proc/self/mountinfo".as_ref())?;
            let mut mounted: Vec<_> = mountinfo::mounts(&text)
                .map(|mount| Mounted {
                    point: mount.point(),
                    file_system: FileSystem::of_name(mount.kind),
                    root: mount.root(),
                    layers: if mount.kind == "overlay" { mount.layers() } else { Vec::new() },
                })
                .collect();
            mounted.sort_by(|a, b| a.point.cmp(&b.point));
            self.mounted = Some(mounted);
        }
        Ok(self.mounted.as_deref().unwrap_or_default())
    }
}
