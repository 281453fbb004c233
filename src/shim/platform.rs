//! A platform container: it is not isolated, and joins the network that the engine made for its pod, which is in
//! the record of the pod's sandbox. The sandbox and all other containers of the pod are isolated.

use std::convert::Infallible;

use anyhow::{Context, Result, bail};

use super::RuntimeCall;
use crate::audit::{Line, Outcome};
use crate::bundle::Bundle;
use crate::invocation::Verb;
use crate::policy::{Demand, PLATFORM, PlatformContainer, PodSandbox};
use crate::proc::{Dir, Inode};
use crate::record::{PodNetwork, Sandbox, Slot, check_root};
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
    let (text, own) = bundle.prepare_platform(container, &pod.network.at, pod.network.shm)?;
    slot.remove_stale()?;
    let id = call.invocation.id.to_string_lossy().into_owned();
    let is_own = own.is_some();
    pod.slot.change_pod_network(|network| {
        own.map_or(Ok(()), |own| network.admit_own(own))?;
        network.containers.insert(container.name.clone(), Some(id));
        Ok(())
    })?;
    let why = if is_own { format!("annotation {PLATFORM}") } else { container.why.clone() };
    call.audit(Line { why: Some(&why), ..Line::of(Outcome::Platform) })?;
    bundle.config.replace(&text)?;
    call.runtime.exec(call.args, &[])
}

/// Notes with the sandbox that a setting demands the isolation of this container of its pod.
///
/// # Errors
/// A platform container of the pod is its author's own, or what platform containers it has is not known.
pub(super) fn demand(call: &RuntimeCall, Demand { why, sandbox }: &Demand, beside: bool) -> Result<()> {
    let root = call.root()?;
    let is_there = |sandbox: &&PodSandbox| check_root(&root, sandbox.engine).is_ok();
    let Some(PodSandbox { id, .. }) = sandbox.as_ref().filter(is_there) else { return Ok(()) };
    let slot = Slot::of(&root, id).with_context(|| format!("{id:?} is no sandbox's id"))?;
    let has_network = slot.load()?.is_some_and(|record| record.pod_network.is_some());
    // That of a pod without platform containers.
    if !has_network && !beside {
        return Ok(());
    }
    let demanded = format!("container {} ({why})", call.invocation.id.to_string_lossy());
    slot.change_pod_network(|network| network.demand(demanded))
}

/// A program that is executed in a platform container is the author's own: of probes and lifecycle hooks, too.
///
/// # Errors
/// A setting demands the isolation of the container, or of another one of its pod.
pub(super) fn check_exec(call: &RuntimeCall, container: &PlatformContainer) -> Result<()> {
    let PlatformContainer { name, sandbox, demanded, .. } = container;
    if let Some(demanded) = demanded {
        bail!(
            "container {name} must be isolated ({demanded}) unless it runs the platform's program, so there is no exec in it"
        );
    }
    let Some(slot) = Slot::of(&call.root()?, &sandbox.id) else { return Ok(()) };
    let Some(network) = slot.load()?.and_then(|record| record.pod_network) else { return Ok(()) };
    if network.own.is_some() && network.demanded.is_none() {
        return Ok(());
    }
    slot.change_pod_network(|network| {
        network.admit_own(format!("exec in container {name} runs a program that is not the platform's"))
    })
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
        let init = init.with_context(|| format!("its sandbox {} does not run", container.sandbox.id))?;
        Ok(Self { slot, network, sandbox: init.dir() })
    }
}
