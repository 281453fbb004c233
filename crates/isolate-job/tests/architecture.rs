//! The invariants of this crate that can be read off its source, and that the shim has nothing of it.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::path::{Path, PathBuf};

use test_support::source::{
    self, assert_none, code, dependencies, top_level_module, top_level_modules, untidy,
};

/// Top-level modules without a file, an environment, a process or a system call.
const PURE: [&str; 8] = ["progress", "request", "status", "plan", "engine", "settings", "check", "render"];

/// What a pure module must not name.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::io",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::os::fd",
    "std::net",
    "rustix",
];

/// What only the modules of [`ONLINE`] may name.
const NETWORK: [&str; 11] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "std::net",
    "tokio::",
    "aws_",
    "futures_util",
    "hyper::",
    "hyper_util",
    "http_body_util",
];

/// Modules that open sockets, and what of [`NETWORK`] each may name.
const ONLINE: [(&str, &[&str]); 5] = [
    // Sends records to a container.
    ("transform", &["TcpStream", "tokio::", "futures_util", "hyper::", "hyper_util", "http_body_util"]),
    ("s3", &["tokio::", "aws_", "futures_util"]),
    // Asks a container whether it is healthy.
    ("deploy", &["TcpStream", "std::net"]),
    // Asks the API server of a cluster for its own pod.
    ("pod", &["tokio::", "hyper::", "hyper_util", "http_body_util"]),
    (
        "listen",
        &["TcpStream", "TcpListener", "std::net", "tokio::", "hyper::", "hyper_util", "http_body_util"],
    ),
];

/// The line between the supervisor and the process with the credentials is a pair of sockets.
const PAIRED: (&str, &str) = ("stager.rs", "UnixStream");

/// Longest file, its tests left out; a second look is due beyond.
const LINES: usize = 300;

/// Files that were looked at twice: tables.
const LONGER: [&str; 2] = ["request/members.rs", "request/training.rs"];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but tests, relative to `src`, with its text and its code.
fn files() -> Vec<(String, String, String)> {
    let files = source::files(&src()).into_iter().filter(|(name, _)| !source::is_test(name));
    files.map(|(name, text)| (name.clone(), text.clone(), code(&name, &text))).collect()
}

#[test]
fn the_pure_modules_touch_nothing_and_few_open_sockets() {
    let mut complaints = Vec::new();
    for (name, _, code) in files() {
        let pure = if PURE.contains(&top_level_module(&name)) { &IMPURE[..] } else { &[] };
        let allowed = ONLINE
            .iter()
            .find(|(online, _)| *online == top_level_module(&name))
            .map_or(&[][..], |(_, words)| words);
        let network = NETWORK.iter().filter(|word| !allowed.contains(word));
        let named = pure.iter().chain(network).filter(|impure| code.contains(**impure));
        let named = named.filter(|impure| (name.as_str(), **impure) != PAIRED);
        complaints.extend(named.map(|impure| format!("{name} names {impure}")));
        // `use std::{fs, io}` would get by.
        let groups = PURE.contains(&top_level_module(&name)) && code.contains("use std::{");
        complaints.extend(groups.then(|| format!("{name} groups what it uses of std")));
    }
    assert_none(&complaints);
}

#[test]
fn a_module_uses_only_what_stands_above_it() {
    let order = top_level_modules(&src());
    let place = |module: &str| order.iter().position(|known| known == module);
    let mut complaints = Vec::new();
    for (name, _, code) in files() {
        let Some(own) = place(top_level_module(&name)) else {
            complaints.extend(
                (!["lib.rs", "main.rs"].contains(&name.as_str()))
                    .then(|| format!("{name} has no module in lib.rs")),
            );
            continue;
        };
        assert!(!code.contains("crate::{"), "{name} groups what it uses of the crate");
        for (at, _) in code.match_indices("crate::") {
            let used: String =
                code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let below = place(&used).is_none_or(|other| other > own);
            complaints.extend(below.then(|| format!("{name} uses {used}, which does not stand above it")));
            let io = PURE.contains(&top_level_module(&name)) && !PURE.contains(&used.as_str());
            complaints.extend(io.then(|| format!("{name} uses {used}, which is not pure")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_short_say_what_they_are_for_and_unwrap_nothing() {
    let mut complaints = Vec::new();
    for (name, text, code) in files() {
        let most = if LONGER.contains(&name.as_str()) { usize::MAX } else { LINES };
        complaints.extend(untidy(&name, &text, &code, most));
    }
    assert_none(&complaints);
}

#[test]
fn the_shim_depends_on_nothing_of_this_crate() {
    let shim = dependencies("oci-isolate", u8::MAX);
    let job = dependencies("isolate-job", u8::MAX);
    assert!(shim.contains("netlink-bindings"), "{shim:?}");
    assert!(!shim.contains("isolate-job"));
    // What this crate adds to the lock file is not among what the shim links: its own choices, and theirs.
    for added in
        ["tar", "filetime", "flate2", "zlib-rs", "tokio", "hyper", "rustls", "aws-sdk-s3", "landlock"]
    {
        assert!(job.contains(added), "{added} is no dependency any more; drop it here");
        assert!(!shim.contains(added), "the shim links {added}");
    }
    // The other way round, too: nothing of this crate's is the shim's.
    assert!(!job.contains("oci-isolate"));
}

/// `hack/release` makes both packages of one version, with revision 1.
#[test]
fn the_package_depends_on_the_shim_of_its_own_version() {
    let manifest = include_str!("../Cargo.toml");
    let expected = format!("depends = \"$auto, oci-isolate (= {}-1)\"", env!("CARGO_PKG_VERSION"));
    assert!(manifest.lines().any(|line| line == expected), "Cargo.toml has no {expected}");
}
