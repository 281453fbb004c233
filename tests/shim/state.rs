//! The state directory: who may write it, and what happens when it cannot be written.

use std::fs;

use super::record::is_recorded;
use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, plain};

#[test]
fn a_state_directory_that_others_can_write_is_not_believed() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let why = "/run/oci-isolate is not a directory that we own and only we can write";
    let spoil = ["chown 1000 D", "chmod 0777 D", "chmod 0720 D", "mv D D.real; ln -s oci-isolate.real D"];
    for spoil in spoil {
        host.shim(&["create", "web"]).must();
        host.call();
        host.sh(&spoil.replace('D', "/run/oci-isolate")).must();
        host.refuses(&["start", "web"], &format!("container web not started: {why}"));
        host.refuses(&["exec", "web", "sh"], &format!("nothing run in container web: {why}"));
        host.refuses(&["create", "web"], &format!("container web not created: {why}"));
        host.sh("rm -rf /run/oci-isolate /run/oci-isolate.real").must();
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_or_written_stops_create_only_when_isolated() {
    let host = RecorderHost::new();
    let not_ours = "/run/oci-isolate is not a directory that we own and only we can write";
    let cases = [
        ("touch /run/oci-isolate", not_ours),
        ("ln -s nowhere /run/oci-isolate", not_ours),
        (
            "mount -o remount,ro /run",
            "cannot make the directory /run/oci-isolate: Read-only file system (os error 30)",
        ),
    ];
    for (spoil, why) in cases {
        host.sh(spoil).must();
        host.config(&isolated());
        host.refuses(&["create", "web"], &format!("container web not created: {why}"));
        host.refuses(&["run", "web"], &format!("container web not run: {why}"));
        host.config(&plain());
        host.shim(&["create", "web"]).must();
        host.call();
        host.sh("mount -o remount,rw /run; rm -rf /run/oci-isolate").must();
    }
}

#[test]
fn a_full_or_read_only_state_directory_stops_create_and_leaves_nothing() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let path = host.record("web");
    host.sh("mkdir -m 0700 /run/oci-isolate; mount -t tmpfs -o size=16k,mode=0700 tmpfs /run/oci-isolate")
        .must();
    host.sh("cat /dev/zero >/run/oci-isolate/fill 2>/dev/null || true").must();
    let why = format!("cannot write {path}: No space left on device (os error 28)");
    host.refuses(&["create", "web"], &format!("container web not created: {why}"));
    host.refuses(&["run", "web"], &format!("container web not run: {why}"));
    host.sh("rm /run/oci-isolate/fill; mount -o remount,ro /run/oci-isolate").must();
    let said = host.shim(&["create", "web"]);
    assert!(said.status == 1 && said.err.ends_with("Read-only file system (os error 30)\n"), "{}", said.err);
    assert!(host.calls().is_empty());
}

#[test]
fn a_delete_whose_record_cannot_be_dropped_says_so() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.behave("mount --bind /run/oci-isolate /run/oci-isolate; mount -o remount,bind,ro /run/oci-isolate");
    let said = host.shim(&["delete", "web"]);
    let why = format!(
        "container web not deleted: cannot remove {}: Read-only file system (os error 30)",
        host.record("web")
    );
    assert_eq!((said.status, said.err), (1, format!("oci-isolate: {why}\n")));
    host.sh("umount /run/oci-isolate").must();
    assert!(is_recorded(&host, "web"));
}

#[test]
fn a_user_has_a_state_directory_of_his_own() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("cp \"$SHIM\" ../shim; chmod 0755 ../shim; mkdir ../user; chown -R 1000:1000 .. ; chmod 0777 ../calls").must();
    let as_user = |args: &[&str]| {
        let mut command = host.command("setpriv");
        command.args(["--reuid=1000", "--regid=1000", "--clear-groups"]).arg(host.at("shim")).args(args);
        say(command.env("XDG_RUNTIME_DIR", host.at("user")))
    };
    as_user(&["create", "web"]).must();
    let call = host.call();
    let below = host.at("user");
    let record = format!("{below}/oci-isolate/containers{below}/runc/web.json");
    assert!(fs::exists(&record).unwrap(), "{record}");
    assert_eq!(call.words(), ["create", &format!("--pid-file={}", record.replace(".json", ".pid")), "web"]);
    assert_eq!(host.state(), [""; 0]);
    as_user(&["delete", "web"]).must();
    assert!(!fs::exists(&record).unwrap());
}

/// crun takes `XDG_RUNTIME_DIR` for root too, runc and youki do not.
#[test]
fn the_root_is_where_each_runtime_has_it() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("mkdir ../user; for runtime in runc crun youki; do cp ../recorder ../$runtime; done").must();
    let below = host.at("user");
    for (runtime, root) in
        [("runc", "/run/runc".into()), ("crun", format!("{below}/crun")), ("youki", "/run/youki".into())]
    {
        host.write("config.toml", format!("runtime = [\"{}\"]", host.at(runtime)));
        let shim = |args: &[&str]| {
            say(host.command(test_support::shim()).args(args).env("XDG_RUNTIME_DIR", &below)).must();
            host.call()
        };
        shim(&["create", "web"]);
        assert_eq!(host.state(), [format!("oci-isolate/containers{root}/web.json")], "{runtime}");
        shim(&["delete", "web"]);
        assert_eq!(host.state(), [""; 0], "{runtime}");
    }
}
