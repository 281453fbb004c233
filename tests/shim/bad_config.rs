//! A config.json that cannot be read with certainty: said, and nothing else happens.

use serde_json::json;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::spec::{isolated, isolated_with};

/// Asserts that `create`, `run` and `restore` refuse the bundle for this reason; `CONFIG` stands for the path.
#[track_caller]
pub(crate) fn refused(host: &RecorderHost, why: &str) {
    let why = why.replace("CONFIG", &host.at("bundle/config.json"));
    host.refuses(&["create", "web"], &format!("container web not created: {why}"));
    host.refuses(&["run", "-b", &host.at("bundle"), "web"], &format!("container web not run: {why}"));
    host.refuses(&["restore", "web"], &format!("container web not restored: {why}"));
}

#[track_caller]
pub(crate) fn refused_text(host: &RecorderHost, text: impl AsRef<[u8]>, why: &str) {
    host.write("bundle/config.json", text);
    refused(host, why);
}

#[test]
fn a_missing_one() {
    let host = RecorderHost::new();
    refused(&host, "cannot read CONFIG: No such file or directory (os error 2)");
    let nowhere = host.at("nowhere");
    host.refuses(
        &["create", "-b", &nowhere, "web"],
        &format!("container web not created: cannot read {nowhere}/config.json: No such file or directory (os error 2)"),
    );
}

#[test]
fn an_empty_one() {
    let host = RecorderHost::new();
    refused_text(&host, "", "cannot read CONFIG with certainty: the file is empty");
    refused_text(&host, " \n\t\n", "cannot read CONFIG with certainty: the file is empty");
}

#[test]
fn a_truncated_one() {
    let host = RecorderHost::new();
    let text = isolated().to_string();
    let cut = |text: &str| host.write("bundle/config.json", text);
    cut(&text[..text.len() - 1]);
    let end = text.len() - 1;
    refused(
        &host,
        &format!("cannot read CONFIG with certainty: EOF while parsing an object at line 1 column {end}"),
    );
    // Wherever it ends, it is refused.
    for length in (1..text.len()).step_by(37) {
        cut(&text[..length]);
        let said = host.shim(&["create", "web"]);
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{length}");
        let head = format!(
            "oci-isolate: container web not created: cannot read {} with certainty: EOF",
            host.at("bundle/config.json")
        );
        assert!(said.err.starts_with(&head), "{length}: {}", said.err);
    }
    assert!(host.calls().is_empty());
    assert_eq!(host.state(), [""; 0]);
}

#[test]
fn one_of_200_megabytes() {
    let host = RecorderHost::new();
    host.sh("truncate -s 200M config.json").must();
    refused(&host, "cannot read CONFIG: 209715200 bytes, at most 134217728 are read");
    std::fs::remove_file(host.at("bundle/config.json")).unwrap();
}

#[test]
fn one_that_is_no_json() {
    let host = RecorderHost::new();
    refused_text(&host, "nonsense", "cannot read CONFIG with certainty: expected ident at line 1 column 2");
    refused_text(
        &host,
        "[]",
        "cannot read CONFIG with certainty: wrong type, expected an object at line 1 column 1",
    );
    refused_text(
        &host,
        "null",
        "cannot read CONFIG with certainty: wrong type, expected an object at line 1 column 4",
    );
    refused_text(&host, "{} {}", "cannot read CONFIG with certainty: trailing characters at line 1 column 4");
    refused_text(
        &host,
        "{\"a\":1,}",
        "cannot read CONFIG with certainty: key must be a string at line 1 column 8",
    );
    refused_text(&host, "\u{feff}{}", "cannot read CONFIG with certainty: expected value at line 1 column 1");
    refused_text(&host, "\0", "cannot read CONFIG with certainty: expected value at line 1 column 1");
}

#[test]
fn one_that_is_no_utf8() {
    let host = RecorderHost::new();
    refused_text(
        &host,
        b"{\"hostname\":\"\xff\"}",
        "cannot read CONFIG with certainty: not UTF-8 at byte 13",
    );
    refused_text(&host, b"\xfe\xff\0{\0}", "cannot read CONFIG with certainty: not UTF-8 at byte 0");
}

#[test]
fn no_linux_section_and_several_network_namespaces() {
    let host = RecorderHost::new();
    let none = "network-namespace: there is no linux section, so no namespace can be given";
    let mut config = isolated();
    config.as_object_mut().unwrap().remove("linux");
    host.config(&config);
    refused(&host, none);
    host.config(&isolated_with("/linux", json!(null)));
    refused(&host, none);
    let several =
        "network-namespace: several network namespaces are given; runtimes differ on which one they take";
    for pair in [
        json!([{"type": "network"}, {"type": "network"}]),
        json!([{"type": "network", "path": "/x"}, {"type": "pid"}, {"type": "network"}]),
    ] {
        host.config(&isolated_with("/linux/namespaces", pair));
        refused(&host, several);
    }
}

#[test]
fn a_namespace_path_that_leads_nowhere_or_to_something_else() {
    let host = RecorderHost::new();
    host.write("file", "");
    for (path, why) in [
        (
            "/nowhere".to_owned(),
            "cannot open network namespace /nowhere: No such file or directory (os error 2)".to_owned(),
        ),
        (host.at("file"), format!("cannot use {} as a network namespace: it is not one", host.at("file"))),
        (
            "/proc/self/ns/mnt".into(),
            "cannot use /proc/self/ns/mnt as a network namespace: it is not one".into(),
        ),
        ("/dev/null".into(), "cannot use /dev/null as a network namespace: it is not one".into()),
    ] {
        host.config(&isolated_with("/linux/namespaces", json!([{"type": "network", "path": path}])));
        refused(&host, &why);
    }
}

#[test]
fn no_root_or_one_that_is_not_there() {
    let host = RecorderHost::new();
    let mut config = isolated();
    config.as_object_mut().unwrap().remove("root");
    host.config(&config);
    refused(&host, "config.json has no root");
    host.config(&isolated_with("/root/path", json!("nowhere")));
    refused(
        &host,
        &format!(
            "cannot inspect the root {}: No such file or directory (os error 2)",
            host.at("bundle/nowhere")
        ),
    );
}
