//! Members of a job on other nodes: `isolatectl jobs`, with real containers of runc on a bridge. The other node is a
//! network namespace on the same bridge, in which a web server answers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::openings::{create_with, sh, start};
use super::sealed::Sealed;
use test_support::recorded::output::ShimOutput;

/// The hosts file that kubelet writes for a pod with a subdomain.
fn kubelet(name: &str, last: u8) -> String {
    format!("127.0.0.1\tlocalhost\n10.9.0.{last}\t{name}.svc.team-a.svc.cluster.local\t{name}\n")
}

/// A pod's sandbox in job `train` of namespace `team-a`, as containerd's CRI plugin annotates it.
fn pod(sealed: &Sealed, id: &str, last: u8, hosts: &str) {
    let annotations = [
        ("io.oci-isolate.job", "train".to_owned()),
        ("io.kubernetes.cri.container-type", "sandbox".to_owned()),
        ("io.kubernetes.cri.sandbox-namespace", "team-a".to_owned()),
        ("io.kubernetes.cri.sandbox-name", id.to_owned()),
        ("io.kubernetes.cri.sandbox-uid", format!("uid-{id}")),
    ];
    create_with(sealed, id, id, hosts, &annotations.map(|(key, value)| (key.to_owned(), value)));
    start(sealed, id, last);
}

/// Plain files of an engine are not kubelet's.
const NO_NAMES: &str = "127.0.0.1 localhost\n";

/// The server of the other node, at 10.9.0.`last`.
fn other_node(sealed: &Sealed, last: u8) {
    sh(
        sealed,
        &format!(
            "unshare -n sleep 1000 >/dev/null 2>&1 </dev/null & N=$!; sleep 0.3
            ip link add w{last} master br0 type veth peer name eth0 netns /proc/$N/ns/net; ip link set w{last} up
            nsenter -t $N -n sh -c 'ip addr add 10.9.0.{last}/24 dev eth0; ip link set eth0 up'
            nsenter -t $N -n busybox httpd -p 8080 -h $D/bundle/rootfs/www"
        ),
    );
}

fn member(pod: &str, node: &str, addresses: &[&str], names: &[&str]) -> Value {
    json!({"uid": format!("uid-{pod}"), "pod": pod, "node": node, "addresses": addresses, "names": names})
}

fn document(members: &[Value]) -> Value {
    json!({"version": 1, "synced": true, "node": "node1", "jobs": {"team-a/train": {"members": members}}})
}

fn put(sealed: &Sealed, document: &Value) -> ShimOutput {
    sealed.host.write("jobs.json", document.to_string());
    let file = sealed.host.at("jobs.json");
    sealed.ctl(&["jobs", "put", &file])
}

fn hosts(sealed: &Sealed, id: &str) -> String {
    sh(sealed, &format!("cat $D/{id}/hosts"))
}

#[test]
fn a_member_on_another_node_is_reached_by_name_until_it_leaves() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    other_node(&sealed, 50);
    let there = "within two-0 wget -qO- http://10.9.0.50:8080/f";
    sh(&sealed, &format!("[ \"$(busybox wget -qO- http://10.9.0.50:8080/f)\" = hello ]; refused {there}"));
    let names = ["two-1.svc.team-a.svc.cluster.local", "two-1.svc", "two-1"];
    let two = document(&[member("two-1", "node2", &["10.9.0.50"], &names)]);
    assert_eq!(put(&sealed, &two).must(), "two-0\n");
    let added = "10.9.0.50 two-1.svc.team-a.svc.cluster.local two-1.svc two-1 # oci-isolate job\n";
    assert_eq!(hosts(&sealed, "two-0"), format!("{NO_NAMES}{added}"));
    sh(
        &sealed,
        &format!(
            "[ \"$({there})\" = hello ]; [ \"$(within two-0 wget -qO- http://two-1.svc:8080/f)\" = hello ]"
        ),
    );
    let show = sealed.ctl(&["peers", "show", "two-0"]).must();
    assert_eq!(show, "10.9.0.50  pod two-1 on node2, of job train of namespace team-a\n");
    sealed.holds(&["two-0"]);
    // Again changes nothing; what is set by hand and what the cluster has do not undo each other.
    assert_eq!(put(&sealed, &two).must(), "");
    sealed.ctl(&["peers", "set", "two-0", "10.9.0.60"]).must();
    assert_eq!(put(&sealed, &document(&[])).must(), "two-0\n");
    assert_eq!(sealed.ctl(&["peers", "show", "two-0"]).must(), "10.9.0.60/32\n");
    assert_eq!(put(&sealed, &two).must(), "two-0\n");
    sealed.ctl(&["peers", "set", "two-0"]).must();
    assert_eq!(sealed.ctl(&["peers", "show", "two-0"]).must(), show);
    // Not before everything is known.
    let mut unsynced = document(&[]);
    unsynced["synced"] = json!(false);
    assert_eq!(put(&sealed, &unsynced).must(), "not synced: nothing is changed\n");
    sh(&sealed, &format!("[ \"$({there})\" = hello ]"));
    put(&sealed, &document(&[])).must();
    sh(&sealed, &format!("refused {there}"));
    assert!(
        hosts(&sealed, "two-0")
            .ends_with("#0.9.0.50 two-1.svc.team-a.svc.cluster.local two-1.svc two-1 # oci-isolate job\n")
    );
    sealed.holds(&["two-0"]);
}

#[test]
fn nothing_is_opened_that_the_settings_and_the_node_do_not_allow() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    pod(&sealed, "two-1", 4, NO_NAMES);
    let bad = [
        member("far", "node2", &["8.8.8.8"], &["far"]),
        member("metadata", "node2", &["169.254.169.254"], &[]),
        member("bridge", "node2", &["10.9.0.1"], &[]),
        member("local", "node2", &["10.9.0.4"], &[]),
        member(
            "host-ile",
            "node2",
            &["10.9.0.51"],
            &["a\n10.9.0.51 b", "localhost", "two-0", "two-1", "good"],
        ),
        // A pod of this node whose sandbox has gone: the records decide.
        member("gone", "node1", &["10.9.0.77"], &["gone"]),
    ];
    let said = put(&sealed, &document(&bad));
    assert_eq!((said.status, said.out.as_str()), (1, "two-0\ntwo-1\n"), "{said:?}");
    let within = "cannot be a peer's within the settings (peers.within, peers.widest)";
    let of_node = "is of this node, a gateway or a name server";
    for id in ["two-0", "two-1"] {
        for why in [
            format!("member far on node2: its address 8.8.8.8 {within}"),
            format!("member metadata on node2: its address 169.254.169.254 {within}"),
            format!("member bridge on node2: its address 10.9.0.1 {of_node}"),
            format!("member local on node2: its address 10.9.0.4 {of_node}"),
            "member host-ile on node2: \"a\\n10.9.0.51 b\" is not a host name".to_owned(),
            "member host-ile on node2: \"localhost\" is not a host name".to_owned(),
        ] {
            assert!(
                said.err.contains(&format!("isolatectl: container {id}: {why}\n")),
                "{id}, {why}: {}",
                said.err
            );
        }
    }
    assert_eq!(said.err.lines().count(), 12, "{}", said.err);
    let own =
        |other: &str| format!("{NO_NAMES}{other} # oci-isolate job\n10.9.0.51 good # oci-isolate job\n");
    assert_eq!(hosts(&sealed, "two-0"), own("10.9.0.4 two-1"));
    assert_eq!(hosts(&sealed, "two-1"), own("10.9.0.2 two-0"));
    sealed.holds(&["two-0", "two-1"]);
}

#[test]
fn a_job_that_is_too_large_is_closed_and_the_others_are_set() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    let names: Vec<String> = (0..65).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = member("large", "node2", &["10.9.0.51"], &names);
    put(&sealed, &document(&[member("large", "node2", &["10.9.0.51"], &[])])).must();
    let said = put(&sealed, &document(&[large.clone(), member("two-1", "node2", &["10.9.0.50"], &[])]));
    assert_eq!((said.status, said.out.as_str()), (1, "two-0\n"), "{said:?}");
    let why = "isolatectl: job \"team-a/train\": member large has more than 64 addresses or names\n";
    assert_eq!(said.err, why);
    let of_two_1 = "10.9.0.50  pod two-1 on node2, of job train of namespace team-a\n";
    assert_eq!(sealed.ctl(&["peers", "show", "two-0"]).must(), of_two_1);
    let mut other = document(&[member("two-1", "node2", &["10.9.0.52"], &[])]);
    other["jobs"]["team-b/train"] = json!({"members": [large]});
    let said = put(&sealed, &other);
    assert_eq!((said.status, said.out.as_str()), (1, "two-0\n"), "{said:?}");
    assert_eq!(sealed.ctl(&["peers", "show", "two-0"]).must(), of_two_1.replace(".50", ".52"));
}

#[test]
fn members_that_fit_no_record_are_closed_and_the_record_stays_readable() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    let two = document(&[member("two-1", "node2", &["10.9.0.50"], &[])]);
    put(&sealed, &two).must();
    let name = |n: usize| format!("n{n}.{0}.{0}", "a".repeat(50));
    let names: Vec<String> = (0..64).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many: Vec<Value> = (0..800)
        .map(|n| {
            member(&format!("x-{n}"), "node2", &[&format!("10.9.{}.{}", 1 + n / 200, 1 + n % 200)], &names)
        })
        .collect();
    for changed in ["two-0\n", ""] {
        let said = put(&sealed, &document(&many));
        assert_eq!((said.status, said.out.as_str()), (1, changed), "{:.300}", said.err);
        assert!(
            said.err.contains("bytes besides what its mounts and variables need, at most 4194304 are read"),
            "{:.300}",
            said.err
        );
        assert_eq!(sealed.ctl(&["peers", "show", "two-0"]).must(), "");
    }
    assert_eq!(put(&sealed, &two).must(), "two-0\n");
    sealed.holds(&["two-0"]);
}

#[test]
fn a_document_that_is_not_understood_changes_nothing() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    let good = document(&[member("two-1", "node2", &["10.9.0.50"], &["two-1"])]);
    put(&sealed, &good).must();
    let before = (sealed.host.read_record("two-0"), hosts(&sealed, "two-0"));
    let text = good.to_string();
    let refused = |text: &str| {
        sealed.host.write("jobs.json", text);
        let said = sealed.ctl(&["jobs", "put", &sealed.host.at("jobs.json")]);
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{said:?}");
        said.err
    };
    for (text, why) in [
        (&text[..text.len() - 9], "EOF while parsing"),
        (&text.replace("\"version\":1", "\"version\":2"), "is of version 2, not 1"),
        (&text.replace("\"version\":1", "\"version\":0"), "is of version 0, not 1"),
    ] {
        assert!(refused(text).contains(why));
    }
    let large = refused(&" ".repeat(100 << 20));
    assert!(large.contains("104857600 bytes, at most 33554432 are read"), "{large}");
    let ctl = test_support::isolatectl();
    let stdin =
        format!("set +o pipefail; head -c 100M /dev/zero | {} jobs put - 2>&1 || echo $?", ctl.display());
    let stdin = sealed.sh(&stdin);
    assert_eq!(stdin.must(), "isolatectl: cannot read stdin: more than 33554432 bytes\n1\n");
    assert_eq!((sealed.host.read_record("two-0"), hosts(&sealed, "two-0")), before);
    // For records that are gone, and jobs that have none.
    sh(&sealed, "runc --root $R kill two-0 KILL; sleep 0.3; $SHIM --root $R delete two-0");
    assert_eq!(put(&sealed, &good).must(), "");
}

#[test]
fn members_of_one_node_have_the_names_that_kubernetes_gives_them() {
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, &kubelet("two-0", 2));
    pod(&sealed, "two-1", 4, &kubelet("two-1", 4));
    let line = |name: &str, last: u8| {
        format!(
            "10.9.0.{last} {name}.svc.team-a.svc.cluster.local {name}.svc.team-a.svc {name}.svc.team-a {name}.svc {name} # oci-isolate job\n"
        )
    };
    assert_eq!(hosts(&sealed, "two-0"), kubelet("two-0", 2) + &line("two-1", 4));
    assert_eq!(hosts(&sealed, "two-1"), kubelet("two-1", 4) + &line("two-0", 2));
    sh(&sealed, "[ $(within two-0 wget -qO- http://two-1.svc:8080/f) = hello ]");
    // The cluster knows more names, such as those of Services.
    let more = member("two-1", "node1", &["10.9.0.4"], &["two-1.svc", "two-1", "master"]);
    put(&sealed, &document(&[more])).must();
    // In the place of the line that has become a comment, filled up with spaces.
    let lines: Vec<String> = hosts(&sealed, "two-0")
        .lines()
        .map(|l| l.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(lines.ends_with(&["10.9.0.4 two-1.svc two-1 master # oci-isolate job".into()]), "{lines:?}");
    // kubelet writes the file anew when it restarts a container: the lines come back.
    sealed.host.write("two-0/again", kubelet("two-0", 2));
    sh(&sealed, "cat $D/two-0/again >$D/two-0/hosts");
    put(&sealed, &document(&[member("two-1", "node1", &["10.9.0.4"], &["two-1.svc", "two-1", "master"])]))
        .must();
    assert!(hosts(&sealed, "two-0").ends_with("\n10.9.0.4 two-1.svc two-1 master # oci-isolate job\n"));
    sealed.holds(&["two-0", "two-1"]);
}

#[test]
fn a_table_is_read_again_once_its_firewall_was_changed_and_only_then() {
    const SETTLED: &str = "/run/oci-isolate/peers.settled";
    let sealed = Sealed::empty();
    pod(&sealed, "two-0", 2, NO_NAMES);
    let two = document(&[member("two-1", "node2", &["10.9.0.50"], &[])]);
    let settled =
        || -> Value { serde_json::from_str(&sh(&sealed, &format!("cat {SETTLED} || echo {{}}"))).unwrap() };
    let nft = |command: &str| sh(&sealed, &format!("nsenter -t {} -n nft {command}", sealed.pid("two-0")));
    let is_peer = || nft("list set inet oci_isolate peers4").contains("10.9.0.50");
    put(&sealed, &two).must();
    // What was changed is not taken for granted.
    assert_eq!(settled(), json!({}));
    put(&sealed, &two).must();
    let twice = |found: &Value| found.as_object().unwrap().values().next().map(|it| it["twice"] == true);
    let once = settled();
    assert_eq!(twice(&once), Some(false), "{once}");
    put(&sealed, &two).must();
    let found = settled();
    assert_eq!((found.as_object().unwrap().len(), twice(&found)), (1, Some(true)), "{found}");
    let mut other = two.clone();
    other["jobs"]["team-a/other"] = json!({"members": [member("x", "node2", &["10.9.0.52"], &[])]});
    assert_eq!([put(&sealed, &other).must(), put(&sealed, &two).must()], ["", ""]);
    // No transaction took place: the firewall is in the same state.
    assert_eq!(settled(), found);
    // A route is no change of the firewall, and its next hop must not be a peer.
    let route = |verb: &str| {
        sh(
            &sealed,
            &format!("nsenter -t {} -n ip route {verb} 10.8.0.0/24 via 10.9.0.50", sealed.pid("two-0")),
        )
    };
    route("add");
    let said = put(&sealed, &two);
    assert!(said.status == 1 && said.err.contains("10.9.0.50 became a gateway after the start"), "{said:?}");
    route("del");
    (0..3).for_each(|_| drop(put(&sealed, &two).must()));
    assert_eq!(settled(), found);

    nft("delete element inet oci_isolate peers4 '{ 10.9.0.50 }'");
    assert!(!is_peer());
    assert_eq!(put(&sealed, &two).must(), "");
    assert!(is_peer());
    (0..2).for_each(|_| drop(put(&sealed, &two).must()));
    let found = settled();
    nft("flush chain inet oci_isolate output");
    let lost = "table inet oci_isolate was changed: chain output has 0 rules instead of";
    let says_so = || {
        let said = put(&sealed, &two);
        said.status == 1 && said.err.contains(lost)
    };
    assert!(says_so());
    assert_eq!(settled(), json!({}));

    // As if it had been found so in the state that the firewall is in now.
    let mut now = found;
    let table = now.as_object_mut().unwrap().values_mut().next().unwrap();
    table["generation"] = json!(table["generation"].as_u64().unwrap() + 1);
    let note = |text: &str| {
        sealed.host.write("settled", text);
        sh(&sealed, &format!("cp $D/settled {SETTLED}"));
    };
    note(&now.to_string());
    assert_eq!(put(&sealed, &two).must(), "");
    // That of another container, what is not understood, and what was found only once, is nothing.
    let once = now.to_string().replace("\"twice\":true", "\"twice\":false");
    for other in [now.to_string().replace("\"pid\":", "\"pid\":1"), "{".to_owned(), once] {
        note(&other);
        assert!(says_so(), "{other}");
    }
    // Other peers are set, or that they cannot be.
    note(&now.to_string());
    let said = put(&sealed, &document(&[]));
    assert!(said.status == 1 && said.err.contains(lost), "{said:?}");
}

#[test]
fn sockets_that_wait_to_be_closed_take_no_descriptor_that_is_needed() {
    let sealed = Sealed::empty();
    let members: Vec<String> = (0..8).map(|n| format!("two-{n}")).collect();
    for (n, id) in members.iter().enumerate() {
        pod(&sealed, id, 2 * n as u8 + 2, NO_NAMES);
    }
    let file = sealed.host.at("jobs.json");
    let ctl = test_support::isolatectl();
    let put_with = |descriptors: u32, last: u8| {
        let document = document(&[member("far", "node2", &[&format!("10.9.0.{last}")], &[])]);
        sealed.host.write("jobs.json", document.to_string());
        sealed.sh(&format!("ulimit -n {descriptors}; {} jobs put {file}", ctl.display()))
    };
    put_with(1024, 50).must();
    // With as many as are enough to look at each member, and for the file that a record is written to.
    let is_enough = |descriptors: &u32| {
        let done = put_with(*descriptors, 50).status == 0;
        // What fewer have closed.
        (0..usize::from(!done)).for_each(|_| drop(put_with(1024, 50).must()));
        done
    };
    let least = (10..40).find(is_enough).unwrap();
    assert_eq!(put_with(least + 2, 51).must().lines().count(), members.len());
    let said = put_with(least - 1, 51);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("raise the limit of open files (RLIMIT_NOFILE, `ulimit -n`)"), "{said:?}");
    // A member that could not be looked at was nobody's peer; now it is again.
    put_with(1024, 51).must();
    let ids: Vec<&str> = members.iter().map(String::as_str).collect();
    sealed.holds(&ids);
}

/// Seconds since the machine has started, as `isolate-node` writes them.
fn uptime() -> u64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse().unwrap()
}

#[test]
fn members_on_other_nodes_are_peers_for_as_long_as_the_lease_runs() {
    const OVER: &str =
        "the lease has run out: members on other nodes are no peers until they are confirmed again";
    let sealed = Sealed::empty();
    let settings = |job: &str| sealed.host.write("config.toml", format!("runtime = [\"runc\"]\n{job}"));
    settings("[job]\nlease = \"2m\"\n");
    pod(&sealed, "two-0", 2, NO_NAMES);
    // The control, of the same job, was created without a lease.
    settings("");
    pod(&sealed, "free", 4, NO_NAMES);
    other_node(&sealed, 50);
    let is_open = |id: &str| {
        let open = format!("within {id} wget -qO- http://10.9.0.50:8080/f 2>/dev/null || true");
        sh(&sealed, &open) == "hello\n"
    };
    let document = |contact: Option<u64>| {
        let mut document = document(&[member("two-1", "node2", &["10.9.0.50"], &["two-1"])]);
        document["contact"] = json!(contact);
        document
    };
    let not_confirmed = "isolatectl: container two-0: its members on other nodes are not confirmed: isolate-node was last in \
                         contact with the API server longer ago than job.lease, or did not write when\n";
    // By a contact that is too old, that is still to come, or that is not told, nothing is opened.
    for contact in [Some(uptime() - 121), Some(uptime() + 100), None] {
        let said = put(&sealed, &document(contact));
        assert_eq!((said.status, &*said.err), (1, not_confirmed), "{contact:?}");
        assert_eq!([is_open("two-0"), is_open("free")], [false, true], "{contact:?}");
    }
    assert_eq!(sealed.ctl(&["verify", "two-0"]).must(), format!("two-0: holds\n  note: {OVER}\n"));
    // Some twenty seconds are left of the lease.
    put(&sealed, &document(Some(uptime() - 100))).must();
    assert_eq!([is_open("two-0"), is_open("free")], [true, true]);
    sealed.holds(&["free", "two-0"]);
    let show = || sealed.ctl(&["peers", "show", "two-0"]).must();
    let line = "10.9.0.50  pod two-1 on node2, of job train of namespace team-a, ";
    assert!(show().contains(line) && show().ends_with(" s if not confirmed again\n"), "{}", show());
    let is_over = format!("{line}no peer any more: the lease has run out\n");
    while !show().ends_with(&is_over) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!([is_open("two-0"), is_open("free")], [false, true]);
    assert_eq!(sealed.ctl(&["verify", "two-0"]).must(), format!("two-0: holds\n  note: {OVER}\n"));
    assert!(sealed.ctl(&["list"]).must().ends_with(&format!("two-0: {OVER}\n")));
    let shown: Value =
        serde_json::from_str(&sealed.ctl(&["--json", "peers", "show", "two-0"]).must()).unwrap();
    assert_eq!((&shown["lease-left"], &shown["allowed"]), (&json!(0), &json!(["10.9.0.4/32"])));
    // One more member on this node, with which the sets are computed anew, confirms nothing. Members of this node need no lease.
    pod(&sealed, "two-2", 6, NO_NAMES);
    assert!(!is_open("two-0"));
    sh(&sealed, "[ $(within two-0 wget -qO- http://10.9.0.6:8080/f) = hello ]");
    // A new contact does, and a lease that root has prolonged is named.
    put(&sealed, &document(Some(uptime()))).must();
    assert!(is_open("two-0"));
    assert_eq!(sealed.ctl(&["verify", "two-0"]).must(), "two-0: holds\n");
    sh(&sealed, "P=$(cat /run/oci-isolate/containers$R/two-0.pid); nsenter -t $P -n nft flush set inet oci_isolate lease1
        nsenter -t $P -n nft add element inet oci_isolate lease1 '{ ipv4 timeout 1d }'");
    let said = sealed.ctl(&["verify", "two-0"]);
    let longer =
        "two-0: does not hold\n  seal: the lease of members on other nodes runs for longer than job.lease\n";
    assert_eq!((said.status, &*said.out), (1, longer));
}

/// What counts is when the lock is held: the contact may be too old by then, and the members may be others.
#[test]
fn a_put_that_waits_renews_nothing_by_a_contact_that_becomes_too_old_meanwhile() {
    let sealed = Sealed::empty();
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[job]\nlease = \"2m\"\n");
    pod(&sealed, "two-0", 2, NO_NAMES);
    let contact = uptime() - 115;
    for last in [50, 51] {
        let mut document =
            document(&[member(&format!("other-{last}"), "node2", &[&format!("10.9.0.{last}")], &[])]);
        document["contact"] = json!(contact);
        sealed.host.write(&format!("{last}.json"), document.to_string());
    }
    let script = format!(
        "cp $D/50.json $D/jobs.json; exec 9>>/run/oci-isolate/peers.lock; flock 9
        {ctl} jobs put $D/jobs.json >/dev/null 2>$D/err 9>&- & P=$!
        until [ $(cut -d. -f1 /proc/uptime) -gt {} ]; do sleep 0.1; done
        cp $D/51.json $D/jobs.json; exec 9>&-
        wait $P || true; cat $D/err",
        contact + 121,
        ctl = test_support::isolatectl().display()
    );
    let said = sh(&sealed, &script);
    assert!(said.contains("container two-0: its members on other nodes are not confirmed"), "{said}");
    let show = sealed.ctl(&["peers", "show", "two-0"]).must();
    let over = "10.9.0.51  pod other-51 on node2, of job train of namespace team-a, no peer any more: the lease has run out\n";
    assert_eq!(show, over);
}

/// A member that has left stays a peer where it could not be removed, and no longer than the lease runs.
#[test]
fn where_members_cannot_be_put_the_lease_is_not_renewed() {
    let sealed = Sealed::empty();
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[job]\nlease = \"2m\"\n");
    pod(&sealed, "two-0", 2, NO_NAMES);
    pod(&sealed, "control", 4, NO_NAMES);
    let put_at = |contact: u64, last: u8| {
        let mut document =
            document(&[member(&format!("other-{last}"), "node2", &[&format!("10.9.0.{last}")], &[])]);
        document["contact"] = json!(contact);
        put(&sealed, &document)
    };
    let show = |id: &str| -> Value {
        serde_json::from_str(&sealed.ctl(&["--json", "peers", "show", id]).must()).unwrap()
    };
    let left = |id: &str| show(id)["lease-left"].as_u64().unwrap();
    put_at(uptime() - 60, 50).must();
    // The record cannot be replaced.
    let record = sealed.host.record("two-0");
    sh(&sealed, &format!("mount --bind {record} {record}"));
    let said = put_at(uptime(), 51);
    assert_eq!((said.status, &*said.out), (1, "control\n"), "{said:?}");
    assert!(said.err.starts_with("isolatectl: container two-0: cannot "), "{said:?}");
    assert!(left("two-0") <= 60 && left("control") > 60, "{} {}", left("two-0"), left("control"));
    assert!(show("two-0").to_string().contains("10.9.0.50"), "{}", show("two-0"));
    sh(&sealed, &format!("umount {record}"));
    assert_eq!(put_at(uptime(), 51).must(), "two-0\n");
    assert!(left("two-0") > 60, "{}", left("two-0"));
    assert!(!show("two-0").to_string().contains("10.9.0.50"), "{}", show("two-0"));
    sealed.holds(&["control", "two-0"]);
}

/// CNI frees the address after `delete`.
#[test]
fn delete_of_a_member_returns_later_and_of_no_other_container() {
    let sealed = Sealed::empty();
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[job]\nhold = \"4s\"\n");
    for (id, last) in [("two-0", 2), ("two-1", 4), ("two-2", 6)] {
        pod(&sealed, id, last, NO_NAMES);
    }
    // No pod's, so no other node has it.
    let alone = [("io.oci-isolate.job".to_owned(), "train".to_owned())];
    create_with(&sealed, "alone", "alone", NO_NAMES, &alone);
    start(&sealed, "alone", 8);
    sealed.start("web", |_| {});
    // While the first `delete` waits, the member has left this node's others, its id is free, and other containers are deleted.
    let script = "for id in two-0 alone web; do runc --root $R kill $id KILL; done; sleep 0.3
        $SHIM --root $R delete two-0 & waits=$!
        while [ -e /run/oci-isolate/containers$R/two-0.json ]; do sleep 0.02; done
        kill -0 $waits
        $SHIM --root $R delete alone; $SHIM --root $R delete web; $SHIM --root $R delete --force two-0
        if $SHIM --root $R delete two-0 2>/dev/null; then exit 9; fi
        kill -0 $waits; wait $waits; echo done";
    assert_eq!(sh(&sealed, script), "done\n");
    assert_eq!(
        hosts(&sealed, "two-1"),
        format!("{NO_NAMES}#0.9.0.2 two-0 # oci-isolate job\n10.9.0.6 two-2 # oci-isolate job\n")
    );
    // Killed while it waits, as containerd does after five seconds, `delete` leaves nothing to do; a running one by force, too.
    let script = "$SHIM --root $R delete --force two-1 & waits=$!
        while [ -e /run/oci-isolate/containers$R/two-1.json ]; do sleep 0.02; done
        kill -KILL $waits; wait $waits || true
        $SHIM --root $R delete --force two-1; ! runc --root $R state two-1 2>/dev/null; echo done";
    assert_eq!(sh(&sealed, script), "done\n");
    sealed.holds(&["two-2"]);
    // What a runtime does not delete is not waited for: it runs.
    let refused = sealed.sh("$SHIM --root $R delete two-2");
    assert_eq!(refused.status, 1);
    sealed.holds(&["two-2"]);
}

/// After an upgrade of the node the one that was installed before may run.
#[test]
fn follow_ends_when_its_program_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (program, shared) = (dir.path().join("isolatectl"), dir.path().join("shared"));
    std::fs::create_dir(&shared).unwrap();
    std::fs::copy(test_support::isolatectl(), &program).unwrap();
    let mut follow = Command::new(&program);
    let metrics = dir.path().join("put.prom");
    follow.args(["jobs", "follow", "--metrics"]).arg(&metrics).arg(&shared).stderr(Stdio::piped());
    let mut follow = follow.spawn().unwrap();
    let mut said = BufReader::new(follow.stderr.take().unwrap()).lines();
    let written = |text: &str| {
        std::fs::write(shared.join("new"), text).unwrap();
        std::fs::rename(shared.join("new"), shared.join("jobs.json")).unwrap();
    };
    // It says what is wrong with the file, and goes on.
    written("one");
    assert!(said.next().unwrap().unwrap().contains("cannot put the jobs of "));
    written(r#"{"version": 2}"#);
    assert!(said.next().unwrap().unwrap().contains("cannot put the jobs of "));
    std::fs::copy(test_support::isolatectl(), dir.path().join("next")).unwrap();
    std::fs::rename(dir.path().join("next"), &program).unwrap();
    written("three");
    let said: Vec<_> = said.map_while(Result::ok).collect();
    assert!(said.last().unwrap().contains("was replaced"), "{said:?}");
    assert!(!follow.wait().unwrap().success());
    let metrics = std::fs::read_to_string(metrics).unwrap();
    let errors = metrics.lines().find_map(|line| line.strip_prefix("oci_isolate_put_errors_total "));
    assert!(errors.is_some_and(|number| number.parse::<u32>().unwrap() >= 2), "{metrics}");
    assert!(!metrics.contains("oci_isolate_put_last_timestamp_seconds"), "{metrics}");
}

#[test]
fn follow_goes_on_where_its_figures_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut follow = Command::new(test_support::isolatectl());
    follow.args(["jobs", "follow", "--metrics", "/nonexistent/put.prom"]).arg(dir.path());
    let mut follow = follow.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(follow.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.next().unwrap().contains("/nonexistent/put.prom"));
    // What is wrong with the file is told next: the figures are complained about once.
    for text in ["one", r#"{"version": 2}"#] {
        std::fs::write(dir.path().join("new"), text).unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("jobs.json")).unwrap();
        assert!(said.next().unwrap().contains("cannot put the jobs of "));
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
}
