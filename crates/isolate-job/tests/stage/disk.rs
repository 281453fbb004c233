//! A disk that is full: the step fails with the name of the file, and nothing is left of it.

use std::process::Command;

use isolate_job::progress::{Event, Fault};
use serde_json::json;

use crate::run::{Ended, Place, model};
use crate::server::shared;
use crate::transfers::noise;

/// Runs a step whose root is on a disk of this many KiB; what is left there is in stderr.
fn on_disk(place: &Place, kib: u32) -> Ended {
    let inner = place.command(&["in"]);
    let script = "mount -t tmpfs -o size=$1k tmpfs $2 && shift && root=$1 && shift || exit 9; \"$@\"; status=$?; \
                  find $root -type f -exec echo left {} \\; >&2; exit $status";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", &kib.to_string()]).arg(place.path(""));
    command.arg(inner.get_program()).args(inner.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(command.output().unwrap())
}

#[track_caller]
fn full(place: &Place, fault: Fault, text: &str) {
    let ended = on_disk(place, 2048);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let Some(Event::Failed(failure)) = ended.lines.last().map(|line| &line.event) else {
        panic!("{}", ended.stdout)
    };
    assert!(failure.message.contains(text) && failure.fault == fault, "{failure:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    // The same on a larger one.
    let ended = on_disk(place, 16 << 10);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_full_disk_fails_a_step_by_name_and_nothing_is_left() {
    let moto = shared();
    moto.bucket("disks");
    moto.put("disks", "t/large", &noise(4 << 20));
    full(
        &Place::with_channel("disks", "s3://disks/t/", moto.address),
        Fault::Internal,
        "\"large\": No space left on device",
    );

    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_size(4 << 20);
    header.set_mode(0o644);
    archive.append_data(&mut header, "weights", &*vec![0; 4 << 20]).unwrap();
    moto.put("disks", "m.tar.gz", &archive.into_inner().unwrap().finish().unwrap());
    let place = Place::new(model(&json!({ "ModelDataUrl": "s3://disks/m.tar.gz" })), moto.address);
    let root = place.path("").display().to_string();
    let text = format!("\"weights\": insufficient disk space; free some on the disk of {root}");
    full(&place, Fault::Client, text.trim_end_matches('/'));
}
