//! `hack/conformance` on suites made for the purpose: what it says can be relied on, and it comes to an end.
//!
//! Needs root and runc.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

struct Said {
    status: Option<i32>,
    out: String,
    errors: String,
}

/// Runs a suite whose file has these functions besides `program`.
fn conformance(functions: &str, flags: &[&str]) -> Said {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().unwrap();
    let hack = scratch.path().join("hack");
    fs::create_dir_all(hack.join("conformance.d")).unwrap();
    fs::create_dir(scratch.path().join("tree")).unwrap();
    // A copy could not be run while another test's child has it open for writing (ETXTBSY).
    symlink(project.join("hack/conformance"), hack.join("conformance")).unwrap();
    fs::write(hack.join("conformance.d/made"), format!("program=runc\n{functions}")).unwrap();
    let done = Command::new(hack.join("conformance"))
        .args(["--reruns", "1", "--shim", env!("CARGO_BIN_EXE_oci-isolate")])
        .args(flags)
        .args(["made", "tree"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: done.status.code(), out: text(&done.stdout), errors: text(&done.stderr) }
}

impl Said {
    #[track_caller]
    fn ends(&self, status: i32, last: &str) {
        let Self { out, errors, .. } = self;
        assert_eq!(self.status, Some(status), "{out}{errors}");
        assert_eq!(out.lines().last().unwrap_or_default(), last, "{out}{errors}");
    }
}

/// Five cases of one file that pass, unless they are named.
const CASES: &str = "
cases() {
    local n
    for n in 1 2 3 4 5; do
        if [[ \" $FAILING \" == *\" $n \"* ]]; then echo \"not ok $n case $n\"; else echo \"ok $n case $n\"; fi
    done | tap first
}";

#[test]
fn a_suite_in_which_nothing_differs() {
    let said = conformance(&format!("FAILING=''; packages() {{ :; }}; prepare() {{ :; }}; {CASES}"), &[]);
    assert!(
        said.out.contains("bare  5 pass, 0 fail, 0 skip\nshim  5 pass, 0 fail, 0 skip\n"),
        "{}",
        said.out
    );
    said.ends(0, "no case differs");
}

#[test]
fn a_case_that_differs_is_named() {
    let differing = format!(
        "packages() {{ :; }}; prepare() {{ :; }}; FAILING=''; [ \"${{runtime:-}}\" != shim ] || FAILING=4; {CASES}"
    );
    let said = conformance(&differing, &[]);
    said.ends(1, "DIFFERS: first: case 4: bare pass x2; shim fail x2");
}

#[test]
fn a_preparation_that_fails_in_the_middle_ends_the_run() {
    let said = conformance(
        &format!(
            "FAILING=''; packages() {{ :; }}; prepare() {{ echo building; false; echo built; }}; {CASES}"
        ),
        &[],
    );
    said.ends(2, "");
    assert!(said.errors.starts_with("preparing ") && said.errors.contains("\nbuilding\n"), "{}", said.errors);
    assert!(!said.errors.contains("built"), "{}", said.errors);
    assert!(said.errors.contains("hack/conformance: cannot prepare "), "{}", said.errors);
}

#[test]
fn packages_that_are_missing_are_named() {
    let said = conformance(
        &format!(
            "FAILING=''; packages() {{ lacks sh; lacks no-such-command; lacks no-such-tool its-package; echo libno-such-dev; }}
             prepare() {{ :; }}; {CASES}"
        ),
        &[],
    );
    said.ends(2, "");
    let words = "packages are missing: apt-get install no-such-command its-package libno-such-dev\n";
    assert!(said.errors.ends_with(words), "{}", said.errors);
}

#[test]
fn cases_that_fail_with_the_bare_runtime_are_said_loudly() {
    let said = conformance(&format!("FAILING='2 3'; packages() {{ :; }}; prepare() {{ :; }}; {CASES}"), &[]);
    said.ends(0, "no case differs, BUT 2 OF 5 CASES FAIL WITH THE BARE RUNTIME and show nothing");
}

#[test]
fn a_file_that_hangs_is_ended_and_the_next_one_runs() {
    let began = Instant::now();
    // Its children are in a session of their own and hold its output.
    let said = conformance(
        "packages() { :; }; prepare() { :; }
         cases() {
             limited hangs sh -c 'echo ok 1 before; setsid sleep 1000 & sleep 1000' >hangs.out
             tap hangs <hangs.out
             limited next echo 'ok 1 after' >next.out
             tap next <next.out
         }",
        &["--limit", "2"],
    );
    assert!(
        said.out.contains("bare  2 pass, 1 fail, 0 skip\nshim  2 pass, 1 fail, 0 skip\n"),
        "{}",
        said.out
    );
    said.ends(0, "no case differs, BUT 1 OF 3 CASES FAIL WITH THE BARE RUNTIME and show nothing");
    let progress = ["bare: hangs\n", "bare: hangs: not done in 2 seconds\n", "bare: next\n", "shim: next\n"];
    let mut rest = said.errors.as_str();
    for line in progress {
        rest = rest.split_once(line).unwrap_or_else(|| panic!("{line}: {}", said.errors)).1;
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
