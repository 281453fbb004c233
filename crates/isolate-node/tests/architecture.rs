//! The invariants of this crate that can be read off its source, and that the shim has nothing of it.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::path::{Path, PathBuf};

use test_support::source::{
    self, assert_none, code, dependencies, top_level_module, top_level_modules, untidy,
};

/// Top-level modules without a file, an environment, a process, a socket or a clock.
const PURE: [&str; 5] = ["pod", "members", "names", "ranges", "cluster"];

/// What a pure module must not name.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::io",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "TcpStream",
    "tokio",
    "hyper",
    "kube::client",
    "kube::runtime",
];

/// Longest file, its tests left out.
const LINES: usize = 300;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but tests, relative to `src`, with its text and its code.
fn files() -> Vec<(String, String, String)> {
    let files = source::files(&src()).into_iter().filter(|(name, _)| !source::is_test(name));
    // The tests of `pod` are the last thing of their file, as all are, and others use them.
    let own = |text: &str| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    files.map(|(name, text)| (name.clone(), text.clone(), code(&name, &own(&text)))).collect()
}

#[test]
fn the_pure_modules_touch_nothing() {
    let mut complaints = Vec::new();
    for (name, _, code) in files().into_iter().filter(|(name, ..)| PURE.contains(&top_level_module(name))) {
        let named = IMPURE.iter().filter(|impure| code.contains(**impure));
        complaints.extend(named.map(|impure| format!("{name} names {impure}")));
        complaints.extend(code.contains("use std::{").then(|| format!("{name} groups what it uses of std")));
    }
    assert_none(&complaints);
}

#[test]
fn the_pure_modules_stand_above_all_others() {
    let order = top_level_modules(&src());
    let pure = order.iter().take(PURE.len()).map(String::as_str);
    assert_eq!(pure.collect::<Vec<_>>(), PURE);
    let mut complaints = Vec::new();
    for (name, _, code) in files() {
        let own = top_level_module(&name);
        let Some(place) = PURE.iter().position(|pure| *pure == own) else { continue };
        for (at, _) in code.match_indices("crate::") {
            let used: String =
                code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let above = PURE[..=place].contains(&used.as_str());
            complaints.extend((!above).then(|| format!("{name} uses {used}, which does not stand above it")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_short_say_what_they_are_for_and_unwrap_nothing() {
    let mut complaints = Vec::new();
    for (name, text, code) in files() {
        complaints.extend(untidy(&name, &text, &code, LINES));
    }
    assert_none(&complaints);
}

#[test]
fn the_shim_and_isolatectl_depend_on_nothing_of_this_crate() {
    let node = dependencies("isolate-node", u8::MAX);
    for package in ["oci-isolate", "isolatectl"] {
        let other = dependencies(package, u8::MAX);
        assert!(other.contains("netlink-bindings"), "{other:?}");
        assert!(!other.contains("isolate-node"));
        for added in ["kube", "k8s-openapi", "tokio", "hyper", "rustls", "tower", "http"] {
            assert!(node.contains(added), "{added} is no dependency any more; drop it here");
            assert!(!other.contains(added), "{package} links {added}");
        }
    }
    // It has no privilege, and nothing of the code that needs some.
    for other in ["oci-isolate", "netlink-bindings", "nix"] {
        assert!(!node.contains(other), "isolate-node links {other}");
    }
}
