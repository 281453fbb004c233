//! The record of an isolated container: when it is there, when it is gone, who else's it never is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, isolated_with, plain, put};
use test_support::shim;

pub(crate) fn is_recorded(host: &RecorderHost, id: &str) -> bool {
    host.outside(&host.record(id)).exists()
}

#[test]
fn a_create_leaves_one_that_only_its_owner_can_read() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "--pid-file", "/x/pid", "web"]).must();
    let record = host.read_record("web");
    assert_eq!(record["version"], json!(6));
    assert_eq!(record["id"], json!("web"));
    assert_eq!(record["bundle"], json!(host.at("bundle")));
    assert_eq!(record["pid_file"], json!("/x/pid"));
    assert_eq!(record["why"], json!("annotation io.oci-isolate.network-isolation"));
    assert_eq!(record["network"], json!("new"));
    assert_eq!(record["sealed"], json!(null));
    let root = fs::metadata(host.at("bundle/rootfs")).unwrap();
    assert_eq!(record["rootfs"], json!({"dev": root.dev(), "ino": root.ino()}));
    let shared = format!("/ may be a data channel: others may use {}", host.at("bundle/rootfs"));
    let applied = json!([
        {"rule": "data-channels", "says": [shared]},
        {"rule": "credentials-env", "says": ["set variable AWS_EC2_METADATA_DISABLED"]},
    ]);
    assert_eq!(record["applied"], applied);
    let mode = |path: &str| fs::metadata(host.outside(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode(&host.record("web")), 0o600);
    assert_eq!(mode("/run/oci-isolate"), 0o700);
    assert_eq!(host.state().len(), 1);
}

#[test]
fn it_is_gone_after_a_delete_that_succeeded_and_stays_after_one_that_failed() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    for (behaviour, status) in
        [("exit 1", 1), ("exit 3", 3), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)]
    {
        host.behave(&format!("echo out; echo err >&2; {behaviour}"));
        let said = host.shim(&["delete", "web"]);
        assert_eq!(
            (said.status, said.out.as_str(), said.err.as_str()),
            (status, "out\n", "err\n"),
            "{behaviour}"
        );
        assert!(is_recorded(&host, "web"), "{behaviour}");
    }
    host.behave("echo out; echo err >&2; exit 0");
    let said = host.shim(&["delete", "--force", "web"]);
    assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "out\n", "err\n"));
    assert_eq!(host.sh("find /run/oci-isolate ! -name 'runtime-*'").must(), "/run/oci-isolate\n");
}

/// Without a record the new container would be started without being sealed.
#[test]
fn a_delete_leaves_the_record_of_a_container_that_took_the_id_meanwhile() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    let first = host.read_record("web")["creator"].clone();
    let next = format!("{} --root \"$d/root\" create web", shim().display());
    host.behave(&format!("case \"$*\" in *delete*) {next} ;; esac"));
    host.shim(&["delete", "web"]).must();
    assert_ne!(host.read_record("web")["creator"], first);
    host.behave("");
    host.shim(&["delete", "web"]).must();
    assert!(!is_recorded(&host, "web"));
}

#[test]
fn a_delete_hands_its_arguments_and_its_input_on() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.call();
    host.shim(&["delete", "--force", "web"]).must();
    assert_eq!(host.call().words(), ["--root", &host.at("root"), "delete", "--force", "web"]);
}

#[test]
fn a_create_that_the_runtime_failed_can_be_tried_again() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.behave("exit 1");
    assert_eq!(host.shim(&["create", "web"]).status, 1);
    assert!(is_recorded(&host, "web"));
    host.behave("");
    host.shim(&["create", "web"]).must();
    assert!(is_recorded(&host, "web"));
}

#[test]
fn an_id_that_is_used_again_without_isolation_is_not_isolated() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.call();
    // The container is gone without a delete: the machine was restarted, or its engine lost it.
    for verb in ["create", "run"] {
        host.config(&plain());
        host.shim(&[verb, "web"]).must();
        assert_eq!(host.call().words(), ["--root", &host.at("root"), verb, "web"]);
        assert_eq!(host.state(), [""; 0], "{verb}");
        host.shim(&["start", "web"]).must();
        assert_eq!(host.call().words()[2..], ["start", "web"]);
        host.config(&isolated());
        host.shim(&["create", "web"]).must();
        host.call();
    }
}

#[test]
fn an_id_that_is_used_again_with_isolation_gets_a_record_of_its_own() {
    let host = RecorderHost::new();
    host.config(&plain());
    host.shim(&["create", "web"]).must();
    assert!(!is_recorded(&host, "web"));
    host.config(&isolated());
    host.shim(&["create", "--pid-file", "/one", "web"]).must();
    let first = host.read_record("web");
    host.shim(&["create", "--pid-file", "/two", "web"]).must();
    let second = host.read_record("web");
    assert_eq!((&first["pid_file"], &second["pid_file"]), (&json!("/one"), &json!("/two")));
    assert_ne!(first["creator"], second["creator"]);
}

#[test]
fn a_pid_that_a_container_of_that_id_left_is_not_inherited() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.behave("[ -z \"$pid_file\" ] || echo 1234 >\"$pid_file\"");
    host.shim(&["create", "web"]).must();
    assert_eq!(host.state().len(), 2);
    host.behave("");
    host.shim(&["create", "web"]).must();
    assert_eq!(host.state().len(), 1, "{:?}", host.state());
}

#[test]
fn a_container_that_exists_keeps_its_record() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    let record = host.read_record("web");
    host.call();
    host.sh("mkdir -p ../root/web").must();
    let why = format!("container web not created: a container of that id exists ({})", host.at("root/web"));
    host.refuses(&["create", "web"], &why);
    // Without the annotation the runtime says it.
    host.config(&plain());
    host.shim(&["create", "web"]).must();
    assert_eq!(host.read_record("web"), record);
}

#[test]
fn ids_roots_and_bundles_do_not_mix() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let create = |root: &str, id: &str| {
        say(host.command(shim()).arg("--root").arg(host.at(root)).args(["create", id])).must();
    };
    create("root", "web");
    create("root", "web.json");
    create("root", "web.pid");
    create("root/web", "x");
    create("other", "web");
    assert_eq!(host.state().len(), 5, "{:?}", host.state());
    host.shim(&["delete", "web"]).must();
    assert_eq!(host.state().len(), 4, "{:?}", host.state());
    assert!(!is_recorded(&host, "web") && is_recorded(&host, "web.json") && is_recorded(&host, "web.pid"));
}

#[test]
fn a_root_is_the_same_however_it_is_written() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("mkdir ../root; ln -s root ../link").must();
    let call = |args: &[&str]| say(host.command(shim()).args(args)).must();
    let (root, link) = (host.at("root"), host.at("link"));
    let spellings =
        [root.clone(), format!("{root}/"), format!("{root}/."), "../root".into(), link, format!("{root}//")];
    for create in &spellings {
        for delete in &spellings {
            call(&["--root", create, "create", "web"]);
            assert!(is_recorded(&host, "web"), "{create}");
            call(&["--root", delete, "delete", "web"]);
            assert_eq!(host.state(), [""; 0], "{create} {delete}");
        }
    }
}

#[test]
fn ids_that_no_container_can_have_are_refused_when_isolated() {
    let host = RecorderHost::new();
    host.config(&isolated());
    for id in ["..", ".", "a/b", "/x", "../x"] {
        host.refuses(
            &["create", id],
            &format!("container {id} not created: a container cannot have that id"),
        );
    }
}

#[test]
fn one_that_cannot_be_understood_stops_start_and_exec() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.call();
    let path = host.record("web");
    let good = fs::read_to_string(host.outside(&path)).unwrap();
    let cases = [
        (
            String::new(),
            format!("cannot understand the record {path}: EOF while parsing a value at line 1 column 0"),
        ),
        (
            "{}".into(),
            format!("cannot understand the record {path}: missing field `version` at line 1 column 2"),
        ),
        (good[..good.len() / 2].into(), String::new()),
        (
            good.replace("\"version\":6", "\"version\":5")
                .replace("\"network\":\"new\"", "\"joins_sealed\":false"),
            format!("the record {path} is of version 5, not 6; delete the container and create it again"),
        ),
        (good.replace("\"version\":6", "\"version\":6,\"more\":0"), String::new()),
        (good.replace("\"network\":\"new\"", "\"network\":{\"replaced\":{}}"), String::new()),
        (
            "\u{0}".repeat(100),
            format!("cannot understand the record {path}: expected value at line 1 column 1"),
        ),
    ];
    for (text, why) in cases {
        fs::write(host.outside(&path), &text).unwrap();
        if why.is_empty() {
            for args in [&["start", "web"][..], &["exec", "web", "sh"]] {
                let said = host.shim(args);
                assert!(
                    said.status == 1 && said.err.contains("cannot understand the record"),
                    "{}",
                    said.err
                );
            }
            assert!(host.calls().is_empty());
        } else {
            host.refuses(&["start", "web"], &format!("container web not started: {why}"));
            host.refuses(&["exec", "web", "sh"], &format!("nothing run in container web: {why}"));
        }
    }
    // Larger than any that is written; most of it takes no space.
    fs::File::options().write(true).open(host.outside(&path)).unwrap().set_len((128 << 20) + 1).unwrap();
    let why = format!("cannot read {path}: 134217729 bytes, at most 134217728 are read");
    host.refuses(&["start", "web"], &format!("container web not started: {why}"));
    // It can still be deleted.
    host.shim(&["delete", "web"]).must();
    assert_eq!(host.state(), [""; 0]);
}

/// After an upgrade there are containers that run and records of the earlier version.
#[test]
fn the_namespaces_of_one_that_is_not_understood_are_not_joined_either() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.call();
    let running = "ip netns add pod
        ip netns exec pod sleep 1000 </dev/null >/dev/null 2>&1 &
        until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/$$/ns/net) ]; do :; done
        cat /proc/$!/stat";
    let stat = host.sh(running).must();
    let (pid, rest) = stat.split_once(' ').unwrap();
    let start = rest.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let (pid, start): (u32, u64) = (pid.parse().unwrap(), start.parse().unwrap());
    let mut now = host.read_record("web");
    now["init"] = json!({"pid": pid, "start": start});
    let with = |changes: &dyn Fn(&mut Value)| {
        let mut record = now.clone();
        changes(&mut record);
        record.to_string()
    };
    let of_0_2 = |record: &mut Value| {
        record["version"] = json!(3);
        record["applied"] =
            json!([{"rule": "credentials-env", "at": "/process/env/-", "says": "set variable X"}]);
        record["joins_sealed"] = json!(false);
        let record = record.as_object_mut().unwrap();
        record.retain(|member, _| member != "network" && member != "links");
    };
    let of_5 = |record: &mut Value| {
        record["version"] = json!(5);
        record["pinned"] = json!([{"destination": "/a", "source": "/b", "dev": 1, "ino": 2}]);
    };
    let known = "it would join the network namespace of isolated container web; ";
    let unknown =
        "it would join the network namespace of another container, perhaps that of isolated container web: ";
    let cases = [
        (now.to_string(), known),
        (with(&of_5), known),
        (with(&of_0_2), known),
        (
            with(&|record| {
                record["version"] = json!(7);
                record.as_object_mut().unwrap().remove("init");
            }),
            unknown,
        ),
        ("{".to_owned(), unknown),
        // It has ended.
        (with(&|record| record["init"]["start"] = json!(start + 1)), ""),
        (
            with(&|record| {
                of_5(record);
                record["init"]["start"] = json!(start + 1);
            }),
            "",
        ),
    ];
    host.sh("mkdir -p ../root/web").must();
    let mut config = plain();
    put(&mut config, "/linux/namespaces", json!([{"type": "network", "path": "/run/netns/pod"}]));
    host.config(&config);
    for (text, why) in &cases {
        fs::write(host.outside(&host.record("web")), text).unwrap();
        let said = host.shim(&["create", "debug"]);
        assert!((said.status == 0) == why.is_empty() && said.err.contains(why), "{text}: {said:?}");
        if why.is_empty() {
            host.call();
        }
        assert!(host.calls().is_empty());
    }
    // There is no container of that id.
    fs::write(host.outside(&host.record("web")), "{").unwrap();
    host.sh("rmdir ../root/web").must();
    host.shim(&["create", "debug"]).must();
}

#[test]
fn one_of_very_many_mounts_can_be_read() {
    const MOUNTS: usize = 5_000;
    // Long names instead of ten times as many mounts.
    let long = "x".repeat(200);
    let host = RecorderHost::new();
    fs::write(host.at("data"), "").unwrap();
    let mount = |number| {
        let source = host.at("data");
        json!({"destination": format!("/{long}/{long}/{number}"), "type": "bind", "source": source, "options": ["rbind"]})
    };
    host.config(&isolated_with("/mounts", (0..MOUNTS).map(mount).collect()));
    host.shim(&["create", "web"]).must();
    host.call();
    let record = host.read_record("web");
    assert_eq!(record["pinned"].as_array().unwrap().len(), MOUNTS);
    // More than a settings file may have.
    assert!(fs::metadata(host.outside(&host.record("web"))).unwrap().len() > 4 << 20);
    let said = host.shim(&["start", "web"]);
    assert!(said.status == 1 && !said.err.contains("the record"), "{}", said.err);
}

#[test]
fn one_that_is_no_file_stops_start_and_exec() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let path = host.record("web");
    for make in ["mkdir -m 0700 R", "mkfifo R"] {
        host.shim(&["create", "web"]).must();
        host.call();
        host.sh(&format!("rm {path}; {}", make.replace('R', &path))).must();
        let why = format!("cannot read {path}: not a regular file");
        host.refuses(&["start", "web"], &format!("container web not started: {why}"));
        host.refuses(&["exec", "web", "sh"], &format!("nothing run in container web: {why}"));
        host.sh("rm -r /run/oci-isolate").must();
    }
}

#[test]
fn of_several_creates_of_one_id_at_once_exactly_one_goes_on() {
    let host = RecorderHost::new();
    host.config(&isolated());
    // The runtime of the one that goes on waits until the others have ended.
    host.behave("until [ -e \"$d/go\" ]; do /bin/busybox usleep 10000; done");
    let start = || {
        let mut command = host.command(shim());
        command.arg("--root").arg(host.at("root")).args(["create", "web"]);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut running: Vec<Child> = (0..6).map(|_| start()).collect();
    let mut refused = 0;
    while running.len() > 1 {
        let at = loop {
            if let Some(at) = running.iter_mut().position(|child| child.try_wait().unwrap().is_some()) {
                break at;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let output = running.remove(at).wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let head = "oci-isolate: container web not created: it is being created by process ";
        assert!(output.status.code() == Some(1) && err.starts_with(head), "{err}");
        refused += 1;
    }
    host.write("go", "");
    assert!(running.pop().unwrap().wait().unwrap().success());
    assert_eq!(refused, 5);
    host.call();
    assert!(is_recorded(&host, "web"));
}
