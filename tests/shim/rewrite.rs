//! With the annotation: what changes in config.json, in the runtime's arguments and in its environment, and that
//! nothing else does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::recorder::Recorded;
use test_support::recorded::spec::{differences, isolated, isolated_with, put};
use test_support::shim;

/// What every configuration without it gets.
const METADATA: &str = "+/process/env \"AWS_EC2_METADATA_DISABLED=true\"";

/// Creates a container of this configuration and says what changed in it.
#[track_caller]
fn changes(host: &RecorderHost, config: &Value) -> Vec<String> {
    may_change(host, config).unwrap()
}

/// The same, or why the container is refused.
fn may_change(host: &RecorderHost, config: &Value) -> Result<Vec<String>, String> {
    host.config(config);
    let said = host.shim(&["create", "web"]);
    if said.status != 0 {
        return Err(said.err);
    }
    let seen = host.call().config();
    assert_eq!(seen, host.read_config());
    host.sh("rm -r /run/oci-isolate").must();
    Ok(differences(config, &seen))
}

/// One with something for every rule, and things that no rule is about.
fn rich() -> Value {
    let mut config = isolated();
    put(
        &mut config,
        "/process/env",
        json!(["A=1", "AWS_PROFILE=x", "B=", "aws_secret_access_key=y", "PATH=/bin"]),
    );
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        let names = json!(["CAP_KILL", "CAP_NET_RAW", "CAP_CHOWN", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]);
        put(&mut config, &format!("/process/capabilities/{set}"), names);
    }
    put(&mut config, "/linux/namespaces", json!([{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]));
    put(&mut config, "/linux/sysctl", json!({"net.ipv4.ping_group_range": "0 1", "net.core.somaxconn": "9"}));
    put(
        &mut config,
        "/hooks",
        json!({"prestart": [{"path": "/bin/a"}], "createRuntime": [{"path": "/bin/b"}]}),
    );
    // Of other platforms.
    put(
        &mut config,
        "/windows",
        json!({"AWS_PROFILE": "x", "namespaces": [{"type": "network", "path": "/x"}]}),
    );
    config
}

#[test]
fn only_what_the_rules_name_changes() {
    let host = RecorderHost::new();
    let mut wanted = vec![
        "+/linux/namespaces {\"type\":\"network\"}".to_owned(),
        "-/process/env/1 \"AWS_PROFILE=x\"".to_owned(),
        "-/process/env/3 \"aws_secret_access_key=y\"".to_owned(),
        METADATA.to_owned(),
    ];
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        wanted.push(format!("-/process/capabilities/{set}/1 \"CAP_NET_RAW\""));
        wanted.push(format!("-/process/capabilities/{set}/3 \"CAP_NET_ADMIN\""));
    }
    let mut found = changes(&host, &rich());
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn unknown_members_that_are_allowed_their_order_and_large_numbers_survive_to_the_byte() {
    let host = RecorderHost::new();
    host.settings("[rules]\nunknown-members = \"allow\"");
    let before = r#"{"z": [1.50e+3, 123456789012345678901234567890, -0],
  "root" : {"path":"rootfs"}, "annotations":{"b":"\u00e9\/","io.oci-isolate.network-isolation":"true","a":"ü"},
  "process":{"x-y":{"Process":1,"Process":2},"env":["B=\u0041", "AWS_PROFILE=x"],"args":["\ud83d\ude00"]},
  "linux":{"rootfsPropagation":"rprivate","resources":{"memory":{"limit":18446744073709551616},"devices":[{"allow":false}]},"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"},"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/firmware"],"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"namespaces":[{"type":"pid"}, {"type":"ipc"},{"type":"mount"},{"path":"","type":"network"}]},"a":null}
"#;
    let after = r#"{"z":[1.50e+3, 123456789012345678901234567890, -0],"root":{"path":"rootfs"},"annotations":{"b":"\u00e9\/","io.oci-isolate.network-isolation":"true","a":"ü"},"process":{"x-y":{"Process":1,"Process":2},"env":["B=\u0041","AWS_EC2_METADATA_DISABLED=true"],"args":["\ud83d\ude00"]},"linux":{"rootfsPropagation":"rprivate","resources":{"memory":{"limit":18446744073709551616},"devices":[{"allow":false}]},"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"},"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/firmware"],"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"namespaces":[{"type":"pid"}, {"type":"ipc"},{"type":"mount"},{"path":"","type":"network"}]},"a":null}"#;
    host.write("bundle/config.json", before);
    host.shim(&["create", "web"]).must();
    assert_eq!(host.call().config.unwrap(), after);
}

#[test]
fn the_files_mode_and_owner_stay() {
    let host = RecorderHost::new();
    let path = host.at("bundle/config.json");
    for (mode, uid, gid) in
        [(0o600, 0, 0), (0o644, 1000, 1001), (0o440, 0, 65534), (0o4755, 7, 7), (0o000, 0, 0)]
    {
        host.config(&rich());
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let before = host.stamp().unwrap();
        host.shim(&["create", "web"]).must();
        let after = host.stamp().unwrap();
        assert_eq!((after.mode, after.owner), (before.mode, before.owner), "{mode:o}");
        assert_ne!(after.bytes, before.bytes);
        assert_eq!(host.bundle(), "config.json\nrootfs\n");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_second_call_changes_nothing() {
    let host = RecorderHost::new();
    host.config(&rich());
    for verb in ["create", "run", "restore", "create"] {
        host.shim(&[verb, "web"]).must();
        let once = host.stamp();
        for _ in 0..2 {
            host.shim(&[verb, "web"]).must();
            assert_eq!(host.stamp(), once, "{verb}");
        }
    }
}

#[test]
fn a_run_behind_a_create_and_a_create_behind_a_run_are_as_if_the_first() {
    let host = RecorderHost::new();
    let first = |verb: &str| {
        host.config(&rich());
        host.shim(&[verb, "web"]).must();
        host.read_config()
    };
    let (create, run) = (first("create"), first("run"));
    for (verb, wanted) in [("create", &create), ("run", &run), ("restore", &run), ("create", &create)] {
        host.shim(&[verb, "web"]).must();
        // Lists that came with the first hooks stay, empty.
        let mut found = host.read_config();
        if found["hooks"]["poststop"] == json!([]) {
            found["hooks"].as_object_mut().unwrap().remove("poststop");
        }
        assert_eq!(&found, wanted, "{verb}");
    }
}

#[test]
fn nothing_is_written_when_nothing_has_to_change() {
    let host = RecorderHost::new();
    host.config(&isolated_with("/process/env", json!(["PATH=/bin", "AWS_EC2_METADATA_DISABLED=false"])));
    let before = host.stamp();
    host.shim(&["create", "web"]).must();
    assert_eq!(host.stamp(), before);
    let rules: Vec<_> =
        host.read_record("web")["applied"].as_array().unwrap().iter().map(|it| it["rule"].clone()).collect();
    assert_eq!(rules, ["data-channels"], "which changes nothing");
}

#[test]
fn a_pid_file_is_asked_for_where_the_engine_asks_for_none() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let ours = host.record("web").replace(".json", ".pid");
    host.shim(&["create", "--no-new-keyring", "-b", ".", "web"]).must();
    let root = host.at("root");
    let added = format!("--pid-file={ours}");
    assert_eq!(
        host.call().words(),
        ["--root", &root, "create", &added, "--no-new-keyring", "-b", ".", "web"]
    );
    assert_eq!(host.read_record("web")["pid_file"], json!(ours));
}

#[test]
fn the_engines_pid_file_is_left_as_it_is_and_remembered_whole() {
    let host = RecorderHost::new();
    host.config(&isolated());
    for given in ["--pid-file=../pid", "-pid-file=../pid", "--pid-file ../pid"] {
        let words: Vec<&str> = ["create"].into_iter().chain(given.split(' ')).chain(["web"]).collect();
        host.shim(&words).must();
        assert_eq!(host.call().words()[2..], words);
        let remembered = host.read_record("web")["pid_file"].as_str().unwrap().to_owned();
        assert!(remembered.starts_with('/') && remembered.ends_with("/pid"), "{remembered}");
        assert!(!fs::exists(&remembered).unwrap());
        fs::write(&remembered, "").unwrap();
        assert_eq!(fs::canonicalize(&remembered).unwrap(), fs::canonicalize(host.at("pid")).unwrap());
        fs::remove_file(host.at("pid")).unwrap();
    }
}

#[test]
fn run_and_restore_get_the_two_hooks_last_and_nothing_else() {
    let host = RecorderHost::new();
    for verb in ["run", "restore"] {
        let mut config = rich();
        put(
            &mut config,
            "/hooks/poststop",
            json!([{"path": "/bin/c", "args": ["c", "--isolate-seal"], "timeout": 7}]),
        );
        host.config(&config);
        host.shim(&["create", "web"]).must();
        let created = host.call().config();
        host.config(&config);
        host.shim(&[verb, "web"]).must();
        let call = host.call();
        assert_eq!(call.words()[2..], [verb, "web"]);
        let hook = |flag| {
            let args = ["oci-isolate".to_owned(), format!("--isolate-{flag}={}", host.record("web"))];
            json!({"path": shim(), "args": args})
        };
        let wanted = [
            format!("+/hooks/createRuntime {}", hook("seal")),
            format!("+/hooks/poststop {}", hook("forget")),
        ];
        assert_eq!(differences(&created, &call.config()), wanted);
        assert_eq!(host.read_record("web")["pid_file"], Value::Null);
    }
}

#[test]
fn signals_umask_and_limits_are_the_callers_and_descriptors_end_with_stderr() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.write("stdin", "");
    let script = "umask 027; ulimit -n 512; exec 3<../config.toml 4>>../four; exec env --block-signal=USR1 \
        --ignore-signal=USR2 \"$@\" <../stdin >../stdout 2>../stderr";
    let run = |program: &std::ffi::OsStr| {
        say(host.command("sh").args(["-c", script, "sh"]).arg(program).args(["create", "web"])).must();
        host.call()
    };
    let (direct, shimmed) = (run(host.at("recorder").as_ref()), run(shim().as_ref()));
    assert_eq!((&shimmed.status, &shimmed.limits), (&direct.status, &direct.limits));
    assert_eq!(shimmed.cwd, direct.cwd);
    // One descriptor of the caller's would be a way out (CVE-2024-21626 and its kind).
    let standard = |call: &Recorded| ["0", "1", "2"].map(|number| call.fds[number].clone());
    assert_eq!(standard(&shimmed), standard(&direct));
    let inherited = |call: &Recorded| call.fds.values().any(|target| target.contains("/four "));
    assert!(inherited(&direct) && !inherited(&shimmed), "{:?}", shimmed.fds);
}

#[test]
fn both_capabilities_go_from_every_set_however_they_are_written() {
    let host = RecorderHost::new();
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        let names =
            ["CAP_NET_RAW", "cap_net_admin", "NET_RAW", "net_admin", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"];
        let config = isolated_with("/process/capabilities", json!({ set: names }));
        let found = changes(&host, &config);
        let mut wanted: Vec<String> =
            (0..5).map(|n| format!("-/process/capabilities/{set}/{n} {:?}", names[n])).collect();
        wanted.push(METADATA.into());
        assert_eq!(found, wanted);
    }
}

#[test]
fn capabilities_that_are_missing_or_null_are_left_so() {
    let host = RecorderHost::new();
    for capabilities in [json!(null), json!({}), json!({"bounding": null, "effective": []})] {
        let found = changes(&host, &isolated_with("/process/capabilities", capabilities));
        assert_eq!(found, [METADATA]);
    }
}

#[test]
fn a_container_without_a_process_is_isolated_all_the_same() {
    let host = RecorderHost::new();
    let mut config =
        isolated_with("/linux/namespaces", json!([{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}]));
    config.as_object_mut().unwrap().remove("process");
    assert_eq!(changes(&host, &config), ["+/linux/namespaces {\"type\":\"network\"}"]);
}

#[test]
fn the_network_namespace_is_added_or_its_path_taken_away_and_an_own_one_is_left() {
    let host = RecorderHost::new();
    // Which other namespaces there are is other rules' business.
    host.settings("[rules]\nhost-pid = \"allow\"\nhost-ipc = \"allow\"");
    host.sh("ip netns add engine; ip -n engine link add eth0 type veth").must();
    let added = "+/linux/namespaces {\"type\":\"network\"}";
    for (namespaces, change) in [
        (json!([{"type": "network"}]), None),
        (json!([{"type": "network", "path": ""}]), None),
        (json!([{"type": "network", "path": null}]), None),
        (json!([]), Some(added)),
        (json!([{"type": "user"}, {"type": "uts", "path": "/x"}]), Some(added)),
        (
            json!([{"type": "network", "path": "/run/netns/engine"}]),
            Some("-/linux/namespaces/0/path \"/run/netns/engine\""),
        ),
        (
            json!([{"type": "pid"}, {"type": "network", "path": "/proc/self/ns/net"}]),
            Some("-/linux/namespaces/1/path \"/proc/self/ns/net\""),
        ),
    ] {
        let mut wanted: Vec<&str> = change.into_iter().flat_map(str::lines).collect();
        wanted.push(METADATA);
        let mut list: Vec<Value> = namespaces.as_array().unwrap().clone();
        list.push(json!({"type": "mount"}));
        assert_eq!(changes(&host, &isolated_with("/linux/namespaces", json!(list))), wanted, "{namespaces}");
    }
    let mut without = isolated();
    without["linux"].as_object_mut().unwrap().remove("namespaces");
    for config in [without, isolated_with("/linux/namespaces", json!(null))] {
        host.config(&config);
        let why = "namespaces: there is no mount namespace, so it is the host's; give it one of its own";
        host.refuses(&["create", "web"], &format!("container web not created: {why}"));
    }
}

#[test]
fn configurations_of_real_engines_change_as_written_down() {
    let host = RecorderHost::new();
    host.sh("ip netns add engine; ip -n engine link add eth0 type veth").must();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let mut goldens: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    goldens.retain(|path| path.extension().is_some_and(|e| e == "changes"));
    goldens.sort();
    assert!(goldens.len() >= 10, "{goldens:?}");
    for golden in goldens {
        let captured = golden.with_extension("json");
        let mut config: Value = serde_json::from_slice(&fs::read(captured).unwrap()).unwrap();
        config["annotations"]["io.oci-isolate.network-isolation"] = json!("true");
        let found: String = match may_change(&host, &config) {
            Ok(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            Err(said) => said,
        };
        if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        assert_eq!(found, fs::read_to_string(&golden).unwrap(), "{}", golden.display());
    }
}
