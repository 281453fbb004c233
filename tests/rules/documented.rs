//! The lists in docs/rules.md are those of the source.

use oci_isolate::rules::mounts::{Class, FileSystem, KNOWN, Value};

/// A row of the table of options.
fn row(known: &oci_isolate::rules::mounts::Known) -> String {
    let types = if known.types.is_empty() { "all".to_owned() } else { known.types.join(", ") };
    let value = match known.value {
        Value::None => String::new(),
        Value::Octal => "=MODE".into(),
        Value::Number => "=NUMBER".into(),
        Value::Size => "=SIZE".into(),
        Value::Word(words) => format!("={}", words.join("\\|")),
        Value::Path => "=PATH".into(),
        Value::Paths => "=PATH:PATH...".into(),
        Value::Label => "=LABEL".into(),
        Value::Ids => "[=IDS]".into(),
    };
    let options: Vec<_> = known.names.iter().map(|name| format!("`{name}{value}`")).collect();
    format!("| {types} | {} | {} |", options.join(", "), known.why)
}

fn names(class: Class) -> String {
    FileSystem::names(class).collect::<Vec<_>>().join(", ")
}

#[test]
fn options_and_file_systems_that_are_known_stand_in_docs_rules_md() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).unwrap();
    let rows: Vec<_> = KNOWN.iter().map(row).collect();
    let table = format!("| type | options | why |\n|---|---|---|\n{}\n\n", rows.join("\n"));
    assert!(text.contains(&table), "docs/rules.md, section mount-options, should have\n{table}");
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for class in [Class::Local, Class::Data, Class::Network, Class::System] {
        let names = names(class);
        assert!(flowing.contains(&names), "docs/rules.md should have\n{names}");
    }
}
