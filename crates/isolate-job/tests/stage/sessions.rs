//! Whose credentials are used where, and where they are not.

use std::fs;

use serde_json::json;

use crate::proxy::Proxy;
use crate::run::{KEY_ID, Place, SECRET, TOKEN, training, visit};
use crate::server::shared;

/// The requests that went through a proxy, by their request lines and the key that signed them.
fn signed(sent: &str) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    let mut line = String::new();
    for text in sent.lines() {
        if text.ends_with("HTTP/1.1") {
            line = text.to_owned();
        }
        if let Some((_, rest)) = text.split_once("Credential=") {
            requests.push((line.clone(), rest.split('/').next().unwrap().to_owned()));
        }
    }
    requests
}

#[test]
fn only_sts_sees_the_base_key_and_s3_that_of_the_session() {
    let moto = shared();
    moto.bucket("sessions");
    moto.put("sessions", "t/a", b"a");
    let proxy = Proxy::to(moto.address);
    let mut place = Place::with_channel("sessions", "s3://sessions/t/", proxy.address);
    place.write("model/x", b"x");
    place.settings.push_str("external-id = \"outer\"\n");
    place.done(&["in"]);
    place.done(&["out"]);
    let sent = proxy.sent();
    let requests = signed(&sent);
    // What was sent before it may stand in the line, too.
    let is_sts = |line: &str| line.ends_with("POST / HTTP/1.1");
    assert!(requests.iter().any(|(line, _)| is_sts(line)) && requests.len() > 5, "{requests:?}");
    for (line, key) in &requests {
        assert_eq!(is_sts(line), key == KEY_ID, "{line}: {key}");
    }
    // The session is the job's, limited to the step.
    let form = sent.lines().find(|line| line.contains("Action=AssumeRole")).unwrap();
    assert!(form.contains("RoleSessionName=job"), "{form}");
    assert!(form.contains("ExternalId=outer"), "{form}");
    assert!(form.contains("arn%3Aaws%3As3%3A%3A%3Asessions%2Ft%2F%2A"), "{form}");
    assert!(!sent.contains(SECRET));
    // Without the role, the base identity is used as it is.
    let proxy = Proxy::to(moto.address);
    let mut place = Place::with_channel("sessions", "s3://sessions/t/", proxy.address);
    place.settings.push_str("assume = false\n");
    place.done(&["in"]);
    let requests = signed(&proxy.sent());
    assert!(!requests.is_empty() && requests.iter().all(|(_, key)| key == KEY_ID), "{requests:?}");
}

#[test]
fn no_credential_is_in_a_file_an_output_or_the_command_line() {
    let moto = shared();
    moto.bucket("canaries");
    moto.put("canaries", "t/a", b"a");
    let place = Place::with_channel("canaries", "s3://canaries/t/", moto.address);
    place.write("model/x", b"x");
    let mut said = String::new();
    for direction in ["in", "out"] {
        let ended = place.run(&[direction]);
        said.push_str(&(ended.stdout + &ended.stderr));
    }
    // Errors, too, of S3 and of STS.
    let nowhere = Place::with_channel("canaries", "s3://canaries-missing/", moto.address);
    said.push_str(&nowhere.run(&["in"]).stderr);
    assert!(said.contains("NoSuchBucket"), "{said}");
    let command = format!("{:?}", place.command(&["in"]).get_args().collect::<Vec<_>>());
    for canary in [KEY_ID, SECRET, TOKEN] {
        assert!(!said.contains(canary) && !command.contains(canary));
        visit(place.directory.path(), &mut |path| {
            let content = fs::read(path).unwrap();
            let found = content.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        });
    }
}

#[test]
fn a_credential_process_works_and_without_credentials_the_error_is_the_hosts() {
    let moto = shared();
    moto.bucket("processes");
    moto.put("processes", "t/a", b"a");
    let place = Place::with_channel("processes", "s3://processes/t/", moto.address);
    let program = place.directory.path().join("credentials.sh");
    let keys = json!({ "Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s" });
    fs::write(&program, format!("#!/bin/sh\necho trace >/dev/null\necho '{keys}'\n")).unwrap();
    let process = format!("/bin/sh {}", program.display());
    let output = place.command_with(&process, &["in"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut place = Place::new(training("processes"), moto.address);
    place.write("model/x", b"x");
    place.request["Tags"] = json!([]);
    let output = place.command(&["out"]).env_remove("AWS_ACCESS_KEY_ID").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(r#""failed":{"fault":"internal","message":"cannot assume the role: "#), "{said}");
}
