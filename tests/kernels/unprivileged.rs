//! A container that a user runs without root: isolated where users have user namespaces, not started elsewhere.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::{Value, json};

use crate::lacks::Lacks;
use test_support::bench::isolated;
use test_support::host::Kind;
use test_support::life::Life;
use test_support::shim;

const USER: u32 = 59_999;

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
    spec["process"]["args"] = json!(["sh", "-c", "echo runs; ip -o link | wc -l; env | grep -c SECRET"]);
    spec["process"]["env"] = json!(["PATH=/bin", "AWS_SECRET_ACCESS_KEY=x"]);
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network"}));
    for ids in ["uidMappings", "gidMappings"] {
        spec["linux"][ids] = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    }
    let (home, bundle) = (life.bench.dir("home"), life.bench.dir("bundle"));
    let config = bundle.join("config.json");
    std::fs::write(&config, isolated(&spec).to_string()).unwrap();
    for of_user in [&home, &bundle, &config] {
        chown(of_user, Some(USER), Some(USER)).unwrap();
    }
    let said = life.sh(&format!(
        "export XDG_RUNTIME_DIR=$D/home
         setpriv --reuid={USER} --regid={USER} --clear-groups $D/shim --root $D/home/state run --bundle $D/bundle one"
    ));
    eprintln!("{lacks:?}: {said}");
    let why = match lacks {
        Lacks::Nothing | Lacks::NfTables => {
            assert!(said.out == "runs\n1\n0", "{said}");
            return;
        }
        Lacks::UnprivilegedUserNamespaces => "Operation not permitted",
        Lacks::UserNamespaces => "No space left on device",
    };
    assert!(!said.well() && said.err.contains(why) && !said.out.contains("runs"), "{said}");
}
