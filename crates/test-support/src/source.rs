//! The source of a crate as text, and the packages it links: what the tests of the architecture read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::project;

/// Every source file below a directory, in order: its path from there, and its text.
#[must_use]
pub fn files(top: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 4, "{}: {found:?}", top.display());
    found
}

/// The text without comments and without what is compiled for tests only.
#[must_use]
pub fn code(name: &str, text: &str) -> String {
    if is_test(name) {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| match line.find("//") {
        // An address in a string is no comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a file has unit tests only.
#[must_use]
pub fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/")
}

/// The top-level module that a file belongs to.
#[must_use]
pub fn top_level_module(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap()
}

/// The top-level modules in the order of the crate's lib.rs.
#[must_use]
pub fn top_level_modules(src: &Path) -> Vec<String> {
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

/// Fails with one complaint in each line, if there are any.
pub fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The packages that a package of the workspace links, as `cargo tree` names them: those of its manifest at depth 1.
#[must_use]
pub fn dependencies(package: &str, depth: u8) -> BTreeSet<String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none"]);
    let output = command.args(["--depth", &depth.to_string()]).current_dir(project()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The first line is the package itself.
    text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Complaints about a file of at most `most` lines of code that has to say what it is for, and has nothing unfinished.
#[must_use]
pub fn untidy(name: &str, text: &str, code: &str, most: usize) -> Vec<String> {
    let mut complaints = Vec::new();
    complaints.extend((!text.starts_with("//!")).then(|| format!("{name} does not say what it is for")));
    let lines = code.lines().count();
    complaints.extend((lines > most).then(|| format!("{name}: {lines} lines")));
    for word in ["unsafe ", "unsafe{", ".unwrap()", "todo!(", "dbg!("] {
        complaints.extend(code.contains(word).then(|| format!("{name} has {word}")));
    }
    complaints
}
