//! A container that a user runs without root, with a way out that is added before it starts: open with bare runc, isolated behind the shim
//! where users have user namespaces, not started elsewhere.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::{Value, json};

use crate::lacks::Lacks;
use test_support::bench::isolated;
use test_support::command::Finished;
use test_support::host::Kind;
use test_support::life::Life;
use test_support::shim;

const USER: u32 = 59_999;

/// Asks a host outside for a word, and counts the variables with credentials.
const SCRIPT: &str = "echo runs; timeout 20 bash -c 'exec 3<>/dev/tcp/203.0.113.7/80 && echo >&3 && cat <&3' 2>&1; env | grep -c SECRET; echo asked";

/// By runc, which does without control groups that a user may not make.
#[test]
fn a_container_of_a_user_is_isolated_or_does_not_start() {
    let lacks = Lacks::now();
    let life = Life::of(Kind::Machine);
    let host = &life.bench.host;
    std::fs::set_permissions(host.dir(), Permissions::from_mode(0o755)).unwrap();
    // The build's directory is not every user's.
    std::fs::copy(shim(), host.dir().join("shim")).unwrap();
    if lacks == Lacks::NfTables {
        life.settings("firewall = \"if-available\"\n");
    }
    life.sh("cd $D; mkdir example; cd example; runc spec --rootless").must();
    let text = std::fs::read(host.dir().join("example/config.json")).unwrap();
    let mut spec: Value = serde_json::from_slice(&text).unwrap();
    spec["root"] = json!({"path": host.at("rootfs"), "readonly": true});
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["sh", "-c", SCRIPT]);
    spec["process"]["env"] = json!(["PATH=/bin", "AWS_SECRET_ACCESS_KEY=x"]);
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network"}));
    for ids in ["uidMappings", "gidMappings"] {
        spec["linux"][ids] = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    }
    chown(life.bench.dir("home"), Some(USER), Some(USER)).unwrap();
    for (id, spec) in [("bare", &spec), ("one", &isolated(&spec))] {
        let bundle = life.bench.dir(id);
        let config = bundle.join("config.json");
        std::fs::write(&config, spec.to_string()).unwrap();
        for of_user in [&bundle, &config] {
            chown(of_user, Some(USER), Some(USER)).unwrap();
        }
    }
    let users_have = matches!(lacks, Lacks::Nothing | Lacks::NfTables);
    if users_have {
        let open = runs(&life, life.kind.runtime().to_str().unwrap(), "bare");
        assert!(
            open.out.contains("outside") && open.out.ends_with("\n1"),
            "not open without the shim: {open}"
        );
    }
    let said = runs(&life, &host.at("shim"), "one");
    eprintln!("{lacks:?}: {said}");
    let why = match lacks {
        Lacks::Nothing | Lacks::NfTables => {
            assert!(said.well() && said.out.starts_with("runs\n") && said.out.ends_with("\n0"), "{said}");
            assert!(said.out.contains("unreachable") && !said.out.contains("outside"), "{said}");
            return;
        }
        Lacks::UnprivilegedUserNamespaces => "Operation not permitted",
        Lacks::UserNamespaces => "No space left on device",
    };
    assert!(!said.well() && said.err.contains(why) && !said.out.contains("runs"), "{said}");
}

/// What a container says that the user has created by a runtime, and that root has connected with the outside before it starts.
fn runs(life: &Life, runtime: &str, id: &str) -> Finished {
    life.sh(&format!(
        "export XDG_RUNTIME_DIR=$D/home
         user() {{ setpriv --reuid={USER} --regid={USER} --clear-groups {runtime} --root $D/home/state \"$@\"; }}
         user create --bundle $D/{id} --pid-file $D/home/{id}.pid {id} </dev/null >$D/out 2>$D/err || {{ cat $D/err; exit 1; }} >&2
         init=$(cat $D/home/{id}.pid)
         ip link add way-{id} type veth peer name eth0 netns /proc/$init/ns/net
         ip addr add 10.78.0.1/24 dev way-{id}; ip link set way-{id} up
         in=\"nsenter -n -t $init\"; $in ip addr add 10.78.0.2/24 dev eth0; $in ip link set eth0 up
         $in ip route add default via 10.78.0.1
         user start {id}
         n=0; until grep -q asked $D/out; do sleep 0.1; n=$((n + 1)); [ $n -lt 600 ]; done
         user delete --force {id} >&2; grep -v asked $D/out"
    ))
}
