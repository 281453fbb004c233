//! What becomes of a bundle: its `config.json` is read and decided upon, and for an isolated container the machine is
//! looked at and the rules are folded over the document. The shim does so before it writes anything, and
//! `isolatectl check` does so and writes nothing.
//!
//! Reads only: nothing is made, locked or written here, and nothing is taken from the calling process' environment or
//! descriptors, which are the shim's.

mod bound;
mod homes;
mod mounted;
mod mountinfo;
pub mod name_servers;
mod network;
mod open;
mod prober;
mod root;
mod root_source;
mod search;
mod settings;
mod sources;
mod tree;
mod users;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{self, Document, Kind, View};
use crate::files::{self, Snapshot};
use crate::peers;
use crate::policy::{self, Decision, Policy};
use crate::proc::Inode;
use crate::rewrite::{Rewritten, rewrite};
use crate::rules::{RuleContext, SealHook, seccomp};
use crate::seal::OpenNetns;

pub use mountinfo::{Mount, mounts};
pub use open::Opened;
pub use settings::settings;
pub use world::{core_dumps, drivers_of, is_initial};

/// A bundle as an engine hands it over.
#[derive(Debug)]
pub struct Bundle {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// Its configuration as it was read.
    pub config: Snapshot,
}

/// An isolated container that could be created: every rule holds on the text that came out.
#[derive(Debug)]
pub struct Prepared {
    /// The root file system.
    pub rootfs: Inode,
    /// The network namespace that the container gets, if it was there before it ([`crate::rules::Network::given`]).
    pub netns: Option<OpenNetns>,
    /// Of a member of a job: its host name, and what is mounted at its `/etc/hosts`.
    pub names: (Option<String>, Option<PathBuf>),
    /// Where something is open to peers: the name servers that the container finds.
    pub name_servers: BTreeSet<IpAddr>,
    /// Whether its profile of system calls allows what it does not name.
    pub names_what_it_denies: bool,
    /// What the rules were applied to.
    pub subject: RuleContext,
    /// The configuration that it gets.
    pub rewritten: Rewritten,
}

impl Bundle {
    /// Reads the configuration of the bundle in a directory; crun's `--config` names another one, relative to the
    /// working directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(directory: &Path, config: Option<&Path>) -> Result<Self> {
        let path = std::path::absolute(directory).context("cannot tell the bundle's directory")?;
        let config = config.map_or_else(|| path.join("config.json"), PathBuf::from);
        Ok(Self { config: files::read(&config, files::DOCUMENT_LIMIT)?, path })
    }

    /// Decides by the annotations, and looks at nothing else of the configuration.
    ///
    /// # Errors
    /// They cannot be read with certainty.
    pub fn decide(&self, settings: &crate::settings::Settings) -> Result<Decision> {
        let annotations = self.certain(config::annotations(&self.config.bytes))?;
        Ok(policy::decide(settings, &annotations))
    }

    /// Makes the configuration of an isolated container; with a `hook` where there is no `start` to seal in.
    ///
    /// # Errors
    /// The container cannot be isolated; the message is what its user is told.
    pub fn prepare(&self, policy: Policy, hook: Option<SealHook>) -> Result<Prepared> {
        let document = self.certain(Document::parse(Kind::Config, &self.config.bytes))?;
        let view = self.certain(document.view())?;
        let (network, netns) = network::decide(&view, &policy.openings)?;
        let (root, rootfs) = self.rootfs(&view)?;
        let host = world::look(&view, &self.path, &root, netns.as_ref().map(OpenNetns::id))?;
        let names = policy.openings.job.is_some().then(|| peers::given(&view, &self.path));
        let name_servers = match policy.openings.has_peers() {
            true => name_servers::of_bundle(&view, &self.path, &root)?,
            false => BTreeSet::new(),
        };
        let subject = RuleContext { policy, network, host, hook };
        let names_what_it_denies = seccomp::names_what_it_denies(&view);
        let rewritten = rewrite(document, view, &subject)?;
        let names = names.unwrap_or_default();
        Ok(Prepared { rootfs, netns, names, name_servers, names_what_it_denies, subject, rewritten })
    }

    fn rootfs(&self, view: &View) -> Result<(PathBuf, Inode)> {
        let Some(root) = &view.root else { bail!("config.json has no root") };
        let path = self.path.join(&root.path);
        let root = Inode::of(&path);
        let root = root.with_context(|| format!("cannot look at the root {}", path.display()))?;
        Ok((path, root))
    }

    fn certain<T>(&self, result: Result<T, config::Unreadable>) -> Result<T> {
        result.with_context(|| format!("cannot read {} with certainty", self.config.path().display()))
    }
}
