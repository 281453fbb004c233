//! The tables against the pages: what is in one is in the other.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use oci_isolate::config::{Document, Judge, Kind, members};
use oci_isolate::policy::ANNOTATIONS;
use oci_isolate::rules::RULES;
use oci_isolate::rules::runtime_annotations::{AnnotationValue, HARMLESS, PREFIXES};
use oci_isolate::rules::sysctl::NAMESPACED;

fn page(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

/// `OCI_ISOLATE_TEST_BLESS=1` writes the page.
#[test]
fn the_page_of_members_is_the_table() {
    let (path, found) = page("docs/members.md");
    let mut text = String::from(
        "# Members\n\n\
         Every member of `config.json` that a Linux runtime is known to read, with the rule that judges it (a section of\n\
         [rules.md](rules.md)), or with the reason why it cannot lead out of the container. A member that is not here is\n\
         refused ([unknown-members](rules.md#unknown-members)). The file of `exec --process` has the members below `process`.\n\
         This page is written from the tables in `src/config/members`\n\
         (`OCI_ISOLATE_TEST_BLESS=1 cargo test --test rules members`).\n\n\
         | member | judged by |\n|---|---|\n",
    );
    for (member, judge) in members() {
        let judge = match judge {
            Judge::Rule(name) => format!("[{name}](rules.md#{name})"),
            Judge::Harmless(why) => why.to_owned(),
        };
        writeln!(text, "| `{member}` | {judge} |").unwrap();
    }
    if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    } else {
        assert_eq!(
            found,
            text,
            "{} differs; with OCI_ISOLATE_TEST_BLESS=1 this test writes it",
            path.display()
        );
    }
}

/// The table at the head of docs/rules.md: each rule with its promise and its file. `OCI_ISOLATE_TEST_BLESS=1` writes it.
#[test]
fn the_table_of_rules_is_the_list() {
    let (path, page) = page("docs/rules.md");
    let mut files = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    // A promise of two lines is continued behind a backslash.
    let text =
        |file| std::fs::read_to_string(file).unwrap().split("\\\n").map(str::trim_start).collect::<String>();
    let texts: Vec<_> = files.iter().map(text).collect();
    let mut table = String::from("| rule | promise | file below `src/rules` |\n|---|---|---|\n");
    for rule in RULES {
        let defined = format!("\"{}\"", rule.promise);
        let found: Vec<_> = (0..files.len()).filter(|index| texts[*index].contains(&defined)).collect();
        let [file] = found[..] else { panic!("{} is defined in {} files", rule.name, found.len()) };
        let file = files[file].to_str().unwrap().split("src/rules/").nth(1).unwrap();
        writeln!(table, "| [{0}](#{0}) | {1} | `{file}` |", rule.name, rule.promise).unwrap();
    }
    let start = page.find("| rule | promise |").unwrap();
    let end = start + page[start..].find("\n\n").unwrap() + 1;
    if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
        std::fs::write(&path, [&page[..start], &table, &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(
            page[start..end],
            table,
            "{} differs; with OCI_ISOLATE_TEST_BLESS=1 this test writes it",
            path.display()
        );
    }
}

#[test]
fn every_member_is_judged_by_a_rule_that_there_is_or_has_its_reason() {
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    for (member, judge) in members() {
        match judge {
            Judge::Rule(name) => assert!(rules.contains(name), "{member}: there is no rule {name}"),
            Judge::Harmless(why) => {
                assert!(why.len() > 5 && !why.ends_with('.') && !why.contains('|'), "{member}: {why}");
            }
        }
    }
}

/// runtime-spec 1.3 as its schema has it (schema/*.json), kept in `tests/data/members.txt` with what runtimes
/// read beyond.
#[test]
fn every_member_of_runtime_spec_is_in_the_table() {
    let (_, text) = page("tests/data/members.txt");
    let wanted: BTreeSet<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let found: BTreeSet<_> = members().into_iter().map(|(path, _)| path).collect();
    assert!(wanted.len() > 150);
    let missing: Vec<_> = wanted.difference(&found).collect();
    let further: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && further.is_empty(), "missing {missing:?}, further {further:?}");
}

#[test]
fn annotations_for_runtimes_are_sorted_under_their_prefixes_and_in_the_page() {
    let (path, rules) = page("docs/rules.md");
    let section = rules.split("\n## runtime-annotations\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut missing = Vec::new();
    let mut expect = |line: String| {
        if !section.contains(&line) {
            missing.push(line);
        }
    };
    assert!(PREFIXES.is_sorted() && HARMLESS.is_sorted_by_key(|known| known.name));
    for prefix in PREFIXES {
        expect(format!("`{prefix}{}`", if prefix.ends_with('.') { "*" } else { "" }));
    }
    for known in &HARMLESS {
        assert!(PREFIXES.iter().any(|prefix| known.name.starts_with(prefix)), "{}", known.name);
        let star = if known.name.ends_with('.') { "*" } else { "" };
        let value =
            if known.value == AnnotationValue::Any { String::new() } else { format!(" ({})", known.value) };
        expect(format!("| `{}{star}`{value} | {} | {} |", known.name, known.by, known.why));
    }
    assert!(missing.is_empty(), "add these to {}:\n{}", path.display(), missing.join("\n"));
}

#[test]
fn every_sysctl_that_is_accepted_is_in_the_page() {
    let (_, rules) = page("docs/rules.md");
    let section = rules.split("\n## sysctl\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for (name, _) in NAMESPACED {
        let dotted = name.replace('/', ".");
        let name = format!("`{dotted}{}`", if name.ends_with('/') { "*" } else { "" });
        assert!(section.contains(&name), "{name}");
    }
}

#[test]
fn every_annotation_of_ours_is_in_the_pages() {
    for name in ["README.md", "docs/man/oci-isolate.8.md", "docs/rules.md"] {
        let (_, text) = page(name);
        for annotation in ANNOTATIONS {
            assert!(text.contains(annotation), "{name} does not have {annotation}");
        }
    }
}

/// `tests/data/full.json` has each member once.
#[test]
fn every_member_of_the_table_is_taken() {
    let (_, text) = page("tests/data/full.json");
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    assert!(document.view().unwrap().unknown.is_empty());
    let mut found = BTreeSet::new();
    leaves(&serde_json::from_str(&text).unwrap(), "", &mut found);
    let known: BTreeSet<_> =
        members().into_iter().map(|(path, _)| path.replace(" (all of it)", "").replace('*', "a")).collect();
    assert_eq!(found, known);
}

/// Paths of what holds nothing further.
fn leaves(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(value, &path, found);
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| leaves(item, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}
