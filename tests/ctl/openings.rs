//! What stays open, in real containers of runc on a bridge: ports, peers, jobs, and `isolatectl peers`.

use serde_json::json;

use super::sealed::Sealed;
use test_support::recorded::spec::put;

/// Puts container `$1` on the bridge as 10.9.0.`$2`, as Docker 28 does: between create and start.
const PLUMB: &str = "plumb() {
    ip link show br0 >/dev/null 2>&1 || { ip link add br0 type bridge; ip link set br0 up; ip addr add 10.9.0.1/24 dev br0; }
    P=$(cat /run/oci-isolate/containers$R/$1.pid)
    ip link add v$2 master br0 type veth peer name eth0 netns /proc/$P/ns/net; ip link set v$2 up
    nsenter -t $P -n ip addr add 10.9.0.$2/24 dev eth0; nsenter -t $P -n ip link set eth0 up
    nsenter -t $P -n ip route add default via 10.9.0.1
}
within() { P=$(cat /run/oci-isolate/containers$R/$1.pid); shift; sleep 0.2; timeout 3 nsenter -t $P -n -m /bin/busybox \"$@\"; }
refused() { if \"$@\" >/dev/null 2>&1; then echo \"answered: $*\" >&2; exit 9; fi; }
closed() { refused within \"$@\"; }
";

fn create(sealed: &Sealed, id: &str, name: &str, annotations: &[(&str, &str)]) {
    let of_ours = |(key, value): &(&str, &str)| (format!("io.oci-isolate.{key}"), (*value).to_owned());
    create_with(
        sealed,
        id,
        name,
        "127.0.0.1 localhost\n",
        &annotations.iter().map(of_ours).collect::<Vec<_>>(),
    );
}

/// With this as `/etc/hosts`, and annotations by their full names.
pub(crate) fn create_with(
    sealed: &Sealed,
    id: &str,
    name: &str,
    hosts: &str,
    annotations: &[(String, String)],
) {
    sealed.sh(&format!("mkdir -p $D/{id}; mkdir -p $D/bundle/rootfs/www; echo hello >$D/bundle/rootfs/www/f; ln -sf busybox $D/bundle/rootfs/bin/httpd; touch $D/bundle/rootfs/etc/hosts")).must();
    sealed.host.write(&format!("{id}/hosts"), hosts);
    let hosts = sealed.host.at(&format!("{id}/hosts"));
    sealed.create(id, |config| {
        put(config, "/process/args", json!(["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]));
        put(config, "/hostname", json!(name));
        let mount = json!({"destination": "/etc/hosts", "type": "bind", "source": hosts, "options": ["rbind", "rw", "rprivate"]});
        config["mounts"].as_array_mut().unwrap().push(mount);
        for (key, value) in annotations {
            config["annotations"][key] = json!(value);
        }
    });
}

pub(crate) fn sh(sealed: &Sealed, script: &str) -> String {
    sealed.sh(&format!("{PLUMB}{script}")).must()
}

pub(crate) fn start(sealed: &Sealed, id: &str, last: u8) {
    sh(sealed, &format!("plumb {id} {last}; $SHIM --root $R start {id}"));
}

#[test]
fn a_port_is_answered_and_nothing_goes_out() {
    let sealed = Sealed::empty();
    create(&sealed, "web", "web", &[("ingress", "8080")]);
    start(&sealed, "web", 2);
    sh(
        &sealed,
        "busybox httpd -p 9999 -h $D/bundle/rootfs/www; sleep 0.3; [ $(busybox wget -qO- http://10.9.0.1:9999/f) = hello ]
        [ $(timeout 3 busybox wget -qO- http://10.9.0.2:8080/f) = hello ]
        refused timeout 3 busybox nc 10.9.0.2 22
        closed web wget -qO- http://10.9.0.1:9999/f; closed web ping -c1 -W1 10.9.0.1
        [ $(within web wget -qO- http://10.9.0.2:8080/f) = hello ]",
    );
    sealed.holds(&["web"]);
}

#[test]
fn members_of_a_job_know_each_other_by_name_and_nobody_else() {
    let sealed = Sealed::empty();
    for (id, name) in [("a", "algo-1"), ("b", "algo-2")] {
        create(&sealed, id, name, &[("job", "train")]);
    }
    create(&sealed, "c", "algo-3", &[("job", "other")]);
    start(&sealed, "a", 2);
    start(&sealed, "b", 4);
    start(&sealed, "c", 6);
    assert_eq!(sh(&sealed, "cat $D/a/hosts"), "127.0.0.1 localhost\n10.9.0.4 algo-2 # oci-isolate job\n");
    sh(
        &sealed,
        "[ $(within a wget -qO- http://algo-2:8080/f) = hello ]; [ $(within b wget -qO- http://algo-1:8080/f) = hello ]
        closed a wget -qO- http://10.9.0.6:8080/f; closed c wget -qO- http://10.9.0.2:8080/f
        closed a ping -c1 -W1 10.9.0.1; refused busybox ping -c1 -W1 10.9.0.2",
    );
    sealed.holds(&["a", "b", "c"]);
    sh(&sealed, "runc --root $R kill b KILL; sleep 0.3; $SHIM --root $R delete b");
    assert_eq!(sh(&sealed, "cat $D/a/hosts"), "127.0.0.1 localhost\n#0.9.0.4 algo-2 # oci-isolate job\n");
    sealed.holds(&["a", "c"]);
}

/// In pairs that start at the same time; at last, each one starts while another that was killed is deleted.
#[test]
fn a_hundred_members_that_come_two_at_once_are_each_others_peers() {
    let sealed = Sealed::empty();
    for last in 2..=106 {
        create(&sealed, &format!("m{last}"), &format!("algo-{last}"), &[("job", "train")]);
    }
    sh(&sealed, "for i in $(seq 2 106); do plumb m$i $i; done");
    let took = sh(
        &sealed,
        "start() { $SHIM --root $R start m$1 || echo \"m$1 does not start\" >>$D/failed; }
        for i in $(seq 2 2 100); do start $i & start $((i + 1)) & wait; done
        from=${EPOCHREALTIME/./}; start 102; echo $(((${EPOCHREALTIME/./} - from) / 1000))
        for i in 2 3 4 5; do
            runc --root $R kill m$i KILL; sleep 0.2
            $SHIM --root $R delete m$i & start $((i + 101)) & wait
        done
        [ ! -e $D/failed ]",
    );
    println!("the 101st of a job starts in {} ms", took.trim());
    for id in ["m6", "m53", "m54", "m106"] {
        assert_eq!(sealed.ctl(&["verify", id]).must(), format!("{id}: holds\n"));
        let peers = sealed.ctl(&["peers", "show", id]).must();
        assert_eq!(peers.lines().count(), 100, "{id}: {peers}");
        let hosts = sh(&sealed, &format!("grep -v '^#' $D/{id}/hosts"));
        assert_eq!(hosts.lines().filter(|line| line.ends_with("# oci-isolate job")).count(), 100, "{id}");
    }
    sh(
        &sealed,
        "for pair in 6:106 106:6 53:54 54:103; do
            [ $(within m${pair%:*} wget -qO- http://algo-${pair#*:}:8080/f) = hello ]
        done
        closed m6 wget -qO- http://10.9.0.2:8080/f; closed m106 ping -c1 -W1 10.9.0.1",
    );
}

#[test]
fn one_whose_name_is_taken_does_not_start_and_does_not_stop_the_others() {
    let sealed = Sealed::empty();
    for (id, name) in [("a", "algo-1"), ("b", "ALGO-1"), ("c", "algo-3")] {
        create(&sealed, id, name, &[("job", "train")]);
    }
    start(&sealed, "a", 2);
    let said = sealed.sh(&format!("{PLUMB}plumb b 4; $SHIM --root $R start b"));
    assert!(
        said.err.ends_with("of the job have the same host name, ALGO-1; give each its own (--hostname)\n")
            && said.err.contains("container b not started: cannot join the job"),
        "{said:?}"
    );
    start(&sealed, "c", 6);
    sh(
        &sealed,
        "[ $(within c wget -qO- http://algo-1:8080/f) = hello ]; closed a wget -qO- http://10.9.0.4:8080/f",
    );
    for id in ["a", "c"] {
        assert_eq!(sealed.ctl(&["verify", id]).must(), format!("{id}: holds\n"));
    }
}

#[test]
fn an_address_that_changes_is_covered_at_once_and_a_peer_s_once_it_is_settled() {
    let sealed = Sealed::empty();
    for (id, name) in [("a", "algo-1"), ("b", "algo-2")] {
        create(&sealed, id, name, &[("job", "train")]);
    }
    start(&sealed, "a", 2);
    start(&sealed, "b", 4);
    sh(&sealed, "P=$(cat /run/oci-isolate/containers$R/b.pid); nsenter -t $P -n ip addr flush dev eth0
        nsenter -t $P -n ip addr add 10.9.0.8/24 dev eth0
        closed a wget -qO- http://10.9.0.8:8080/f; refused timeout 3 busybox wget -qO- http://10.9.0.8:8080/f; closed b ping -c1 -W1 10.9.0.1");
    let verify = sealed.ctl(&["verify", "a"]);
    assert!(verify.out.contains("1 peers are not wanted, and 1 wanted are none"), "{verify:?}");
    sealed.ctl(&["peers", "settle", "b"]).must();
    sh(
        &sealed,
        "[ $(within a wget -qO- http://algo-2:8080/f) = hello ]; [ $(within b wget -qO- http://algo-1:8080/f) = hello ]",
    );
    sealed.holds(&["a", "b"]);
    let show = sealed.ctl(&["peers", "show", "a"]).must();
    assert_eq!(show, "10.9.0.8  b, of job train\n");
}

#[test]
fn peers_are_changed_while_a_container_runs() {
    let sealed = Sealed::empty();
    for (id, peer) in [("a", "10.9.0.4"), ("b", "10.9.0.0/24")] {
        create(&sealed, id, id, &[("peers", peer)]);
    }
    start(&sealed, "a", 2);
    start(&sealed, "b", 4);
    sh(&sealed, "[ $(within a wget -qO- http://10.9.0.4:8080/f) = hello ]");
    assert_eq!(sealed.ctl(&["peers", "show", "a"]).must(), "10.9.0.4/32\n");
    sealed.ctl(&["peers", "add", "a", "10.9.0.8", "10.8.0.0/24"]).must();
    sh(&sealed, "[ $(within a wget -qO- http://10.9.0.4:8080/f) = hello ]");
    sealed.holds(&["a", "b"]);
    sealed.ctl(&["peers", "remove", "a", "10.9.0.4"]).must();
    sh(&sealed, "closed a wget -qO- http://10.9.0.4:8080/f");
    let refused = sealed.ctl(&["peers", "set", "a", "8.8.8.8"]);
    assert!(refused.err.contains("\"8.8.8.8\" is not within what the settings allow"), "{refused:?}");
    sealed.holds(&["a", "b"]);
}

/// However the element is written: with a comment it is another message.
#[test]
fn a_peer_that_somebody_else_let_in_is_named() {
    for (element, says) in [
        ("203.0.113.7", "1 peers are not wanted, and 0 wanted are none"),
        ("203.0.113.7 comment \"mine\"", "set peers4 was changed"),
    ] {
        let sealed = Sealed::empty();
        create(&sealed, "web", "web", &[("peers", "10.9.0.4")]);
        start(&sealed, "web", 2);
        sealed.sabotaged(
            &format!("nsenter -t $P -n nft add element inet oci_isolate peers4 '{{ {element} }}'"),
            &[&format!("seal: table inet oci_isolate was changed: {says}")],
        );
    }
}

#[test]
fn what_asks_for_openings_shares_with_nobody() {
    let sealed = Sealed::empty();
    let at = |path: &str, id: &str| {
        let namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"},
            {"type": "network", "path": path}]);
        sealed.try_create(id, |config| {
            put(config, "/linux/namespaces", namespaces);
            config["annotations"]["io.oci-isolate.ingress"] = json!("8080");
        })
    };
    let refused = at("/proc/1/ns/net", "web");
    assert!(
        refused
            .contains("network-namespace: /proc/1/ns/net is the host's, and nothing can be opened in that"),
        "{refused}"
    );

    let pid = sealed.sh("unshare --net sleep 1000 </dev/null >/dev/null 2>&1 & sleep 0.2; echo $!").must();
    let pid = pid.trim();
    let refused = at(&format!("/proc/{pid}/ns/net"), "web");
    let why = format!(
        "network-namespace: process {pid} (sleep) is in /proc/{pid}/ns/net, and is not of an isolated container"
    );
    assert!(refused.contains(&why), "{refused}");
    assert_eq!(sealed.sh(&format!("nsenter -t {pid} -n nft list ruleset")).must(), "");

    create(&sealed, "a", "a", &[("ingress", "9000")]);
    start(&sealed, "a", 2);
    let refused = at(&format!("/proc/{}/ns/net", sealed.pid("a")), "web");
    assert!(
        refused.contains("is container a's, for which other ports or peers are open; ask for the same"),
        "{refused}"
    );
}

#[test]
fn a_namespace_that_the_engine_has_plumbed_is_kept_and_closed_at_create() {
    let sealed = Sealed::empty();
    sealed.sh("ip netns add n; ip link add v0 type veth peer name eth0 netns n; ip link set v0 up
        ip addr add 10.9.0.1/24 dev v0; ip -n n addr add 10.9.0.2/24 dev eth0; ip -n n link set eth0 up; ip -n n link set lo up")
        .must();
    let namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"},
        {"type": "network", "path": "/run/netns/n"}]);
    create(&sealed, "seed", "seed", &[]);
    sealed.create("web", |config| {
        put(config, "/process/args", json!(["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]));
        put(config, "/linux/namespaces", namespaces);
        config["annotations"]["io.oci-isolate.ingress"] = json!("8080");
    });
    let table = sealed.sh("ip netns exec n nft list ruleset").must();
    assert!(table.contains("policy drop") && !table.contains("8080"), "{table}");
    sealed.sh("$SHIM --root $R start web; sleep 0.3; [ $(timeout 3 busybox wget -qO- http://10.9.0.2:8080/f) = hello ]")
        .must();
    let inspect = sealed.ctl(&["inspect", "web"]).must();
    assert!(inspect.contains("ingress    8080/tcp\n") && inspect.contains("kept       eth0\n"), "{inspect}");
}

#[test]
fn a_container_without_a_network_cannot_be_asked_to_answer() {
    let sealed = Sealed::empty();
    create(&sealed, "web", "web", &[("ingress", "8080")]);
    let said = sealed.sh("$SHIM --root $R start web");
    assert!(said.err.contains("ingress is asked for, and it has no network (--network none?)"), "{said:?}");
}

#[test]
fn a_peer_that_became_a_name_server_or_the_hosts_is_named() {
    let sealed = Sealed::empty();
    create(&sealed, "web", "web", &[("peers", "10.9.0.0/24")]);
    start(&sealed, "web", 2);
    sealed.holds(&["web"]);
    // What the machine's own /etc/resolv.conf names is none of its business.
    sealed.host.write("resolv.conf", "nameserver 10.9.0.53\nnameserver 10.8.0.53\n");
    sealed.sh("mount --bind $D/resolv.conf /etc/resolv.conf; ip addr add 10.9.0.77/24 dev br0").must();
    assert_eq!(
        sealed.broken(),
        [
            "seal: peer 10.9.0.53 is a name server of the host by now",
            "seal: peer 10.9.0.77 is the host's own address by now",
        ]
    );
}

#[test]
fn a_peer_of_another_job_is_named_with_its_job() {
    let sealed = Sealed::empty();
    for (id, name) in [("web", "algo-1"), ("b", "algo-2")] {
        create(&sealed, id, name, &[("job", "train")]);
    }
    start(&sealed, "web", 2);
    start(&sealed, "b", 4);
    sealed.holds(&["b", "web"]);
    // As if it had been let in, whose job is that of another Kubernetes namespace.
    let record = sealed.host.record("b");
    sealed.sh(&format!("sed -i 's/\"namespace\":null,\"name\":\"train\"/\"namespace\":\"team-b\",\"name\":\"train\"/' {record}")).must();
    assert_eq!(
        sealed.broken(),
        [
            "seal: peer 10.9.0.4 is container b, of job train of namespace team-b",
            "seal: table inet oci_isolate was changed: 1 peers are not wanted, and 0 wanted are none",
        ]
    );
}
