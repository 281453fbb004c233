//! What is refused before anything is opened, and what fails with a name and leaves nothing.

use std::process::Command;

use isolate_job::progress::Fault;
use serde_json::{Value, json};

use crate::run::{Ended, Place, channel, model, training};
use crate::server::{exchange, shared};

#[test]
fn command_lines_requests_and_settings_are_refused_by_name() {
    let address = "127.0.0.1:9".parse().unwrap();
    let mut place = Place::with_channel("data", "s3://data/train", address);
    place.refused(
        &["in", "--step", "model"],
        r#"--step "model": there is no such step; there are "channel train""#,
    );
    place.refused(&["in", "--host", "algo-2"], "--host algo-2: is not a host of the job");
    place.refused(&["in", "--host", "2"], "--host 2: is not a host of the job");
    place.refused(&["in", "--checkpoints", "/nonexistent"], "--checkpoints: /nonexistent is not a directory");
    place.request["VpcConfig"] = json!({ "SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"] });
    place.refused(&["in"], "VpcConfig.Subnets[0]: subnet-1 is not in the settings; add [vpc.subnet-1]");
    place.request = training("data");
    place.request["InputDataConfig"] = json!([channel("train", "s3://data/train")]);
    place.request["InputDataConfig"][0]["InputMode"] = json!("Pipe");
    let settings = format!("pipe-mode = \"refused\"\n{}", place.settings);
    let settings = std::mem::replace(&mut place.settings, settings);
    place.refused(
        &["stream"],
        "request.json: InputDataConfig[0].InputMode: Pipe is refused by pipe-mode = \"refused\"",
    );
    // What its program has written is uploaded.
    assert_ne!(place.run(&["out"]).code, Some(2));
    place.settings = settings;
    place.request["InputDataConfig"][0]["Colour"] = json!("red");
    place.refused(&["in"], "InputDataConfig[0].Colour");
    place.settings.push_str("colour = 1\n");
    place.request = training("data");
    place.refused(&["in"], "job.toml: ");
    place.settings.clear();
    place.request = json!({ "TransformJobName": "t" });
    place.refused(&["in"], "request.json: ");
}

#[test]
fn a_host_without_certificate_authorities_is_told_so() {
    let mut place = Place::with_channel("data", "s3://data/train", "127.0.0.1:9".parse().unwrap());
    place.settings = "[s3]\nendpoint = \"https://127.0.0.1:9\"\nregion = \"us-east-1\"\n".to_owned();
    let output = place.command(&["in"]).env("SSL_CERT_FILE", "/nonexistent").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let why = "channel train: no certificate authorities: this host has none, so that Amazon S3 and STS cannot be reached; install \
               ca-certificates, or set ca-bundle in [s3] of the settings";
    assert_eq!((output.status.code(), said.trim_end()), (Some(1), format!("isolate-job: {why}").as_str()));
    place.settings.push_str("ca-bundle = \"/etc/hostname\"\n");
    place.failed(&["in"], Fault::Internal, "cannot use ca-bundle /etc/hostname: it has no certificate");
}

/// A command on a host without certificate authorities, whose SDK has these variables.
fn bare(mut command: Command, variables: &[(&str, &str)]) -> Ended {
    command.env("SSL_CERT_FILE", "/dev/null").envs(variables.iter().copied());
    Ended::of(command.output().unwrap())
}

#[test]
fn a_host_without_certificate_authorities_transfers_where_no_server_is_reached_by_tls() {
    let moto = shared();
    moto.bucket("plain");
    moto.put("plain", "train/x", b"x");
    let mut place = Place::with_channel("plain", "s3://plain/train", moto.address);
    let done = |place: &Place, variables: &[(&str, &str)]| {
        let ended = bare(place.command(&["in"]), variables);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    };
    // By the settings, which count more than variables.
    let nowhere = ("AWS_ENDPOINT_URL_STS", "https://127.0.0.1:9");
    done(&place, &[nowhere, ("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:9")]);
    let url = &format!("http://{}", moto.address);
    place.settings = "[s3]\nregion = \"us-east-1\"\naddressing = \"path\"\n".to_owned();
    done(&place, &[("AWS_ENDPOINT_URL", url)]);
    done(&place, &[("AWS_ENDPOINT_URL_S3", url), ("AWS_ENDPOINT_URL_STS", url)]);
    let file = place.directory.path().join("config");
    std::fs::write(&file, format!("[default]\nendpoint_url = {url}\n")).unwrap();
    let file = ("AWS_CONFIG_FILE", file.to_str().unwrap());
    done(&place, &[file]);
    for variables in [
        &[][..],
        &[file, nowhere],
        &[("AWS_ENDPOINT_URL_S3", url)],
        &[("AWS_ENDPOINT_URL", url), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
    ] {
        let ended = bare(place.command(&["in"]), variables);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stderr.contains("no certificate authorities"), "{}", ended.stderr);
    }
    place.settings.push_str("[role]\nassume = false\n");
    done(&place, &[("AWS_ENDPOINT_URL_S3", url)]);
}

#[test]
fn certificate_authorities_are_demanded_of_what_transfers_and_doctor_warns() {
    let mut place = Place::new(model(&json!({})), "127.0.0.1:9".parse().unwrap());
    place.settings = "engine-path = \"/nonexistent\"\n".to_owned();
    let refused = |place: &Place, variables: &[(&str, &str)]| {
        let mut command = place.other(&["deploy"]);
        command.arg(place.directory.path().join("request.json")).env("SSL_CERT_FILE", "/dev/null");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // There is no engine either.
        assert_eq!(output.status.code(), Some(2), "{said}");
        said.contains("no certificate authorities: ")
    };
    assert!(!refused(&place, &[]));
    place.request = model(&json!({ "ModelDataUrl": "s3://data/m.tar.gz" }));
    assert!(refused(&place, &[]));
    let plain = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    assert!(!refused(&place, &[plain]));
    for (variables, state) in [(&[][..], "warn"), (&[plain], "ok")] {
        let mut command = place.other(&["--json", "doctor"]);
        let output = command.env("SSL_CERT_FILE", "/dev/null").envs(variables.iter().copied()).output();
        let all: Vec<Value> = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        let found = all.iter().find(|one| one["check"] == "job-certificates").unwrap();
        assert_eq!(found["state"], state, "{found}");
    }
}

#[test]
fn missing_data_is_the_clients_error_and_names_it() {
    let moto = shared();
    moto.bucket("missing");
    for (uri, text) in [
        ("s3://missing/nothing", "No S3 objects found under S3 URL \"s3://missing/nothing\""),
        ("s3://missing-bucket/x", "s3://missing-bucket/x: NoSuchBucket"),
    ] {
        let place = Place::with_channel("missing", uri, moto.address);
        place.failed(&["in"], Fault::Client, text);
        assert!(!place.path("input/data/train").exists());
    }
    let place = Place::new(model(&json!({ "ModelDataUrl": "s3://missing/m.tar.gz" })), moto.address);
    place.failed(&["in"], Fault::Client, "s3://missing/m.tar.gz: NotFound");
    moto.put("missing", "m", br#"[{"prefix":"s3://missing/p/"},"a"]"#);
    let mut place = Place::with_channel("missing", "s3://missing/m", moto.address);
    place.request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] = json!("ManifestFile");
    place.failed(&["in"], Fault::Client, "s3://missing/p/a: NotFound");
    moto.put("missing", "m", b"a,b,c");
    place.failed(&["in"], Fault::Client, "s3://missing/m: cannot be read");
    place.request = training("missing-bucket");
    place.failed(&["out"], Fault::Client, "NoSuchBucket");
}

#[test]
fn hostile_keys_fail_by_name_and_nothing_appears() {
    let moto = shared();
    for (index, key) in ["t/../../x", "t//x", "t/./x", "t/d/"].iter().enumerate() {
        let bucket = format!("hostile-{index}");
        moto.bucket(&bucket);
        moto.put(&bucket, "t/good", b"good");
        moto.put(&bucket, key, b"bad");
        let place = Place::with_channel(&bucket, &format!("s3://{bucket}/t/"), moto.address);
        place.failed(&["in"], Fault::Client, &format!("key {key:?}"));
        assert!(place.files("").is_empty(), "{key}");
        assert_eq!(std::fs::read_dir(place.path("input/data")).unwrap().count(), 0, "{key}");
    }
    // A file and a directory.
    moto.bucket("hostile-both");
    moto.put("hostile-both", "t/a", b"1");
    moto.put("hostile-both", "t/a/b", b"2");
    let place = Place::with_channel("hostile-both", "s3://hostile-both/t/", moto.address);
    place.failed(&["in"], Fault::Client, "is a file, and");
}

#[test]
fn hostile_archives_leave_nothing() {
    let moto = shared();
    moto.bucket("archives");
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o644);
    archive.append_link(&mut header, "link", "/etc").unwrap();
    let archive = archive.into_inner().unwrap().finish().unwrap();
    moto.put("archives", "m.tar.gz", &archive);
    let place = Place::new(model(&json!({ "ModelDataUrl": "s3://archives/m.tar.gz" })), moto.address);
    place.failed(&["in"], Fault::Client, "\"link\": is a link that leaves the directory");
    moto.put("archives", "m.tar.gz", &archive[..archive.len() / 2]);
    place.failed(&["in"], Fault::Client, "the archive is broken");
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 0);
}

#[test]
fn a_volume_that_is_too_small_fails_before_anything_is_downloaded() {
    let moto = shared();
    moto.bucket("volumes");
    moto.put("volumes", "p/x", &vec![0; 40 << 20]);
    for copy in 0..30 {
        let target = format!("/volumes/p/{copy}");
        let source = "x-amz-copy-source: /volumes/p/x\r\n";
        assert_eq!(exchange(moto.address, "PUT", &target, source, b"").0, 200);
    }
    let mut place = Place::with_channel("volumes", "s3://volumes/p/", moto.address);
    place.failed(&["in"], Fault::Client, "insufficient disk space; give a larger VolumeSizeInGB");
    assert!(place.files("").is_empty());
    // What another channel has counts, and what this one has from an earlier run does not.
    place.request["InputDataConfig"] =
        json!([channel("other", "s3://volumes/p/1"), channel("train", "s3://volumes/p/2")]);
    place.done(&["in", "--step", "channel other"]);
    place.done(&["in", "--step", "channel other"]);
    let fill = std::fs::File::create(place.path("fill")).unwrap();
    fill.set_len(600 << 20).unwrap();
    place.failed(&["in", "--step", "channel train"], Fault::Client, "insufficient disk space");
}
