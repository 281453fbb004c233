//! Looks at what is behind the sources of mounts, the way the kernel will resolve them: an open file says what it is and
//! which path it has. Reads only, and no more than a bound of each directory.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, major, minor};

use super::bound::is_bound;
use super::mountinfo::{self, Mount};
use super::open::Opened;
use crate::config::View;
use crate::rules::mounts::{self, Class, FileSystem, Node, SYSTEM_DIRECTORIES};
use crate::rules::{Source, Sources};

/// Of one directory, as many entries are looked at for sockets; beyond, the kernel's list has to do.
const ENTRIES: usize = 1024;
/// Of all directories together.
const ALL_ENTRIES: usize = 16 * ENTRIES;
/// As much is read of the kernel's lists, in bytes.
const LIST_LIMIT: u64 = 16 << 20;

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
        budget: ALL_ENTRIES,
        systems: SystemDirectories::default(),
        mounted: None,
        bound: None,
        file_systems: BTreeMap::new(),
    };
    let mut found = Sources::new();
    for written in view.mounts.iter().flatten().flat_map(mounts::sources) {
        if !found.contains_key(written) {
            found.insert(written.to_owned(), eye.look(&bundle.join(written))?);
        }
    }
    Ok(found)
}

/// By device and inode.
type Identities = BTreeMap<(u64, u64), &'static str>;

#[derive(Default)]
struct SystemDirectories(Option<Identities>);

impl SystemDirectories {
    fn get(&mut self) -> &Identities {
        self.0.get_or_insert_with(|| {
            let identity = |path: &&'static str| {
                let meta = std::fs::metadata(path).ok()?;
                Some(((meta.dev(), meta.ino()), *path))
            };
            // Of two names for one directory (/var/run) the first is the one that is said.
            SYSTEM_DIRECTORIES.iter().rev().filter_map(identity).collect()
        })
    }
}

fn system(identities: &Identities, dev: u64, ino: u64) -> Option<&'static str> {
    identities.get(&(dev, ino)).copied()
}

/// What is looked up once for all sources, when the first needs it.
struct Eye<'a> {
    root: &'a Root,
    budget: usize,
    systems: SystemDirectories,
    mounted: Option<Vec<(PathBuf, FileSystem)>>,
    bound: Option<Vec<PathBuf>>,
    /// By device.
    file_systems: BTreeMap<u64, FileSystem>,
}

impl Eye<'_> {
    fn look(&mut self, path: &Path) -> Result<Source> {
        let mut source = Source {
            real: PathBuf::new(),
            node: Node::Missing,
            file_system: FileSystem { name: "none".into(), class: Class::Other },
            system: None,
            in_rootfs: false,
            socket: None,
            searched: true,
            below: Vec::new(),
        };
        let opened = match Opened::plain(path) {
            Ok(opened) => opened,
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                // An earlier mount may bring it into being.
                let there = path.ancestors().skip(1).find_map(|ancestor| Opened::plain(ancestor).ok());
                source.in_rootfs =
                    there.and_then(|there| there.path().ok()).is_some_and(|real| self.is_in_rootfs(&real));
                source.real = path.to_owned();
                return Ok(source);
            }
            Err(Errno::ELOOP) => {
                source.node = Node::Unclear("links lead through /proc or in circles".into());
                return Ok(source);
            }
            Err(errno) => {
                source.node = Node::Unclear(errno.desc().to_lowercase());
                return Ok(source);
            }
        };
        let shown = || format!("cannot look at {}", path.display());
        let stat = opened.stat().with_context(shown)?;
        source.real = opened.path().with_context(shown)?;
        source.file_system = match self.file_systems.get(&stat.st_dev) {
            Some(known) => known.clone(),
            None => opened.file_system().with_context(shown)?,
        };
        self.file_systems.insert(stat.st_dev, source.file_system.clone());
        source.in_rootfs = self.is_in_rootfs(&source.real);
        let numbers = || (major(stat.st_rdev) as i64, minor(stat.st_rdev) as i64);
        source.node = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Node::File,
            SFlag::S_IFDIR => Node::Directory,
            SFlag::S_IFSOCK => Node::Socket,
            SFlag::S_IFIFO => Node::Fifo,
            SFlag::S_IFCHR => Node::Character(numbers().0, numbers().1),
            SFlag::S_IFBLK => Node::Block(numbers().0, numbers().1),
            _ => Node::Unclear("it is no kind of file".into()),
        };
        if source.node == Node::Directory {
            source.system = system(self.systems.get(), stat.st_dev, stat.st_ino);
            source.below = self.below(&source.real)?;
            // A directory of the system is refused for what it is, and one of another machine is not searched: that may
            // take as long as the other machine likes.
            if source.system.is_none() && !matches!(source.file_system.class, Class::Network | Class::System)
            {
                (source.socket, source.searched) = self.socket_in(&opened, &source.real)?;
            }
        }
        Ok(source)
    }

    fn is_in_rootfs(&self, real: &Path) -> bool {
        real.starts_with(&self.root.path)
    }

    /// Mounts below a directory.
    fn below(&mut self, real: &Path) -> Result<Vec<(PathBuf, FileSystem)>> {
        if self.mounted.is_none() {
            let text = list("/proc/self/mountinfo")?;
            let mount = |mount: Mount| (mount.point(), FileSystem::of_name(mount.kind));
            let mut mounted: Vec<_> = mountinfo::mounts(&text).map(mount).collect();
            mounted.sort_by(|a, b| a.0.cmp(&b.0));
            self.mounted = Some(mounted);
        }
        let mounted = self.mounted.as_deref().unwrap_or_default();
        // Paths compare component by component, so that what lies below a directory follows it at once.
        let from = mounted.partition_point(|(point, _)| point.as_path() <= real);
        Ok(mounted[from..].iter().take_while(|(point, _)| point.starts_with(real)).cloned().collect())
    }

    /// A socket in the directory to which somebody is bound, and whether all of it was searched.
    fn socket_in(&mut self, opened: &Opened, real: &Path) -> Result<(Option<PathBuf>, bool)> {
        let limit = ENTRIES.min(self.budget);
        let mut looked = 0;
        let mut directories = vec![opened.link()];
        let mut at = 0;
        let shown = |path: &Path| {
            path.strip_prefix(opened.link()).map_or_else(|_| path.to_owned(), |below| real.join(below))
        };
        while at < directories.len() {
            // A directory that we may not read, a rootless container may not read either.
            let entries = std::fs::read_dir(&directories[at]).into_iter().flatten().flatten();
            for entry in entries {
                looked += 1;
                if looked > limit {
                    self.budget -= limit;
                    return Ok((self.bound_below(real)?, false));
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                    Ok(kind) if kind.is_socket() && is_bound(&entry.path()) => {
                        return Ok((Some(shown(&entry.path())), true));
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        self.budget -= looked;
        Ok((None, true))
    }

    /// The same by the kernel's list: it has the paths of this network namespace only, as they were bound.
    fn bound_below(&mut self, real: &Path) -> Result<Option<PathBuf>> {
        if self.bound.is_none() {
            let text = list("/proc/net/unix")?;
            let path = |line: &[u8]| {
                let at = line.iter().position(|b| *b == b'/')?;
                Some(PathBuf::from(std::ffi::OsString::from_vec(line[at..].to_vec())))
            };
            self.bound = Some(text.split(|b| *b == b'\n').filter_map(path).collect());
        }
        let mut below = self.bound.iter().flatten().filter(|path| path.starts_with(real));
        Ok(below.find(|path| is_bound(path)).cloned())
    }
}

fn list(path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {path}"))?;
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, LIST_LIMIT), &mut bytes);
    read.with_context(|| format!("cannot read {path}"))?;
    Ok(bytes)
}
