//! What arrives: every form in and out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use flate2::read::GzDecoder;
use isolate_job::progress::{Amount, Event, Fault};
use serde_json::json;

use crate::run::{Place, channel, model, training};
use crate::server::shared;

/// Bytes that are not the same at any two places.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..count.div_ceil(8)).flat_map(next).take(count).collect()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            content = format!("-> {}", target.display()).into_bytes();
        }
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
    }
    files
}

#[test]
fn a_prefix_is_the_beginning_of_keys_and_a_large_object_comes_in_ranges() {
    let moto = shared();
    moto.bucket("prefixes");
    // Three ranges.
    let large = noise((22 << 20) + 7);
    moto.put("prefixes", "d/train/large", &large);
    moto.put("prefixes", "d/train-01/x y+z%20ü", b"name");
    moto.put("prefixes", "d/train-01/tab\tcontrol\u{1}", b"not XML");
    moto.put("prefixes", "d/train/empty", b"");
    moto.put("prefixes", "d/train/directory/", b"");
    moto.put("prefixes", "d/other", b"not asked for");
    let place = Place::with_channel("prefixes", "s3://prefixes/d/train", moto.address);
    let ended = place.done(&["in"]);
    let files = place.files("input/data/train");
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["empty", "large", "train-01/tab\tcontrol\u{1}", "train-01/x y+z%20ü"]
    );
    assert_eq!(files["large"], large);
    assert_eq!(files["train-01/x y+z%20ü"], b"name");
    assert!(place.path("input/data/train/directory").is_dir());
    let amount = Amount { files: 4, bytes: large.len() as u64 + 11 };
    assert_eq!(ended.lines[0].event, Event::Total(amount));
    assert_eq!(ended.lines.last().unwrap().event, Event::Complete(amount));
    // Again: nothing changes, nothing is left.
    place.done(&["in"]);
    assert_eq!(place.files("input/data").len(), 4);
    // What others left there is not replaced.
    place.write("input/data/train/mine", b"");
    let ended = place.run(&["in"]);
    assert!(ended.stderr.contains("already exists and is not empty"), "{}", ended.stderr);
}

#[test]
fn shards_are_disjoint_and_complete() {
    let moto = shared();
    moto.bucket("shards");
    for key in 0..7 {
        moto.put("shards", &format!("t/{key}"), key.to_string().as_bytes());
    }
    let mut all = Vec::new();
    for host in 1..=3 {
        let mut place = Place::with_channel("shards", "s3://shards/t/", moto.address);
        place.request["ResourceConfig"]["InstanceCount"] = json!(3);
        let source = &mut place.request["InputDataConfig"][0]["DataSource"]["S3DataSource"];
        source["S3DataDistributionType"] = json!("ShardedByS3Key");
        place.done(&["in", "--host", &format!("algo-{host}")]);
        let own: Vec<_> = place.files("input/data/train").into_keys().collect();
        assert_eq!(own[0], (host - 1).to_string());
        all.extend(own);
    }
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_manifest_names_objects_below_its_prefix() {
    let moto = shared();
    moto.bucket("manifests");
    moto.put("manifests", "p/a", b"a");
    moto.put("manifests", "p/b/c", b"c");
    moto.put("manifests", "p/not-named", b"");
    moto.put("manifests", "m", br#"[{"prefix":"s3://manifests/p/"},"a","b/c"]"#);
    let mut place = Place::with_channel("manifests", "s3://manifests/m", moto.address);
    place.request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] = json!("ManifestFile");
    place.done(&["in"]);
    let files = place.files("input/data/train");
    assert_eq!(files, BTreeMap::from([("a".to_owned(), b"a".to_vec()), ("b/c".to_owned(), b"c".to_vec())]));
}

#[test]
fn a_model_is_an_archive_an_object_or_a_prefix() {
    let moto = shared();
    moto.bucket("models");
    let weights = noise(11 << 20);
    moto.put("models", "m.tar.gz", &archive(&[("w/large", &weights), ("x", b"x")]));
    moto.put("models", "dir/one", b"1");
    moto.put("models", "dir/sub/two", b"2");
    let source = |uri: &str, kind: &str, compression: &str| {
        let source = json!({ "S3Uri": uri, "S3DataType": kind, "CompressionType": compression });
        json!({ "ModelDataSource": { "S3DataSource": source } })
    };
    for (container, files) in [
        (json!({ "ModelDataUrl": "s3://models/m.tar.gz" }), vec!["w/large", "x"]),
        (source("s3://models/m.tar.gz", "S3Object", "Gzip"), vec!["w/large", "x"]),
        (source("s3://models/dir/one", "S3Object", "None"), vec!["one"]),
        (source("s3://models/dir/", "S3Prefix", "None"), vec!["one", "sub/two"]),
    ] {
        let place = Place::new(model(&container), moto.address);
        place.done(&["in"]);
        let found = place.files("model");
        assert_eq!(found.keys().collect::<Vec<_>>(), files, "{container}");
        assert!(found.get("w/large").is_none_or(|large| *large == weights));
        place.done(&["in"]);
    }
    moto.put("models", "dir/folder/", b"");
    let place = Place::new(model(&source("s3://models/dir/", "S3Prefix", "None")), moto.address);
    place.failed(&["in"], Fault::Client, "key \"dir/folder/\" is a folder");
}

#[test]
fn results_are_archives_with_the_jobs_key_and_links_that_nobody_follows() {
    let moto = shared();
    moto.bucket("results");
    let mut place = Place::new(training("results"), moto.address);
    place.request["OutputDataConfig"]["KmsKeyId"] = json!("alias/results");
    // Four parts of 5 MiB, since noise does not become smaller.
    let large = noise(16 << 20);
    place.write("model/large", &large);
    place.write("model/sub/small", b"small");
    place.write("secret", b"the host's");
    symlink("/etc/passwd", place.path("model/link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("model/fifo"), rustix::fs::Mode::RUSR).unwrap();
    let ended = place.done(&["out"]);
    assert!(ended.stdout.contains(r#""skipped":{"path":"fifo","why":"a FIFO"}"#), "{}", ended.stdout);
    let files = unpacked(&moto.get("results", "out/job/output/model.tar.gz").unwrap());
    assert_eq!(files.keys().collect::<Vec<_>>(), ["large", "link", "sub/", "sub/small"]);
    assert_eq!((files["large"].as_slice(), files["link"].as_slice()), (&large[..], &b"-> /etc/passwd"[..]));
    // There is none of /opt/ml/output/data, and so it is empty.
    assert!(unpacked(&moto.get("results", "out/job/output/output.tar.gz").unwrap()).is_empty());
    // One in parts, one at once.
    for key in ["model", "output"] {
        let head = moto.head("results", &format!("out/job/output/{key}.tar.gz")).to_lowercase();
        assert!(head.contains("x-amz-server-side-encryption: aws:kms"), "{head}");
        assert!(head.contains("x-amz-server-side-encryption-aws-kms-key-id: alias/results"), "{head}");
    }
    assert_eq!(moto.incomplete_uploads("results"), 0);
    place.done(&["out"]);
}

#[test]
fn trees_are_an_object_for_each_file() {
    let moto = shared();
    moto.bucket("trees");
    let mut place = Place::new(training("trees"), moto.address);
    place.request["OutputDataConfig"]["CompressionType"] = json!("NONE");
    let large = noise((11 << 20) + 1);
    place.write("model/large", &large);
    place.write("model/exactly", &large[..5 << 20]);
    for number in 0..40 {
        place.write(&format!("output/data/s/{number}"), number.to_string().as_bytes());
    }
    place.write("output/data/empty", b"");
    place.done(&["out"]);
    assert_eq!(moto.get("trees", "out/job/output/model/large").unwrap(), large);
    assert_eq!(moto.get("trees", "out/job/output/model/exactly").unwrap(), large[..5 << 20]);
    assert_eq!(moto.get("trees", "out/job/output/output/s/39").unwrap(), b"39");
    assert_eq!(moto.get("trees", "out/job/output/output/empty").unwrap(), b"");
    assert_eq!(moto.keys("trees").len(), 43);
    // No object can be a link.
    symlink("/etc/passwd", place.path("model/link")).unwrap();
    let ended = place.run(&["out", "--step", "model"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("\"link\": is a symbolic link"), "{}", ended.stderr);
}

#[test]
fn checkpoints_come_back_where_they_were() {
    let moto = shared();
    moto.bucket("checkpoints");
    let mut place = Place::new(training("checkpoints"), moto.address);
    place.request["CheckpointConfig"] = json!({ "S3Uri": "s3://checkpoints/c" });
    // A job begins without.
    place.done(&["in"]);
    place.write("checkpoints/epoch/1", b"one");
    place.done(&["out", "--step", "checkpoints"]);
    assert_eq!(moto.keys("checkpoints"), ["c/epoch/1"]);

    // With a record only what has changed is sent.
    let record = place.directory.path().join("record");
    let words = ["out", "--step", "checkpoints", "--record", record.to_str().unwrap()];
    let sent = |place: &Place| match place.done(&words).lines.last().unwrap().event {
        Event::Complete(amount) => amount.files,
        _ => panic!(),
    };
    // What was written just now may be written again at the same time, as the file system tells it. A busy machine may take longer.
    let written = || {
        let begin = std::time::Instant::now();
        place.write("checkpoints/epoch/1", b"one");
        let both = (sent(&place), sent(&place));
        (begin.elapsed() < std::time::Duration::from_secs(2)).then_some(both)
    };
    assert_eq!((0..20).find_map(|_| written()), Some((1, 1)));
    let settle = || std::thread::sleep(std::time::Duration::from_millis(2100));
    settle();
    assert_eq!((sent(&place), sent(&place)), (1, 0));
    place.write("checkpoints/epoch/1", b"ONE");
    place.write("checkpoints/epoch/2", b"two");
    settle();
    assert_eq!(sent(&place), 2);
    assert_eq!(moto.get("checkpoints", "c/epoch/1").unwrap(), b"ONE");
    place.write("checkpoints/epoch/1", b"one");
    // One that was not written whole is an empty one.
    fs::write(&record, "{\"epoch/1\":[").unwrap();
    assert_eq!(sent(&place), 2);
    place.refused(&["out", "--record", record.to_str().unwrap()], "--record: is for one step");

    let mut place = Place::new(place.request.clone(), moto.address);
    place.request["CheckpointConfig"]["LocalPath"] = json!("/srv/checkpoints");
    place.refused(&["in"], "--checkpoints: is missing");
    let elsewhere = place.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    place.done(&["in", "--checkpoints", elsewhere.to_str().unwrap()]);
    assert_eq!(fs::read(elsewhere.join("epoch/1")).unwrap(), b"one");
    fs::write(elsewhere.join("two"), "two").unwrap();
    place.done(&["out", "--step", "checkpoints", "--checkpoints", elsewhere.to_str().unwrap()]);
    assert_eq!(moto.get("checkpoints", "c/two").unwrap(), b"two");
}

#[test]
fn several_channels_are_several_steps() {
    let moto = shared();
    moto.bucket("channels");
    moto.put("channels", "a/x", b"a");
    moto.put("channels", "b/x", b"b");
    let mut request = training("channels");
    request["InputDataConfig"] = json!([channel("a", "s3://channels/a"), channel("b", "s3://channels/b")]);
    let place = Place::new(request, moto.address);
    let ended = place.done(&["in", "--step", "channel b"]);
    assert!(ended.lines.iter().all(|line| line.step == "channel b"));
    assert_eq!(place.files("input/data").into_keys().collect::<Vec<_>>(), ["b/x"]);
    place.done(&["in"]);
    assert_eq!(place.files("input/data").into_keys().collect::<Vec<_>>(), ["a/x", "b/x"]);
}
