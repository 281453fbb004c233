//! The state directory: its path, and its owner.

use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::runtime;

/// The name of [`empty_directory`] in the state directory.
const EMPTY: &str = "empty";

/// The name of [`empty_file`] in the state directory.
const EMPTY_FILE: &str = "empty-file";

/// Creates the state directory if it does not exist.
pub(super) fn make_state(state: &Path) -> Result<()> {
    match std::fs::symlink_metadata(state) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_dir(state)?;
            check_owner(state, std::fs::symlink_metadata(state))
        }
        found => check_owner(state, found),
    }
}

/// A user who can write the state directory can make an isolated container appear not to be.
pub(super) fn check_owner(state: &Path, found: io::Result<Metadata>) -> Result<()> {
    let shown = state.display();
    let meta = found.with_context(|| format!("cannot inspect {shown}"))?;
    let ours = meta.uid() == nix::unistd::geteuid().as_raw();
    if !meta.is_dir() || !ours || meta.mode() & 0o022 != 0 {
        bail!("{shown} is not a directory that we own and only we can write");
    }
    Ok(())
}

/// The state directory's path, and whether it exists; the first container creates it.
///
/// # Errors
/// It exists, but no record could be kept in it.
pub fn check_state() -> Result<(PathBuf, bool)> {
    let state = state_dir();
    match std::fs::symlink_metadata(&state) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((state, false)),
        found => check_owner(&state, found).map(|()| (state, true)),
    }
}

pub(super) fn state_dir() -> PathBuf {
    runtime::user_runtime_dir().unwrap_or_else(|| "/run".into()).join("oci-isolate")
}

/// Whether the state directory, root's or a user's, is in a directory, by their paths.
#[must_use]
pub fn is_above_state(directory: &Path) -> bool {
    let parents = [Some("/run".into()), runtime::runtime_dir()];
    parents.into_iter().flatten().any(|parent| Path::new(&parent).join("oci-isolate").starts_with(directory))
}

/// The path of an empty directory that is never written to. `None` if mount options could not contain it.
#[must_use]
pub fn empty_directory() -> Option<String> {
    let path = state_dir().join(EMPTY).into_os_string().into_string().ok();
    path.filter(|path| !path.contains([':', ',', '\\']))
}

/// The file that caches what is known of a runtime's program. `None` where nothing can be stored.
#[must_use]
pub fn about_runtime(program: &Path) -> Option<PathBuf> {
    let state = state_dir();
    let name = format!("runtime{}", program.to_str()?.replace('/', "-"));
    make_state(&state).ok().map(|()| state.join(name))
}

/// The path of an empty file that is never written to.
#[must_use]
pub fn empty_file() -> Option<String> {
    state_dir().join(EMPTY_FILE).into_os_string().into_string().ok()
}

pub(super) fn make_empty_directory(state: &Path) -> Result<()> {
    make_state(state)?;
    make_dir(&state.join(EMPTY))
}

/// Its mode lets every user write to it where it is mounted, read-only: a program that connects to it gets
/// "not a socket" instead of "permission denied".
pub(super) fn make_empty_file(state: &Path) -> Result<()> {
    make_state(state)?;
    let path = state.join(EMPTY_FILE);
    let made = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        // Not by the mode of open(2), which the umask reduces.
        made => made.and_then(|file| file.set_permissions(Permissions::from_mode(0o666))),
    };
    made.with_context(|| format!("cannot make {}", path.display()))
}

pub(super) fn make_dir(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the directory {}", dir.display()))
}
