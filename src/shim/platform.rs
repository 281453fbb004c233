//! A platform container: it is not isolated, and joins the network that the engine made for its pod, which is in
//! the record of the pod's sandbox. The sandbox and all other containers of the pod are isolated.

use std::convert::Infallible;

use anyhow::{Context, Result, bail};

use super::RuntimeCall;
use crate::audit::{Line, Outcome};
use crate::bundle::Bundle;
use crate::invocation::Verb;
use crate::policy::PlatformContainer;
use crate::proc::{Dir, Inode};
use crate::record::{PodNetwork, Sandbox, Slot};
use crate::runtime::RuntimeState;

pub(super) fn create(
    call: &RuntimeCall,
    bundle: &Bundle,
    container: &PlatformContainer,
) -> Result<Infallible> {
    if call.invocation.verb != Verb::Create {
        bail!("a platform container is made by create, and not by {}", call.invocation.verb.word());
    }
    let Some(slot) = call.slot()? else { bail!("a container cannot have that id") };
    let pod = PodOfCall::of(call, container)?;
    pod.network.open()?;
    let text = bundle.prepare_platform(&pod.network.at, pod.network.shm)?;
    slot.remove_stale()?;
    pod.slot.name_platform_container(&container.name, &call.invocation.id.to_string_lossy())?;
    call.audit(Line { why: Some(&container.why), ..Line::of(Outcome::Platform) })?;
    bundle.config.replace(&text)?;
    call.runtime.exec(call.args, &[])
}

/// Checks a platform container that is about to be started: its namespaces were named by paths.
///
/// # Errors
/// It is in another network, or in a namespace of the isolated containers.
pub(super) fn check_start(
    call: &RuntimeCall,
    container: &PlatformContainer,
    state: &RuntimeState,
) -> Result<()> {
    let pod = PodOfCall::of(call, container)?;
    let init = Dir::of(state.init()?.pid);
    if init.ns("net").context("cannot determine its network namespace")? != pod.network.netns.into() {
        bail!("it is not in the network namespace of its pod");
    }
    for kind in ["ipc", "pid", "mnt"] {
        if init.ns(kind)? == pod.sandbox.ns(kind)? {
            bail!("it is in the {kind} namespace of the isolated containers of its pod");
        }
    }
    // Not there in an image without one.
    if Inode::of(&init.path().join("root/dev/shm")).is_ok_and(|shm| shm == pod.network.shm) {
        bail!("it has the /dev/shm of the isolated containers of its pod");
    }
    Ok(())
}

/// A pod with platform containers.
struct PodOfCall {
    slot: Slot,
    network: PodNetwork,
    /// The sandbox's process.
    sandbox: Dir,
}

impl PodOfCall {
    /// The pod of a container.
    ///
    /// # Errors
    /// Its sandbox is not isolated, has ended, or does not know the container.
    fn of(call: &RuntimeCall, container: &PlatformContainer) -> Result<Self> {
        let Sandbox { slot, record, network } = Sandbox::of(&call.root()?, container)?;
        let init = record.init.filter(|init| init.runs());
        let init = init.with_context(|| format!("its sandbox {} does not run", container.sandbox))?;
        Ok(Self { slot, network, sandbox: init.dir() })
    }
}
