//! The test harness: throw-away hosts with real engines and runtimes.
//!
//! [`host::EngineHost`] is a machine of its own for one test, behind it [`world::World`] is an internet of
//! its own, and the engines ([`docker`], [`podman`], [`containerd`]) are started there. [`bench::Bench`] runs
//! one container of a low-level runtime, bare and behind the shim; [`life::Life`] takes containers through
//! their life cycle. [`recorded`] replaces runc by a runtime that records its calls: the only mock, for tests
//! about argv, order and bytes. [`source`] reads the source of a crate, for tests of its architecture.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "test code")]
#![allow(clippy::new_without_default, reason = "a host is made, not a default")]

pub mod attempts;
pub mod bench;
pub mod bundle;
pub mod capture;
pub mod command;
pub mod containerd;
pub mod dns;
pub mod docker;
pub mod findings;
pub mod host;
pub mod image;
pub mod life;
pub mod netns;
pub mod podman;
pub mod probe;
pub mod recorded;
pub mod seeds;
pub mod source;
pub mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The annotation that asks for isolation, as `key=value`.
pub const ISOLATE: &str = "io.oci-isolate.network-isolation=true";

/// Credentials for a container's environment; the values are AWS's own documentation examples.
pub const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN=FwoGZXIvYXdzEXAMPLE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/example",
];

/// A `createRuntime` hook like nerdctl's, which adds a veth pair to the container's network namespace.
pub const PLUMB: &str = include_str!("plumb.sh");

/// A script that starts containers one after the other: `loop.sh RUNTIME BUNDLE WORKER COUNT`.
pub const LOOP: &str = include_str!("loop.sh");

/// The C source of a program whose main thread is in a network namespace: `inside NAMESPACE READY [THREAD]`.
pub const INSIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/inside.c");

/// The project's directory.
#[must_use]
pub fn project() -> &'static Path {
    static PROJECT: OnceLock<PathBuf> = OnceLock::new();
    PROJECT.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap())
}

/// A file that a script in `hack` has put into the cache directory.
#[must_use]
pub fn cached(name: &str, script: &str) -> PathBuf {
    // A relative path is relative to the project, as in the scripts.
    let cache = std::env::var_os("OCI_ISOLATE_CACHE").unwrap_or_else(|| ".cache".into());
    let path = project().join(cache).join(name);
    assert!(path.exists(), "{} is missing; run {script}", path.display());
    path
}

/// The shim under test: `OCI_ISOLATE_TEST_SHIM`, or the one built with the tests.
#[must_use]
pub fn shim() -> PathBuf {
    std::env::var_os("OCI_ISOLATE_TEST_SHIM").map_or_else(|| program("oci-isolate"), PathBuf::from)
}

/// `isolatectl`.
#[must_use]
pub fn isolatectl() -> PathBuf {
    built("isolatectl")
}

/// `isolate-node`.
#[must_use]
pub fn isolate_node() -> PathBuf {
    built("isolate-node")
}

/// `isolate-job`.
#[must_use]
pub fn isolate_job() -> PathBuf {
    built("isolate-job")
}

/// A program of another package, which cargo does not build for every test, so it is built first.
fn built(name: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut done = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !done.contains(name) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // Of the whole workspace, whose features are those that the tests are built with: else its dependencies are built anew.
        let build = ["build", "--quiet", "--locked", "--workspace", "--bin", name];
        // hack/test.d/timed sets the variable for libtest. With it cargo builds the dependencies of the running tests anew.
        let mut cargo = Command::new(cargo);
        let status = cargo.args(build).env_remove("RUSTC_BOOTSTRAP").current_dir(project()).status().unwrap();
        assert!(status.success(), "{name} was not built");
        done.insert(name);
    }
    program(name)
}

/// A program of this project, in the directory that the tests were built into.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is missing; cargo build --workspace makes it", path.display());
    path
}
