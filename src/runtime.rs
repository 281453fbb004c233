//! The real runtime: where it is, where it keeps its state, and how it is exec'd in our place.

mod kept;
mod ourselves;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access, execv, execve};

use crate::invocation::Dialect;
pub use kept::Kept;

use ourselves::Shim;

/// Where runtimes given by name are looked for. `PATH` is not consulted: conmon calls `delete` with an empty
/// environment, and `create` and `delete` have to find the same program.
const DIRECTORIES: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/run/current-system/sw/bin",
    "/usr/libexec/oci",
];

/// A low-level runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    path: PathBuf,
    dialect: Dialect,
}

impl Runtime {
    /// Finds the first of the wanted runtimes that is there, is executable and is not this program under another
    /// name: the shim may well be installed as `runc`. Other builds of it are told when the two have called each other
    /// for a while.
    ///
    /// # Errors
    /// There is none; the message lists where it was looked for.
    pub fn find(wanted: &[PathBuf]) -> Result<Self> {
        Self::find_for(Path::new("/proc/self/exe"), wanted, ourselves::may_go_in_circles())
    }

    /// The one that the shim at this path finds; `thoroughly`, so that it is no other build either.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn find_for(shim: &Path, wanted: &[PathBuf], thoroughly: bool) -> Result<Self> {
        let meta = std::fs::metadata(shim).with_context(|| format!("cannot look at {}", shim.display()))?;
        let shim = Shim { path: shim, meta, thoroughly };
        let mut looked = Vec::new();
        for name in wanted {
            for path in candidates(name) {
                let Ok(meta) = std::fs::metadata(&path) else {
                    looked.push(format!("{} (missing)", path.display()));
                    continue;
                };
                if let Some(why) = shim.as_which_is(&path, &meta) {
                    looked.push(format!("{} ({why})", path.display()));
                } else if !meta.is_file() || access(&path, AccessFlags::X_OK).is_err() {
                    looked.push(format!("{} (not executable)", path.display()));
                } else {
                    return Ok(Self { dialect: dialect_of(&path), path });
                }
            }
        }
        bail!("no low-level runtime found; looked for {}", looked.join(", "))
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How this runtime reads its command line.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Becomes the runtime: same process, same descriptors. Comes back only with an error.
    ///
    /// # Errors
    /// execve(2) failed.
    pub fn exec(&self, args: &[OsString], without: &[OsString]) -> Result<Infallible> {
        let shown = self.path.display();
        let path = c_string(self.path.as_os_str())?;
        let argv = std::iter::once(self.path.as_os_str()).chain(args.iter().map(OsString::as_os_str));
        let argv = argv.map(c_string).collect::<Result<Vec<_>>>()?;
        let entry = |(mut entry, value): (OsString, OsString)| {
            entry.push("=");
            entry.push(value);
            c_string(&entry)
        };
        let rest = std::env::vars_os().filter(|(name, _)| !without.contains(name)).map(entry);
        let rest = (!without.is_empty()).then(|| rest.collect::<Result<Vec<_>>>()).transpose()?;
        // std ignores SIGPIPE in every program; across execve(2) that would stay.
        sigpipe::reset();
        // Not std's exec, which gives a file that is no program to /bin/sh and empties the signal mask.
        let error = match rest {
            Some(environment) => execve(&path, &argv, &environment),
            None => execv(&path, &argv),
        };
        error.map_err(std::io::Error::from).with_context(|| format!("cannot exec {shown}"))
    }

    /// Runs the runtime and waits for it, where something is left to do afterwards.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, args: &[OsString]) -> Result<ExitStatus> {
        Command::new(&self.path)
            .args(args)
            .status()
            .with_context(|| format!("cannot run {}", self.path.display()))
    }

    /// What the runtime says on stdout; on stderr nobody hears it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn says(&self, args: &[OsString]) -> Result<Vec<u8>> {
        let output = Command::new(&self.path).args(args).stdin(Stdio::null()).output();
        Ok(output.with_context(|| format!("cannot run {}", self.path.display()))?.stdout)
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).context("an argument has a NUL in it")
}

/// How a runtime reads its command line, told by the name of the file behind all links: `runc` may well be a link to crun.
#[must_use]
pub fn dialect_of(path: &Path) -> Dialect {
    // Links among the directories lead to a file of the same name.
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let file = if is_link { std::fs::canonicalize(path).ok() } else { None };
    Dialect::of(file.as_deref().unwrap_or(path).file_name().unwrap_or_default())
}

fn candidates(name: &Path) -> Vec<PathBuf> {
    if name.is_absolute() {
        return vec![name.to_owned()];
    }
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).collect()
}

/// Whether a runtime would keep its state below `$XDG_RUNTIME_DIR`, by runc's own test: not root, or root of a user
/// namespace that a user made for himself.
#[must_use]
pub fn user_runtime_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())?;
    let of_user = || std::env::var_os("USER").is_none_or(|user| user != "root");
    (!nix::unistd::geteuid().is_root() || (in_user_namespace() && of_user())).then(|| dir.into())
}

/// user_namespaces(7): in the initial one, all ids map to themselves.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The directory in which this runtime keeps its containers, absolute and without links: `--root`, or the default of
/// runc (`/run/runc`), crun and youki.
///
/// # Errors
/// A relative root, and no working directory.
pub fn state_root(dialect: Dialect, given: Option<&Path>) -> Result<PathBuf> {
    let root = match given.filter(|root| !root.as_os_str().is_empty()) {
        Some(root) => {
            std::path::absolute(root).with_context(|| format!("cannot resolve {}", root.display()))?
        }
        None => user_runtime_dir().unwrap_or_else(|| "/run".into()).join(match dialect {
            Dialect::Runc => "runc",
            Dialect::Crun => "crun",
            Dialect::Youki => "youki",
        }),
    };
    // The root may not be there yet at the first create; what is there of it decides.
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
