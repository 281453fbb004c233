//! Containers that were created isolated and have no record.

use serde_json::{Value, json};

use super::sealed::Sealed;

const WHY: &str =
    "record: it was created isolated (annotation io.oci-isolate.network-isolation) and has no record";

#[test]
fn a_container_whose_record_is_gone_is_named_on_any_runtime() {
    for runtime in ["runc", "crun"] {
        let sealed = Sealed::of(runtime);
        sealed.start("web", |_| {});
        // By it the root is known, which is none of the default ones.
        sealed.start("other", |_| {});
        let pid = sealed.pid("web");
        sealed.sabotage(&format!("rm {}", sealed.host.record("web")));
        let all = sealed.ctl(&["verify", "--all"]);
        assert_eq!((all.status, all.out), (1, format!("other: holds\nweb: does not hold\n  {WHY}\n")));
        let one = sealed.ctl(&["verify", "web"]);
        assert_eq!((one.status, one.out), (1, format!("web: does not hold\n  {WHY}\n")));

        let list: Value = serde_json::from_str(&sealed.ctl(&["--json", "list"]).must()).unwrap();
        let root = sealed.host.at("root");
        let line = json!({"id": "web", "root": root, "bundle": null, "state": "unrecorded", "pid": pid});
        assert_eq!(list[1], line);
        // What has ended does nothing.
        sealed.sh(&format!("kill -9 {pid}; while [ -e /proc/{pid} ]; do sleep 0.02; done")).must();
        assert_eq!(sealed.ctl(&["verify", "--all"]).must(), "other: holds\n");
    }
}

#[test]
fn a_container_around_the_shim_is_found_where_runtimes_and_engines_keep_theirs() {
    for (runtime, root) in [
        ("runc", "/run/runc"),
        ("crun", "/run/crun"),
        ("runc", "/run/containerd/runc/k8s.io"),
        ("runc", "/run/docker/runtime-runc/moby"),
        ("crun", "/run/user/1000/crun"),
    ] {
        let sealed = Sealed::of(runtime);
        sealed.create("web", |_| {});
        let around = format!(
            "$SHIM --root $R delete -f web; mkdir -p {root}
            {runtime} --root {root} run -d -b $D/web web </dev/null >/dev/null 2>&1"
        );
        sealed.sh(&around).must();
        let said = sealed.ctl(&["verify", "--all"]);
        assert_eq!((said.status, said.out), (1, format!("web: does not hold\n  {WHY}\n")), "{root}");
        let list = sealed.ctl(&["list"]).must();
        assert!(list.lines().any(|line| line.contains("unrecorded") && line.ends_with(root)), "{list}");
        sealed.sh(&format!("{runtime} --root {root} delete -f web")).must();
        assert_eq!(sealed.ctl(&["verify", "--all"]).must(), "");
    }
}

#[test]
fn a_container_that_never_asked_for_it_is_not_named() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    sealed
        .sh("$SHIM --root $R delete -f web; sed -i 's/io.oci-isolate.network-isolation/com.example.it/' $D/web/config.json
            runc run -d -b $D/web web </dev/null >/dev/null 2>&1")
        .must();
    assert_eq!(sealed.ctl(&["verify", "--all"]).must(), "");
    // Nor where the settings isolate all from now on.
    sealed.host.write("config.toml", "runtime = [\"runc\"]\nmode = \"always\"");
    assert_eq!(sealed.ctl(&["verify", "--all"]).must(), "");
    // But where they ask for those with this annotation.
    let require = "runtime = [\"runc\"]\n[[require]]\nannotation = \"com.example.it\"\nmatches = \"*\"";
    sealed.host.write("config.toml", require);
    let said = sealed.ctl(&["verify", "--all"]);
    assert!(said.status == 1 && said.out.starts_with("web: does not hold\n  record: "), "{said:?}");
    // Or those with this variable, which runc does not keep: the bundle has it.
    let require = |value: &str| {
        let text = format!("runtime = [\"runc\"]\n[[require]]\nenv = \"PATH\"\nmatches = \"{value}\"");
        sealed.host.write("config.toml", text);
        sealed.ctl(&["verify", "--all"])
    };
    let said = require("*/bin*");
    assert!(said.status == 1 && said.out.contains("[[require]] env PATH matches"), "{said:?}");
    assert_eq!(require("none").must(), "");
    // What cannot be told counts as isolated.
    sealed.sh("rm $D/web/config.json").must();
    let said = require("none");
    assert!(said.status == 1 && said.out.contains("config.json is gone"), "{said:?}");
    sealed.sh("runc delete -f web").must();
}
