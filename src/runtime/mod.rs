//! The real runtime: its path, its state directory, and how it replaces this process.

mod is_shim;
mod libseccomp;
mod runtime_state;
mod state_root;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access, execv, execve};

use crate::invocation::Dialect;

pub use libseccomp::Libseccomp;
pub use runtime_state::RuntimeState;
pub use state_root::{runtime_dir, state_root, user_runtime_dir};

use is_shim::Shim;

/// Where runtimes given by name are searched. `PATH` is not used: conmon calls `delete` with an empty
/// environment, and `create` and `delete` must find the same program.
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
    /// Finds the first of the wanted runtimes that exists, is executable and is not this program under
    /// another name: the shim may be installed as `runc`. Other builds of the shim are detected once the two
    /// have called each other for a while.
    ///
    /// # Errors
    /// There is none; the message lists the paths that were tried.
    pub fn find(wanted: &[PathBuf]) -> Result<Self> {
        Self::find_for(Path::new("/proc/self/exe"), wanted, is_shim::may_go_in_circles())
    }

    /// The runtime that the shim at this path would find; `thoroughly` also excludes other builds of the
    /// shim.
    ///
    /// # Errors
    /// As [`Runtime::find`].
    pub fn find_for(shim: &Path, wanted: &[PathBuf], thoroughly: bool) -> Result<Self> {
        let meta = std::fs::metadata(shim).with_context(|| format!("cannot inspect {}", shim.display()))?;
        let shim = Shim { path: shim, meta, thoroughly };
        let mut looked = Vec::new();
        for name in wanted {
            for path in candidates(name) {
                let Ok((meta, is_link)) = inspect(&path) else {
                    looked.push(format!("{} (missing)", path.display()));
                    continue;
                };
                if let Some(why) = shim.identify(&path, &meta) {
                    looked.push(format!("{} ({why})", path.display()));
                } else if !meta.is_file() || access(&path, AccessFlags::X_OK).is_err() {
                    looked.push(format!("{} (not executable)", path.display()));
                } else {
                    let dialect = if is_link { dialect_of(&path) } else { dialect_of_name(&path) };
                    return Ok(Self { dialect, path });
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

    /// Replaces this process by the runtime, with the same descriptors. Returns only on failure.
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
        // Not std's exec, which passes a file that is not a program to /bin/sh and clears the signal mask.
        let error = match rest {
            Some(environment) => execve(&path, &argv, &environment),
            None => execv(&path, &argv),
        };
        error.map_err(io::Error::from).with_context(|| format!("cannot exec {shown}"))
    }

    /// Runs the runtime and waits for it, where there is something left to do afterwards.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, args: &[OsString]) -> Result<ExitStatus> {
        Command::new(&self.path)
            .args(args)
            .status()
            .with_context(|| format!("cannot run {}", self.path.display()))
    }

    /// The runtime's stdout; its stderr is discarded.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stdout_of(&self, args: &[OsString]) -> Result<Vec<u8>> {
        let output = Command::new(&self.path).args(args).stdin(Stdio::null()).output();
        Ok(output.with_context(|| format!("cannot run {}", self.path.display()))?.stdout)
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).context("an argument has a NUL in it")
}

/// How a runtime reads its command line, identified by the name of the file behind all links: `runc` may be a
/// link to crun.
#[must_use]
pub fn dialect_of(path: &Path) -> Dialect {
    // Links among the directories lead to a file of the same name.
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let file = if is_link { std::fs::canonicalize(path).ok() } else { None };
    dialect_of_name(file.as_deref().unwrap_or(path))
}

/// The same of a file that is no link.
fn dialect_of_name(path: &Path) -> Dialect {
    Dialect::of(path.file_name().unwrap_or_default())
}

/// The file behind a path, and whether the path is a link to it.
fn inspect(path: &Path) -> io::Result<(Metadata, bool)> {
    let found = std::fs::symlink_metadata(path)?;
    let is_link = found.is_symlink();
    Ok((if is_link { std::fs::metadata(path)? } else { found }, is_link))
}

fn candidates(name: &Path) -> Vec<PathBuf> {
    if name.is_absolute() {
        return vec![name.to_owned()];
    }
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).collect()
}
