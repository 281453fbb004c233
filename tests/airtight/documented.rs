//! What the pages say of the ways and of tests, against the ways and the tests that there are.

use std::path::Path;

use crate::ways::WAYS;
use test_support::command::{command, say};

#[test]
fn the_documentation_has_each_way() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(project.join("docs/threats.md")).unwrap();
    let rules = std::fs::read_to_string(project.join("docs/rules.md")).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let named = rows.iter().filter(|row| row.len() == 3 && row[0].starts_with('`') && !row[0].contains(' '));
    let documented: Vec<_> = named.map(|row| (row[0].trim_matches('`'), row[2])).collect();
    let tried: Vec<_> = WAYS.iter().map(|way| (way.name, way.closed_by)).collect();
    assert_eq!(
        documented.iter().filter(|(name, _)| tried.iter().any(|(way, _)| way == name)).count(),
        tried.len()
    );
    assert_eq!(&documented[..tried.len()], &tried[..], "docs/threats.md and the ways differ");
    for way in WAYS {
        let section = if way.closed_by == "descriptors" { "# What is inherited" } else { way.closed_by };
        assert!(rules.contains(section), "{}: docs/rules.md has no section {section}", way.name);
    }
}

/// Pages that name tests, and how many at least.
const NAMING: [(&str, usize); 4] =
    [("threats.md", 16), ("comparison.md", 4), ("cve.md", 20), ("kernel-features.md", 4)];

#[test]
fn every_test_that_the_documentation_names_is_there() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources =
        say(command("grep").args(["-rh", "--include=*.rs", "fn "]).arg(project.join("tests"))).must();
    // The tests of both Dockers are named by a macro.
    let is_test = |name: &str| sources.contains(&format!("fn {name}("));
    let is_name = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        // Names of the kernel's and of ours have fewer words than a sentence.
        word.chars().all(plain) && word.matches('_').count() > 2 && !NO_TESTS.contains(word)
    };
    for (page, at_least) in NAMING {
        let text = std::fs::read_to_string(project.join("docs").join(page)).unwrap();
        let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
        for name in &named {
            assert!(is_test(name), "docs/{page} names the test {name}, which is not there");
        }
        assert!(named.len() >= at_least, "docs/{page} names {} tests", named.len());
    }
}

/// What looks like one and is the kernel's.
const NO_TESTS: [&str; 1] = ["open_by_handle_at"];
