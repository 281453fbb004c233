//! A config.json whose members could be read in two ways, or are not what runtime-spec says.

use serde_json::{Value, json};

use super::bad_config::{refused, refused_text};
use test_support::recorded::host::RecorderHost;
use test_support::recorded::spec::{isolated, isolated_with};

#[test]
fn one_that_is_deeper_than_decoders_go() {
    let host = RecorderHost::new();
    let deep = in_front("", &format!("\"x\":{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    refused_text(
        &host,
        &deep,
        "unknown-members: member x is not known; drop it, or set [rules] unknown-members = \"allow\" if no runtime here reads it",
    );
    host.settings("[rules]\nunknown-members = \"allow\"");
    host.write("bundle/config.json", deep);
    host.shim(&["create", "web"]).must();
    assert!(host.call().config.unwrap().contains(&"[".repeat(100_000)));
}

/// Where a member is put in twice, or in another spelling: `isolated()` with `text` in front of the members of the
/// object at the pointer.
fn in_front(pointer: &str, text: &str) -> String {
    let mut config = isolated();
    let object = config.pointer_mut(pointer).unwrap();
    let with = format!("{{{text},{}", &object.to_string()[1..]);
    *object = json!("HERE");
    config.to_string().replace("\"HERE\"", &with)
}

#[test]
fn one_with_members_given_twice() {
    let host = RecorderHost::new();
    for (pointer, member) in [
        ("", "process"),
        ("", "linux"),
        ("", "hooks"),
        ("", "mounts"),
        ("/process", "env"),
        ("/process", "capabilities"),
        ("/process/capabilities", "bounding"),
        ("/linux", "namespaces"),
        ("/linux/namespaces/1", "type"),
        ("/root", "path"),
    ] {
        let mut text = in_front(pointer, &format!("\"{member}\":null"));
        if member == "hooks" {
            text = text.replacen('{', "{\"hooks\":{},", 1);
        }
        host.write("bundle/config.json", text);
        let said = host.shim(&["create", "web"]);
        let head = format!(
            "oci-isolate: container web not created: cannot read {} with certainty: member \"{member}\" is given twice at line 1 column ",
            host.at("bundle/config.json")
        );
        assert!(said.status == 1 && said.err.starts_with(&head), "{pointer} {member}: {}", said.err);
    }
    assert!(host.calls().is_empty());
    assert_eq!(host.state(), [""; 0]);
    refused_text(
        &host,
        "{\"annotations\":{\"io.oci-isolate.network-isolation\":\"true\"},\"process\":{},\"process\":{}}",
        "cannot read CONFIG with certainty: member \"process\" is given twice at line 1 column 81",
    );
}

#[test]
fn one_with_members_in_another_spelling() {
    let host = RecorderHost::new();
    for (pointer, spelled, member) in [
        ("", "Process", "process"),
        ("", "proce\u{17f}s", "process"),
        ("", "LINUX", "linux"),
        ("", "Hooks", "hooks"),
        ("", "hoo\u{212a}s", "hooks"),
        ("/process", "ENV", "env"),
        ("/process", "Capabilities", "capabilities"),
        ("/process/capabilities", "Ambient", "ambient"),
        ("/linux", "nameSpaces", "namespaces"),
        ("/linux/namespaces/1", "Path", "path"),
    ] {
        host.write("bundle/config.json", in_front(pointer, &format!("\"{spelled}\":null")));
        let said = host.shim(&["create", "web"]);
        let why = format!(
            "member {spelled:?} is {member:?} to some decoders and unknown to others at line 1 column "
        );
        assert!(said.status == 1 && said.err.contains(&why), "{pointer} {spelled}: {}", said.err);
    }
    assert!(host.calls().is_empty());
    assert_eq!(host.state(), [""; 0]);
}

/// A wrong type at each place that a rule looks at. Each is refused, and the message names the file.
#[test]
fn one_with_a_wrong_type_wherever_a_rule_looks() {
    let host = RecorderHost::new();
    let scalars = || vec![json!(1), json!(true), json!("text")];
    let without = |taken: fn(&Value) -> bool| -> Vec<Value> {
        let all = [json!(1), json!(true), json!("text"), json!([]), json!({}), json!({"a": 1})];
        all.into_iter().filter(|value| !taken(value)).collect()
    };
    let places: Vec<(&str, Vec<Value>)> = vec![
        ("/process", without(Value::is_object)),
        ("/process/env", without(|v| v.is_array())),
        ("/process/env/0", without(Value::is_string)),
        ("/process/capabilities", without(Value::is_object)),
        ("/process/capabilities/bounding", without(|v| v.is_array())),
        ("/process/capabilities/effective", scalars()),
        ("/process/capabilities/inheritable", scalars()),
        ("/process/capabilities/permitted", scalars()),
        ("/process/capabilities/ambient", scalars()),
        ("/process/capabilities/ambient/0", without(Value::is_string)),
        ("/root", without(Value::is_object)),
        ("/root/path", without(Value::is_string)),
        ("/linux", without(Value::is_object)),
        ("/linux/namespaces", without(|v| v.is_array())),
        ("/linux/namespaces/1", without(|_| false)),
        ("/linux/namespaces/1/type", without(|_| false)),
        ("/linux/namespaces/1/path", without(Value::is_string)),
        ("/hooks", without(Value::is_object)),
        ("/hooks/createRuntime", without(|v| v.is_array())),
        ("/hooks/poststop", without(|v| v.is_array())),
        ("/hooks/poststop/0", without(|_| false)),
        ("/hooks/createRuntime/0/path", without(Value::is_string)),
        ("/hooks/createRuntime/0/args", without(|v| *v == json!([]))),
    ];
    let mut taken = Vec::new();
    for (pointer, values) in places {
        for value in values {
            let mut config = isolated_with(
                "/hooks",
                json!({"createRuntime": [{"path": "/a"}], "poststop": [{"path": "/a"}]}),
            );
            test_support::recorded::spec::put(&mut config, pointer, value.clone());
            host.config(&config);
            let before = host.stamp();
            for verb in ["create", "run"] {
                let said = host.shim(&[verb, "web"]);
                let head = format!(
                    "oci-isolate: container web not {verb}{}: cannot read {} with certainty: ",
                    if verb == "create" { "d" } else { "" },
                    host.at("bundle/config.json")
                );
                if !(said.status == 1
                    && said.err.starts_with(&head)
                    && host.calls().is_empty()
                    && host.stamp() == before)
                {
                    taken.push(format!("{verb} {pointer}: {value}: {} {}", said.status, said.err.trim()));
                    let _ = host.sh("rm -rf ../calls /run/oci-isolate; mkdir ../calls");
                }
            }
        }
    }
    assert!(taken.is_empty(), "not refused as unreadable:\n{}", taken.join("\n"));
    assert_eq!(host.state(), [""; 0]);
}

/// Lists in the place of objects: decoders that take them by position are not those of the runtimes. crun passes
/// over a member of the wrong type, so a rule that holds in such a list would hold nowhere.
#[test]
fn a_list_is_not_taken_for_an_object() {
    let host = RecorderHost::new();
    let mut taken = Vec::new();
    for (pointer, value) in [
        ("/process", json!([["PATH=/bin", "AWS_EC2_METADATA_DISABLED=true"], null])),
        ("/process/capabilities", json!([[], [], [], [], []])),
        ("/root", json!(["rootfs"])),
        ("/linux", json!([[{"type": "network"}]])),
        ("/linux/namespaces", json!([["network", null]])),
        ("/hooks", json!([[], []])),
        ("/hooks", json!({"createRuntime": [["/bin/true", null, null, null]], "poststop": []})),
    ] {
        host.config(&isolated_with(pointer, value.clone()));
        let said = host.shim(&["create", "web"]);
        if said.status != 1 || !host.calls().is_empty() {
            taken.push(format!("{pointer} {value}"));
            host.sh("rm -rf ../calls /run/oci-isolate; mkdir ../calls").must();
        }
    }
    assert!(taken.is_empty(), "taken for objects:\n{}", taken.join("\n"));
}

#[test]
fn variables_without_an_equals_sign() {
    let host = RecorderHost::new();
    for (entries, index) in [(json!(["PATH"]), 0), (json!(["A=1", "B=", ""]), 2), (json!(["AWS_PROFILE"]), 0)]
    {
        host.config(&isolated_with("/process/env", entries));
        refused(&host, &format!("credentials-env: /process/env/{index} has no \"=\""));
    }
}

#[test]
fn variables_that_are_not_strings() {
    let host = RecorderHost::new();
    let type_error = "wrong type, expected a string at line 1 column ";
    for (entry, why) in [
        (json!(1), type_error),
        (json!(null), type_error),
        (json!(["A=1"]), "a list is not allowed here at line 1 column "),
        (json!({"A": "1"}), "an object is not allowed here at line 1 column "),
        (json!(true), type_error),
    ] {
        host.config(&isolated_with("/process/env", json!([entry])));
        let said = host.shim(&["create", "web"]);
        let head = format!(
            "oci-isolate: container web not created: cannot read {} with certainty: {why}",
            host.at("bundle/config.json")
        );
        assert!(said.status == 1 && said.err.starts_with(&head), "{}", said.err);
    }
    assert!(host.calls().is_empty());
}
