//! Where a runtime keeps its containers, computed as that runtime computes it: a record is found by this directory.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::{AccessFlags, access, geteuid, getuid};

use crate::invocation::Dialect;
use crate::proc::{Dir, IdRange};

/// Whether runc would keep its state below `$XDG_RUNTIME_DIR` (rootless_linux.go, shouldHonorXDGRuntimeDir):
/// not root, or root of a user namespace created by an unprivileged user.
#[must_use]
pub fn user_runtime_dir() -> Option<PathBuf> {
    let dir = runtime_dir()?;
    let of_user = || std::env::var_os("USER").is_none_or(|user| user != "root");
    (!geteuid().is_root() || (in_user_namespace() && of_user())).then(|| dir.into())
}

/// `$XDG_RUNTIME_DIR`.
#[must_use]
pub fn runtime_dir() -> Option<OsString> {
    std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())
}

/// user_namespaces(7): in the initial one, all ids map to themselves.
fn in_user_namespace() -> bool {
    let all = IdRange { inside: 0, outside: 0, size: u64::from(u32::MAX) };
    !Dir::ours().id_map("uid_map").is_ok_and(|map| map == [all])
}

/// The directory in which this runtime keeps its containers, absolute and without links: `--root`, or the
/// runtime's default.
///
/// # Errors
/// A relative root, and no working directory.
pub fn state_root(dialect: Dialect, given: Option<&Path>) -> Result<PathBuf> {
    let root = given.filter(|root| !root.as_os_str().is_empty());
    let root = root.map_or_else(|| default_root(dialect), Path::to_owned);
    let root = std::path::absolute(&root).with_context(|| format!("cannot resolve {}", root.display()))?;
    // The root may not exist yet at the first create; the part that exists is resolved.
    let mut missing = Vec::new();
    let mut there = root.as_path();
    loop {
        if let Ok(real) = std::fs::canonicalize(there) {
            return Ok(missing.iter().rev().fold(real, |path, name| path.join(name)));
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                there = parent;
            }
            _ => return Ok(root),
        }
    }
}

fn default_root(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::Runc => user_runtime_dir().unwrap_or_else(|| "/run".into()).join("runc"),
        // src/libcrun/status.c, get_run_directory, 1.0 to 1.29: for every user.
        Dialect::Crun => runtime_dir().map_or_else(|| "/run".into(), PathBuf::from).join("crun"),
        Dialect::Youki => youki_root(),
    }
}

/// crates/youki/src/rootpath.rs, determine(): without root the first usable one of several directories.
fn youki_root() -> PathBuf {
    if geteuid().is_root() && !in_user_namespace() {
        return "/run/youki".into();
    }
    let uid = getuid().as_raw();
    // Set and empty it is a relative path there.
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("youki"));
    let home = std::env::var_os("HOME").and_then(|home| std::fs::canonicalize(home).ok());
    let candidates = [
        runtime_dir,
        Some(format!("/run/user/{uid}/youki").into()),
        home.map(|home| home.join(".youki/run")),
        Some(format!("/tmp/youki-{uid}").into()),
    ];
    let usable = candidates.into_iter().flatten().find(|path| is_usable(path, uid));
    usable.unwrap_or_else(|| "/run/youki".into())
}

/// Whether youki would use a directory: it exists, is ours and accessible to us, or can be created
/// (create_dir_all_with_mode).
fn is_usable(path: &Path, uid: u32) -> bool {
    match std::fs::metadata(path) {
        Ok(meta) => meta.is_dir() && meta.uid() == uid && meta.permissions().mode() & 0o700 == 0o700,
        Err(_) => {
            let above = path.ancestors().skip(1).find(|above| above.exists());
            above.is_some_and(|above| access(above, AccessFlags::W_OK | AccessFlags::X_OK).is_ok())
        }
    }
}
