//! Processes of a job that are killed at some moment while it transfers from and to moto, and `resume`: nothing of an object is seen
//! before all of it is there, and nothing is lost. `hack/test kill_s3` runs it; the tests of `train` do so with a directory in place of
//! Amazon S3.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "all of this crate is test code")]

mod moments;
mod moto;
#[path = "../stage/server.rs"]
#[allow(dead_code, reason = "the tests of stage have more")]
mod server;
#[allow(dead_code, reason = "the tests of train have more")]
mod site;

use std::fs;
use std::thread;

use test_support::docker::{Docker, Release};
use test_support::podman::{Podman, User};

use moments::moments;
use moto::{put, request, serve, unpacked};
use site::{Engine, Site, asked};

/// Copies the channel, which is large enough for several parts, and makes it whole in a second step.
const PROGRAM: &str =
    "cat /opt/ml/input/data/train/* >/opt/ml/model/weights; sleep 0.5; echo whole >>/opt/ml/model/weights";

fn killed(engine: Engine, seed: u64) {
    let site = Site::real(engine);
    let _moto = serve(&site);
    for bucket in ["/data", "/results"] {
        put(&site, bucket, b"");
    }
    // What gzip does not make smaller.
    let mut state = seed;
    let mut noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let parts: Vec<Vec<u8>> = (0..2).map(|_| (0..12 << 20).map(&mut noise).collect()).collect();
    for (number, part) in parts.iter().enumerate() {
        put(&site, &format!("/data/train/{number}"), part);
    }
    let expected = [parts.concat(), b"whole\n".to_vec()].concat();
    // Brackets, so that the shell that runs pkill does not match.
    let victims = ["[s]upervise", "[r]esume --session", "[s]tage (in|out)"];
    let mut completed = 0;
    for (number, moment) in moments(seed, 20, 4000).into_iter().enumerate() {
        let (name, victim) = (format!("killed-{number}"), victims[number % victims.len()]);
        eprintln!("{name}: {victim} after {moment:?}");
        site.detach_in("eu-west-1", &asked(&name, PROGRAM));
        thread::sleep(moment);
        // None of that name may be there any more, or yet.
        let _ = site.host().sh(&format!("pkill -KILL -f '{victim}'"));
        site.until_left(&name);
        let whole = |name: &str| fs::read(unpacked(&site, name).path().join("weights")).unwrap() == expected;
        let (status, _, _) =
            request(&site, "HEAD", &format!("/results/out/{name}/output/model.tar.gz"), Vec::new());
        assert!(status == 404 || whole(&name), "{name}: half a model is visible");
        let done = site.job(&["resume", &name]);
        // Its containers had ended before a supervisor could prove that they are isolated.
        if done.err.contains("not proven to be isolated") {
            assert_eq!((done.status, status), (Some(1), 404), "{name}: {done}");
            assert!(site.path(&format!("jobs/{name}/algo-1")).exists(), "{name}: what it wrote is lost");
            continue;
        }
        assert_eq!(done.status, Some(0), "{name}: {done}");
        completed += 1;
        assert!(whole(&name), "{name}: the model is not whole");
        assert_eq!(site.left_over(&name), [""; 0], "{name}");
    }
    assert!(completed > 0, "no job completed");
}

#[test]
fn docker_28_nothing_is_half_visible_and_nothing_is_lost() {
    killed(Engine::Docker(Docker::start(Release::Docker28)), 5);
}

#[test]
fn podman_5_nothing_is_half_visible_and_nothing_is_lost() {
    killed(Engine::Podman(Podman::start(test_support::podman::Release::Podman5, User::Root)), 6);
}
