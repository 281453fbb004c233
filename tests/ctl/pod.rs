//! Containers that share a sealed namespace.

use serde_json::{Value, json};

use super::sealed::Sealed;
use test_support::recorded::spec::put;

#[test]
fn a_container_that_joined_a_sealed_namespace_holds_and_so_does_the_first() {
    let sealed = Sealed::new();
    let namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"},
        {"type": "network", "path": format!("/proc/{}/ns/net", sealed.pid("web"))}]);
    sealed.start("member", |config| put(config, "/linux/namespaces", namespaces));
    let at = format!("/proc/{}/ns/net", sealed.pid("web"));
    assert_eq!(sealed.host.read_record("member")["network"], json!({"joined": {"at": at}}));
    sealed.holds(&["member", "web"]);

    let inspect = sealed.ctl(&["inspect", "member"]).must();
    assert!(inspect.contains("\nseal       joins a namespace that was sealed before\n"), "{inspect}");

    // What is done to one is done to both.
    sealed.sabotage("nsenter -t $P -n nft delete table inet oci_isolate");
    let all = sealed.ctl(&["verify", "--all"]);
    let gone = "does not hold\n  seal: table inet oci_isolate is not loaded\n";
    assert_eq!((all.status, all.out), (1, format!("member: {gone}web: {gone}")));
}

/// Namespaces as CRI-O makes them for a pod before there is a container: kept by path, the network plumbed.
fn pin(sealed: &Sealed) {
    sealed
        .sh("touch $D/ipc; unshare --ipc=$D/ipc true
            ip netns add pod; ip link add v0 type veth peer name eth0 netns pod; ip link set v0 up
            ip -n pod addr add 10.88.0.2/24 dev eth0; ip -n pod link set lo up; ip -n pod link set eth0 up")
        .must();
}

/// A container that joins them, of CRI-O or of an unknown engine.
fn join(sealed: &Sealed, of_crio: bool) -> impl FnOnce(&mut Value) {
    let ipc = sealed.host.at("ipc");
    move |config| {
        let namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": ipc},
            {"type": "network", "path": "/run/netns/pod"}]);
        put(config, "/linux/namespaces", namespaces);
        if of_crio {
            put(config, "/annotations/io.container.manager", json!("cri-o"));
        }
    }
}

#[test]
fn the_namespaces_that_crio_keeps_for_a_pod_are_sealed_in_place_and_shared() {
    let sealed = Sealed::empty();
    pin(&sealed);
    let links = || sealed.sh("ip -n pod -br link show up | cut -d' ' -f1; ip -n pod -br addr show lo").must();
    assert!(links().contains("eth0@"), "{}", links());
    for id in ["one", "two"] {
        sealed.start(id, join(&sealed, true));
    }
    let network = |id| sealed.host.read_record(id)["network"].clone();
    let (first, other) =
        (json!({"sealed-in-place": {"at": "/run/netns/pod"}}), json!({"joined": {"at": "/run/netns/pod"}}));
    assert_eq!((network("one"), network("two")), (first.clone(), other));
    let all = links();
    assert!(!all.contains("eth0") && all.contains("10.88.0.2/32"), "{all}");
    let same = "for kind in net ipc; do stat -Lc %i /proc/$A/ns/$kind /proc/$B/ns/$kind; done | uniq | wc -l";
    let (one, two) = (sealed.pid("one"), sealed.pid("two"));
    assert_eq!(sealed.sh(&format!("A={one} B={two}; {same}")).must().trim(), "2");
    sealed.holds(&["one", "two"]);

    // kubelet makes a new container when one has ended. No record has the namespace then: it is sealed anew.
    sealed.sh("for id in one two; do $SHIM --root $R delete -f $id; done").must();
    sealed.start("three", join(&sealed, true));
    assert_eq!(network("three"), first);
    sealed.holds(&["three"]);
}

#[test]
fn namespaces_by_path_of_nobody_known_are_not_a_pods() {
    let sealed = Sealed::empty();
    pin(&sealed);
    let said = sealed.try_create("web", join(&sealed, false));
    assert!(
        said.contains("host-ipc: the ipc namespace") && said.contains("is not that of a member"),
        "{said}"
    );
}

#[test]
fn a_pods_namespaces_with_somebody_else_in_them_are_refused() {
    let sealed = Sealed::empty();
    pin(&sealed);
    sealed.sh("nsenter --ipc=$D/ipc sleep 1000 >/dev/null 2>&1 & echo $! >$D/pid; sleep 0.2").must();
    let said = sealed.try_create("web", join(&sealed, true));
    assert!(said.contains("host-ipc: the ipc namespace"), "{said}");

    sealed.sh("kill $(cat $D/pid); umount $D/ipc; mount --bind /proc/$$/ns/ipc $D/ipc").must();
    let said = sealed.try_create("web", join(&sealed, true));
    assert!(said.contains("host-ipc: the ipc namespace is the host's"), "{said}");

    sealed.sh("ip netns exec pod sleep 1000 >/dev/null 2>&1 & sleep 0.2").must();
    let said = sealed.try_create("web", join(&sealed, true));
    let why = " (sleep) is in /run/netns/pod, and is not of an isolated container; nothing is sealed for it";
    assert!(said.contains("network-namespace: process ") && said.contains(why), "{said}");
    let left = sealed.sh("ip -n pod -br link show eth0; ip netns exec pod nft list ruleset").must();
    assert!(left.contains("eth0@") && !left.contains("oci_isolate"), "{left}");
}

#[test]
fn what_is_open_in_a_pod_of_crio_outlives_the_container_that_was_first() {
    let sealed = Sealed::empty();
    pin(&sealed);
    let start = |id: &str| {
        sealed.start(id, |config| {
            join(&sealed, true)(config);
            config["annotations"]["io.oci-isolate.ingress"] = json!("8080");
        });
    };
    let end = |id: &str| {
        let script = format!(
            "runc --root $R kill {id} KILL; while [ -e /proc/{} ]; do sleep 0.02; done",
            sealed.pid(id)
        );
        sealed.sh(&script).must();
    };
    let delete = |id: &str| sealed.sh(&format!("$SHIM --root $R delete {id}")).must();
    let joins = |id: &str| sealed.host.read_record(id)["network"]["joined"].is_object();
    let table = || sealed.sh("ip netns exec pod nft list ruleset").must();

    // The first ends while the second runs: what is open is the second's as soon as the first is deleted.
    start("one");
    start("two");
    sealed.holds(&["one", "two"]);
    assert!(!joins("one") && joins("two"));
    end("one");
    let holds = |id: &str| assert_eq!(sealed.ctl(&["verify", id]).out, format!("{id}: holds\n"));
    holds("two");
    delete("one");
    assert!(!joins("two"));
    start("three");
    sealed.holds(&["three", "two"]);
    assert!(joins("three"));

    // All have ended, and the records are still there: the next is the first again.
    end("two");
    end("three");
    start("four");
    assert!(!joins("four"));
    holds("four");
    delete("two");
    delete("three");
    sealed.holds(&["four"]);
    assert!(table().contains("8080"), "{}", table());

    // With the last one goes what was loaded for it.
    end("four");
    delete("four");
    assert!(!table().contains("oci_isolate"), "{}", table());
    start("five");
    sealed.holds(&["five"]);

    // Also if it was created by another version.
    end("five");
    let mut record = sealed.host.read_record("five");
    record["version"] = json!(5);
    std::fs::write(sealed.host.outside(&sealed.host.record("five")), record.to_string()).unwrap();
    delete("five");
    assert!(!table().contains("oci_isolate"), "{}", table());
}
