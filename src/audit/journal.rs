//! Sends a line of the audit log to systemd-journald, each member as a field of its own: one datagram of its native protocol
//! (systemd.io, "Native Journal Protocol"). Nothing waits for journald.
//!
//! journald adds the command line of the process that sends. That of `exec`, and one that could not be parsed, may have the
//! values of variables: there a child sends, whose command line is [`RELAY_FLAG`].

use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{LIMIT, sentence};
use crate::files;

/// The shim's flag of a child that sends what it reads on stdin.
pub const RELAY_FLAG: &str = "--isolate-journal";

/// Where journald receives.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Of every decision (journalctl(1), `MESSAGE_ID=`).
const MESSAGE_ID: &str = "42961746d90b4280b3c050441ce484fa";

/// syslog(3).
const WARNING: &str = "4";
const INFORMATIONAL: &str = "6";

/// Sends a line about a call of this verb.
///
/// # Errors
/// Nothing receives there, or it does not take the datagram at once.
pub(super) fn send(verb: Option<&str>, line: &str) -> io::Result<()> {
    match verb {
        Some("exec") | None => send_by_child(line),
        Some(_) => send_from_here(line),
    }
}

/// The child: sends the line on its stdin. Its exit status is the number of the error.
#[must_use]
pub fn relay() -> u8 {
    let mut line = String::new();
    let sent = io::stdin().take(LIMIT as u64).read_to_string(&mut line).and_then(|_| send_from_here(&line));
    let number = |error: io::Error| error.raw_os_error().and_then(|number| number.try_into().ok());
    sent.map_or_else(|error| number(error).unwrap_or(u8::MAX), |()| 0)
}

fn send_by_child(line: &str) -> io::Result<()> {
    let mut file = files::in_memory(c"line").map_err(io::Error::other)?;
    file.write_all(line.as_bytes())?;
    file.rewind()?;
    let mut child = Command::new("/proc/self/exe");
    child.arg(RELAY_FLAG).env_clear().stdin(file).stdout(Stdio::null()).stderr(Stdio::null());
    match child.status()?.code() {
        Some(0) => Ok(()),
        Some(number) if number < i32::from(u8::MAX) => Err(io::Error::from_raw_os_error(number)),
        _ => Err(io::Error::other("the process that sends has failed")),
    }
}

fn send_from_here(line: &str) -> io::Result<()> {
    let line = serde_json::from_str(line)?;
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    socket.send(&datagram(&line)).map(|_| ())
}

/// The members of a line, without those that are null.
fn datagram(line: &Value) -> Vec<u8> {
    let text = |name: &str| line[name].as_str().filter(|text| !text.is_empty());
    let decision = text("decision").unwrap_or_default();
    let is_refusal = ["refused", "attempts"].contains(&decision);
    let mut fields = Vec::new();
    put(&mut fields, "MESSAGE", &sentence(decision, text("id").unwrap_or_default(), text("why")));
    put(&mut fields, "MESSAGE_ID", MESSAGE_ID);
    put(&mut fields, "PRIORITY", if is_refusal { WARNING } else { INFORMATIONAL });
    put(&mut fields, "SYSLOG_IDENTIFIER", "oci-isolate");
    if let Some(id) = text("id") {
        // As the log drivers of Docker and Podman name it.
        put(&mut fields, "CONTAINER_ID_FULL", id);
    }
    for (name, value) in line.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        };
        put(&mut fields, &format!("OCI_ISOLATE_{}", name.to_ascii_uppercase()), &value);
    }
    fields
}

/// A value may have line breaks: it follows its length then.
fn put(fields: &mut Vec<u8>, name: &str, value: &str) {
    fields.extend(name.as_bytes());
    if value.contains('\n') {
        fields.push(b'\n');
        fields.extend((value.len() as u64).to_le_bytes());
    } else {
        fields.push(b'=');
    }
    fields.extend(value.as_bytes());
    fields.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_makes_no_field_of_its_own() {
        let line = serde_json::json!({
            "id": "web\nPRIORITY=0", "decision": "refused", "why": null, "rules": ["a", "b"], "pid": 7
        });
        let sent = datagram(&line);
        let long = |name: &str, value: &str| {
            let mut field = format!("{name}\n").into_bytes();
            field.extend((value.len() as u64).to_le_bytes());
            field.extend(value.as_bytes());
            field.push(b'\n');
            field
        };
        let short = |text: &str| text.as_bytes().to_vec();
        let id = "web\nPRIORITY=0";
        let wanted = [
            long("MESSAGE", "container web\nPRIORITY=0 refused"),
            short(&format!("MESSAGE_ID={MESSAGE_ID}\nPRIORITY=4\nSYSLOG_IDENTIFIER=oci-isolate\n")),
            long("CONTAINER_ID_FULL", id),
            short("OCI_ISOLATE_DECISION=refused\n"),
            long("OCI_ISOLATE_ID", id),
            short("OCI_ISOLATE_PID=7\nOCI_ISOLATE_RULES=a,b\n"),
        ];
        assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(&wanted.concat()));
    }
}
