//! The platform's containers of a pod, as far as no pod is needed: what refuses to be one.

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{SWITCH, plain};
use test_support::shim;

/// A container that claims to be `upload` of a pod whose platform's container that is.
fn claiming(kind: &str) -> Value {
    let mut config = plain();
    config["annotations"] = json!({
        SWITCH: "true",
        "io.oci-isolate.platform": "upload",
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.container-name": "upload",
        "io.kubernetes.cri.sandbox-id": "sandbox",
        "io.kubernetes.cri.image-name": "registry.example.com/platform/stage:1",
    });
    config
}

/// Whoever may start containers of Docker, Podman or another namespace of containerd chooses all of their annotations.
#[test]
fn what_claims_to_be_of_a_pod_is_refused_outside_of_containerds_root_for_pods() {
    let host = RecorderHost::new();
    host.settings(
        "mode = \"always\"\n[[platform]]\nimage = \"registry.example.com/platform/stage:*\"\nargs = [\"/a\"]",
    );
    let why = "platform containers of containerd have a root that ends in k8s.io, and not";
    let none = "its sandbox sandbox has no record, so its pod's network is not known; delete the pod";
    let cases = [
        ("moby", "container", why),
        ("moby", "sandbox", why),
        ("k8s.io", "container", none),
        ("k8s.io", "absent", "this is none"),
    ];
    for (root, kind, why) in cases {
        let config = claiming(kind);
        host.config(&config);
        let before = host.read_config();
        let root = host.at(root);
        let said = say(host.command(shim()).args(["--root", &root, "create", "web"]));
        assert!(said.status != 0 && said.err.contains(why), "{root} {kind}: {said:?}");
        assert!(host.state().is_empty(), "{root} {kind}: there is a record");
        assert!(host.read_config() == before, "{root} {kind}: config.json was changed");
    }
}

#[test]
fn a_platform_container_is_made_by_create_and_by_nothing_else() {
    let host = RecorderHost::new();
    host.config(&claiming("container"));
    let root = host.at("k8s.io");
    let said = say(host.command(shim()).args(["--root", &root, "run", "web"]));
    let why = "a platform container is made by create, and not by run";
    assert!(said.status != 0 && said.err.contains(why), "{said:?}");
}

/// The sandbox of a pod, then a container of it: what containerd hands over for each, without a runtime.
#[test]
fn a_platform_container_gets_the_recorded_network_and_memory_of_its_own_and_nothing_in_their_place() {
    let host = RecorderHost::new();
    host.sh("ip netns add pod; ip netns add pause; ip netns add other").must();
    let (root, shm) = (host.at("k8s.io"), host.at("shm"));
    host.sh(&format!("mkdir {shm}")).must();
    let create = |id: &str| say(host.command(shim()).args(["--root", &root, "create", id]));
    let of_pod = |kind: &str, network: &str| {
        let mut config = claiming(kind);
        config["linux"]["namespaces"] = json!([
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            {"type": "network", "path": format!("/run/netns/{network}")},
        ]);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev/shm");
        let of_engine =
            json!({"destination": "/dev/shm", "type": "bind", "source": shm, "options": ["rbind", "rw"]});
        mounts.push(of_engine);
        config
    };

    host.config(&of_pod("sandbox", "pod"));
    create("sandbox").must();
    host.call();
    let path = host.outside(&format!("/run/oci-isolate/containers{root}/sandbox.json"));
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let recorded = |record: &Value| record["pod_network"].clone();
    assert_eq!(recorded(&record)["at"], "/run/netns/pod");
    assert_eq!(recorded(&record)["containers"], json!({ "upload": null }));

    // Its sandbox has not been started yet.
    host.config(&of_pod("container", "pause"));
    let said = create("web");
    assert!(said.status != 0 && said.err.contains("its sandbox sandbox does not run"), "{said:?}");
    let stat = host.sh("cat /proc/1/stat").must();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    record["init"] = json!({"pid": 1, "start": start.parse::<u64>().unwrap()});
    std::fs::write(&path, record.to_string()).unwrap();

    create("web").must();
    let made = host.call().config();
    let namespaces = made["linux"]["namespaces"].as_array().unwrap();
    assert_eq!(namespaces[4]["path"], "/run/netns/pod");
    let at_shm: Vec<_> = made["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["destination"] == "/dev/shm")
        .collect();
    assert_eq!((at_shm.len(), &at_shm[0]["type"]), (1, &json!("tmpfs")));
    assert_eq!(made["process"], of_pod("container", "pause")["process"]);
    record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(recorded(&record)["containers"], json!({ "upload": "web" }));
    assert_eq!(host.state().len(), 1, "{:?}", host.state());

    // Isolation that a setting demands, beside a container that the pod's author chose, in either order.
    host.settings("[[require]]\nannotation = \"io.kubernetes.cri.container-name\"\nmatches = \"train\"");
    let mut train = of_pod("container", "pause");
    train["annotations"]["io.kubernetes.cri.container-name"] = json!("train");
    host.config(&train);
    let said = create("train");
    let why = "must be isolated, also from platform containers of the pod's author: the image of container upload is";
    assert!(said.status != 0 && said.err.contains(why), "{said:?}");
    let own = record["pod_network"].as_object_mut().unwrap().remove("own");
    assert!(own.is_some());
    std::fs::write(&path, record.to_string()).unwrap();
    create("train").must();
    host.call();
    let demanded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    host.config(&of_pod("container", "pause"));
    let said = create("relay");
    let why = "is that of no [[platform]] in the settings, and container train ([[require]] ";
    assert!(said.status != 0 && said.err.contains(why), "{said:?}");
    assert_eq!(demanded["pod_network"]["own"], Value::Null);
    host.settings("");
    std::fs::write(&path, record.to_string()).unwrap();

    // Containers without a record that say they are `upload`, as runc keeps them.
    let labels: Vec<String> = claiming("container")["annotations"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    let state = json!({ "init_process_pid": 2, "config": { "version": "1", "labels": labels } });
    let other = host.at("moby");
    for container in [format!("{root}/web"), format!("{root}/fake"), format!("{other}/web")] {
        host.sh(&format!("mkdir -p {container}")).must();
        std::fs::write(format!("{container}/state.json"), state.to_string()).unwrap();
    }
    let exec = |root: &str, id: &str| say(host.command(shim()).args(["--root", root, "exec", id, "true"]));
    exec(&root, "web").must();
    host.call();
    let cases = [
        (&root, "fake", "knows web as its pod's platform container upload; delete it and create it again"),
        (&other, "web", "platform containers of containerd have a root that ends in k8s.io, and not"),
    ];
    for (root, id, why) in cases {
        let said = exec(root, id);
        assert!(said.status != 0 && said.err.contains(why), "{root} {id}: {said:?}");
    }

    // Another namespace at the path; a name that the sandbox was not created with; a record that cannot be read.
    host.sh("umount /run/netns/pod; mount --bind /run/netns/other /run/netns/pod").must();
    host.config(&of_pod("container", "pause"));
    let said = create("again");
    assert!(
        said.status != 0 && said.err.contains("is not the network namespace of its pod any more"),
        "{said:?}"
    );
    record["pod_network"]["containers"] = json!({ "fetch": null });
    std::fs::write(&path, record.to_string()).unwrap();
    let said = create("again");
    assert!(
        said.status != 0 && said.err.contains("was created without upload as a platform container"),
        "{said:?}"
    );
    std::fs::write(&path, "{").unwrap();
    let said = create("again");
    assert!(said.status != 0 && said.err.contains("cannot understand the record"), "{said:?}");
    assert!(host.calls().is_empty());
}

/// What CRI-O hands over: the network of the pod is named to all of its containers, and its number is that of an earlier pod, too,
/// whose sandbox left a record.
#[test]
fn the_sandbox_of_a_container_is_the_one_that_the_engine_names_and_no_other_with_the_same_number() {
    let host = RecorderHost::new();
    host.sh("ip netns add pod").must();
    let (root, shm) = (host.at("crio"), host.at("shm"));
    host.sh(&format!("mkdir {shm}")).must();
    let of_pod = |kind: &str, sandbox: &str| {
        let mut config = plain();
        config["annotations"] = json!({
            SWITCH: "true",
            "io.oci-isolate.platform": "upload",
            "io.container.manager": "cri-o",
            "io.kubernetes.cri-o.ContainerType": kind,
            "io.kubernetes.cri-o.SandboxID": sandbox,
            "io.kubernetes.cri-o.Metadata": "{\"name\": \"train\"}",
        });
        if kind == "sandbox" {
            config["annotations"]["io.kubernetes.cri-o.HostnamePath"] = json!("/x");
        }
        config["linux"]["namespaces"] = json!([
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            {"type": "network", "path": "/run/netns/pod"},
        ]);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev/shm");
        mounts.push(
            json!({"destination": "/dev/shm", "type": "bind", "source": shm, "options": ["rbind", "rw"]}),
        );
        config
    };
    let create = |id: &str, config: &Value| {
        host.config(config);
        say(host.command(shim()).args(["--root", &root, "create", id]))
    };
    // In the order of their paths.
    for sandbox in ["dead", "live"] {
        create(sandbox, &of_pod("sandbox", sandbox)).must();
        host.call();
    }
    let stat = host.sh("cat /proc/1/stat").must();
    let start: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    for (sandbox, start) in [("dead", start + 1), ("live", start)] {
        let path = host.outside(&format!("/run/oci-isolate/containers{root}/{sandbox}.json"));
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["init"] = json!({"pid": 1, "start": start});
        std::fs::write(&path, record.to_string()).unwrap();
    }
    let said = create("other", &of_pod("container", "dead"));
    assert!(said.status != 0 && said.err.contains("the pod's sandbox dead does not run"), "{said:?}");
    assert!(host.calls().is_empty());
    create("train", &of_pod("container", "live")).must();
}
