//! Base configurations, and the differences between two.

use serde_json::{Value, json};

/// The annotation that asks for isolation.
pub const SWITCH: &str = "io.oci-isolate.network-isolation";

/// `runc spec` of runc 1.1.5, without a terminal.
pub fn plain() -> Value {
    let mut config: Value =
        serde_json::from_str(include_str!("../../../../tests/data/config/runc-spec.json")).unwrap();
    config["process"]["terminal"] = json!(false);
    config["linux"]["rootfsPropagation"] = json!("rprivate");
    // The profile that the rule seccomp creates if there is none, so that it has nothing to add.
    config["linux"]["seccomp"] =
        serde_json::from_str(include_str!("../../../../tests/data/seccomp/made.json")).unwrap();
    config
}

/// The same, asking for isolation.
pub fn isolated() -> Value {
    annotated(SWITCH, json!("true"))
}

/// The same with one annotation.
pub fn annotated(name: &str, value: Value) -> Value {
    let mut config = plain();
    config["annotations"] = json!({ name: value });
    config
}

/// `isolated()` with the member at an RFC 6901 pointer set to something else; its parents are there or are made.
pub fn isolated_with(pointer: &str, value: Value) -> Value {
    let mut config = isolated();
    put(&mut config, pointer, value);
    config
}

/// Sets the member at a pointer.
pub fn put(config: &mut Value, pointer: &str, value: Value) {
    let steps = pointer.strip_prefix('/').unwrap().split('/');
    *steps.fold(config, |at, step| match step.parse::<usize>() {
        Ok(index) => &mut at[index],
        Err(_) => &mut at[step],
    }) = value;
}

/// The differences between two documents, a line for each removed (`-`) and added (`+`) value. An item that
/// was moved counts as removed and added; so does one whose type changed.
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    lines
}

fn compare(at: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                match new.get(name) {
                    Some(other) => compare(&format!("{at}/{name}"), value, other, lines),
                    None => lines.push(format!("-{at}/{name} {value}")),
                }
            }
            let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
            lines.extend(added.map(|(name, value)| format!("+{at}/{name} {value}")));
        }
        (Value::Array(old), Value::Array(new)) => {
            let mut rest = new.as_slice();
            for (index, item) in old.iter().enumerate() {
                match rest {
                    [first, behind @ ..] if first == item => rest = behind,
                    // A changed object is distinguished from a removed one by its type.
                    [first, behind @ ..] if item["type"].is_string() && item["type"] == first["type"] => {
                        compare(&format!("{at}/{index}"), item, first, lines);
                        rest = behind;
                    }
                    _ => lines.push(format!("-{at}/{index} {item}")),
                }
            }
            lines.extend(rest.iter().map(|item| format!("+{at} {item}")));
        }
        _ if before == after => {}
        _ => lines.extend([format!("-{at} {before}"), format!("+{at} {after}")]),
    }
}
