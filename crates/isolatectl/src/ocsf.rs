//! `isolatectl ocsf`: the lines of the audit log as events of the Open Cybersecurity Schema Framework (OCSF), class
//! API Activity: a call of the OCI runtime, and what the shim decided about it. One event a line, in the order of the log.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::audit_log::{AuditLine, AuditLog, Next};
use super::exit::Exit;
use super::{read, write};
use oci_isolate::audit::{Outcome, sentence};
use oci_isolate::bundle;
use oci_isolate::diagnostics::escape_controls;

/// The oldest version that has the profile `security_control` on API Activity; later ones only add to it.
const VERSION: &str = "1.4.0";
/// API Activity of the category Application Activity.
const CLASS: u32 = 6003;

#[derive(Debug, clap::Args)]
pub(super) struct OcsfArguments {
    /// The audit log, or - for stdin; the one of the settings by default
    file: Option<PathBuf>,
    /// The name of the host that wrote it; this one by default
    #[arg(long)]
    host: Option<String>,
}

/// What is not a line of the log is reported, and makes the exit status 1.
pub(super) fn ocsf(arguments: &OcsfArguments) -> Result<Exit> {
    let host = match &arguments.host {
        Some(host) => host.clone(),
        None => read(Path::new("/proc/sys/kernel/hostname"))?.trim_end().to_owned(),
    };
    let mut log = match &arguments.file {
        Some(file) if file.as_os_str() == "-" => AuditLog::of_stdin(),
        Some(file) => AuditLog::open(file)?,
        None => {
            let named = bundle::load_settings(None)?.audit.file;
            AuditLog::open(&named.context("the settings name no audit log; name a file, or - for stdin")?)?
        }
    };
    let mut all_are_events = true;
    loop {
        let left_out = match log.next()? {
            Next::End => return Ok(Exit::ok_if(all_are_events)),
            Next::Line(line) => match event(&line, &host) {
                Ok(event) => {
                    write(&format!("{event}\n"))?;
                    continue;
                }
                Err(error) => format!("{}: {error:#}", log.place()),
            },
            Next::Unreadable(why) => why,
            Next::Unfinished => format!("{} has no end, and is left out", log.place()),
        };
        all_are_events = false;
        let _ = writeln!(std::io::stderr(), "isolatectl: {}", escape_controls(&left_out, &[]));
    }
}

/// # Errors
/// The line has no valid time.
fn event(line: &AuditLine, host: &str) -> Result<Value> {
    let time =
        humantime::parse_rfc3339(&line.time).with_context(|| format!("its time is {:?}", line.time))?;
    let (activity, activity_name) = activity(line);
    let (action, disposition) = verdict(line.decision);
    let is_refusal = matches!(line.decision, Outcome::Refused | Outcome::Attempts);
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CLASS / 1000,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity,
        "time": u64::try_from(time.duration_since(UNIX_EPOCH).context("its time is before 1970")?.as_millis())?,
        "severity_id": if is_refusal { 2 } else { 1 },
        "severity": if is_refusal { "Low" } else { "Informational" },
        "status_id": if line.decision == Outcome::Refused { 2 } else { 1 },
        "status": if line.decision == Outcome::Refused { "Failure" } else { "Success" },
        "action_id": action,
        "disposition_id": disposition,
        "message": sentence(line.decision.word(), &line.id, line.why.as_deref()),
        "metadata": {
            "version": VERSION,
            "profiles": ["host", "security_control"],
            "product": { "name": "oci-isolate", "vendor_name": "oci-isolate" },
            "log_name": "audit",
            "event_code": line.decision,
            "original_time": line.time,
        },
        "api": object([("operation", Some(json!(line.verb.as_deref().unwrap_or("unknown"))))]),
        "actor": object([
            ("user", Some(json!({ "uid": line.uid.to_string() }))),
            // The caller is in another pid namespace.
            ("process", (line.pid != 0).then(|| json!({ "pid": line.pid }))),
        ]),
        "device": { "hostname": host, "type_id": 0 },
        "src_endpoint": { "hostname": host },
        "unmapped": object([
            ("root", line.root.as_ref().map(|root| json!(root))),
            ("bundle", line.bundle.as_ref().map(|bundle| json!(bundle))),
            ("rules", Some(json!(line.rules))),
            ("job", line.job.as_ref().map(|job| json!(job))),
        ]),
    });
    if let Some(runtime) = &line.runtime {
        event["api"]["service"] = json!({ "name": runtime });
    }
    if let Some(why) = &line.why {
        event["status_detail"] = json!(why);
    }
    let resources = resources(line);
    if !resources.is_empty() {
        event["resources"] = resources.into();
    }
    Ok(event)
}

/// `activity_id` and its name.
fn activity(line: &AuditLine) -> (u32, &str) {
    match (line.decision, line.verb.as_deref()) {
        (Outcome::Attempts, _) => (99, "Attempts"),
        (_, None) => (0, "Unknown"),
        (_, Some("create" | "run" | "restore")) => (1, "Create"),
        (_, Some("start" | "seal" | "exec" | "peers" | "jobs")) => (3, "Update"),
        (_, Some("delete")) => (4, "Delete"),
        (_, Some(verb)) => (99, verb),
    }
}

/// `action_id` (1 Allowed, 2 Denied, 3 Observed, 4 Modified) and `disposition_id` (1 Allowed, 2 Blocked, 4 Isolated, 17 Logged).
fn verdict(decision: Outcome) -> (u32, u32) {
    match decision {
        Outcome::Isolated | Outcome::Sealed | Outcome::Filtered => (4, 4),
        Outcome::Changed | Outcome::Deleted | Outcome::PassedThrough | Outcome::Platform => (1, 1),
        Outcome::Observed => (3, 17),
        Outcome::Attempts | Outcome::Refused => (2, 2),
    }
}

/// The container, and its pod.
fn resources(line: &AuditLine) -> Vec<Value> {
    let namespace = || line.namespace.as_ref().map(|namespace| json!(namespace));
    let container = (!line.id.is_empty()).then(|| {
        let name = line.container.as_ref().map(|name| json!(name));
        object([
            ("type", Some(json!("Container"))),
            ("uid", Some(json!(line.id))),
            ("name", name),
            ("namespace", namespace()),
        ])
    });
    let pod = line.pod.as_ref().map(|pod| {
        object([("type", Some(json!("Pod"))), ("name", Some(json!(pod))), ("namespace", namespace())])
    });
    container.into_iter().chain(pod).collect()
}

/// Without the members that have no value: OCSF has no null.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}
