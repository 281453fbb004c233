//! Statements that `isolatectl` signs are verified and understood by the libraries of in-toto for Python, and keys are
//! OpenSSL's. `hack/in-toto` gets the libraries.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_support::isolatectl;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    let cache = std::env::var_os("OCI_ISOLATE_CACHE").unwrap_or_else(|| ".cache".into());
    let python = project().join(cache).join("in-toto/venv/bin/python");
    assert!(python.exists(), "{} is missing; run hack/in-toto", python.display());
    python
}

#[track_caller]
fn must(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_libraries_of_in_toto_verify_and_read_what_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    must(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(at("key")));
    must(
        Command::new("openssl")
            .arg("pkey")
            .arg("-in")
            .arg(at("key"))
            .args(["-pubout", "-out"])
            .arg(at("pub")),
    );
    let file = at("statements");
    fs::write(at("config.toml"), format!("[statement]\nfile = {file:?}\n")).unwrap();
    fs::create_dir(at("statements.d")).unwrap();
    for seed in ["held", "pod", "unknown"] {
        let facts = fs::read_to_string(project().join("fuzz/seeds/statement").join(seed)).unwrap();
        fs::write(
            at("statements.d").join(format!("{seed}.json")),
            facts.replace("-812-", &format!("-{seed}-")),
        )
        .unwrap();
    }
    fs::copy(project().join("fuzz/seeds/statement/job"), at("statements.d/job-train-7.json")).unwrap();
    let ctl = |arguments: &[&str]| {
        let mut ctl = Command::new(isolatectl());
        ctl.args(arguments).env("OCI_ISOLATE_CONFIG", at("config.toml"));
        ctl
    };
    let said = must(ctl(&["statement", "sign", "--key"]).arg(at("key")));
    assert!(said.contains(": statements added: 4; the last is statement 4, sha256 "), "{said}");
    let verify = |file: &Path| {
        let mut python = Command::new(python());
        python.arg(project().join("tests/in_toto/verify.py")).arg(file).arg(at("pub"));
        python
    };
    let read = must(&mut verify(&file));
    let lines: Vec<&str> = read.lines().collect();
    let head = "https://in-toto.io/Statement/v1 https://oci-isolate.invalid/sealed-run/v0.1";
    let (image, config) = ("0f".repeat(32), "ab".repeat(32));
    assert_eq!(lines.len(), 4, "{read}");
    assert_eq!(
        lines[0],
        format!("{head} 1 registry.example.com/train@sha256:{image} {image} config.json {config}")
    );
    assert_eq!(lines[1], format!("{head} 2 config.json {config}"));
    assert!(lines[2].starts_with(&format!("{head} 3 facts ")), "{read}");
    let job = "https://in-toto.io/Statement/v1 https://oci-isolate.invalid/isolated-job/v0.1 4 input algo-1:/opt/ml/input/data/train";
    assert!(
        lines[3].starts_with(&format!("{job} {} output algo-1:/opt/ml/model ", "1a".repeat(32))),
        "{read}"
    );
    // What has no signature of this key fails there as here.
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen("\"payload\":\"eyJf", "\"payload\":\"eyJg", 1);
    assert_ne!(changed, text);
    fs::write(at("changed"), changed).unwrap();
    let refused = verify(&at("changed")).output().unwrap();
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("VerificationError")
    );
    let ours = ctl(&["statement", "verify"]).arg(at("changed")).arg("--key").arg(at("pub")).output().unwrap();
    assert_eq!(ours.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ours.stderr).ends_with("line 1: its signature is not of what it has\n"));
}
