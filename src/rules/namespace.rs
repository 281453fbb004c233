//! `network-namespace`: the container gets a network namespace of its own, made empty by the runtime, or
//! joins one that is sealed already. If there are openings, the engine's namespace is kept and sealed in
//! place instead.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxNamespaceType;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, JsonText, Pointer, View};
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
            op: EditOp::Remove,
            description: format!("removed netDevices ({name})"),
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

/// What becomes of the network that the engine requested. [`crate::bundle`] decides it at `create`, and the
/// record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Network {
    /// The runtime makes a new namespace, as configured.
    New,
    /// A new namespace replaces the host's, or one that is given by path.
    Replaced {
        /// The addresses of the replaced one; the container keeps them on `lo`.
        addresses: Vec<IpAddr>,
    },
    /// The container joins the namespace of another isolated container, which is sealed.
    Joined {
        /// The path in its configuration.
        at: PathBuf,
    },
    /// The namespace that is given by path is kept and sealed in place: there are openings, or it is a pod's.
    SealedInPlace {
        /// The path in its configuration.
        at: PathBuf,
    },
}

impl Network {
    /// Whether the container joins a namespace that was sealed for another.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        matches!(self, Self::Joined { .. })
    }

    /// The path of the namespace of the container, if it existed before.
    #[must_use]
    pub fn given(&self) -> Option<&Path> {
        match self {
            Self::New | Self::Replaced { .. } => None,
            Self::Joined { at } | Self::SealedInPlace { at } => Some(at),
        }
    }

    /// The addresses of a replaced network, which the container keeps on `lo`.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Replaced { addresses } => addresses,
            Self::New | Self::Joined { .. } | Self::SealedInPlace { .. } => &[],
        }
    }
}

/// The network that a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedNetwork {
    /// The caller's: no namespace is given.
    Host,
    /// A new namespace, by the entry with this index.
    New(usize),
    /// The namespace at this path, by the entry with this index.
    At(usize, PathBuf),
}

/// The network that a configuration asks for.
///
/// # Errors
/// There is no `linux` section, or several network namespaces.
pub fn requested_network(view: &View) -> Result<RequestedNetwork, Violation> {
    let Some(linux) = &view.linux else {
        return Err(Violation::of(&RULE, "there is no linux section, so no namespace can be given"));
    };
    let entries = linux.namespaces.iter().flatten().enumerate();
    let mut entries = entries.filter(|(_, n)| n.typ() == LinuxNamespaceType::Network);
    let Some((index, entry)) = entries.next() else { return Ok(RequestedNetwork::Host) };
    if entries.next().is_some() {
        return Err(Violation::of(
            &RULE,
            "several network namespaces are given; runtimes differ on which one they take",
        ));
    }
    // To runc and crun an empty path is none.
    let path = entry.path().as_ref().filter(|path| !path.as_os_str().is_empty());
    Ok(path.map_or(RequestedNetwork::New(index), |path| RequestedNetwork::At(index, path.clone())))
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    Ok(match requested_network(view)? {
        RequestedNetwork::Host if of_a_pod(view) => return Err(Violation::of(&RULE, HOST_NETWORK)),
        RequestedNetwork::Host if !context.policy.openings.is_empty() => return Err(opened_host()),
        RequestedNetwork::Host => vec![Edit {
            at: Pointer::to(&NAMESPACES),
            op: EditOp::Append(json!({"type": "network"})),
            description: "added an empty network namespace in place of the host's".into(),
        }],
        RequestedNetwork::At(index, path) if !stays(&path, context) => {
            let at = Pointer::to(&NAMESPACES).item(index).member("path");
            vec![match &context.network {
                Network::Joined { at: joined } => Edit {
                    at,
                    op: EditOp::Set(JsonText::of(joined)),
                    description: "replaced the pod's network namespace by that of its isolated sandbox"
                        .into(),
                },
                _ => Edit {
                    at,
                    op: EditOp::Remove,
                    description: "replaced the network namespace given by path by an empty one".into(),
                },
            }]
        }
        RequestedNetwork::New(_) | RequestedNetwork::At(..) => Vec::new(),
    })
}

const HOST_NETWORK: &str = "the pod has the node's network; drop hostNetwork: true";

/// Whether the container is part of a Kubernetes pod, by the annotations of containerd's CRI plugin and
/// CRI-O. With the node's network each container of a pod would get a namespace of its own, and they would
/// share no localhost.
fn of_a_pod(view: &View) -> bool {
    const KIND: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
    view.annotations.iter().flatten().any(|(name, _)| KIND.contains(&&**name))
}

/// Whether it is the sandbox of a pod of containerd's CRI plugin or of CRI-O.
#[must_use]
pub fn is_sandbox(view: &View) -> bool {
    const KIND: [(&str, &str); 2] =
        [("io.kubernetes.cri.container-type", "sandbox"), ("io.kubernetes.cri-o.ContainerType", "sandbox")];
    view.annotations.iter().flatten().any(|(name, value)| KIND.contains(&(&**name, &**value)))
}

/// Whether the container is part of a pod of CRI-O. It makes a pod's network and IPC namespaces before there
/// is any container in them, keeps them by path (`pinns`), and usually starts no container of its own to hold
/// them. Podman uses the same annotations, but not this value.
#[must_use]
pub fn of_a_pinned_pod(view: &View) -> bool {
    let mut all = view.annotations.iter().flatten();
    all.any(|(name, value)| (&**name, &**value) == ("io.container.manager", "cri-o"))
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    match requested_network(view)? {
        RequestedNetwork::Host if of_a_pod(view) => Err(Violation::of(&RULE, HOST_NETWORK)),
        RequestedNetwork::Host if !context.policy.openings.is_empty() => Err(opened_host()),
        RequestedNetwork::Host => Err(Violation::of(&RULE, "the network namespace is the host's")),
        RequestedNetwork::At(_, path) if !stays(&path, context) => {
            Err(Violation::of(&RULE, format!("the network namespace {} was not sealed", path.display())))
        }
        RequestedNetwork::New(_) | RequestedNetwork::At(..) => Ok(()),
    }
}

/// Whether the container may have the namespace at this path.
fn stays(path: &Path, context: &RuleContext) -> bool {
    context.network.given() == Some(path)
}

fn opened_host() -> Violation {
    let why = "the network namespace is the host's, and nothing can be opened in that; drop --network=host";
    Violation::of(&RULE, why)
}
