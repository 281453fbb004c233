//! The invariants of this crate that can be read off its source, and that the shim has nothing of it.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rooms without a file, an environment, a process or a system call.
const PURE: [&str; 7] = ["progress", "request", "status", "plan", "engine", "settings", "check"];

/// What a pure room must not name.
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
const ONLINE: [(&str, &[&str]); 4] = [
    // Sends records to a container.
    ("transform", &["TcpStream", "tokio::", "futures_util", "hyper::", "hyper_util", "http_body_util"]),
    ("s3", &["tokio::", "aws_", "futures_util"]),
    // Asks a container whether it is healthy.
    ("deploy", &["TcpStream", "std::net"]),
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

/// Every source file but tests, relative to `src`, with its text and its code: without comments and tests.
fn files() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![src()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(src()).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
                let lines = text[..end].lines().map(|line| line.split("//").next().unwrap());
                let code = lines.collect::<Vec<_>>().join("\n");
                found.push((name, text, code));
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

fn room(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap()
}

/// The rooms in the order of lib.rs.
fn order() -> Vec<String> {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_pure_rooms_touch_nothing_and_few_open_sockets() {
    let mut complaints = Vec::new();
    for (name, _, code) in files() {
        let pure = if PURE.contains(&room(&name)) { &IMPURE[..] } else { &[] };
        let allowed =
            ONLINE.iter().find(|(online, _)| *online == room(&name)).map_or(&[][..], |(_, words)| words);
        let network = NETWORK.iter().filter(|word| !allowed.contains(word));
        let named = pure.iter().chain(network).filter(|impure| code.contains(**impure));
        let named = named.filter(|impure| (name.as_str(), **impure) != PAIRED);
        complaints.extend(named.map(|impure| format!("{name} names {impure}")));
        // `use std::{fs, io}` would get by.
        let groups = PURE.contains(&room(&name)) && code.contains("use std::{");
        complaints.extend(groups.then(|| format!("{name} groups what it uses of std")));
    }
    assert_none(&complaints);
}

#[test]
fn a_room_uses_only_what_stands_above_it() {
    let order = order();
    let place = |room: &str| order.iter().position(|known| known == room);
    let mut complaints = Vec::new();
    for (name, _, code) in files() {
        let Some(own) = place(room(&name)) else {
            complaints.extend(
                (!["lib.rs", "main.rs"].contains(&name.as_str())).then(|| format!("{name} has no room")),
            );
            continue;
        };
        assert!(!code.contains("crate::{"), "{name} groups what it uses of the crate");
        for (at, _) in code.match_indices("crate::") {
            let used: String =
                code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let below = place(&used).is_none_or(|other| other > own);
            complaints.extend(below.then(|| format!("{name} uses {used}, which does not stand above it")));
            let io = PURE.contains(&room(&name)) && !PURE.contains(&used.as_str());
            complaints.extend(io.then(|| format!("{name} uses {used}, which is not pure")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_short_say_what_they_are_for_and_unwrap_nothing() {
    let mut complaints = Vec::new();
    for (name, text, code) in files() {
        complaints.extend((!text.starts_with("//!")).then(|| format!("{name} does not say what it is for")));
        let long = code.lines().count() > LINES && !LONGER.contains(&name.as_str());
        complaints.extend(long.then(|| format!("{name}: {} lines", code.lines().count())));
        for word in ["unsafe ", "unsafe{", ".unwrap()", "todo!(", "dbg!("] {
            complaints.extend(code.contains(word).then(|| format!("{name} has {word}")));
        }
    }
    assert_none(&complaints);
}

/// The packages that a package links, by `cargo tree`.
fn tree(package: &str, more: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap();
    let words = ["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = Command::new(cargo).args(words).args(["--package", package]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_shim_depends_on_nothing_of_this_crate() {
    let shim = tree("oci-isolate", &[]);
    assert!(shim.contains("oci-isolate") && shim.contains("netlink-bindings"), "{shim:?}");
    assert!(!shim.contains("isolate-job"));
    // What this crate adds to the lock file is not among what the shim links: its own choices, and theirs.
    for added in [
        "tar",
        "filetime",
        "flate2",
        "rustix",
        "zlib-rs",
        "tokio",
        "hyper",
        "rustls",
        "aws-sdk-s3",
        "landlock",
    ] {
        assert!(tree("isolate-job", &[]).contains(added), "{added} is no dependency any more; drop it here");
        assert!(!shim.contains(added), "the shim links {added}");
    }
    // The other way round, too: nothing of this crate's is the shim's.
    assert!(!tree("isolate-job", &[]).contains("oci-isolate"));
}
