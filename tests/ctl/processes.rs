//! What is done to the processes of a sealed container, and that `verify` names it: all of them are looked at.

use std::os::unix::net::UnixListener;

use serde_json::json;

use super::sealed::{SECRET, Sealed};
use test_support::recorded::spec::put;

#[test]
fn a_process_that_joined_from_outside_is_named() {
    Sealed::new().intruded(
        "exec nsenter -t $P -n sleep 1000",
        "network-namespace: process PID is in its net namespace and not in the container",
    );
}

#[test]
fn a_process_from_outside_in_its_pid_or_ipc_namespace_is_named() {
    let says =
        |rule, kind| format!("{rule}: process PID is in its {kind} namespace and not in the container");
    Sealed::new().intruded("exec nsenter -t $P -i sleep 1000", &says("host-ipc", "ipc"));
    // A process that joins a pid namespace is not in it, but its children are.
    let sealed = Sealed::new();
    let outside = sealed.stays("exec nsenter -t $P -p sleep 1000");
    let inside = sealed.sh(&format!("pgrep -P {outside}")).must();
    assert_eq!(sealed.broken(), [says("host-pid", "pid").replace("PID", inside.trim())]);
}

#[test]
fn a_process_of_the_container_in_the_hosts_mount_namespace_is_named() {
    Sealed::new().intruded(
        "eval \"$JOIN\"; exec nsenter -t $P -n sleep 1000",
        "mount-system: process PID is in the host's mount namespace",
    );
}

/// In its own, CAP_SYSLOG has no effect.
#[test]
fn a_process_that_left_the_user_namespace_of_its_container_is_named() {
    let sealed = Sealed::empty().with_user_namespaces();
    sealed.start("web", |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        put(config, "/linux/uidMappings", map.clone());
        put(config, "/linux/gidMappings", map);
        let capabilities = config["process"]["capabilities"].as_object_mut().unwrap();
        for set in ["bounding", "effective", "permitted"] {
            capabilities[set].as_array_mut().unwrap().push(json!("CAP_SYSLOG"));
        }
    });
    sealed.intruded(
        "eval \"$JOIN\"; exec nsenter -t $P -n -m -p -i /bin/sleep 1000",
        "host-capabilities: process PID is in the host's user namespace",
    );
    assert!(sealed.broken().iter().any(|line| line.ends_with("has CAP_SYSLOG (CapEff)")));
}

#[test]
fn a_process_of_the_container_in_another_namespace_is_named() {
    Sealed::new().intruded(
        "eval \"$JOIN\"; exec nsenter -t $P -m /bin/sleep 1000",
        "network-namespace: process PID is in another network namespace",
    );
}

#[test]
fn an_init_that_left_is_named_by_the_record() {
    let sealed = Sealed::new();
    // As if another namespace had been sealed.
    let record = sealed.host.record("web");
    sealed.sabotaged(
        &format!(
            "sed -i 's/\"ino\":\\([0-9]*\\)}},\"links-removed\"/\"ino\":1}},\"links-removed\"/' {record}"
        ),
        &[&format!("network-namespace: process {} left the namespace that was sealed", sealed.pid("web"))],
    );
}

#[test]
fn capabilities_that_came_from_outside_are_named() {
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        for (rule, name) in
            [("network-capabilities", "CAP_NET_ADMIN"), ("host-capabilities", "CAP_SYS_PTRACE")]
        {
            Sealed::new().intruded(
                "eval \"$JOIN\"; exec nsenter -t $P -a /bin/sleep 1000",
                &format!("{rule}: process PID has {name} ({set})"),
            );
        }
    }
}

#[test]
fn a_process_without_a_filter_of_system_calls_is_named() {
    Sealed::new().intruded(
        "eval \"$JOIN\"; exec nsenter -t $P -a /bin/sleep 1000",
        "seccomp: process PID has no filter of system calls",
    );
}

#[test]
fn a_process_of_the_container_in_the_hosts_namespaces_is_named() {
    for (rule, kind, others) in [("host-pid", "pid", "-n -m -i"), ("host-ipc", "ipc", "-n -m -p")] {
        Sealed::new().intruded(
            &format!("eval \"$JOIN\"; exec nsenter -t $P {others} /bin/sleep 1000"),
            &format!("{rule}: process PID is in the host's {kind} namespace"),
        );
    }
}

/// A sandbox in the container makes user namespaces; what it has there does not reach the container's network.
#[test]
fn capabilities_in_a_user_namespace_of_its_own_are_not_named() {
    let sealed = Sealed::new();
    sealed.stays(
        "eval \"$JOIN\"
        exec setpriv --bounding-set=-net_admin,-net_raw nsenter -t $P -a /bin/busybox unshare -r /bin/sleep 1000",
    );
    let all = "for p in $(grep -lx sleep /proc/[0-9]*/comm); do p=${p%/comm}; grep CapEff $p/status | sed \"s,^,${p#/proc/} ,\"; done";
    let all = sealed.sh(all).must();
    let is_admin = |line: &&str| {
        let set = line.rsplit('\t').next().unwrap();
        u64::from_str_radix(set, 16).unwrap() & (1 << 12) != 0
    };
    let admin = all.lines().find(is_admin).unwrap_or_else(|| panic!("no process has CAP_NET_ADMIN: {all}"));
    let named = format!("process {} has CAP_", admin.split(' ').next().unwrap());
    // Of the nsenter(1) around it, which comes from outside, other things are named.
    let broken = sealed.broken();
    assert!(!broken.iter().any(|line| line.contains(&named)), "{named}\n{broken:#?}");
}

#[test]
fn a_variable_that_came_from_outside_is_named_and_its_value_is_not() {
    Sealed::new().intruded(
        &format!(
            "eval \"$JOIN\"; export AWS_SECRET_ACCESS_KEY={SECRET} AWS_REGION=here
            exec nsenter -t $P -a /bin/sleep 1000"
        ),
        "credentials-env: process PID has variable AWS_SECRET_ACCESS_KEY (its name)",
    );
}

#[test]
fn a_name_that_the_settings_keep_is_kept() {
    let sealed = Sealed::new();
    let plant = format!("eval \"$JOIN\"; export MY_TOKEN={SECRET}; exec nsenter -t $P -a /bin/sleep 1000");
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[credentials]\nremove = [\"MY_TOKEN\"]");
    sealed.intruded(&plant, "credentials-env: process PID has variable MY_TOKEN (the settings name it)");
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[credentials]\nkeep = [\"MY_TOKEN\"]");
    assert!(!sealed.broken().iter().any(|line| line.contains("MY_TOKEN")));
}

#[test]
fn a_socket_of_the_host_is_named() {
    Sealed::new().intruded(
        "ip link set lo up; exec 3<>/dev/udp/127.0.0.1/9; eval \"$JOIN\"; exec nsenter -t $P -n -m /bin/sleep 1000",
        "descriptors: descriptor 3 of process PID is a socket of the host's network namespace",
    );
}

#[test]
fn a_socket_of_a_third_namespace_is_named() {
    Sealed::new().intruded(
        "export P; exec unshare -n bash -euc 'ip link set lo up; exec 3<>/dev/udp/127.0.0.1/9; eval \"$JOIN\"
        exec nsenter -t $P -n -m /bin/sleep 1000'",
        "descriptors: descriptor 3 of process PID is a socket that its network namespace does not list: of another \
         one, of another family, or never bound",
    );
}

#[test]
fn sockets_of_its_own_are_not_named() {
    let sealed = Sealed::empty();
    sealed.start("web", |config| {
        put(config, "/process/args", json!(["/bin/busybox", "nc", "-l", "-p", "8080"]));
    });
    sealed.sabotage("until grep -q ':1F90 ' /proc/$P/net/tcp /proc/$P/net/tcp6; do sleep 0.02; done");
    sealed.holds(&["web"]);
}

#[test]
fn a_descriptor_that_is_a_namespace_is_named() {
    Sealed::new().intruded(
        "exec 3</proc/self/ns/net; eval \"$JOIN\"; exec nsenter -t $P -n -m /bin/sleep 1000",
        "descriptors: descriptor 3 of process PID is a namespace",
    );
}

#[test]
fn a_namespace_that_was_mounted_is_named() {
    let sealed = Sealed::new();
    sealed.sabotaged(
        "nsenter -t $P -m busybox sh -ec 'touch /dev/there; busybox mount -o bind /proc/1/ns/net /dev/there'",
        &[&format!("mount-system: /dev/there of process {} is a namespace", sealed.pid("web"))],
    );
}

#[test]
fn a_socket_of_the_host_that_was_mounted_is_named() {
    let sealed = Sealed::new();
    let _listener = UnixListener::bind(sealed.host.at("bundle/rootfs/tmp/docker.sock")).unwrap();
    sealed.sabotaged(
        "nsenter -t $P -m busybox sh -ec 'touch /dev/there; busybox mount -o bind /tmp/docker.sock /dev/there'",
        &[&format!("mount-sockets: /dev/there of process {} is a socket of the host", sealed.pid("web"))],
    );
}

#[test]
fn a_blank_in_a_path_hides_nothing() {
    let sealed = Sealed::new();
    let _listener = UnixListener::bind(sealed.host.at("bundle/rootfs/tmp/docker.sock")).unwrap();
    sealed.sabotaged(
        "nsenter -t $P -m busybox sh -ec 'touch \"/dev/over there\"; busybox mount -o bind /tmp/docker.sock \"/dev/over there\"'",
        &[&format!("mount-sockets: /dev/over there of process {} is a socket of the host", sealed.pid("web"))],
    );
}

#[test]
fn a_zombie_breaks_nothing() {
    let sealed = Sealed::new();
    // sleep does not wait for the child that it has from the shell.
    sealed
        .sh("$SHIM --root $R exec -d web /bin/sh -c '/bin/true & exec /bin/sleep 1000' </dev/null >/dev/null 2>&1; sleep 0.4")
        .must();
    assert!(
        sealed.sh("grep -l '^State:.Z' /proc/[0-9]*/status").out.contains("/status"),
        "there is no zombie"
    );
    sealed.holds(&["web"]);
}

#[test]
fn a_process_of_exec_breaks_nothing() {
    let sealed = Sealed::new();
    sealed.sh("$SHIM --root $R exec -d web /bin/sleep 1000 </dev/null >/dev/null 2>&1").must();
    sealed.holds(&["web"]);
}
