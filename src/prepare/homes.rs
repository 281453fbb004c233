//! Looks up which of the places that programs read credentials from are there, in the root file system and in what is
//! mounted over it ([`super::tree`]). The places are [`crate::rules::credentials::paths`].
//!
//! Only what is there at `create` can be masked; a file that comes later comes from the container itself, or through a
//! volume that another process fills while it runs.
//!
//! Homes are looked into without exception, and too many of them are refused. Beyond them, mounted directories are searched
//! for homes of users that this container does not know of: within a bound, and the report says what was not searched.

use std::collections::BTreeSet;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::open::Opened;
use super::root::Root;
use super::tree::{Found, Names, Tree, is_missing};
use crate::config::View;
use crate::rules::MountSources;
use crate::rules::credentials::files::{self, CredentialFiles};
use crate::rules::credentials::paths::{self, CredentialPath, Masked};
use crate::rules::mounts::{Class, FileKind, clean, is_within};

/// As much is read of a file to tell whether it leads to AWS, in bytes.
const FILE_LIMIT: usize = 256 << 10;
/// The longest passwd(5), in bytes: some 80 000 users.
const PASSWD_LIMIT: usize = 4 << 20;
/// As many homes are looked into; with more, the container is refused.
const HOMES: usize = 16 << 10;
/// A directory that takes more bytes than this is asked for each name: reading it would cost more.
const LARGE: i64 = 16 << 10;
/// As many names of a directory are read at once.
const NAMES: usize = 1024;
/// As many directories are searched below all that are mounted, and as many names are read there.
const SEARCHED: (usize, usize) = (512, 8 * NAMES);
/// Homes are found so far below a mounted directory: `home/USER`.
const DEPTH: usize = 2;
/// Directories of homes.
const PARENTS: [&str; 4] = ["Users", "home", "homes", "users"];
/// As many files of a directory with secrets are read.
const SECRETS: usize = 256;
/// As much of each, in bytes: Kubernetes and Docker allow no more than 1 MiB, 500 KB.
const SECRET_LIMIT: usize = 64 << 10;

/// Looks for credential files in the container.
pub(super) fn credential_files(view: &View, root: &Root, sources: &MountSources) -> CredentialFiles {
    let tree = Tree::new(view, root, sources);
    let mut search =
        Search { tree: &tree, paths: BTreeSet::new(), seen: BTreeSet::new(), unsearched: Vec::new() };
    let refused = search.homes(view, sources).err();
    if refused.is_none() {
        search.mounted(sources);
        search.named(view);
    }
    CredentialFiles { paths: search.paths.into_iter().collect(), refused, unsearched: search.unsearched }
}

struct Search<'t> {
    tree: &'t Tree<'t>,
    /// What is to be masked.
    paths: BTreeSet<String>,
    /// Homes that were looked into, without links.
    seen: BTreeSet<String>,
    /// Directories that were not searched to the end.
    unsearched: Vec<String>,
}

impl Search<'_> {
    /// Homes in the container: of its process, of the users in its passwd(5), below `/home`, and each directory that is
    /// mounted, which may be a home on the host.
    ///
    /// # Errors
    /// They are too many; what to do.
    fn homes(&mut self, view: &View, sources: &MountSources) -> Result<(), String> {
        let mut homes: BTreeSet<String> = ["/", "/root"].map(str::to_owned).into();
        homes.extend(files::home(view).map(clean));
        match self.read("/etc/passwd", PASSWD_LIMIT + 1) {
            Ok(passwd) if passwd.len() > PASSWD_LIMIT => {
                return Err(format!("/etc/passwd of the image is larger than {} MiB", PASSWD_LIMIT >> 20));
            }
            Ok(passwd) => homes.extend(files::homes_of(&passwd, view)),
            Err(errno) if is_missing(errno) => {}
            Err(errno) => return Err(format!("/etc/passwd of the image cannot be read: {}", errno.desc())),
        }
        let mut parents = BTreeSet::from(["/home".to_owned()]);
        for (at, source) in self.tree.mounted() {
            let Some(known) = of(sources, source).filter(|known| known.kind == FileKind::Directory) else {
                continue;
            };
            homes.insert(at.to_owned());
            if known.holds_homes || [at.as_ref(), source].into_iter().any(holds_homes) {
                parents.insert(at.to_owned());
            }
        }
        for parent in parents {
            let Ok(Found { path, .. }) = self.tree.find(&parent) else { continue };
            match self.tree.names(&path, HOMES) {
                Ok(Names::All(names)) => homes.extend(names.keys().map(|name| join(&path, name))),
                // Of another name it may be data.
                Ok(Names::TooMany) if !parent.ends_with("/home") => self.unsearched.push(parent),
                Ok(Names::TooMany) => return Err(too_many()),
                Err(errno) => return Err(format!("{parent} cannot be read: {}", errno.desc())),
            }
        }
        if homes.len() > HOMES {
            return Err(too_many());
        }
        for home in &homes {
            self.home(home);
        }
        Ok(())
    }

    /// Looks into one home.
    fn home(&mut self, home: &str) {
        let found = match self.tree.find(home) {
            Ok(found) => found,
            Err(errno) if is_missing(errno) => return,
            // Whatever may be there.
            Err(_) => return self.places(home, |_| true),
        };
        if !self.seen.insert(found.path.clone()) || of_kernel(&found.path) {
            return;
        }
        let is_large =
            found.opened.and_then(|opened| opened.stat().ok()).is_some_and(|stat| stat.st_size > LARGE);
        match (!is_large).then(|| self.tree.names(&found.path, NAMES)) {
            Some(Ok(Names::All(names))) => self.places(&found.path, |name| names.contains_key(name)),
            Some(Err(errno)) if is_missing(errno) => {}
            _ => {
                let tree = self.tree;
                let is_there = |name: &str| !matches!(tree.find(&join(&found.path, name)), Err(errno) if is_missing(errno));
                self.places(&found.path, is_there);
            }
        }
    }

    /// Looks for the places below a home, of which only those can be there whose first name is.
    fn places(&mut self, home: &str, is_there: impl Fn(&str) -> bool) {
        let first = |place: &CredentialPath| place.path.split('/').next().unwrap_or_default();
        for places in paths::IN_HOMES.chunk_by(|one, next| first(one) == first(next)) {
            if places.first().is_some_and(|place| is_there(first(place))) {
                for place in places {
                    self.place(&join(home, place.path), place.masked);
                }
            }
        }
    }

    /// Masks what is at a path, if it is there and holds what it takes.
    fn place(&mut self, path: &str, masked: Masked) {
        let path = match self.tree.find(path) {
            Err(errno) if is_missing(errno) => return,
            Err(_) => path.to_owned(),
            Ok(Found { opened: Some(opened), .. }) if !leads(&opened, masked) => return,
            Ok(found) => found.path,
        };
        // A link to all of the container, or to a file of the kernel, is no credential file.
        if path != "/" && !of_kernel(&path) {
            self.paths.insert(path);
        }
    }

    /// Searches mounted directories for homes: not those on another machine, which may take as long as that one likes.
    fn mounted(&mut self, sources: &MountSources) {
        let mut left = SEARCHED;
        for (at, source) in self.tree.mounted() {
            let Some(source) = of(sources, source).filter(|source| source.kind == FileKind::Directory) else {
                continue;
            };
            let is_elsewhere = matches!(source.file_system.class, Class::Network | Class::System);
            if source.system.is_none() && (is_elsewhere || !self.below(at, &mut left)) {
                self.unsearched.push(at.to_owned());
            }
        }
    }

    /// Whether all directories below one were searched; level by level, homes first.
    fn below(&mut self, directory: &str, (directories, names): &mut (usize, usize)) -> bool {
        let mut level = vec![directory.to_owned()];
        let mut all = true;
        for depth in 0..=DEPTH {
            let mut next = Vec::new();
            level.sort_by_key(|directory| !Path::new(directory).parent().is_some_and(holds_homes));
            for directory in level {
                if *directories == 0 || *names == 0 {
                    return false;
                }
                *directories -= 1;
                let found = match self.tree.names(&directory, NAMES.min(*names)) {
                    Ok(Names::All(found)) => found,
                    Ok(Names::TooMany) => {
                        *names = names.saturating_sub(NAMES);
                        all = false;
                        continue;
                    }
                    // What we may not read, a rootless container may not read either.
                    Err(_) => continue,
                };
                *names -= found.len().min(*names);
                if self.seen.insert(directory.clone()) {
                    self.places(&directory, |name| found.contains_key(name));
                }
                for (name, _) in found.iter().filter(|(_, is_directory)| !**is_directory) {
                    if let Some(masked) = paths::secret(name) {
                        self.place(&join(&directory, name), masked);
                    }
                }
                if depth < DEPTH {
                    let below = found.iter().filter(|(_, is_directory)| **is_directory);
                    next.extend(below.map(|(name, _)| join(&directory, name)));
                }
            }
            level = next;
        }
        all
    }

    /// What is looked for anywhere, and what variables name.
    fn named(&mut self, view: &View) {
        for place in paths::ABSOLUTE {
            self.place(place.path, place.masked);
        }
        for (path, directory) in files::pointers(view) {
            if self.is(&path, directory) {
                self.place(&path, Masked::Always);
            }
        }
        for (path, masked) in files::named(view) {
            if masked != Masked::Always || path.matches('/').count() > 1 {
                self.place(&path, masked);
            }
        }
        for directory in files::secrets(view) {
            self.secrets(&directory);
        }
    }

    /// Masks the credentials among the files of a directory.
    fn secrets(&mut self, directory: &str) {
        let Ok(Found { path, .. }) = self.tree.find(directory) else { return };
        let names = match self.tree.names(&path, SECRETS) {
            Ok(Names::All(names)) => names,
            Ok(Names::TooMany) => return self.unsearched.push(path),
            Err(_) => return,
        };
        let read = |name: String| Some((self.read(&join(&path, &name), SECRET_LIMIT).ok()?, name));
        let files: Vec<_> = names.into_keys().filter_map(read).map(|(text, name)| (name, text)).collect();
        for name in paths::secrets(&files) {
            self.place(&join(&path, name), Masked::Always);
        }
    }

    /// Whether a file is there, or a directory.
    fn is(&self, path: &str, directory: bool) -> bool {
        let kind = if directory { SFlag::S_IFDIR } else { SFlag::S_IFREG };
        match self.tree.find(path) {
            Ok(Found { opened: Some(opened), .. }) => opened.is(kind).unwrap_or(true),
            Ok(Found { opened: None, .. }) => directory,
            Err(errno) => !is_missing(errno),
        }
    }

    fn read(&self, path: &str, limit: usize) -> nix::Result<String> {
        match self.tree.find(path)?.opened {
            Some(opened) => opened.text(limit),
            None => Err(Errno::EISDIR),
        }
    }
}

/// Whether a file is one that is masked. Where it cannot be told, it is; a device (/dev/null) never is.
fn leads(opened: &Opened, masked: Masked) -> bool {
    !opened.is(SFlag::S_IFCHR).unwrap_or(false)
        && (masked == Masked::Always || opened.text(FILE_LIMIT).map_or(true, |text| masked.holds(&text)))
}

fn of<'s>(sources: &'s MountSources, real: &Path) -> Option<&'s crate::rules::MountSource> {
    sources.values().find(|source| source.real == real)
}

fn holds_homes(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| PARENTS.iter().any(|parent| name == *parent))
}

fn of_kernel(path: &str) -> bool {
    ["/proc", "/sys"].iter().any(|directory| is_within(path, directory))
}

fn join(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

fn too_many() -> String {
    format!("there are more than {HOMES} homes to look into; mount fewer of them")
}
