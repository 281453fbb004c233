//! A job with channels in Pipe mode, whole: moto in place of Amazon S3, a container that reads its FIFOs, and everything that can end
//! while it does.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};
use test_support::docker::{Docker, Release};
use test_support::podman::{Podman, User};

use crate::moto::{self, put, serve, unpacked};
use crate::server::Moto;
use crate::site::canaries::only_in;
use crate::site::{Asked, Engine, Site, asked, transitions};
use crate::tune;
use crate::unproven::{KILLED_BEFORE_PROOF, until_proven, wrapped};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// As SageMaker's readers take them.
fn record(content: &[u8]) -> Vec<u8> {
    let mut record = [0xced7_230a_u32.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    record.extend_from_slice(content);
    record.resize(record.len().next_multiple_of(4), 0);
    record
}

fn channel(name: &str, prefix: &str, more: Value) -> Value {
    let source = json!({ "S3DataType": "S3Prefix", "S3Uri": format!("s3://data/{prefix}/") });
    let mut channel = json!({ "ChannelName": name, "DataSource": { "S3DataSource": source } });
    channel.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
    channel
}

/// A job whose channel `train` is in Pipe mode.
fn piped<'a>(name: &'a str, prefix: &str, script: &'a str) -> Asked<'a> {
    let pipe = json!({ "InputMode": "Pipe", "CompressionType": "Gzip", "RecordWrapperType": "RecordIO" });
    Asked {
        more: json!({ "InputDataConfig": [channel("files", "files", json!({})), channel("train", prefix, pipe)] }),
        ..asked(name, script)
    }
}

/// Three epochs of one channel beside a channel of files.
fn epochs(site: &Site) {
    let large: Vec<_> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    put(site, "/data/train/1", &gzip(&large));
    put(site, "/data/train/2", &gzip(b"two"));
    put(site, "/data/files/x.csv", b"1,2,3\n");
    let script = "cd /opt/ml/input; stat -c %F data/train_0; cat data/files/x.csv config/inputdataconfig.json; echo; \
                  for epoch in 0 1 2; do cat data/train_$epoch >/opt/ml/model/$epoch; done; stat -c %F data/train_3";
    let done = site.train(&piped("epochs", "train", script));
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let [first, file, config, next] = done.out.lines().collect::<Vec<_>>()[..] else { panic!("{done}") };
    assert_eq!((first, file, next), ("fifo", "1,2,3", "fifo"));
    let of = |mode: &str, wrapper: &str| json!({ "TrainingInputMode": mode, "S3DistributionType": "FullyReplicated", "RecordWrapperType": wrapper });
    let expected = json!({ "files": of("File", "None"), "train": of("Pipe", "RecordIO") });
    assert_eq!(serde_json::from_str::<Value>(config).unwrap(), expected);
    let model = unpacked(site, "epochs");
    let expected = [record(&large), record(b"two")].concat();
    for epoch in ["0", "1", "2"] {
        assert!(fs::read(model.path().join(epoch)).unwrap() == expected, "epoch {epoch}");
    }
    let status = site.describe("epochs");
    assert_eq!(transitions(&status), ["Starting", "Downloading", "Training", "Uploading", "Completed"]);
    assert_eq!(site.left_over("epochs"), [""; 0]);
}

/// Two containers divide a channel among them.
fn shards(site: &Site) {
    for key in ["a", "b", "c"] {
        put(site, &format!("/data/shards/{key}"), key.as_bytes());
    }
    let mut train = channel("train", "shards", json!({ "InputMode": "Pipe" }));
    train["DataSource"]["S3DataSource"]["S3DataDistributionType"] = json!("ShardedByS3Key");
    let more = json!({
        "InputDataConfig": [train],
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1 },
    });
    let script = "cat /opt/ml/input/data/train_0; echo";
    let done = site.train(&Asked { more, ..asked("shards", script) });
    assert_eq!(done.status, Some(0), "{done}");
    let mut lines: Vec<_> = done.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["algo-1 ac", "algo-2 b"], "{done}");
}

/// A program that takes the end of a FIFO for the end of an epoch must not complete if it is not.
fn failures(site: &Site) {
    put(site, "/data/plain/1", &gzip(b"one"));
    put(site, "/data/plain/2", b"not compressed");
    let read = "cat /opt/ml/input/data/train_0 >/opt/ml/model/read; echo read";
    let done = site.train(&piped("plain", "plain", read));
    let why = "ClientError: Data streaming failed: channel train: s3://data/plain/2: cannot be decompressed";
    assert!(done.status == Some(1) && done.err.starts_with(why), "{done}");
    assert_eq!(fs::read(unpacked(site, "plain").path().join("read")).unwrap(), record(b"one"));
    assert_eq!(site.left_over("plain"), [""; 0]);

    // Nothing is started if there is nothing to read.
    let done = site.train(&piped("nothing", "nowhere", "echo ran"));
    let why = "ClientError: Data streaming failed: channel train: No S3 objects found under S3 URL \"s3://data/nowhere/\"";
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (Some(1), "", why), "{done}");
    assert_eq!(site.left_over("nothing"), [""; 0]);

    // What a container puts in the place of a FIFO.
    let script = "cd /opt/ml/input/data; cat train_0 >/dev/null; ln -sf /etc/passwd aside; mv aside train_1; \
                  trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let done = site.train(&piped("link", "train", script));
    let why = "ClientError: Data streaming failed: channel train: \"train_1\": is a symbolic link; its place is for a FIFO of Pipe mode";
    assert_eq!((done.status, done.err.as_str()), (Some(1), why), "{done}");
}

/// Programs that do not read, or not to the end.
fn unread(site: &Site) {
    let script = "head -c 8 /opt/ml/input/data/train_0 >/dev/null; stat -c %F /opt/ml/input/data/train_1";
    let done = site.train(&piped("early", "train", script));
    assert_eq!((done.status, done.out.as_str()), (Some(0), "fifo"), "{done}");
    site.detach_in(
        "eu-west-1",
        &piped("stopped", "train", "echo ready; trap 'exit 3' TERM; while :; do sleep 0.1; done"),
    );
    site.until_logged("stopped", "algo-1", "ready");
    only_in(site.host(), &[" resume --session stopped", " stage stream "]);
    site.job(&["stop", "stopped"]).must();
    site.until("stopped", &["Stopped"]);
    site.until_left("stopped");
    assert!(!site.host().sh("pgrep -f '[s]tage stream'").well(), "the stream goes on");
    assert_eq!(site.left_over("stopped"), [""; 0]);
}

/// The stream, the supervisor and the process with the credentials are killed in the middle of an epoch.
fn killed(site: &Site) {
    let script =
        "{ head -c 9; echo half >&2; sleep 5; cat; } </opt/ml/input/data/train_0 >/opt/ml/model/read";
    for (name, victim, is_supervised) in [
        ("without-stream", "[s]tage stream", true),
        ("without-supervisor", "[s]upervise without", false),
        ("without-credentials", "[r]esume --session without", false),
    ] {
        site.detach_in("eu-west-1", &piped(name, "train", script));
        site.until_logged(name, "algo-1", "half");
        until_proven(site, name);
        site.host().sh(&format!("pkill -KILL -f '{victim}'")).must();
        if is_supervised {
            site.until(name, &["Failed"]);
            site.until_left(name);
        } else {
            site.until_left(name);
            assert!(!site.host().sh("pgrep -f '[s]tage stream'").well(), "{name}: the stream goes on");
            assert_eq!(site.job(&["resume", name]).status, Some(1));
        }
        let reason = site.describe(name)["FailureReason"].as_str().unwrap().to_owned();
        let expected = if is_supervised {
            "InternalServerError: Data streaming failed: the transfer was killed"
        } else {
            "InternalServerError: the streams of its channels in Pipe mode were interrupted; start the job again"
        };
        assert_eq!(reason, expected, "{name}");
        assert!(unpacked(site, name).path().join("read").exists());
        assert_eq!(site.left_over(name), [""; 0]);
    }
}

/// The supervisor is killed before it has proven the container, which runs on: what it wrote is not uploaded.
fn unproven(site: &Site) {
    moto::settings(site, &wrapped(site, "shim", KILLED_BEFORE_PROOF));
    site.detach_in("eu-west-1", &piped("unproven", "train", "echo unseen >/opt/ml/model/x; sleep 1000"));
    site.until("unproven", &["Training"]);
    site.until_left("unproven");
    let done = site.job(&["resume", "unproven"]);
    let why = "InternalServerError: the streams of its channels in Pipe mode were interrupted; start the job again; \
               the containers were not proven to be isolated before";
    assert!(done.status == Some(1) && done.err.ends_with(why), "{done}");
    assert_eq!(moto::request(site, "GET", "/results/out/unproven/output/model.tar.gz", Vec::new()).0, 404);
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    moto::settings(site, "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"");
}

/// A site with moto.
fn site(engine: Engine) -> (Site, Moto) {
    let site = Site::real(engine);
    let moto = serve(&site);
    for bucket in ["/data", "/results"] {
        put(&site, bucket, b"");
    }
    (site, moto)
}

#[test]
fn docker_28_a_channel_is_streamed_into_a_container() {
    let (site, _moto) = site(Engine::Docker(Docker::start(Release::Docker28)));
    epochs(&site);
    shards(&site);
    failures(&site);
    unread(&site);
    killed(&site);
    unproven(&site);
    tuned(&site);
}

#[test]
fn podman_5_a_channel_is_streamed_into_a_container() {
    let podman = Podman::start(test_support::podman::Release::Podman5, User::Root);
    let (site, _moto) = site(Engine::Podman(podman));
    epochs(&site);
    shards(&site);
}

/// Each training job of a tuning job has a stream of its own.
fn tuned(site: &Site) {
    put(site, "/data/tuned/1", b"123");
    let program = format!("cat /opt/ml/input/data/train_0 >/opt/ml/model/read; {}", tune::PARABOLA);
    tune::image(site, &program);
    let definition = "/TrainingJobDefinition";
    let request = tune::request(
        site,
        "tuned",
        &[
            (&format!("{definition}/AlgorithmSpecification/TrainingInputMode"), json!("Pipe")),
            (&format!("{definition}/InputDataConfig/0"), channel("train", "tuned", json!({}))),
        ],
    );
    let done = site.job(&["tune", &request]);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let status = site.describe("tuned");
    assert_eq!(status["TrainingJobStatusCounters"]["Completed"], 6, "{status}");
    for summary in done.out.lines().filter(|line| line.contains(" Completed ") && !line.starts_with("best")) {
        let name = summary.split(' ').next().unwrap();
        assert_eq!(fs::read(unpacked(site, name).path().join("read")).unwrap(), b"123", "{name}");
        assert_eq!(site.left_over(name), [""; 0]);
    }
}
