//! `mount-sockets`: no bind mount is a socket or a FIFO, or brings a socket along to which somebody is bound. A
//! connection to one needs no network (`e02`: docker.sock, D-Bus, `/dev/log` and four others, read-only mounts too), and
//! descriptors of a network come back over it (`e05`).
//!
//! Whether a socket in a directory is anybody's is asked of the kernel by connecting a datagram socket to it: refused
//! means that it is a file that was left behind. A directory is searched as far as a bound goes; what is bound in it
//! later is `mount-readonly-overlay`'s part or, in a writable one, residual.

use super::{Node, Source, binds, none, plan_removal, shown, stays};
use crate::config::{Mount, View};
use crate::rules::{Rule, Subject};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-sockets",
    promise: "no mount is a socket or a FIFO, or holds a socket to which somebody is bound",
    reference: "unix(7), \"Pathname sockets\"; fifo(7); path_resolution(7)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    plan: |view, subject| plan_removal(&RULE, found(view, subject), subject),
    holds: |view, subject| none(&RULE, &found(view, subject)),
};

fn found(view: &View, subject: &Subject) -> Vec<(usize, String)> {
    let against = |(index, mount, source): (usize, &Mount, &Source)| {
        let drop = format!("drop -v {}", mount.source.as_deref().unwrap_or_default());
        let shown = shown(mount, source);
        let why = match &source.node {
            Node::Socket => format!("{shown} is a socket; {drop}"),
            Node::Fifo => format!("{shown} is a FIFO; {drop}"),
            Node::Unclear(why) => format!("cannot tell what {shown} is: {why}; {drop}"),
            Node::Directory if source.socket.is_some() && !is_of_pod(view, source, subject) => {
                format!("{shown} holds the socket {}; {drop}", source.socket.as_ref()?.display())
            }
            _ => return None,
        };
        stays(view, mount, subject).then_some((index, why))
    };
    binds(view, subject).filter_map(against).collect()
}

/// Whether a volume belongs to the container's own pod, all of which is in one sealed network.
pub(super) fn is_of_pod(view: &View, source: &Source, subject: &Subject) -> bool {
    subject.joins_sealed && pod(view).is_some_and(|pod| is_empty_dir_of(&pod, source))
}

/// The directory of the pod, told by the hosts file that kubelet gives to each of its containers.
fn pod(view: &View) -> Option<String> {
    let hosts = view.mounts.iter().flatten().find(|mount| &*mount.destination == "/etc/hosts")?;
    Some(hosts.source.as_deref()?.strip_suffix("/etc-hosts")?.to_owned())
}

/// Sockets in an emptyDir are the pod's own: its containers talk through them, and all are in one sealed network.
fn is_empty_dir_of(pod: &str, source: &Source) -> bool {
    let volumes = format!("{pod}/volumes/kubernetes.io~empty-dir/");
    source.real.to_str().is_some_and(|real| real.starts_with(&volumes))
}
