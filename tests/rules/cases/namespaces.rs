//! Namespaces.

use serde_json::{Value, json};

use super::Cases;

pub(super) fn cases() -> Vec<Cases> {
    vec![
        namespaces(),
        Cases {
            rule: "network-namespace",
            golden: vec![
                (
                    json!({"linux": {"namespaces": [{"type": "pid"}]}}),
                    json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]}}),
                    "added an empty network namespace in place of the host's",
                ),
                (
                    json!({"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}}),
                    json!({"linux": {"namespaces": [{"type": "network"}]}}),
                    "replaced the network namespace given by path by an empty one",
                ),
            ],
            broken: vec![
                (json!({"linux": {}}), "the network namespace is the host's"),
                (
                    json!({"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}}),
                    "the network namespace /run/netns/x was not sealed",
                ),
            ],
            refused: vec![
                (json!({}), "there is no linux section, so no namespace can be given"),
                (
                    json!({"linux": {"namespaces": [{"type": "network"}, {"type": "network"}]}}),
                    "several network namespaces are given; runtimes differ on which one they take",
                ),
                (
                    json!({
                        "annotations": {"io.kubernetes.cri.container-type": "sandbox"},
                        "linux": {"namespaces": [{"type": "pid"}]},
                    }),
                    "the pod has the node's network; drop hostNetwork: true",
                ),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "net-devices",
            golden: vec![(
                json!({"linux": {"netDevices": {"eth0": {}}}}),
                json!({"linux": {}}),
                "removed netDevices (eth0)",
            )],
            broken: vec![(
                json!({"linux": {"netDevices": {"eth0": {"name": "x"}}}}),
                "interface eth0 of the host would be moved in",
            )],
            refused: vec![(
                json!({"linux": {"netDevices": {"eth0": {}}}}),
                "interface eth0 of the host would be moved in",
            )],
            ..Cases::default()
        },
        shared("host-pid", "pid", "from which /proc/<pid>/root leads out"),
        shared("host-ipc", "ipc", "through which others are reached"),
    ]
}

/// The rule on all of them.
fn namespaces() -> Cases {
    let with = |entries: Value| {
        let own = json!([{"type": "pid"}, {"type": "ipc"}, {"type": "network"}, {"type": "mount"}]);
        let named = |kind: &Value| entries.as_array().unwrap().iter().any(|entry| entry["type"] == *kind);
        let mut list: Vec<Value> = own.as_array().unwrap().clone();
        list.retain(|entry| !named(&entry["type"]));
        list.extend(entries.as_array().unwrap().iter().cloned());
        json!({"linux": {"namespaces": list}})
    };
    let twice = |kind: &str| with(json!([{"type": kind}, {"type": kind, "path": "/proc/7/ns/x"}]));
    let several = |kind: &str| -> &'static str {
        let why = format!("several {kind} namespaces are given; runtimes differ on which one they take");
        Box::leak(why.into_boxed_str())
    };
    let mut refused: Vec<(Value, &'static str)> = ["pid", "ipc", "mount", "uts", "user", "cgroup", "time"]
        .map(|kind| (twice(kind), several(kind)))
        .into();
    refused.extend([
        (
            json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}]}}),
            "there is no mount namespace, so it is the host's; give it one of its own",
        ),
        (
            with(json!([{"type": "mount", "path": "/proc/7/ns/mnt"}])),
            "the mount namespace /proc/7/ns/mnt is given by path (its files differ from those that were checked); \
             give the container one of its own",
        ),
        (
            with(json!([{"type": "user", "path": "/proc/7/ns/user"}])),
            "the user namespace /proc/7/ns/user is not that of a member of an isolated pod (its capabilities count in \
             the namespaces that belong to it); give the container one of its own",
        ),
        (
            with(json!([{"type": "uts", "path": "proc/7/ns/uts"}])),
            "the path proc/7/ns/uts of the uts namespace is not absolute",
        ),
    ]);
    Cases { rule: "namespaces", broken: refused.clone(), refused, ..Cases::default() }
}

/// The two rules on namespaces that are shared.
fn shared(rule: &'static str, kind: &'static str, leads: &str) -> Cases {
    let field = if kind == "pid" { "hostPID" } else { "hostIPC" };
    let instead = match kind {
        "pid" => "",
        _ => {
            "; for more shared memory use --shm-size=8g, in Kubernetes an emptyDir with medium: Memory at /dev/shm"
        }
    };
    let host = format!(
        "the {kind} namespace is the host's, {leads}; drop --{kind}=host, {field}: true in Kubernetes{instead}"
    );
    let foreign = format!(
        "the {kind} namespace /proc/7/ns/{kind} is not that of a member of an isolated pod, {leads}; drop --{kind}, in Kubernetes annotate the pod and not a container of it"
    );
    let list = |items: Value| json!({"linux": {"namespaces": items}});
    let others = |item: Option<Value>| {
        let other = json!({"type": if kind == "pid" { "ipc" } else { "pid" }});
        list(json!(
            [Some(other), Some(json!({"type": "network"})), Some(json!({"type": "mount"})), item]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        ))
    };
    Cases {
        rule,
        golden: vec![
            (
                list(json!([])),
                list(json!([{"type": kind}])),
                Box::leak(format!("gave the container a {kind} namespace of its own").into_boxed_str()),
            ),
            (
                list(json!([{"type": kind, "path": format!("/proc/7/ns/{kind}")}])),
                list(json!([{"type": kind}])),
                Box::leak(format!("gave the container a {kind} namespace of its own").into_boxed_str()),
            ),
        ],
        broken: vec![(list(json!([])), Box::leak(host.clone().into_boxed_str()))],
        refused: vec![
            (others(None), Box::leak(host.into_boxed_str())),
            (
                others(Some(json!({"type": kind, "path": format!("/proc/7/ns/{kind}")}))),
                Box::leak(foreign.into_boxed_str()),
            ),
        ],
        ..Cases::default()
    }
}
