//! What a training job costs beyond the engine and its transfers: `isolate-job train` beside a script that runs the same `stage` commands
//! and the same container by hand, interleaved. Not a part of `cargo test`: `hack/bench-job` runs it with release builds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "all of this crate is test code")]

#[path = "../stage/server.rs"]
#[allow(dead_code, reason = "the tests of stage have more")]
mod server;
#[allow(dead_code, reason = "other tests have more")]
mod site;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::command::wait_for;
use test_support::docker::{Docker, Release};

use server::{Moto, exchange};
use site::{Asked, Engine, Site, asked};

/// A port of the throw-away host's loopback.
const PORT: u16 = 4566;

/// The steps of a job with one channel, in the order of `train`.
const HAND: &str = r#"#!/bin/sh
set -e
request=$1 root=$2 job="$3" engine=/usr/bin/docker
mkdir -p $root/model $root/output/data $root/input/data
$job stage in --request $request --root $root --step 'channel train' >/dev/null
$engine create --name hand --runtime shim --annotation io.oci-isolate.network-isolation=true --hostname algo-1 \
    --network none --volume $root:/opt/ml --entrypoint bash probe -c : >/dev/null
$engine start hand >/dev/null
$engine wait hand >/dev/null
$engine logs hand
$engine rm hand >/dev/null
$job stage out --request $request --root $root --step model >/dev/null
$job stage out --request $request --root $root --step output >/dev/null
rm -r $root
"#;

/// The median and the least, in milliseconds.
fn ms(mut all: Vec<Duration>) -> (f64, f64) {
    all.sort_unstable();
    let of = |index: usize| all[index].as_secs_f64() * 1000.0;
    (of(all.len() / 2), of(0))
}

#[test]
fn a_job_beside_the_same_by_hand() {
    let number =
        |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let rounds = number("OCI_ISOLATE_ROUNDS", 9);
    let programs =
        std::env::var("OCI_ISOLATE_PROGRAMS").expect("OCI_ISOLATE_PROGRAMS is missing; run hack/bench-job");
    let site = Site::with(
        Engine::Docker(Docker::start(Release::Docker28)),
        &Path::new(&programs).join("isolate-job"),
    );
    let host = site.host();
    fs::copy(Path::new(&programs).join("isolatectl"), host.dir().join("bin/isolatectl")).unwrap();

    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let network = &host.world.host;
    let _moto = Moto::spawn(&["nsenter", &format!("--net={}", network.path())], "127.0.0.1", PORT, address);
    let answers = || network.inside(move || TcpStream::connect(address).is_ok()).then_some(());
    assert!(wait_for(Duration::from_secs(60), answers).is_some(), "moto does not start");
    for (target, body) in [("/data", ""), ("/results", ""), ("/data/train/x.csv", "1,2,3\n")] {
        let put = network.inside(move || exchange(address, "PUT", target, "", body.as_bytes()));
        assert_eq!(put.0, 200, "{target}");
    }
    site.settings(&format!(
        "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\n[s3]\nendpoint = \"http://{address}\"\nregion = \"eu-west-1\"\n\
         addressing = \"path\"\n[role]\nassume = false\n"
    ));
    let script = host.write("hand.sh", HAND);
    let job = format!("{} --config {} --json", host.at("bin/isolate-job"), host.at("job.toml"));

    let (mut own, mut hand, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    // The first round is for caches.
    for round in 0..=rounds {
        let name = format!("cost-{round}");
        let request = site.request(&Asked { more: json!({}), ..asked(&name, ":") });
        let time = |mut command: std::process::Command| {
            let start = Instant::now();
            let done = command.stdout(Stdio::null()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            start.elapsed()
        };
        let by_program = || time(site.command(&["train", &request]));
        let by_hand = || {
            let Engine::Docker(docker) = &site.engine else { unreachable!() };
            let mut command = docker.client("sh");
            command.envs(site::CANARIES).args([&script, &request, &host.at("hand"), &job]);
            time(command)
        };
        let (one, other) = if round % 2 == 0 {
            let one = by_program();
            (one, by_hand())
        } else {
            let other = by_hand();
            (by_program(), other)
        };
        if round > 0 {
            own.push(one);
            hand.push(other);
            differences.push(one.saturating_sub(other));
        }
    }
    println!("{:28}{:>10}{:>10}", format!("{rounds} rounds"), "median ms", "least ms");
    for (what, all) in [("isolate-job train", &own), ("the same by hand", &hand)] {
        let (median, least) = ms(all.clone());
        println!("{what:28}{median:>10.0}{least:>10.0}");
    }
    let (cost, least) = ms(differences);
    let verdict = if cost <= 150.0 { "met" } else { "MISSED" };
    println!("{:28}{cost:>10.0}{least:>10.0}   at most 150  {verdict}", "a job's own cost");
}
