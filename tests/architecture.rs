//! The invariants of docs/architecture.md that can be read off the source: which rooms do no I/O, who may use whom.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms without a file, an environment, a process or a system call.
const PURE: [&str; 8] =
    ["invocation", "settings", "policy", "decision", "config", "rules", "report", "rewrite"];

/// What a pure room must not name.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::io",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::os::fd",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "nix::",
];

/// Longest file, its tests left out; a second look is due beyond.
const LINES: usize = 300;

/// Files that were looked at twice: tables, and the firewall as data and as messages, that want to be read as one.
const LONGER: [&str; 2] = ["invocation/table.rs", "seal/firewall.rs"];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, relative to `src`, with its text.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![src()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(src()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The text without comments and without what is compiled for tests only.
fn code(name: &str, text: &str) -> String {
    if name.ends_with("/tests.rs") || name.contains("/tests/") {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| match line.find("//") {
        // An address in a string is no comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The room that a file belongs to.
fn room(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap()
}

/// The rooms in the order of lib.rs.
fn order() -> Vec<String> {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let rooms = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    rooms.map(str::to_owned).collect()
}

/// The rooms that a text names behind `crate::`, also in `use crate::{a, b::c}`.
fn used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut starts = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => starts = true,
                    c if c.is_alphabetic() && starts => {
                        used.push(word(&group[at..]));
                        starts = false;
                    }
                    _ => {}
                }
            }
        } else {
            used.push(word(rest));
        }
    }
    used
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_room_stands_in_lib_rs_and_every_file_in_a_room() {
    let order = order();
    let strangers = files().into_iter().map(|(name, _)| name);
    let strangers = strangers.filter(|name| name != "lib.rs" && !name.starts_with("bin/"));
    let strangers: Vec<_> = strangers.filter(|name| !order.iter().any(|known| known == room(name))).collect();
    assert_none(&strangers);
    for pure in PURE {
        assert!(order.iter().any(|known| known == pure), "there is no room {pure}");
    }
}

#[test]
fn the_pure_rooms_touch_nothing() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        if PURE.contains(&room(&name)) {
            let code = code(&name, &text);
            let names = |impure: &str| {
                let found = code.match_indices(impure).map(|(at, _)| code[..at].chars().next_back());
                found.into_iter().any(|before| !before.is_some_and(char::is_alphanumeric))
            };
            let named = IMPURE.iter().filter(|impure| names(impure));
            complaints.extend(named.map(|impure| format!("{name} names {impure}")));
            // `use std::{fs, io}` would get by.
            complaints
                .extend(code.contains("use std::{").then(|| format!("{name} groups what it uses of std")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn a_room_uses_only_what_stands_above_it() {
    let order = order();
    let place = |room: &str| order.iter().position(|known| known == room);
    let mut complaints = Vec::new();
    for (name, text) in files() {
        let Some(own) = place(room(&name)) else { continue };
        for used in used(&code(&name, &text)) {
            match place(&used) {
                Some(other) if other <= own => {}
                Some(_) => complaints.push(format!("{name} uses {used}, which stands below it")),
                None => complaints.push(format!("{name} uses crate::{used}, which is no room")),
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_pure_rooms_use_none_that_does_io() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        if PURE.contains(&room(&name)) {
            let used = used(&code(&name, &text)).into_iter().filter(|used| !PURE.contains(&used.as_str()));
            complaints.extend(used.map(|used| format!("{name} uses {used}")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn nothing_is_unsafe_and_nothing_is_unwrapped() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        let code = code(&name, &text);
        for word in
            ["unsafe ", "unsafe{", ".unwrap()", "unwrap_unchecked", "todo!(", "dbg!(", "println!(\"{:?}"]
        {
            complaints.extend(code.contains(word).then(|| format!("{name} has {word}")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_short_enough_to_be_read() {
    let long = files().into_iter().map(|(name, text)| (code(&name, &text).lines().count(), name));
    let long = long.filter(|(lines, name)| *lines > LINES && !LONGER.contains(&name.as_str()));
    assert_none(&long.map(|(lines, name)| format!("{name}: {lines} lines")).collect::<Vec<_>>());
    for (name, text) in files() {
        let is_long = code(&name, &text).lines().count() > LINES;
        assert!(is_long || !LONGER.contains(&name.as_str()), "{name} is no longer than others");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name);
    assert_none(&silent.collect::<Vec<_>>());
}

/// rustdoc fails on a link that leads nowhere, and knows nothing of words between backticks.
#[test]
fn what_a_comment_says_of_another_room_is_a_link() {
    let order = order();
    let mut complaints = Vec::new();
    for (name, text) in files() {
        for line in
            text.lines().map(str::trim).filter(|line| line.starts_with("//!") || line.starts_with("///"))
        {
            for (at, _) in line.match_indices('`').step_by(2) {
                let room = line[at + 1..].split("::").next().unwrap();
                let is_path = line[at + 1..].starts_with(&format!("{room}::"));
                let is_room = order.iter().any(|known| known == room) || room == "crate";
                if is_path && is_room && !line[..at].ends_with('[') {
                    complaints.push(format!("{name}: {line}"));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn programs_are_a_few_lines() {
    for (name, text) in files() {
        let limit = name.starts_with("bin/") && name != "bin/isolatectl.rs";
        assert!(!limit || text.lines().count() < 20, "{name}");
    }
}

#[test]
fn nothing_but_the_runtime_and_ourselves_is_executed() {
    // ctl/ask.rs asks engines for their versions, for `isolatectl`.
    let may = ["runtime.rs", "ctl/ask.rs"];
    let mut complaints = Vec::new();
    for (name, text) in files() {
        let code = code(&name, &text);
        let starts =
            code.matches("Command::new(").count() - code.matches("Command::new(\"/proc/self/exe\")").count();
        complaints.extend(
            (starts > 0 && !may.contains(&name.as_str())).then(|| format!("{name} starts a program")),
        );
    }
    assert_none(&complaints);
}
