//! `dist/systemd`: `isolate-job listen` as its unit runs it, with systemd as the first process of a throw-away host. `hack/test unit` runs it;
//! it needs root, systemd, `hack/engines`, `hack/s3` and `hack/sagemaker-model --prepare`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::command::{say, wait_for};
use test_support::{cached, isolatectl, shim};

/// `train` takes three seconds, `serve` answers on port 8080.
const PROGRAMS: [(&str, &str); 2] = [
    ("train", "#!/bin/sh\ncat /opt/ml/input/data/train/x >/opt/ml/model/x\nsleep 3\n"),
    (
        "serve",
        "#!/bin/sh\ntrap exit TERM\nmkdir /tmp/www\necho >/tmp/www/ping\nhttpd -f -p 8080 -h /tmp/www &\nwait\n",
    ),
];

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    say(Command::new("chmod").arg("755").arg(path)).must();
}

/// An archive with busybox and the programs.
fn image(directory: &Path) {
    let (root, bin) = (directory.join("image"), directory.join("image/bin"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    for name in ["sh", "cat", "sleep", "mkdir", "httpd"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    for (name, text) in PROGRAMS {
        script(&bin.join(name), text);
    }
    say(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(directory.join("image.tar")).arg(".")).must();
}

fn jobs_run_under_the_unit(engine: &str) {
    assert!(Path::new("/lib/systemd/systemd").exists(), "systemd is missing; install it");
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    for (name, text) in [
        ("boot.sh", include_str!("boot.sh")),
        ("inside.sh", include_str!("inside.sh")),
        ("client.py", include_str!("client.py")),
    ] {
        script(&dir.join(name), text);
    }
    image(dir);
    for made in ["bin", "units"] {
        fs::create_dir(dir.join(made)).unwrap();
    }
    let programs = [
        ("isolate-job", env!("CARGO_BIN_EXE_isolate-job").into()),
        ("isolatectl", isolatectl()),
        ("oci-isolate", shim()),
    ];
    for (name, program) in programs {
        fs::copy(program, dir.join("bin").join(name)).unwrap();
    }
    for unit in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/systemd")).unwrap() {
        let unit = unit.unwrap();
        fs::copy(unit.path(), dir.join("units").join(unit.file_name())).unwrap();
    }
    let cache = cached("s3", "hack/s3").parent().unwrap().canonicalize().unwrap();
    let mut host = Command::new("unshare")
        .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL", "sh"])
        .arg(dir.join("boot.sh"))
        .args([dir, &cache])
        .arg(engine)
        .spawn()
        .unwrap();
    let outcome = wait_for(Duration::from_secs(180), || fs::read_to_string(dir.join("outcome")).ok());
    host.kill().unwrap();
    host.wait().unwrap();
    // Its processes end after it.
    let groups = format!("*/oci-isolate-unit-{engine}*");
    let removed = || {
        let mut find = Command::new("find");
        let find = find.args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &groups]);
        say(find.args(["-exec", "rmdir", "{}", "+"])).well().then_some(())
    };
    assert!(wait_for(Duration::from_secs(20), removed).is_some(), "{groups} is left");
    assert_eq!(
        outcome.as_deref(),
        Some("done\n"),
        "{}",
        fs::read_to_string(dir.join("log")).unwrap_or_default()
    );
}

#[test]
fn jobs_and_endpoints_run_under_the_unit_with_docker() {
    jobs_run_under_the_unit("docker");
}

#[test]
fn jobs_and_endpoints_run_under_the_unit_and_its_drop_in_with_podman() {
    jobs_run_under_the_unit("podman");
}
