//! Networks and servers that fail, objects that change, and a process that is killed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use isolate_job::progress;
use serde_json::json;

use crate::faulty::{Fault, Faulty};
use crate::run::{Place, training};
use crate::server::{Moto, shared};
use crate::transfers::noise;

fn place(server: &Faulty) -> Place {
    Place::with_channel("bucket", "s3://bucket/t/", server.address)
}

#[test]
fn what_fails_for_a_while_is_asked_for_again() {
    let content = noise((11 << 20) + 3);
    for fault in [Fault::None, Fault::Cut(4), Fault::SlowDown(4), Fault::Reset(3), Fault::Slow] {
        let server = Faulty::start(fault, content.clone());
        let place = place(&server);
        place.done(&["in"]);
        assert_eq!(place.files("input/data/train")["object"], content, "{fault:?}");
        // Of a body that was cut, the rest is asked for.
        let expected = if matches!(fault, Fault::None | Fault::Slow) { 2..=2 } else { 4..=9 };
        let gets = server.gets.load(Ordering::SeqCst);
        assert!(expected.contains(&gets), "{fault:?}: {gets}");
    }
}

#[test]
fn a_session_that_ends_is_renewed() {
    for (fault, is_renewed) in [(Fault::None, false), (Fault::Expired, true)] {
        let server = Faulty::start(fault, noise(11 << 20));
        place(&server).done(&["in"]);
        assert_eq!(server.sessions.load(Ordering::SeqCst) > 1, is_renewed);
    }
}

#[test]
fn what_does_not_stop_failing_is_an_error_and_nothing_appears() {
    let content = noise(1 << 20);
    for (fault, whose, text) in [
        (Fault::Short, progress::Fault::Internal, "s3://bucket/t/object: "),
        (Fault::Longer, progress::Fault::Internal, "the answer has 1048577 bytes; 1048576 were asked for"),
        (Fault::Changed, progress::Fault::Client, "s3://bucket/t/object: changed since it was listed"),
        (Fault::Role, progress::Fault::Client, "cannot assume the role: AccessDenied: not for you"),
        (Fault::SlowDown(1000), progress::Fault::Internal, "s3://bucket/t/object: SlowDown"),
    ] {
        let content = if fault == Fault::Short { content[..2].to_vec() } else { content.clone() };
        let server = Faulty::start(fault, content);
        let place = place(&server);
        place.failed(&["in"], whose, text);
        assert!(place.files("").is_empty(), "{fault:?}");
    }
    let server = Faulty::start(Fault::NoRange, noise(11 << 20));
    place(&server).failed(&["in"], progress::Fault::Internal, "were asked for");
}

#[test]
fn an_object_that_changes_between_list_and_get_is_not_mixed() {
    // The first object takes a second, and the second is replaced meanwhile.
    let moto = Moto::start(&[]);
    moto.bucket("changing");
    for number in 0..200 {
        moto.put("changing", &format!("t/{number:03}"), &noise(200_000));
    }
    let mut place = Place::with_channel("changing", "s3://changing/t/", moto.address);
    place.settings = format!("parallel = 1\n{}", place.settings);
    let child = place.start(&["in"]);
    while place.files("input/data/train~partial/files").is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    moto.put("changing", "t/199", b"another");
    let ended = crate::run::Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("s3://changing/t/199: changed since it was listed"), "{}", ended.stderr);
    assert!(place.files("").is_empty());
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_half_visible_and_the_next_run_completes() {
    let moto = shared();
    moto.bucket("killed");
    for number in 0..60 {
        moto.put("killed", &format!("t/{number}"), &noise(100_000));
    }
    moto.put("killed", "t/large", &noise(12 << 20));
    let mut request = training("killed");
    request["InputDataConfig"] = json!([crate::run::channel("train", "s3://killed/t/")]);
    let place = Place::new(request.clone(), moto.address);
    let (mut seen_partial, mut seen_complete) = (0, 0);
    for moment in 0..20 {
        let place = Place::new(request.clone(), moto.address);
        let mut child = place.start(&["in"]);
        std::thread::sleep(Duration::from_millis(40 * moment));
        child.kill().unwrap();
        child.wait().unwrap();
        match place.files("input/data/train").len() {
            0 => seen_partial += 1,
            61 => seen_complete += 1,
            count => panic!("{count} files are visible"),
        }
        place.done(&["in"]);
        let files = place.files("input/data");
        assert_eq!((files.len(), files["train/large"] == noise(12 << 20)), (61, true));
    }
    assert!(seen_partial > 3, "{seen_partial} {seen_complete}");

    let large = noise(30 << 20);
    place.write("model/large", &large);
    let whole = |content: &[u8]| {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(content));
        archive
            .entries()
            .unwrap()
            .all(|entry| std::io::copy(&mut entry.unwrap(), &mut std::io::sink()).is_ok())
    };
    for moment in 0..10 {
        let mut child = place.start(&["out", "--step", "model"]);
        std::thread::sleep(Duration::from_millis(100 * moment));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(moto.get("killed", "out/job/output/model.tar.gz").is_none_or(|content| whole(&content)));
    }
    place.done(&["out"]);
    assert!(whole(&moto.get("killed", "out/job/output/model.tar.gz").unwrap()));
}

#[test]
fn an_upload_that_fails_is_aborted_and_no_object_appears() {
    let moto = shared();
    moto.bucket("aborted");
    let mut place = Place::new(training("aborted"), moto.address);
    place.write("model/a-large", &noise(20 << 20));
    // More than the volume, in a hole; the archive has begun by then.
    let file = std::fs::File::create(place.path("model/b-hole")).unwrap();
    file.set_len(2 << 30).unwrap();
    place.failed(&["out", "--step", "model"], progress::Fault::Client, "\"b-hole\": insufficient disk space");
    assert!(moto.keys("aborted").is_empty());
    assert_eq!(moto.incomplete_uploads("aborted"), 0);
    place.request["OutputDataConfig"]["CompressionType"] = json!("NONE");
    place.failed(&["out", "--step", "model"], progress::Fault::Client, "\"b-hole\": insufficient disk space");
    assert_eq!(moto.keys("aborted"), ["out/job/output/model/a-large"]);
    assert_eq!(moto.incomplete_uploads("aborted"), 0);
}
