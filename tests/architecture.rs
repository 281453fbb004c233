//! The invariants of docs/architecture.md that can be read off the source: which top-level modules do no I/O, who may use
//! whom.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use test_support::source::{self, assert_none, code, dependencies, top_level_module};

/// Top-level modules without a file, an environment, a process or a system call.
const PURE: [&str; 8] =
    ["file_version", "invocation", "settings", "policy", "config", "rules", "rewrite", "nft"];

/// What a pure top-level module must not name.
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

/// Files that were looked at twice: tables, and the firewall as data and as messages, that want to be read as
/// one.
const LONGER: [&str; 1] = ["invocation/table.rs"];

/// Top-level modules in which not even a file and the `mod.rs` above it use each other.
const LAYERED: [&str; 3] = ["nft", "netlink", "seal"];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, relative to `src`, with its text. `isolatectl` is a top-level module as if it were one of the library's.
fn files() -> Vec<(String, String)> {
    let mut found = source::files(&src());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/isolatectl/src");
    found.extend(source::files(&program).into_iter().map(|(name, text)| {
        let name = match name.as_str() {
            "main.rs" => "bin/isolatectl.rs".to_owned(),
            "lib.rs" => "isolatectl/mod.rs".to_owned(),
            name => format!("isolatectl/{name}"),
        };
        (name, text.replace("crate::", "crate::isolatectl::").replace("oci_isolate::", "crate::"))
    }));
    found.sort();
    found
}

/// The top-level modules in order.
fn order() -> Vec<String> {
    let mut top_level = source::top_level_modules(&src());
    // What the shim does is not for isolatectl to use.
    let shim = top_level.iter().position(|top| top == "shim").unwrap();
    top_level.insert(shim, "isolatectl".to_owned());
    top_level
}

/// The top-level modules that a text names behind `crate::`, also in `use crate::{a, b::c}`.
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

#[test]
fn every_module_is_in_lib_rs_and_every_file_in_a_module() {
    let order = order();
    let strangers = files().into_iter().map(|(name, _)| name);
    let strangers = strangers.filter(|name| name != "lib.rs" && !name.starts_with("bin/"));
    let strangers: Vec<_> =
        strangers.filter(|name| !order.iter().any(|known| known == top_level_module(name))).collect();
    assert_none(&strangers);
    for pure in PURE {
        assert!(order.iter().any(|known| known == pure), "there is no module {pure}");
    }
}

#[test]
fn the_pure_modules_touch_nothing() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        // Also a file elsewhere whose head says so.
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        if PURE.contains(&top_level_module(&name)) || head.any(|line| line.ends_with("Pure.")) {
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
fn a_module_uses_only_what_stands_above_it() {
    let order = order();
    let place = |top: &str| order.iter().position(|known| known == top);
    let mut complaints = Vec::new();
    for (name, text) in files() {
        let Some(own) = place(top_level_module(&name)) else { continue };
        for used in used(&code(&name, &text)) {
            match place(&used) {
                Some(other) if other <= own => {}
                Some(_) => complaints.push(format!("{name} uses {used}, which stands below it")),
                None => complaints.push(format!("{name} uses crate::{used}, which is no module")),
            }
        }
    }
    assert_none(&complaints);
}

/// The path of a file's module, without `crate`.
fn module(name: &str) -> Vec<&str> {
    let mut path: Vec<_> = name.trim_end_matches(".rs").split('/').collect();
    path.pop_if(|last| *last == "mod" || *last == "lib");
    path
}

/// The paths that a `use` names, groups taken apart: `super::{a, b::{c, self}}` is three.
fn flattened(tree: &str, prefix: &str) -> Vec<String> {
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        return vec![format!("{prefix}{path}").trim_end_matches("::self").to_owned()];
    };
    let group = group.trim().trim_end_matches(',').strip_suffix('}').unwrap();
    let mut depth = 0;
    let items = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let prefix = format!("{prefix}{}", before.trim());
    let items = items.map(str::trim).filter(|item| !item.is_empty());
    items.flat_map(|item| flattened(item, &prefix)).collect()
}

/// Which files each file uses: by `use`, and by paths in its code.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let files = files();
    let modules: BTreeMap<_, _> = files.iter().map(|(name, _)| (module(name), name.as_str())).collect();
    let imports = Regex::new(r"(?m)^\s*(?:pub(?:\([a-z]+\))?\s+)?use\s+([^;]+);").unwrap();
    let path = Regex::new(r"[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)+").unwrap();
    let mut uses = BTreeMap::new();
    for (name, text) in &files {
        let code = code(name, text);
        let here = module(name);
        // The file that has what a path names; and the path from the root.
        let resolved = |path: &str, imported: &BTreeMap<String, Vec<String>>| {
            let mut words = path.split("::").peekable();
            let mut full: Vec<String> = here.iter().map(|word| (*word).to_owned()).collect();
            let first = words.peek().copied().unwrap_or_default();
            match first {
                "crate" => full.clear(),
                "self" | "super" => (),
                _ if modules.contains_key(&[&here[..], &[first]].concat()) => (),
                _ => full.clone_from(imported.get(first)?),
            }
            if !matches!(first, "super")
                && (matches!(first, "crate" | "self") || imported.contains_key(first))
            {
                words.next();
            }
            while words.next_if_eq(&"super").is_some() {
                full.pop();
            }
            full.extend(words.map(str::to_owned));
            let words: Vec<_> = full.iter().map(String::as_str).collect();
            let file = (1..=words.len()).rev().find_map(|end| modules.get(&words[..end]))?;
            Some(((*file).to_owned(), full))
        };
        let mut used = BTreeSet::new();
        let mut imported = BTreeMap::new();
        for tree in imports.captures_iter(&code) {
            for path in flattened(&tree[1], "") {
                if let Some((file, full)) = resolved(&path, &BTreeMap::new()) {
                    used.insert(file);
                    imported.insert(full.last().cloned().unwrap_or_default(), full);
                }
            }
        }
        let code = imports.replace_all(&code, "");
        let paths = path.find_iter(&code).filter_map(|path| resolved(path.as_str(), &imported));
        used.extend(paths.map(|(file, _)| file));
        used.remove(name);
        uses.insert(name.clone(), used);
    }
    uses
}

/// Sets of files that all lead to each other.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = uses[from].iter().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(&uses[file]);
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = uses.keys().map(|file| (file, reached(file))).collect();
    let circle = |(file, those): (&&String, &BTreeSet<&String>)| -> Vec<String> {
        those.iter().filter(|other| reached[**other].contains(*file)).map(|file| (*file).clone()).collect()
    };
    let circles: BTreeSet<_> = reached.iter().map(circle).filter(|circle| !circle.is_empty()).collect();
    circles.into_iter().collect()
}

#[test]
fn no_two_files_use_each_other() {
    let mut uses = uses();
    assert!(uses["seal/plan.rs"].contains("nft/mod.rs"), "{uses:?}");
    assert!(uses["rules/mounts/mod.rs"].contains("rules/credentials/mounts.rs"), "{uses:?}");
    // A `mod.rs` has what its files share, and a list of them.
    for (file, used) in uses.iter_mut().filter(|(file, _)| !LAYERED.contains(&top_level_module(file))) {
        let (file, of) = (module(file), |used: &String| module(used).len());
        used.retain(|used| {
            let above = (used.ends_with("/mod.rs") || of(used) == 1) && file.starts_with(&module(used));
            !above
        });
    }
    let found = circles(&uses);
    assert_none(&found.iter().map(|circle| circle.join(", ")).collect::<Vec<_>>());
}

#[test]
fn the_pure_modules_use_none_that_does_io() {
    let mut complaints = Vec::new();
    for (name, text) in files() {
        if PURE.contains(&top_level_module(&name)) {
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
fn what_a_comment_says_of_another_module_is_a_link() {
    let order = order();
    let mut complaints = Vec::new();
    for (name, text) in files() {
        for line in
            text.lines().map(str::trim).filter(|line| line.starts_with("//!") || line.starts_with("///"))
        {
            for (at, _) in line.match_indices('`').step_by(2) {
                let top = line[at + 1..].split("::").next().unwrap();
                let is_path = line[at + 1..].starts_with(&format!("{top}::"));
                let is_module = order.iter().any(|known| known == top) || top == "crate";
                if is_path && is_module && !line[..at].ends_with('[') {
                    complaints.push(format!("{name}: {line}"));
                }
            }
        }
    }
    assert_none(&complaints);
}

/// A name that two modules define sends its reader to the wrong one.
#[test]
fn no_type_is_defined_twice() {
    let visible = r"(?:pub(?:\([a-z: ]+\))? )?";
    // Only an alias at the margin is an item; others belong to an `impl`.
    let item = format!(r"(?m)^(?:\s*{visible}(?:struct|enum|trait)|{visible}type) ([A-Za-z0-9_]+)");
    let item = Regex::new(&item).unwrap();
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in files() {
        for found in item.captures_iter(&code(&name, &text)) {
            defined.entry(found[1].to_owned()).or_default().push(name.clone());
        }
    }
    assert!(defined["View"] == ["config/view.rs"], "{:?}", defined.get("View"));
    let doubles = defined.iter().filter(|(_, files)| files.len() > 1);
    assert_none(&doubles.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect::<Vec<_>>());
}

#[test]
fn programs_are_a_few_lines() {
    for (name, text) in files() {
        assert!(!name.starts_with("bin/") || text.lines().count() < 20, "{name}");
    }
}

#[test]
fn nothing_but_the_runtime_and_ourselves_is_executed() {
    // isolatectl/program_version.rs asks engines for their versions, and isolatectl/doctor/jobs.rs isolate-job for its checks;
    // isolatectl/doctor/statement.rs asks systemctl for a timer.
    // isolatectl/prove calls engines, and has a process on the host for containers to look into.
    let may = [
        "runtime/mod.rs",
        "isolatectl/program_version.rs",
        "isolatectl/doctor/jobs.rs",
        "isolatectl/doctor/statement.rs",
        "isolatectl/prove/call.rs",
        "isolatectl/prove/site.rs",
    ];
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

#[test]
fn the_shim_depends_on_what_its_source_names_and_on_no_network_client() {
    let direct = dependencies("oci-isolate", 1);
    assert!(direct.len() > 8, "{direct:?}");
    let text: String = source::files(&src()).iter().map(|(name, text)| code(name, text)).collect();
    for name in direct {
        let path = format!("{}::", name.replace('-', "_"));
        assert!(text.contains(&path), "Cargo.toml names {name}, and nothing in src uses it");
    }
    let all = dependencies("oci-isolate", u8::MAX);
    for other in
        ["clap", "hyper", "isolatectl", "libcgroups", "openssl", "rustls", "tokio", "toml_edit", "ureq"]
    {
        assert!(!all.contains(other), "the shim depends on {other}");
    }
}
