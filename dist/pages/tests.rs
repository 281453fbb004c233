//! What is there without a page fails here.

#![allow(clippy::unwrap_used, reason = "test code")]

use clap::Command;

use super::*;

fn page(name: &str) -> String {
    PAGES.iter().find(|page| page.name == name).unwrap().text().unwrap()
}

#[test]
fn every_command_and_flag_says_what_it_does() {
    fn silent(command: &Command, missing: &mut Vec<String>) {
        let name = command.get_name();
        if command.get_about().is_none() {
            missing.push(format!("the subcommand {name}"));
        }
        let mute = command.get_arguments().filter(|argument| argument.get_help().is_none());
        missing.extend(mute.map(|argument| format!("{} of {name}", argument.get_id())));
        command.get_subcommands().for_each(|below| silent(below, missing));
    }
    let mut missing = Vec::new();
    let mut command = isolatectl::command();
    command.build();
    silent(&command, &mut missing);
    assert!(missing.is_empty(), "add a /// line, which becomes its text in isolatectl(8), to {missing:?}");
}

#[test]
fn every_command_and_flag_is_in_isolatectl_8() {
    let page = Page { name: "isolatectl", section: 8 }.roff("2026-01-01").unwrap();
    let command = isolatectl::command();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        assert!(page.contains(&format!(".SS {}", verb.get_name())), "{}", verb.get_name());
        for flag in verb.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(page.contains(&format!("\\fB\\-\\-{}\\fR", flag.replace('-', "\\-"))), "{flag}: {page}");
        }
    }
}

#[test]
fn every_rule_is_in_oci_isolate_rules_7() {
    let page = Page { name: "oci-isolate-rules", section: 7 }.roff("2026-01-01").unwrap();
    for rule in oci_isolate::rules::RULES {
        let heading = format!(".SS {}\n", rule.name.replace('-', "\\-"));
        assert!(page.contains(&heading), "add a section \"## {}\" to docs/rules.md", rule.name);
    }
}

#[test]
fn every_annotation_and_variable_in_the_source_is_in_oci_isolate_8() {
    fn sources(directory: &Path, found: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if !path.ends_with("tests.rs") && !path.to_string_lossy().contains("/tests/") {
                found.push_str(
                    fs::read_to_string(path).unwrap().split("#[cfg(test)]\nmod tests").next().unwrap(),
                );
            }
        }
    }
    let mut source = String::new();
    sources(&project().join("src"), &mut source);
    sources(&project().join("crates/isolatectl/src"), &mut source);
    let page = page("oci-isolate");
    let annotations = source.match_indices("\"io.oci-isolate.").map(|(at, _)| {
        let name = &source[at + 1..];
        &name[..name.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap()]
    });
    let mut words: Vec<_> = annotations.filter(|name| !name.ends_with('.')).collect();
    assert!(words.contains(&oci_isolate::policy::SWITCH), "{words:?}");
    let variables = ["env::var_os(\"", "env::var(\""].map(|after| source.split(after).skip(1));
    let variables = variables.into_iter().flatten().filter_map(|rest| rest.split('"').next());
    words.extend(variables.filter(|name| !matches!(*name, "PATH" | "HOME" | "LISTEN_FDS")));
    words.extend([oci_isolate::settings::PATH_VARIABLE, oci_isolate::settings::DEFAULT_PATH]);
    for word in words {
        let entry = format!("`{word}`");
        assert!(page.contains(&entry), "add an entry {entry} to docs/man/oci-isolate.8.md");
    }
}

#[test]
fn markdown_becomes_requests_of_man_7() {
    let text = "# Name\n\na \\- `b-c`\n.d *e*\n\n- one\n  two\n\n  three\n- four\n\n    $ x\n\n| a | b |\n|---|---|\n| `k` | v |\n\n\
                `t`\n: d\n";
    let roff = ".SH NAME\na \\- \\fBb\\-c\\fR\n\\&.d \\fIe\\fR\n.IP \\(bu 2\none\ntwo\n.IP\nthree\n.IP \\(bu 2\nfour\n";
    let out = roff::of(text);
    assert!(out.starts_with(roff), "{out}");
    assert!(out.ends_with(".TP\n\\fBk\\fR\nv\n.TP\n\\fBt\\fR\nd\n"), "{out}");
}

#[test]
fn every_page_has_all_that_it_includes() {
    for page in PAGES {
        let text = page.text().unwrap();
        assert!(!text.contains("<!--"), "{}: {text}", page.name);
    }
    assert!(page("isolatectl").contains("isolatectl verify --all; echo $?"));
}

#[test]
fn every_test_binary_is_in_the_readme_of_tests() {
    let tests = project().join("tests");
    let readme = fs::read_to_string(tests.join("README.md")).unwrap();
    let mut rows: Vec<_> =
        readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    rows.retain(|row| !["lib", "pages", "crio"].contains(row));
    rows.sort_unstable();
    let binary = |path: PathBuf| {
        let is_one =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        is_one.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
    };
    let entries = fs::read_dir(&tests).unwrap().map(|entry| entry.unwrap().path());
    let mut binaries: Vec<_> = entries.filter_map(binary).collect();
    binaries.sort_unstable();
    assert_eq!(rows, binaries, "tests/README.md has a row for each test binary");
}
