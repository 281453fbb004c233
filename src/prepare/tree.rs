//! What a process in the container would find at a path: links are followed as it would follow them, through the mounts as
//! they will be. Reads only, and never leaves the container.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::open::Opened;
use super::root::Root;
use crate::config::{Mount, View};
use crate::rules::MountSources;
use crate::rules::mounts::{self, clean, is_bind, is_within};

/// As many links are followed (linux/namei.h, MAXSYMLINKS).
const LINKS: usize = 40;
/// File systems that are made for the container and hold nothing of a user's.
const MADE_EMPTY: [&str; 8] =
    ["cgroup", "cgroup2", "devpts", "hugetlbfs", "mqueue", "proc", "ramfs", "sysfs"];

/// The container's root file system and its mounts.
pub(super) struct Tree<'a> {
    /// The root file system first.
    layers: Vec<Mounted<'a>>,
}

/// A mount, or the root file system.
struct Mounted<'a> {
    /// Where it is, with all links resolved.
    at: String,
    content: Content<'a>,
}

enum Content<'a> {
    Root(&'a Opened),
    /// A directory or a file of the machine; an overlay has several, of which the first that has a path counts.
    Of(Vec<Source<'a>>),
    Empty,
    /// It cannot be told.
    Unclear,
}

struct Source<'a> {
    path: &'a Path,
    opened: OnceCell<nix::Result<Opened>>,
}

/// What is at a path.
pub(super) struct Found {
    /// The path without links.
    pub(super) path: String,
    /// `None` for a directory that the runtime will make, since something is mounted below.
    pub(super) opened: Option<Opened>,
}

/// The names in a directory.
pub(super) enum Names {
    /// Each with whether it is a directory; a link is none.
    All(BTreeMap<String, bool>),
    /// There are more than were asked for.
    TooMany,
}

/// Whether the answer is a clear "not there"; anything else counts as there.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

impl<'a> Tree<'a> {
    pub(super) fn new(view: &'a View, root: &'a Root, sources: &'a MountSources) -> Self {
        let mut tree =
            Self { layers: vec![Mounted { at: "/".into(), content: Content::Root(&root.opened) }] };
        for mount in view.mounts.iter().flatten() {
            let at = tree.destination(&clean(&mount.destination));
            if let Some(content) = content(mount, sources) {
                tree.layers.push(Mounted { at, content });
            }
        }
        tree
    }

    /// The bind mounts of directories, and overlays: where they are, in the order in which they are mounted.
    pub(super) fn mounted(&self) -> impl Iterator<Item = (&str, &'a Path)> {
        self.layers.iter().filter_map(|mounted| match &mounted.content {
            Content::Of(sources) => Some((mounted.at.as_str(), sources.first()?.path)),
            _ => None,
        })
    }

    /// What is at a path.
    ///
    /// # Errors
    /// [`is_missing`]: nothing. Else it cannot be told.
    pub(super) fn find(&self, path: &str) -> nix::Result<Found> {
        let (path, errno) = match self.open(path, OFlag::O_PATH) {
            Ok(opened) => return Ok(Found { path: path.to_owned(), opened: Some(opened) }),
            Err(Errno::ELOOP) => match self.walk(path, false).and_then(|path| self.found(path)) {
                Err(errno) if is_missing(errno) => (self.destination(path), errno),
                other => return other,
            },
            Err(errno) if is_missing(errno) => (path.to_owned(), errno),
            Err(errno) => return Err(errno),
        };
        let is_made = self.layers.iter().any(|mounted| is_within(&mounted.at, &path));
        if is_made { Ok(Found { path, opened: None }) } else { Err(errno) }
    }

    fn found(&self, path: String) -> nix::Result<Found> {
        let opened = self.open(&path, OFlag::O_PATH)?;
        Ok(Found { path, opened: Some(opened) })
    }

    /// The names in a directory, which [`Tree::find`] has found, and of what is mounted in it.
    pub(super) fn names(&self, directory: &str, limit: usize) -> nix::Result<Names> {
        let mut names = BTreeMap::new();
        for opened in self.each(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            let entries = match opened.and_then(|opened| opened.entries(limit + 1)) {
                Ok(entries) => entries,
                Err(errno) if is_missing(errno) => continue,
                Err(errno) => return Err(errno),
            };
            if entries.len() > limit {
                return Ok(Names::TooMany);
            }
            // What has no text cannot be masked, and no program looks for it.
            let named = entries.into_iter().filter_map(|(name, kind)| Some((name.into_string().ok()?, kind)));
            names.extend(named.map(|(name, kind)| (name, matches!(kind, None | Some(Type::Directory)))));
        }
        for mounted in &self.layers {
            let Some(below) = mounted.at.strip_prefix(directory.trim_end_matches('/')) else { continue };
            let name = below.strip_prefix('/').and_then(|below| below.split('/').next());
            names.extend(name.filter(|name| !name.is_empty()).map(|name| (name.to_owned(), true)));
        }
        Ok(Names::All(names))
    }

    /// Opens a path that has no links in it; with one it is ELOOP.
    fn open(&self, path: &str, flags: OFlag) -> nix::Result<Opened> {
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
    fn each(&self, path: &str, flags: OFlag) -> impl Iterator<Item = nix::Result<Opened>> {
        // The last mount that covers a path is the one that is seen.
        let mounted = self.layers.iter().rev().find(|mounted| is_within(path, &mounted.at));
        let below = |mounted: &Mounted| path[mounted.at.trim_end_matches('/').len()..].to_owned();
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

    /// Where something that is mounted at a path will be: what is not there, the runtime makes.
    fn destination(&self, path: &str) -> String {
        match self.open(path, OFlag::O_PATH) {
            Err(Errno::ELOOP) => self.walk(path, true).unwrap_or_else(|_| path.to_owned()),
            _ => path.to_owned(),
        }
    }

    /// Resolves the links of a path, one component at a time; behind one that is not there, the rest is taken as it is if
    /// it is going to be `made`.
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

impl Source<'_> {
    fn open(&self, below: &str, flags: OFlag) -> nix::Result<Opened> {
        let opened = match self.opened.get_or_init(|| Opened::plain(self.path)) {
            Ok(opened) => opened,
            Err(errno) => return Err(*errno),
        };
        match below {
            // By a link of procfs, which is to be followed.
            "" => opened.reopened(flags - OFlag::O_NOFOLLOW),
            below => opened.without_links(below, flags),
        }
    }
}

/// What a mount brings along; `None` where it shows what was there before.
fn content<'a>(mount: &'a Mount, sources: &'a MountSources) -> Option<Content<'a>> {
    let kind = mount.kind.as_deref().unwrap_or_default();
    let has = |word: &str| mount.options.iter().flatten().any(|option| &**option == word);
    if is_bind(mount) || kind == "overlay" {
        let written = mounts::sources(mount);
        let real = written.iter().filter_map(|written| Some(sources.get(&**written)?.real.as_path()));
        let real = real.filter(|real| !real.as_os_str().is_empty());
        let source = |path| Source { path, opened: OnceCell::new() };
        return Some(Content::Of(real.map(source).collect()));
    }
    match kind {
        // The runtime copies what lies below.
        "tmpfs" if has("tmpcopyup") => None,
        "tmpfs" => Some(Content::Empty),
        kind if MADE_EMPTY.contains(&kind) => Some(Content::Empty),
        _ => Some(Content::Unclear),
    }
}
