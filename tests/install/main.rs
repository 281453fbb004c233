//! `isolatectl install` and `doctor`: files of engines to the byte, and the real engines that read them.
//!
//! `hack/engines` installs what is needed; the tests of engines need root.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod engines;
mod files;
mod sagemaker;

use std::path::Path;
use std::process::{Command, Output};

/// `isolatectl install ENGINE --config FILE ...`.
fn install(engine: &str, file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(test_support::isolatectl());
    command.args(["install", engine, "--config"]).arg(file).args(more);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
}

/// The same, which has to succeed; its stdout.
#[track_caller]
fn installed(engine: &str, file: &Path, more: &[&str]) -> String {
    let output = install(engine, file, more);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "install {engine} {more:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}
