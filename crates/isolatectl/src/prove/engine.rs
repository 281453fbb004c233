//! An engine as its user calls it. Everything that is made has the site's name, and is removed by it.

use std::path::Path;

use anyhow::{Result, ensure};
use oci_isolate::files;

use super::call::Called;
use super::image::CREDENTIAL_FILE;
use super::site::Site;
use super::way::{Ask, Peer};

/// An engine that prove knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EngineKind {
    Docker,
    Podman,
    Containerd,
}

impl EngineKind {
    pub(super) const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Containerd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
        }
    }

    /// Its client.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Docker | Self::Podman => self.name(),
            Self::Containerd => "ctr",
        }
    }
}

/// What a container is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    /// The last part of its name.
    pub(super) name: &'r str,
    pub(super) isolated: bool,
    pub(super) asks: &'r [Ask],
    /// What this program is told there.
    pub(super) words: &'r [&'r str],
}

/// An engine with what prove needs in it: its program, networks, and the container that answers.
pub(super) trait TriedEngine: Sync {
    fn version(&self) -> &str;

    /// The container that answers.
    fn peer(&self) -> &Peer;

    /// Whether it still runs.
    fn has_peer(&self) -> bool;

    /// Runs a container to its end.
    ///
    /// # Errors
    /// The client cannot be run.
    fn run(&self, request: &Request<'_>) -> Result<Called>;

    /// Starts a container that stays; its output is the container's id.
    ///
    /// # Errors
    /// The client cannot be run.
    fn start(&self, request: &Request<'_>) -> Result<Called>;

    /// Connects a container that runs to the second network, if there is one.
    ///
    /// # Errors
    /// It cannot be connected.
    fn connect(&self, name: &str) -> Result<()>;

    /// Runs the probe in a container that was started, with the variables that were asked for.
    ///
    /// # Errors
    /// The client cannot be run.
    fn exec(&self, request: &Request<'_>, words: &[&str]) -> Result<Called>;

    /// Ends a container that was started.
    ///
    /// # Errors
    /// The client cannot be run.
    fn remove(&self, name: &str) -> Result<()>;
}

/// Whether a process is one of a container with prove's file.
pub(super) fn is_here(pid: &str, site: &Site) -> bool {
    // Not its command line, which it has only a moment after the engine has started it.
    let file = Path::new("/proc").join(pid).join("root").join(CREDENTIAL_FILE);
    files::read(&file, files::SMALL_LIMIT)
        .is_ok_and(|file| String::from_utf8_lossy(&file.bytes).contains(&site.word))
}

/// # Errors
/// The engine's process is not the container with prove's file, as with DOCKER_HOST: what is tried would be this host's, and not be
/// there.
pub(super) fn must_be_here(pid: &str, site: &Site) -> Result<()> {
    ensure!(
        is_here(pid, site),
        "the engine is not this host's: process {pid} here is not that of its container; run prove where the engine \
         runs, without DOCKER_HOST, CONTAINER_HOST or a context"
    );
    Ok(())
}

/// Whether its client is in PATH.
pub(super) fn is_there(kind: EngineKind) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::is_file(&directory.join(kind.program())))
}
