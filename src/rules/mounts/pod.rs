//! Volumes of the container's own pod.

use super::MountSource;
use crate::config::View;
use crate::rules::RuleContext;

/// Whether a volume is an emptyDir of the container's own pod.
pub(super) fn is_of_pod(view: &View, source: &MountSource, context: &RuleContext) -> bool {
    context.network.is_joined() && pod(view).is_some_and(|pod| is_empty_dir_of(&pod, source))
}

/// Whether sockets in a volume are those of containers that are in one sealed network with this one: its containers
/// communicate through them. With platform containers they are not.
pub(super) fn has_sockets_of_pod(view: &View, source: &MountSource, context: &RuleContext) -> bool {
    context.policy.beside.is_none() && is_of_pod(view, source, context)
}

/// The directory of the pod, from the hosts file that kubelet gives to each of its containers.
fn pod(view: &View) -> Option<String> {
    let hosts = view.mounts.iter().flatten().find(|mount| &*mount.destination == "/etc/hosts")?;
    Some(hosts.source.as_deref()?.strip_suffix("/etc-hosts")?.to_owned())
}

fn is_empty_dir_of(pod: &str, source: &MountSource) -> bool {
    let volumes = format!("{pod}/volumes/kubernetes.io~empty-dir/");
    source.real.to_str().is_some_and(|real| real.starts_with(&volumes))
}
