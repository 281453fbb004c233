//! Which containers are the platform's of a pod: the record of the pod's sandbox knows. What a container's own
//! annotations claim counts only below the root of containerd's pods, where containerd writes them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{PodNetwork, Record, Slot};
use crate::policy::PlatformContainer;

/// containerd's namespace for pods, the last component of the runtime's root. Other engines, whose users choose
/// every annotation, have other roots.
const NAMESPACE: &str = "k8s.io";

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

/// Checks that a runtime's root is the one of containerd's pods.
///
/// # Errors
/// It is another engine's.
pub fn check_root(root: &Path) -> Result<()> {
    if !root.ends_with(NAMESPACE) {
        bail!(
            "platform containers are for pods of containerd, whose root ends in {NAMESPACE}, and not for {}",
            root.display()
        );
    }
    Ok(())
}

impl Sandbox {
    /// The sandbox of a container below a runtime's root that claims to be the platform's.
    ///
    /// # Errors
    /// The root is another engine's, or the sandbox is not isolated, or was created without such a container.
    pub fn of(root: &Path, container: &PlatformContainer) -> Result<Self> {
        check_root(root)?;
        let PlatformContainer { name, sandbox: id, .. } = container;
        let slot = Slot::of(root, id).with_context(|| format!("{id:?} is no sandbox's id"))?;
        let record = slot.load()?.with_context(|| {
            format!("its sandbox {id} has no record, so its pod's network is not known; delete the pod")
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
                container.sandbox,
                known.unwrap_or("none"),
                container.name
            );
        }
        Ok(())
    }
}
