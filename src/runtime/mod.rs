//! The real runtime: where it is, where it keeps its state, and how it is exec'd in our place.

mod is_shim;
mod libseccomp;
mod runtime_state;
mod state_root;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
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
        Self::find_for(Path::new("/proc/self/exe"), wanted, is_shim::may_go_in_circles())
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
                if let Some(why) = shim.identify(&path, &meta) {
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
    pub fn stdout_of(&self, args: &[OsString]) -> Result<Vec<u8>> {
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
