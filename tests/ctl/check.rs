//! `check` says what the shim then does, in the same words, and touches nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::sealed::Sealed;
use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{SWITCH, annotated, isolated, isolated_with, plain, put};

/// Everything that could have been touched: names, inodes, times of change, sizes, mounts, locks, firewall tables; but not
/// what other tests make and take away on the machine meanwhile.
fn tree(host: &RecorderHost) -> String {
    let look = format!(
        "find {} /run -printf '%p %i %m %U %s %T@ %C@\\n' | sort; grep -v oci-isolate-test- /proc/mounts; sed '/OFDLCK/d; s/^[0-9]*//' /proc/locks; ip netns; nft list ruleset",
        host.at("")
    );
    host.sh(&look).must()
}

/// The exit status, the text and the document of `check`, which must not touch anything.
#[track_caller]
fn check(host: &RecorderHost, args: &[&str]) -> (i32, String, Value) {
    let before = tree(host);
    let text = say(host.command(test_support::isolatectl()).args(["check", "--bundle", "."]).args(args));
    let document =
        say(host.command(test_support::isolatectl()).args(["--json", "check", "--bundle", "."]).args(args));
    assert_eq!(tree(host), before, "something was touched");
    assert_eq!((text.err.as_str(), document.err.as_str()), ("", ""));
    assert_eq!(text.status, document.status);
    (text.status, text.out, serde_json::from_str(&document.out).unwrap())
}

/// Rule and description of each change, as `check` reports it.
fn changes(said: &Value) -> Vec<(&str, &str)> {
    let all = said["changes"].as_array().unwrap().iter();
    all.map(|change| (change["rule"].as_str().unwrap(), change["says"].as_str().unwrap())).collect()
}

/// The same as recorded.
fn recorded(record: &Value) -> Vec<(&str, &str)> {
    let rules = record["applied"].as_array().unwrap().iter();
    let each = rules.flat_map(|of| of["says"].as_array().unwrap().iter().map(|says| (&of["rule"], says)));
    each.map(|(rule, says)| (rule.as_str().unwrap(), says.as_str().unwrap())).collect()
}

/// Asserts that `check` says what the shim then does.
#[track_caller]
fn says_what_is_done(host: &RecorderHost, config: &Value, shown: &Path) {
    host.config(config);
    let (status, text, said) = check(host, &[]);
    let created = host.shim(&["create", "web"]);
    let shown = shown.display();
    if created.status == 0 {
        assert_eq!((status, &said["decision"]), (0, &json!("isolated")), "{shown}");
        let record = host.read_record("web");
        assert_eq!((changes(&said), &said["why"]), (recorded(&record), &record["why"]), "{shown}");
        for (rule, says) in changes(&said) {
            assert!(text.contains(&format!("\nchange     {rule}: {says}\n")), "{shown}: {text}");
        }
        host.call();
        host.sh("rm -r /run/oci-isolate").must();
    } else {
        let refusal =
            created.err.strip_prefix("oci-isolate: container web not created: ").unwrap().trim_end();
        assert_eq!((status, &said["decision"]), (1, &json!("refused")), "{shown}");
        assert_eq!(said["refusal"], json!(refusal), "{shown}");
        assert!(text.ends_with(&format!("\nrefused    {refusal}\n")), "{shown}: {text}");
    }
}

#[test]
fn check_says_of_configurations_of_real_engines_what_the_shim_then_does() {
    let host = RecorderHost::new();
    host.sh("ip netns add engine; ip -n engine link add eth0 type veth").must();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let captured = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let mut captured: Vec<_> = captured.filter(|path| path.with_extension("changes").exists()).collect();
    captured.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(captured.len() >= 10, "{captured:?}");
    for path in captured {
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["annotations"][SWITCH] = json!("true");
        says_what_is_done(&host, &config, &path);
    }
}

#[test]
fn check_says_in_the_shims_words_why_a_bundle_is_refused() {
    let host = RecorderHost::new();
    let source = host.at("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&source).unwrap();
    let mount = json!([{"destination": "/s", "type": "bind", "source": source, "options": ["bind"]}]);
    for config in [
        annotated(SWITCH, json!("maybe")),
        annotated(SWITCH, json!(true)),
        isolated_with("/mounts", mount),
        isolated_with("/root/path", json!("nothing")),
        isolated_with("/process/args", json!(["aws", "--secret-key", "AKIAIOSFODNN7EXAMPLE"])),
        json!({"annotations": {SWITCH: "true"}, "Process": {}, "process": {}}),
    ] {
        says_what_is_done(&host, &config, Path::new(&config.to_string()));
    }
    host.settings("moed = 1");
    let (status, _, said) = check(&host, &[]);
    let shim = host.shim(&["create", "web"]).err;
    assert_eq!(status, 1);
    assert_eq!(shim, format!("oci-isolate: {}\n", said["refusal"].as_str().unwrap()));
}

#[test]
fn check_says_what_is_passed_through_and_why() {
    let host = RecorderHost::new();
    host.config(&plain());
    let (status, text, said) = check(&host, &[]);
    assert_eq!((status, &said["decision"]), (3, &json!("passed-through")));
    let bundle = host.at("bundle");
    let shown =
        format!("bundle     {bundle}\ndecision   passed through\nwhy        no annotation asks for it\n");
    assert_eq!(text, shown);
    assert_eq!((&said["changes"], &said["refusal"]), (&json!([]), &Value::Null));
    let (status, _, said) = check(&host, &["--always"]);
    assert_eq!((status, &said["why"]), (0, &json!("mode = \"always\"")));
    host.config(&annotated(SWITCH, json!("false")));
    assert_eq!(check(&host, &[]).2["why"], json!("switched off by annotation"));
}

#[test]
fn check_says_what_a_platform_container_is_refused_for_without_its_pod() {
    let host = RecorderHost::new();
    let mut config = plain();
    config["annotations"] = json!({
        SWITCH: "true",
        "io.oci-isolate.platform": "upload",
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "upload",
        "io.kubernetes.cri.sandbox-id": "sandbox",
    });
    let given = json!([
        {"type": "pid"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "mount"},
        {"type": "network", "path": "/proc/1/ns/net"},
    ]);
    put(&mut config, "/linux/namespaces", given.clone());
    host.config(&config);
    let (status, _, said) = check(&host, &[]);
    assert_eq!((status, &said["decision"], &said["refusal"]), (3, &json!("platform"), &Value::Null));
    for (index, namespace, why) in [
        (0, json!({"type": "pid", "path": "/proc/1/ns/pid"}), "drop shareProcessNamespace: true"),
        (1, json!({"type": "cgroup"}), "drop hostIPC: true"),
        (2, json!({"type": "user"}), "drop hostUsers: false"),
        (3, json!({"type": "cgroup"}), "it has no pod's network namespace"),
    ] {
        let mut namespaces = given.clone();
        namespaces[index] = namespace;
        if index == 2 {
            namespaces.as_array_mut().unwrap().push(json!({"type": "mount"}));
        }
        put(&mut config, "/linux/namespaces", namespaces);
        host.config(&config);
        let (status, _, said) = check(&host, &[]);
        assert_eq!((status, &said["decision"]), (1, &json!("refused")), "{why}");
        assert!(said["refusal"].as_str().unwrap().contains(why), "{why}: {said}");
    }
}

#[test]
fn check_judges_the_command_of_a_platform_container() {
    let host = RecorderHost::new();
    let mut config = plain();
    config["annotations"] = json!({
        SWITCH: "true",
        "io.oci-isolate.platform": "upload",
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "upload",
        "io.kubernetes.cri.image-name": "r/stage:1",
        "io.kubernetes.cri.sandbox-id": "sandbox",
    });
    put(
        &mut config,
        "/linux/namespaces",
        json!([
            {"type": "pid"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "mount"},
            {"type": "network", "path": "/proc/1/ns/net"},
        ]),
    );
    config["process"]["capabilities"] = json!({});
    config["process"]["args"] = json!(["/stage", "up"]);
    host.config(&config);
    let settings = host.at("platform.toml");
    for (demand, args, status, says) in [
        ("", "\"/stage\", \"**\"", 3, "[[platform]] image \"r/stage:1\""),
        (
            "",
            "\"/other\"",
            3,
            "not by [[platform]]: container upload: its command is that of no [[platform]]",
        ),
        ("mode = \"always\"\n", "\"/stage\", \"**\"", 3, "[[platform]] image \"r/stage:1\""),
        (
            "mode = \"always\"\n",
            "\"/other\"",
            1,
            "must be isolated (mode = \"always\"): its command is that of no",
        ),
    ] {
        let text = format!("{demand}[[platform]]\nimage = \"r/stage:1\"\nargs = [{args}]\n");
        fs::write(&settings, text).unwrap();
        let (found, text, _) = check(&host, &["--settings", &settings]);
        assert_eq!(found, status, "{demand}{args}: {text}");
        assert!(text.contains(says), "{demand}{args}: {text}");
    }
}

#[test]
fn check_takes_another_configuration_and_other_settings_and_says_what_they_waive() {
    let host = RecorderHost::new();
    host.config(&plain());
    let mut config = isolated();
    put(&mut config, "/linux/namespaces", json!([{"type": "mount"}, {"type": "ipc"}]));
    let other = host.write("other.json", config.to_string());
    let settings = host.write("other.toml", "[rules]\nhost-pid = \"allow\"");
    assert_eq!(check(&host, &["--config", &other]).0, 1);
    let (status, text, said) = check(&host, &["--config", &other, "--settings", &settings]);
    assert_eq!((status, &said["waived"]), (0, &json!(["host-pid", "mount-network-fs"])));
    assert!(text.contains("\nwaived     host-pid, mount-network-fs\n"), "{text}");
}

/// A mount that would have the shim make its empty directory, and a secret that must not be shown.
#[test]
fn check_of_a_bundle_that_is_then_run_touches_nothing_and_says_no_secret() {
    let sealed = Sealed::empty();
    let host = &sealed.host;
    fs::create_dir(host.at("data")).unwrap();
    let mount = json!({"destination": "/data", "type": "bind", "source": host.at("data"), "options": ["rbind", "ro"]});
    let change = |config: &mut Value| config["mounts"].as_array_mut().unwrap().push(mount);
    let mut said = Value::Null;
    sealed.start("web", |config| {
        change(config);
        host.config(config);
        said = check(host, &[]).2;
        assert!(!said.to_string().contains(super::sealed::SECRET));
    });
    assert_eq!(changes(&said), recorded(&host.read_record("web")));
    assert!(said["changes"].to_string().contains("overlay"), "{said}");
}

#[test]
fn check_without_a_bundle_is_an_unknown_command_line() {
    let host = RecorderHost::new();
    assert_eq!(say(host.command(test_support::isolatectl()).arg("check")).status, 2);
    let (status, _, said) = check(&host, &[]);
    assert_eq!(status, 1);
    let missing =
        format!("cannot read {}: No such file or directory (os error 2)", host.at("bundle/config.json"));
    assert_eq!(said["refusal"], json!(missing));
}
