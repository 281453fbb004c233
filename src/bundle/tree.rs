//! Resolves paths as a process in the container would: through links and through the mounts as they will be.
//! Reads only, and never leaves the container.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use rustix::fs::FileType;

use super::path_fd::PathFd;
use super::root_fs::RootFs;
use crate::config::{Mount, View};
use crate::rules::MountSources;
use crate::rules::mounts::{self, clean, is_bind};

/// The maximum number of links that are followed (linux/namei.h, MAXSYMLINKS).
const LINKS: usize = 40;
/// File systems that are created for the container and hold no user data.
const MADE_EMPTY: [&str; 8] =
    ["cgroup", "cgroup2", "devpts", "hugetlbfs", "mqueue", "proc", "ramfs", "sysfs"];

/// The container's root file system and its mounts.
pub(super) struct Tree<'a> {
    /// The root file system first.
    layers: Vec<Layer<'a>>,
    /// The last mount at each path, by its index among the layers: there may be very many.
    last: BTreeMap<String, usize>,
}

/// A mount, or the root file system.
struct Layer<'a> {
    /// Its mount point, with all links resolved.
    at: String,
    content: Content<'a>,
}

enum Content<'a> {
    Root(&'a PathFd),
    /// A directory or file of the host; an overlay has several, of which the first that has a path counts.
    Of(Vec<LayerSource<'a>>),
    Empty,
    /// Unknown.
    Unclear,
}

struct LayerSource<'a> {
    path: &'a Path,
    opened: OnceCell<nix::Result<PathFd>>,
}

/// What is at a path.
pub(super) struct Resolved {
    /// The path without links.
    pub(super) path: String,
    /// `None` for a directory that the runtime will create, since something is mounted below.
    pub(super) opened: Option<PathFd>,
}

/// The names in a directory.
pub(super) enum DirectoryNames {
    /// Each with whether it is a directory; a link is not.
    All(BTreeMap<String, bool>),
    /// There are more than the limit.
    TooMany,
}

/// Whether the error clearly means "does not exist"; any other counts as existing.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

impl<'a> Tree<'a> {
    pub(super) fn new(view: &'a View, root: &'a RootFs, sources: &'a MountSources) -> Self {
        let mut tree = Self { layers: Vec::new(), last: BTreeMap::new() };
        tree.mount("/".into(), Content::Root(&root.opened));
        for mount in view.mounts.iter().flatten() {
            let at = tree.destination(&clean(&mount.destination));
            if let Some(content) = content(mount, sources) {
                tree.mount(at, content);
            }
        }
        tree
    }

    fn mount(&mut self, at: String, content: Content<'a>) {
        self.last.insert(at.clone(), self.layers.len());
        self.layers.push(Layer { at, content });
    }

    /// The mount that a path shows: of those at the path and at the directories above it, the last.
    fn shown(&self, path: &str) -> Option<&Layer<'a>> {
        let above = path.match_indices('/').map(|(at, _)| &path[..at.max(1)]);
        let last = above.chain([path]).filter_map(|at| self.last.get(at)).max()?;
        self.layers.get(*last)
    }

    /// Where something is mounted below a directory, by the rest of the path.
    fn below<'t>(&'t self, directory: &str) -> impl Iterator<Item = &'t str> + use<'t, 'a> {
        let start = format!("{}/", directory.trim_end_matches('/'));
        let from = (Bound::Excluded(start.as_str()), Bound::Unbounded);
        let points = self.last.range::<str, _>(from).map(|(at, _)| at.as_str());
        points.map_while(move |at| at.strip_prefix(&*start))
    }

    /// The bind mounts of directories, and overlays, by mount point and in mount order.
    pub(super) fn mounted(&self) -> impl Iterator<Item = (&str, &'a Path)> {
        self.layers.iter().filter_map(|mounted| match &mounted.content {
            Content::Of(sources) => Some((mounted.at.as_str(), sources.first()?.path)),
            _ => None,
        })
    }

    /// What is at a path.
    ///
    /// # Errors
    /// [`is_missing`]: there is nothing. Any other: unknown.
    pub(super) fn find(&self, path: &str) -> nix::Result<Resolved> {
        let (path, errno) = match self.open(path, OFlag::O_PATH) {
            Ok(opened) => return Ok(Resolved { path: path.to_owned(), opened: Some(opened) }),
            Err(Errno::ELOOP) => match self.walk(path, false).and_then(|path| self.resolved(path)) {
                Err(errno) if is_missing(errno) => (self.destination(path), errno),
                other => return other,
            },
            Err(errno) if is_missing(errno) => (path.to_owned(), errno),
            Err(errno) => return Err(errno),
        };
        let is_made = self.last.contains_key(&path) || self.below(&path).next().is_some();
        if is_made { Ok(Resolved { path, opened: None }) } else { Err(errno) }
    }

    fn resolved(&self, path: String) -> nix::Result<Resolved> {
        let opened = self.open(&path, OFlag::O_PATH)?;
        Ok(Resolved { path, opened: Some(opened) })
    }

    /// The names in a directory that [`Tree::find`] has found, including those of mounts in it.
    pub(super) fn names(&self, directory: &str, limit: usize) -> nix::Result<DirectoryNames> {
        let mut names = BTreeMap::new();
        for opened in self.each(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            let entries = match opened.and_then(|opened| opened.entries(limit + 1)) {
                Ok(entries) => entries,
                Err(errno) if is_missing(errno) => continue,
                Err(errno) => return Err(errno),
            };
            if entries.len() > limit {
                return Ok(DirectoryNames::TooMany);
            }
            // A name that is not UTF-8 cannot be masked, and no program looks for it.
            let named = entries.into_iter().filter_map(|(name, kind)| Some((name.into_string().ok()?, kind)));
            names.extend(
                named.map(|(name, kind)| (name, matches!(kind, FileType::Unknown | FileType::Directory))),
            );
        }
        let mounted = self.below(directory).filter_map(|below| below.split('/').next());
        names.extend(mounted.map(|name| (name.to_owned(), true)));
        Ok(DirectoryNames::All(names))
    }

    /// Opens a path without links; with one it is ELOOP.
    fn open(&self, path: &str, flags: OFlag) -> nix::Result<PathFd> {
        let mut last = Errno::ENOENT;
        for opened in self.each(path, flags) {
            match opened {
                Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => last = errno,
                other => return other,
            }
        }
        Err(last)
    }

    /// The same in each layer of an overlay.
    fn each(&self, path: &str, flags: OFlag) -> impl Iterator<Item = nix::Result<PathFd>> {
        let mounted = self.shown(path);
        let below = |mounted: &Layer| path[mounted.at.trim_end_matches('/').len()..].to_owned();
        let mut results = Vec::new();
        match mounted.map(|mounted| (below(mounted), &mounted.content)) {
            None | Some((_, Content::Empty)) => {}
            Some((below, Content::Root(root))) => results.push(root.without_links(&below, flags)),
            Some((below, Content::Of(sources))) => {
                results.extend(sources.iter().map(|source| source.open(&below, flags)));
            }
            Some((_, Content::Unclear)) => results.push(Err(Errno::EIO)),
        }
        results.into_iter()
    }

    /// The resolved mount point of a path; the runtime creates missing parts.
    fn destination(&self, path: &str) -> String {
        match self.open(path, OFlag::O_PATH) {
            Err(Errno::ELOOP) => self.walk(path, true).unwrap_or_else(|_| path.to_owned()),
            _ => path.to_owned(),
        }
    }

    /// Resolves the links of a path, one component at a time; the rest after a missing one is taken literally
    /// if it will be `made`.
    fn walk(&self, path: &str, made: bool) -> nix::Result<String> {
        let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let (mut real, mut links) = (String::new(), 0);
        while let Some(component) = ahead.pop_front() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    real.truncate(real.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = format!("{real}/{component}");
            let opened = match self.open(&next, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                Err(Errno::ENOENT) if made => {
                    real = next;
                    continue;
                }
                other => other?,
            };
            if opened.stat()?.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFLNK.bits() {
                real = next;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::ELOOP);
            }
            let target = opened.target()?;
            if target.starts_with('/') {
                real.clear();
            }
            for component in target.split('/').rev() {
                ahead.push_front(component.to_owned());
            }
        }
        Ok(if real.is_empty() { "/".into() } else { real })
    }
}

impl LayerSource<'_> {
    fn open(&self, below: &str, flags: OFlag) -> nix::Result<PathFd> {
        let opened = match self.opened.get_or_init(|| PathFd::plain(self.path)) {
            Ok(opened) => opened,
            Err(errno) => return Err(*errno),
        };
        match below {
            // Through a magic link of procfs, which must be followed.
            "" => opened.reopened(flags - OFlag::O_NOFOLLOW),
            below => opened.without_links(below, flags),
        }
    }
}

/// The content that a mount adds; `None` if it shows what was there before.
fn content<'a>(mount: &'a Mount, sources: &'a MountSources) -> Option<Content<'a>> {
    let kind = mount.kind.as_deref().unwrap_or_default();
    if is_bind(mount) || kind == "overlay" {
        let written = mounts::sources(mount);
        let real = written.iter().filter_map(|written| Some(sources.get(&**written)?.real.as_path()));
        let real = real.filter(|real| !real.as_os_str().is_empty());
        let source = |path| LayerSource { path, opened: OnceCell::new() };
        return Some(Content::Of(real.map(source).collect()));
    }
    match kind {
        // The runtime copies what is below.
        "tmpfs" if mounts::copies_up(mount) => None,
        "tmpfs" => Some(Content::Empty),
        kind if MADE_EMPTY.contains(&kind) => Some(Content::Empty),
        _ => Some(Content::Unclear),
    }
}
