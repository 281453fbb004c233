//! Finds the credential files that exist, in the root file system and in what is mounted over it
//! ([`super::tree`]). The searched places are [`crate::rules::credentials::paths`].
//!
//! Only files that exist at `create` can be masked; a later one comes from the container itself, or through a
//! volume that another process fills meanwhile.
//!
//! All homes are searched, and too many are refused. Beyond them, mounted directories are searched for homes
//! of users unknown to this container, up to a limit; directories beyond it are reported.

use std::collections::BTreeSet;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::path_fd::PathFd;
use super::root_fs::RootFs;
use super::tree::{DirectoryNames, Resolved, Tree, is_missing};
use crate::config::View;
use crate::rules::MountSources;
use crate::rules::credentials::files::{self, CredentialFiles};
use crate::rules::credentials::paths::{self, CredentialPath, Masked};
use crate::rules::mounts::{Class, FileKind, clean, is_within};

/// How much of a file is read to decide whether it leads to AWS credentials, in bytes.
const FILE_LIMIT: usize = 256 << 10;
/// The largest passwd(5), in bytes: some 80 000 users.
const PASSWD_LIMIT: usize = 4 << 20;
/// The maximum number of homes; with more, the container is refused.
const HOMES: usize = 16 << 10;
/// The size from which a directory is queried name by name, in bytes: reading it would cost more.
const LARGE: i64 = 16 << 10;
/// How many names of a directory are read at once.
const NAMES: usize = 1024;
/// How many directories are searched below all mounts, and how many names are read there.
const SEARCHED: (usize, usize) = (512, 8 * NAMES);
/// The depth at which homes are found below a mounted directory: `home/USER`.
const DEPTH: usize = 2;
/// Names of directories that contain homes.
const PARENTS: [&str; 4] = ["Users", "home", "homes", "users"];
/// How many files of a directory with secrets are read.
const SECRETS: usize = 256;
/// How much of each, in bytes: Kubernetes and Docker allow no more than 1 MiB, 500 KB.
const SECRET_LIMIT: usize = 64 << 10;

/// Finds the credential files of the container.
pub(super) fn find(view: &View, root: &RootFs, sources: &MountSources) -> CredentialFiles {
    let tree = Tree::new(view, root, sources);
    let mut search =
        Finder { tree: &tree, paths: BTreeSet::new(), seen: BTreeSet::new(), unsearched: Vec::new() };
    let refused = search.homes(view, sources).err();
    if refused.is_none() {
        search.mounted(sources);
        search.named(view);
    }
    CredentialFiles { paths: search.paths.into_iter().collect(), refused, unsearched: search.unsearched }
}

struct Finder<'t> {
    tree: &'t Tree<'t>,
    /// What is to be masked.
    paths: BTreeSet<String>,
    /// Homes that were searched, without links.
    seen: BTreeSet<String>,
    /// Directories that were not searched completely.
    unsearched: Vec<String>,
}

impl Finder<'_> {
    /// Homes in the container: of its process, of the users in its passwd(5), below `/home`, and each directory that is
    /// mounted, which may be a home on the host.
    ///
    /// # Errors
    /// There are too many, and the remedy.
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
            let Some(known) = source_at(sources, source).filter(|known| known.kind == FileKind::Directory)
            else {
                continue;
            };
            homes.insert(at.to_owned());
            if known.holds_homes || [at.as_ref(), source].into_iter().any(holds_homes) {
                parents.insert(at.to_owned());
            }
        }
        for parent in parents {
            let Ok(Resolved { path, .. }) = self.tree.find(&parent) else { continue };
            match self.tree.names(&path, HOMES) {
                Ok(DirectoryNames::All(names)) => homes.extend(names.keys().map(|name| join(&path, name))),
                // A directory of another name may contain data.
                Ok(DirectoryNames::TooMany) if !parent.ends_with("/home") => self.unsearched.push(parent),
                Ok(DirectoryNames::TooMany) => return Err(too_many()),
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

    /// Searches one home.
    fn home(&mut self, home: &str) {
        let found = match self.tree.find(home) {
            Ok(found) => found,
            Err(errno) if is_missing(errno) => return,
            // Anything may be there.
            Err(_) => return self.places(home, |_| true),
        };
        if !self.seen.insert(found.path.clone()) || of_kernel(&found.path) {
            return;
        }
        let is_large =
            found.opened.and_then(|opened| opened.stat().ok()).is_some_and(|stat| stat.st_size > LARGE);
        match (!is_large).then(|| self.tree.names(&found.path, NAMES)) {
            Some(Ok(DirectoryNames::All(names))) => self.places(&found.path, |name| names.contains_key(name)),
            Some(Err(errno)) if is_missing(errno) => {}
            _ => {
                let tree = self.tree;
                let is_there = |name: &str| !matches!(tree.find(&join(&found.path, name)), Err(errno) if is_missing(errno));
                self.places(&found.path, is_there);
            }
        }
    }

    /// Searches for the places below a home; only those can exist whose first component does.
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

    /// Masks the file at a path, if it exists and holds credentials.
    fn place(&mut self, path: &str, masked: Masked) {
        let path = match self.tree.find(path) {
            Err(errno) if is_missing(errno) => return,
            Err(_) => path.to_owned(),
            Ok(Resolved { opened: Some(opened), .. }) if !is_masked(&opened, masked) => return,
            Ok(found) => found.path,
        };
        // A link to the whole container, or to a file of the kernel, is not a credential file.
        if path != "/" && !of_kernel(&path) {
            self.paths.insert(path);
        }
    }

    /// Searches mounted directories for homes, except those on another machine, which may take arbitrarily
    /// long.
    fn mounted(&mut self, sources: &MountSources) {
        let mut left = SEARCHED;
        for (at, source) in self.tree.mounted() {
            let Some(source) = source_at(sources, source).filter(|source| source.kind == FileKind::Directory)
            else {
                continue;
            };
            let is_elsewhere = matches!(source.file_system.class, Class::Network | Class::System);
            if source.system.is_none() && (is_elsewhere || !self.below(at, &mut left)) {
                self.unsearched.push(at.to_owned());
            }
        }
    }

    /// Searches the directories below one, level by level, homes first; whether all were searched.
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
                    Ok(DirectoryNames::All(found)) => found,
                    Ok(DirectoryNames::TooMany) => {
                        *names = names.saturating_sub(NAMES);
                        all = false;
                        continue;
                    }
                    // What we may not read, a rootless container may not either.
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

    /// The absolute places, and the files that variables name.
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
        let Ok(Resolved { path, .. }) = self.tree.find(directory) else { return };
        let names = match self.tree.names(&path, SECRETS) {
            Ok(DirectoryNames::All(names)) => names,
            Ok(DirectoryNames::TooMany) => return self.unsearched.push(path),
            Err(_) => return,
        };
        let read = |name: String| Some((self.read(&join(&path, &name), SECRET_LIMIT).ok()?, name));
        let files: Vec<_> = names.into_keys().filter_map(read).map(|(text, name)| (name, text)).collect();
        for name in paths::secrets(&files) {
            self.place(&join(&path, name), Masked::Always);
        }
    }

    /// Whether there is a file, or a directory.
    fn is(&self, path: &str, directory: bool) -> bool {
        let kind = if directory { SFlag::S_IFDIR } else { SFlag::S_IFREG };
        match self.tree.find(path) {
            Ok(Resolved { opened: Some(opened), .. }) => opened.is(kind).unwrap_or(true),
            Ok(Resolved { opened: None, .. }) => directory,
            Err(errno) => !is_missing(errno),
        }
    }

    fn read(&self, path: &str, limit: usize) -> nix::Result<String> {
        match self.tree.find(path)?.opened {
            Some(opened) => opened.read_text(limit),
            None => Err(Errno::EISDIR),
        }
    }
}

/// Whether a file is to be masked. If that is unknown, it is; a device (/dev/null) never is.
fn is_masked(opened: &PathFd, masked: Masked) -> bool {
    !opened.is(SFlag::S_IFCHR).unwrap_or(false)
        && (masked == Masked::Always || opened.read_text(FILE_LIMIT).map_or(true, |text| masked.holds(&text)))
}

fn source_at<'s>(sources: &'s MountSources, real: &Path) -> Option<&'s crate::rules::MountSource> {
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
    format!("there are more than {HOMES} homes to search; mount fewer of them")
}
