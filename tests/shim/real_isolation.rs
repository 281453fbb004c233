//! An isolated container in real runc and crun has neither network nor credentials.

use std::fs;

use serde_json::{Value, json};

use super::real_runtimes::{RUNTIMES, bundle, host, script};
use test_support::recorded::spec::{SWITCH, put};
use test_support::shim;

fn isolated(config: &mut Value) {
    config["annotations"][SWITCH] = json!("true");
}

/// What an isolated container tells of itself.
const TELL: &str = "env; grep -i capeff /proc/self/status; ip -o link show up; ip -o addr; ip route; \
    ping -c1 -W1 10.9.9.1 >/dev/null 2>&1; echo ping $?; exit 6";

#[track_caller]
fn has_nothing(out: &str) {
    assert!(out.contains("KEPT=1") && out.contains("AWS_EC2_METADATA_DISABLED=true"), "{out}");
    assert!(!out.contains("AWS_SECRET") && !out.contains("AWS_CONTAINER") && !out.contains("eth0"), "{out}");
    // CAP_KILL alone is left.
    assert!(out.contains("CapEff:\t0000000000000020"), "{out}");
    assert!(out.contains("127.0.0.1/8") && out.contains("ping 1"), "{out}");
}

#[test]
fn an_isolated_run_has_neither_network_nor_credentials_and_leaves_nothing() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        let own = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]);
        let hosts = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}]);
        for namespaces in [own, hosts] {
            bundle(&host, "a", TELL, |config| {
                isolated(config);
                put(config, "/linux/namespaces", namespaces.clone());
            });
            let said = script(
                &host,
                shim().to_str().unwrap(),
                "AWS_PROFILE=x $R run -b $D/a web </dev/null; echo status $?; find /run/oci-isolate -type f ! -name 'runtime-*'",
            );
            assert_eq!(said.err, "", "{runtime} {namespaces}");
            has_nothing(&said.out);
            assert!(said.out.ends_with("status 6\n"), "{runtime} {said:?}");
        }
    }
}

#[test]
fn an_isolated_container_loses_what_is_plumbed_between_create_and_start() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", TELL, isolated);
        let text = "$R create -b $D/a --pid-file $D/pid web </dev/null >$D/out 2>&1; echo $?
            ip link add v0 type veth peer name eth0 netns /proc/$(cat $D/pid)/ns/net
            ip addr add 10.9.9.1/24 dev v0; ip link set v0 up
            nsenter -n -t $(cat $D/pid) sh -c 'ip addr add 10.9.9.9/24 dev eth0; ip link set eth0 up'
            n=0; until busybox ping -c1 -W1 10.9.9.9 >/dev/null || [ $n = 20 ]; do n=$((n + 1)); done
            [ $n = 20 ] || echo before 0
            $R start web; echo $?; until grep -q ping $D/out; do sleep 0.02; done; cat $D/out
            until $R state web | grep -q stopped; do sleep 0.02; done; $R delete web; echo $?; find /run/oci-isolate -type f ! -name 'runtime-*'";
        let said = script(&host, shim().to_str().unwrap(), text);
        has_nothing(&said.out);
        assert!(
            said.out.starts_with("0\nbefore 0\n0\n") && said.out.ends_with("ping 1\n0\n"),
            "{runtime} {said:?}"
        );
        assert!(said.out.contains("10.9.9.9/32"), "its own address is kept on lo: {said:?}");
        assert_eq!(said.err, "", "{runtime}");
    }
}

#[test]
fn exec_into_an_isolated_container_brings_nothing_back() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "while :; do sleep 0.05; done", isolated);
        let process = json!({"args": ["/bin/sh", "-c", TELL], "cwd": "/", "env": ["PATH=/bin", "KEPT=1", "AWS_SECRET_ACCESS_KEY=x"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": ["CAP_KILL", "CAP_NET_ADMIN"], "effective": ["CAP_KILL", "CAP_NET_ADMIN"], "permitted": ["CAP_KILL", "CAP_NET_ADMIN"]}});
        let file = host.write("process.json", process.to_string());
        let text = "$R run -d -b $D/a web </dev/null >/dev/null 2>&1; echo $?
            AWS_PROFILE=x $R exec --process $D/process.json web </dev/null; echo status $?
            $R exec -e AWS_PROFILE=x -e AWS_REGION=here --cap CAP_NET_ADMIN web /bin/sh -c 'env | grep AWS; grep CapEff /proc/self/status'; echo status $?
            $R delete -f web; echo $?; find /run/oci-isolate -type f ! -name 'runtime-*'";
        let said = script(&host, shim().to_str().unwrap(), text);
        let (first, second) =
            said.out.split_once("status 6\n").unwrap_or_else(|| panic!("{runtime} {said:?}"));
        has_nothing(first);
        assert!(second.contains("AWS_REGION=here") && !second.contains("AWS_PROFILE"), "{runtime} {second}");
        let caps = second.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        assert_eq!(u64::from_str_radix(caps, 16).unwrap() & (1 << 12 | 1 << 13), 0, "{runtime} {caps}");
        assert!(second.ends_with("status 0\n0\n"), "{runtime} {second}");
        assert_eq!(fs::read_to_string(file).unwrap(), process.to_string());
    }
}

#[test]
fn a_run_whose_seal_fails_does_not_run() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "echo RUNS", |config| {
            isolated(config);
            // Another hook takes the record away before ours is called.
            put(
                config,
                "/hooks",
                json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "rm -r /run/oci-isolate/containers"]}]}),
            );
        });
        let said = script(&host, shim().to_str().unwrap(), "$R run -b $D/a web </dev/null; echo status $?");
        assert!(!said.out.contains("RUNS") && !said.out.contains("status 0"), "{runtime} {said:?}");
    }
}

#[test]
fn the_refusal_is_where_each_runtime_has_its_errors() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "", |config| config["annotations"][SWITCH] = json!("maybe"));
        let said = script(
            &host,
            shim().to_str().unwrap(),
            "$R --log $D/log --log-format json create -b $D/a web; echo $?; cat $D/log",
        );
        let why = format!(
            "oci-isolate: container web not created: annotation {SWITCH} is \\\"maybe\\\"; it takes \\\"true\\\", \\\"false\\\", \\\"observe\\\" or nothing"
        );
        assert!(
            said.out.starts_with(&format!("1\n{{\"level\":\"error\",\"msg\":\"{why}\",\"time\":\"")),
            "{runtime} {said:?}"
        );
    }
}

/// A runtime that writes the state to a hook which is gone already gets SIGPIPE; crun dies of it. More than a pipe
/// holds makes it certain.
#[test]
fn the_hooks_read_the_state_that_they_are_given() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "exit 6", |config| {
            isolated(config);
            config["annotations"]["large"] = json!("x".repeat(300_000));
        });
        let text = "$R run -b $D/a web </dev/null; echo status $?; $R run -d -b $D/a two </dev/null >/dev/null 2>&1; echo $?
            until $R state two | grep -q stopped; do sleep 0.02; done; $R delete two; echo $?; find /run/oci-isolate -type f ! -name 'runtime-*'";
        let said = script(&host, shim().to_str().unwrap(), text);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("status 6\n0\n0\n", ""), "{runtime}");
    }
}

/// The sockets in the namespace are its own by then, and not foreign ones, which the seal would block.
#[test]
fn a_second_start_is_the_runtimes_to_refuse_and_a_running_container_keeps_its_listeners() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        let serve = "while :; do echo answer | nc -l -p 7000; done & while :; do sleep 0.05; done";
        bundle(&host, "a", serve, isolated);
        let text = r#"ask() { timeout 20 $R exec web sh -c 'until nc 127.0.0.1 7000 </dev/null 2>/dev/null; do sleep 0.05; done'; }
            $R create -b $D/a web </dev/null >/dev/null 2>&1; $R start web; echo $?; ask
            table() { nsenter -n -t $($R state web | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*') nft list ruleset; }
            table >$D/before; $R start web; echo $?; table | cmp - $D/before; echo $?; ask
            $R delete -f web; echo $?; find /run/oci-isolate -type f ! -name 'runtime-*'"#;
        let said = script(&host, shim().to_str().unwrap(), text);
        assert_eq!(said.out, "0\nanswer\n1\n0\nanswer\n0\n", "{runtime} {said:?}");
        assert!(!said.err.is_empty() && !said.err.contains("oci-isolate: "), "{runtime} {said:?}");
    }
}
