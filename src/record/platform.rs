//! Which containers are the platform's of a pod: the record of the pod's sandbox knows. What a container's own
//! annotations claim counts only below the root of an engine's pods, where the engine writes them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{PodNetwork, Record, Slot};
use crate::policy::{PlatformContainer, PodEngine, PodSandbox};

/// containerd's namespace for pods, the last component of the runtime's root. Other engines, whose users choose
/// every annotation, have other roots.
const NAMESPACE: &str = "k8s.io";

/// A component of the root of a handler of CRI-O, as `isolatectl install crio` writes it. Its default, `/run/runc`, is
/// also runc's, which others use.
const CRIO: &str = "crio";

/// The sandbox of a pod with platform containers.
#[derive(Debug)]
pub struct Sandbox {
    /// Where its record is.
    pub slot: Slot,
    /// Its record.
    pub record: Record,
    /// What the record has of the pod's network.
    pub network: PodNetwork,
}

/// Checks that a runtime's root is the one of an engine's pods.
///
/// # Errors
/// It is another engine's.
pub fn check_root(root: &Path, engine: PodEngine) -> Result<()> {
    let is_crios = root.components().any(|component| component.as_os_str() == CRIO);
    match engine {
        PodEngine::Containerd if !root.ends_with(NAMESPACE) => bail!(
            "platform containers of containerd have a root that ends in {NAMESPACE}, and not {}",
            root.display()
        ),
        PodEngine::Crio if !is_crios => bail!(
            "platform containers of CRI-O need a root of their handler with a directory {CRIO}, and not {}; set runtime_root \
             = \"/run/crio/oci-isolate\" for the handler, when no container uses it",
            root.display()
        ),
        PodEngine::Containerd | PodEngine::Crio => Ok(()),
    }
}

impl Sandbox {
    /// The sandbox of a container below a runtime's root that claims to be the platform's.
    ///
    /// # Errors
    /// The root is another engine's, or the sandbox is not isolated, or was created without such a container.
    pub fn of(root: &Path, container: &PlatformContainer) -> Result<Self> {
        let PlatformContainer { name, sandbox: PodSandbox { engine, id }, .. } = container;
        check_root(root, *engine)?;
        let slot = Slot::of(root, id).with_context(|| format!("{id:?} is no sandbox's id"))?;
        let record = slot.load()?.with_context(|| {
            format!("its sandbox {id} has no record, so its pod's network is not known; {}", remedy(*engine))
        })?;
        let knows = |network: &PodNetwork| network.containers.contains_key(name);
        let network = record.pod_network.clone().filter(knows).with_context(|| {
            format!(
                "its sandbox {id} was created without {name} as a platform container; create the pod again"
            )
        })?;
        Ok(Self { slot, record, network })
    }

    /// Checks that a container of this id was created as the platform's.
    ///
    /// # Errors
    /// It was not, or another one of this name was created after it.
    pub fn check_created(&self, container: &PlatformContainer, id: &str) -> Result<()> {
        let known = self.network.containers.get(&container.name).and_then(Option::as_deref);
        if known != Some(id) {
            bail!(
                "the record of its sandbox {} knows {} as its pod's platform container {}; delete it and create it again",
                container.sandbox.id,
                known.unwrap_or("none"),
                container.name
            );
        }
        Ok(())
    }
}

/// What to do about a sandbox without a record.
pub fn remedy(engine: PodEngine) -> &'static str {
    match engine {
        PodEngine::Containerd => "delete the pod",
        PodEngine::Crio => {
            "set drop_infra_ctr = false in CRI-O's settings, so that a pod has a sandbox, and create the pod again"
        }
    }
}
