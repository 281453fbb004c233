//! The lists in docs/rules.md are those of the source.

use oci_isolate::rules::mounts::{Class, FileSystem, KNOWN_OPTIONS, OptionValue};

/// A row of the table of options.
fn row(known: &oci_isolate::rules::mounts::KnownOption) -> String {
    let types = if known.types.is_empty() { "all".to_owned() } else { known.types.join(", ") };
    let value = match known.value {
        OptionValue::None => String::new(),
        OptionValue::Octal => "=MODE".into(),
        OptionValue::Number => "=NUMBER".into(),
        OptionValue::Size => "=SIZE".into(),
        OptionValue::Word(words) => format!("={}", words.join("\\|")),
        OptionValue::Path => "=PATH".into(),
        OptionValue::Paths => "=PATH:PATH...".into(),
        OptionValue::Label => "=LABEL".into(),
        OptionValue::Ids => "[=IDS]".into(),
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
    let rows: Vec<_> = KNOWN_OPTIONS.iter().map(row).collect();
    let table = format!("| type | options | why |\n|---|---|---|\n{}\n\n", rows.join("\n"));
    assert!(text.contains(&table), "docs/rules.md, section mount-options, should have\n{table}");
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for class in [Class::Local, Class::Data, Class::Network, Class::System] {
        let names = names(class);
        assert!(flowing.contains(&names), "docs/rules.md should have\n{names}");
    }
}
