//! The bundle of a container to be created: its `config.json` is read and decided upon; for an isolated
//! container the host is inspected and the rules are applied to the document. The shim does so before it
//! writes anything, and `isolatectl check` does the same and writes nothing.
//!
//! Reads only: nothing is created, locked or written here but the new text, into a file that the caller gives; and
//! nothing is taken from the calling process' environment or descriptors, which are the shim's.

mod credential_files;
mod engine_image;
mod host_facts;
mod kept_netns;
mod mount_sources;
mod mount_table;
pub mod name_servers;
mod network;
mod observe;
mod path_fd;
mod platform;
mod platform_program;
mod pod;
mod prober;
mod resource_config;
mod root_fs;
mod root_source;
mod settings;
mod socket_search;
mod tree;
mod unix_socket;
mod user_namespace;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{self, Document, Kind, View};
use crate::files::{self, Snapshot};
use crate::job;
use crate::policy::{self, Decision, Image, PlatformContainer, PodEngine, Policy, Workload};
use crate::proc::Inode;
use crate::record::{Pod, PodNetwork};
use crate::rewrite::{AppliedChange, Planned, Proven, prove_text, prove_view};
use crate::rules::{RuleContext, SealHook, seccomp};
use crate::seal::OpenNetns;

use host_facts::Pods;
use root_fs::RootFs;

pub use engine_image::engine_image;
pub use host_facts::{core_dumps, drivers_of, is_initial};
pub use kept_netns::sealed_netns;
pub use observe::IsolationPreview;
pub use path_fd::PathFd;
pub use settings::{load_settings, settings_path};

/// A bundle as passed by an engine.
#[derive(Debug)]
pub struct Bundle {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// Its configuration as it was read.
    pub config: Snapshot,
}

/// An isolated container that can be created: every rule holds on the resulting text.
#[derive(Debug)]
pub struct Prepared<D> {
    /// The root file system.
    pub rootfs: Inode,
    /// The network namespace that the container gets, if it existed before
    /// ([`crate::rules::Network::given`]).
    pub netns: Option<OpenNetns>,
    /// Of a sandbox with platform containers: the network that they keep.
    pub pod_network: Option<PodNetwork>,
    /// For a member of a job: its names.
    pub names: Names,
    /// With openings for peers: the name servers that the container uses.
    pub name_servers: BTreeSet<IpAddr>,
    /// Whether its seccomp profile allows by default.
    pub names_what_it_denies: bool,
    /// What the rules were applied to.
    pub subject: RuleContext,
    /// What was changed.
    pub applied: Vec<AppliedChange>,
    /// What was found in the resulting text.
    pub proven: Proven,
    /// The file with the new text; `None` when nothing had to change.
    pub draft: Option<D>,
}

/// What a member of a job is called, and where it finds the others.
#[derive(Debug, Default)]
pub struct Names {
    /// The host name of its configuration.
    pub host_name: Option<String>,
    /// The name that SageMaker's contract gives it.
    pub current_host: Option<String>,
    /// The source of its mount at `/etc/hosts`.
    pub hosts: Option<PathBuf>,
    /// Its pod.
    pub pod: Option<Pod>,
}

impl Bundle {
    /// Reads the configuration of the bundle in a directory; crun's `--config` names another file, relative
    /// to the working directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(directory: &Path, config: Option<&Path>) -> Result<Self> {
        let path = std::path::absolute(directory).context("cannot determine the bundle's directory")?;
        let config = config.map_or_else(|| path.join("config.json"), PathBuf::from);
        Ok(Self { config: files::read(&config, files::DOCUMENT_LIMIT)?, path })
    }

    /// Decides by the annotations, and by the environment if the settings refer to it; reads nothing else of the
    /// configuration.
    ///
    /// # Errors
    /// They cannot be read with certainty.
    pub fn decide(&self, settings: &crate::settings::Settings) -> Result<Decision> {
        let annotations = self.certain(config::annotations(&self.config.bytes))?;
        let environment = match policy::reads_environment(settings) {
            true => self.certain(config::environment(&self.config.bytes))?,
            false => Vec::new(),
        };
        Ok(policy::decide(settings, &annotations, &environment))
    }

    /// The names that Kubernetes has for the container, as far as its annotations can be read.
    #[must_use]
    pub fn workload(&self) -> Option<Workload> {
        config::annotations(&self.config.bytes).ok().and_then(|annotations| Workload::of(&annotations))
    }

    /// The image of the container and the engine that names it, as far as its annotations can be read.
    #[must_use]
    pub fn image(&self) -> Option<(Image, PodEngine)> {
        config::annotations(&self.config.bytes).ok().and_then(|annotations| Image::of(&annotations))
    }

    /// Makes the configuration of an isolated container; with a `hook` if there is no `start` to seal in. Its text
    /// is written into a new file, the old one is dropped with the bundle, and the rules are verified on what the
    /// file holds: a large text is in memory once.
    ///
    /// # Errors
    /// The container cannot be isolated; the message is shown to its user.
    pub fn prepare<D: Borrow<File>>(
        mut self,
        policy: Policy,
        hook: Option<SealHook>,
        draft: impl FnOnce(&Snapshot) -> Result<D>,
    ) -> Result<Prepared<D>> {
        let document = self.certain(Document::parse(Kind::Config, &self.config.bytes))?;
        let view = self.certain(document.view())?;
        let (network, netns) = network::decide(&view, &policy)?;
        let pod_network = network::of_pod(&view, &policy, &network)?;
        if let Some(netns) = netns.as_ref().filter(|_| network.is_joined()) {
            network::check_pod(&policy, netns)?;
        }
        let (path, root) = self.rootfs(&view)?;
        let pods = match &pod_network {
            Some(_) => Pods::Begins,
            None => netns.as_ref().map_or(Pods::None, |netns| Pods::In(netns.id())),
        };
        let host = host_facts::gather(&view, &self.path, &root, pods)?;
        let names = match policy.openings.job {
            Some(_) => self.names(&view)?,
            None => Names::default(),
        };
        let name_servers = match policy.openings.has_peers() {
            true => name_servers::of_bundle(&view, &self.path, &path)?,
            false => BTreeSet::new(),
        };
        let rootfs = Inode::from(&root.stat);
        let subject = RuleContext { policy, network, host, hook };
        let names_what_it_denies = seccomp::names_what_it_denies(&view);
        let planned = Planned::of(Kind::Config, &view, &subject)?;
        let mut written = None;
        let proven = match planned.edits() {
            None => prove_view(Kind::Config, &view, &subject)?,
            Some(edits) => {
                let draft = written.insert(draft(&self.config)?);
                let shown = || format!("cannot write {}", self.config.path().display());
                let length = files::write_text((*draft).borrow(), |text| document.write(edits, text));
                let length = length.with_context(shown)?;
                drop((document, view));
                self.config.bytes = Vec::new();
                let shown = || format!("cannot read back {}", self.config.path().display());
                let text = files::read_back((*draft).borrow(), length).with_context(shown)?;
                prove_text(Kind::Config, &text, &subject)?
            }
        };
        let proven = planned.found(proven);
        Ok(Prepared {
            rootfs,
            netns,
            pod_network,
            names,
            name_servers,
            names_what_it_denies,
            subject,
            applied: planned.applied,
            proven,
            draft: written,
        })
    }

    /// Makes the configuration of a platform container: it joins the network namespace at `network`, and shares
    /// with the isolated containers of its pod volumes and names only. `shm` is the pod's `/dev/shm`. Also why it is
    /// the pod author's own, if it is.
    ///
    /// # Errors
    /// It would share more, or a setting demands its isolation and it is the author's own.
    pub fn prepare_platform(
        &self,
        container: &PlatformContainer,
        network: &Path,
        shm: Inode,
    ) -> Result<(Vec<u8>, Option<String>)> {
        platform::bound(platform::separated(&self.config, network, shm)?, container)
    }

    /// Whether [`Self::prepare_platform`] is possible, as far as no record of the pod is needed, and why the container
    /// is the pod author's own, if it is.
    ///
    /// # Errors
    /// The container would share namespaces of the isolated ones, or a setting demands its isolation and it is the
    /// author's own.
    pub fn check_platform(&self, container: &PlatformContainer) -> Result<Option<String>> {
        platform::check_namespaces(&self.config)?;
        platform::bound(self.config.bytes.clone(), container).map(|(_, own)| own)
    }

    fn names(&self, view: &View) -> Result<Names> {
        Ok(Names {
            host_name: view.hostname.as_deref().map(str::to_owned),
            current_host: resource_config::current_host(view, &self.path)?,
            hosts: job::hosts_source(view, &self.path),
            pod: pod::of(view)?,
        })
    }

    /// The root file system, and its path as the runtime will resolve it.
    fn rootfs(&self, view: &View) -> Result<(PathBuf, RootFs)> {
        let Some(root) = &view.root else { bail!("config.json has no root") };
        let path = self.path.join(&root.path);
        let opened = RootFs::open(&path)?;
        Ok((path, opened))
    }

    fn certain<T>(&self, result: Result<T, config::Unreadable>) -> Result<T> {
        result.with_context(|| format!("cannot read {} with certainty", self.config.path().display()))
    }
}
