//! `network-namespace`: the container gets a network namespace of its own, made empty by the runtime, or joins one
//! that was sealed before. Where something stays open, the engine's namespace is kept and sealed in place instead.

use std::path::PathBuf;

use oci_spec::runtime::LinuxNamespaceType;
use serde_json::json;

use super::{RefusedBy, Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "network-namespace",
    promise: "the container has a network namespace of its own, or one that was sealed before",
    reference: "runtime-spec, config-linux.md, \"Namespaces\"; network_namespaces(7)",
    process: false,
    answers: &[Answer::Set],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

pub(super) const NET_DEVICES: Rule = Rule {
    name: "net-devices",
    promise: "the runtime moves no interface of the host into the container",
    reference: "runtime-spec 1.3, config-linux.md, \"Network Devices\"",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip],
    refused_by: RefusedBy::Holds,
    plan: |view, _| {
        let edit = |name: &str| Edit {
            at: Pointer::to(&["linux", "netDevices"]),
            change: Change::Remove,
            says: format!("removed netDevices ({name})"),
        };
        Ok(net_device(view).map(edit).into_iter().collect())
    },
    holds: |view, _| match net_device(view) {
        None => Ok(()),
        Some(name) => {
            Err(Violation::of(&NET_DEVICES, format!("interface {name} of the host would be moved in")))
        }
    },
};

fn net_device<'v>(view: &'v View) -> Option<&'v str> {
    view.linux.as_ref()?.net_devices.as_ref()?.keys().next().map(String::as_str)
}

const NAMESPACES: [&str; 2] = ["linux", "namespaces"];

/// The network that a container would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The caller's, since no namespace is given.
    Host,
    /// That of a new namespace, by the entry with this index.
    New(usize),
    /// That of the namespace at this path, by the entry with this index.
    At(usize, PathBuf),
}

/// Reads which network a configuration asks for.
///
/// # Errors
/// There is no `linux` section, or several network namespaces.
pub fn network(view: &View) -> Result<Network, Violation> {
    let Some(linux) = &view.linux else {
        return Err(Violation::of(&RULE, "there is no linux section, so no namespace can be given"));
    };
    let entries = linux.namespaces.iter().flatten().enumerate();
    let mut entries = entries.filter(|(_, n)| n.typ() == LinuxNamespaceType::Network);
    let Some((index, entry)) = entries.next() else { return Ok(Network::Host) };
    if entries.next().is_some() {
        return Err(Violation::of(
            &RULE,
            "several network namespaces are given; runtimes differ on which one they take",
        ));
    }
    // runc and crun take an empty path for none.
    let path = entry.path().as_ref().filter(|path| !path.as_os_str().is_empty());
    Ok(path.map_or(Network::New(index), |path| Network::At(index, path.clone())))
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    Ok(match network(view)? {
        Network::Host if of_a_pod(view) => return Err(Violation::of(&RULE, HOST_NETWORK)),
        Network::Host if !subject.policy.openings.is_empty() => return Err(opened_host()),
        Network::Host => vec![Edit {
            at: Pointer::to(&NAMESPACES),
            change: Change::Append(json!({"type": "network"})),
            says: "added an empty network namespace in place of the host's".into(),
        }],
        Network::At(index, _) if !stays(subject) => vec![Edit {
            at: Pointer::to(&NAMESPACES).item(index).member("path"),
            change: Change::Remove,
            says: "replaced the network namespace given by path by an empty one".into(),
        }],
        Network::New(_) | Network::At(..) => Vec::new(),
    })
}

const HOST_NETWORK: &str = "the pod has the node's network; drop hostNetwork: true";

/// Whether the container is part of a Kubernetes pod, by what containerd's CRI plugin and CRI-O say of it. With the
/// node's network each of them would get a namespace of its own, and they would share no localhost.
fn of_a_pod(view: &View) -> bool {
    const KIND: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
    view.annotations.iter().flatten().any(|(name, _)| KIND.contains(&&**name))
}

/// Whether the container is part of a pod of CRI-O. It makes a pod's network and IPC namespaces before there is any
/// container in them, keeps them by path (`pinns`), and mostly starts none of its own to hold them. Podman uses the same
/// annotations but for this value.
#[must_use]
pub fn of_a_pinned_pod(view: &View) -> bool {
    let mut all = view.annotations.iter().flatten();
    all.any(|(name, value)| (&**name, &**value) == ("io.container.manager", "cri-o"))
}

fn holds(view: &View, subject: &Subject) -> Result<(), Violation> {
    match network(view)? {
        Network::Host if of_a_pod(view) => Err(Violation::of(&RULE, HOST_NETWORK)),
        Network::Host if !subject.policy.openings.is_empty() => Err(opened_host()),
        Network::Host => Err(Violation::of(&RULE, "the network namespace is the host's")),
        Network::At(_, path) if !stays(subject) => {
            Err(Violation::of(&RULE, format!("the network namespace {} was not sealed", path.display())))
        }
        Network::New(_) | Network::At(..) => Ok(()),
    }
}

/// Whether the namespace that is named by path is the container's.
fn stays(subject: &Subject) -> bool {
    subject.joins_sealed || subject.world.keeps_network
}

fn opened_host() -> Violation {
    let why = "the network namespace is the host's, and nothing can be opened in that; drop --network=host";
    Violation::of(&RULE, why)
}
