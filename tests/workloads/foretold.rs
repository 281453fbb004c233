//! What `observe` says that isolation would do to a workload is what isolation does to it.

use serde_json::Value;

use test_support::recorded::spec::SWITCH;

use super::container::{Container, Said};

/// A log that is gone with the host, unless a script copies it.
const LOGGED: &str = "[audit]\nfile = \"/run/audit\"\n";

/// Creates the container, and prints what was changed in it.
const CHANGED: &str = r#"$R create --bundle "$D/bundle" web >"$D/refusal" 2>&1 || { cat "$D/refusal"; exit 1; }
    exec "$ISOLATECTL" --json inspect web"#;

/// Runs a script with a container that is observed.
#[track_caller]
pub(crate) fn observed(container: &mut Container, script: &str) -> Said {
    let settings = std::mem::replace(&mut container.settings, LOGGED);
    let logged = format!("status=0; ({script}) || status=$?; cp /run/audit \"$D/audit\"; exit $status");
    let observed = container.host_with(Some("observe"), &logged);
    let log = container.read("audit");
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["decision"], "observed", "{log}");
    let isolated = container.host(true, CHANGED);
    container.settings = settings;
    assert_eq!(isolated.status, 0, "{isolated:?}");
    let record: Value = serde_json::from_str(&isolated.out).unwrap();
    let changes = record["applied"].as_array().unwrap().iter().flat_map(|change| {
        let says = change["says"].as_array().unwrap().iter();
        says.map(|says| format!("{}: {}", change["rule"].as_str().unwrap(), says.as_str().unwrap()))
    });
    let changes: Vec<String> = changes.collect();
    assert!(changes.len() > 3, "{record}");
    let would =
        format!("annotation {SWITCH}; observed, not isolated; would be changed: {}", changes.join("; "));
    let why = line["why"].as_str().unwrap().replace('"', "");
    let would = would.replace('"', "");
    match why.strip_suffix("[...]") {
        None => assert_eq!(why, would),
        // A line has no room for more, but for the rules.
        Some(beginning) => assert!(would.starts_with(beginning), "{why}\n{would}"),
    }
    let mut rules: Vec<&Value> =
        record["applied"].as_array().unwrap().iter().map(|change| &change["rule"]).collect();
    rules.dedup();
    assert_eq!(line["rules"].as_array().unwrap().iter().collect::<Vec<_>>(), rules);
    observed
}
