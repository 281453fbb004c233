//! Volumes of the container's own pod.

use super::MountSource;
use crate::config::View;
use crate::rules::RuleContext;

/// Whether a volume belongs to the container's own pod, whose containers are all in one sealed network: with
/// platform containers they are not.
pub(super) fn is_of_pod(view: &View, source: &MountSource, context: &RuleContext) -> bool {
    context.network.is_joined()
        && context.policy.platform.is_empty()
        && pod(view).is_some_and(|pod| is_empty_dir_of(&pod, source))
}

/// The directory of the pod, from the hosts file that kubelet gives to each of its containers.
fn pod(view: &View) -> Option<String> {
    let hosts = view.mounts.iter().flatten().find(|mount| &*mount.destination == "/etc/hosts")?;
    Some(hosts.source.as_deref()?.strip_suffix("/etc-hosts")?.to_owned())
}

/// Sockets in an emptyDir are the pod's own: its containers communicate through them, and all are in one
/// sealed network.
fn is_empty_dir_of(pod: &str, source: &MountSource) -> bool {
    let volumes = format!("{pod}/volumes/kubernetes.io~empty-dir/");
    source.real.to_str().is_some_and(|real| real.starts_with(&volumes))
}
