//! The decisions in the journal of a systemd-journald of the host's own, and what happens when it takes nothing.

use serde_json::Value;

use super::events::{DECISIONS, live, log, with_log};
use super::sealed::{SECRET, Sealed};
use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::ShimOutput;
use test_support::recorded::spec::{SWITCH, isolated};

/// Starts a systemd-journald of the host's own, which ends with the host.
fn journald(host: &RecorderHost) {
    host.sh("echo 0123456789abcdef0123456789abcdef >/run/machine-id
        mount --bind /run/machine-id /etc/machine-id; mkdir -p /run/systemd/journal /run/log/journal
        /lib/systemd/systemd-journald </dev/null >/dev/null 2>&1 &
        for n in $(seq 200); do [ ! -S /run/systemd/journal/socket ] || exit 0; sleep 0.05; done; exit 9")
        .must();
}

/// What journald has of the shim, in order.
fn journal(host: &RecorderHost) -> Vec<Value> {
    let read = "journalctl --sync; journalctl -D /run/log/journal -o json -t oci-isolate";
    host.sh(read).must().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn journald_has_each_decision_once_with_the_members_of_the_line_as_fields() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "journal = true\nrequired = true");
    journald(&sealed.host);
    live(&sealed);
    let (lines, entries) = (log(&sealed.host), journal(&sealed.host));
    let of = |line: &Value| {
        let word = |name: &str| line[name].as_str().map(str::to_owned);
        (word("decision"), word("id").unwrap(), word("why"), word("pod"), line["pid"].to_string())
    };
    let of_entry = |entry: &Value| {
        let word = |name: &str| entry[format!("OCI_ISOLATE_{name}")].as_str().map(str::to_owned);
        (word("DECISION"), word("ID").unwrap(), word("WHY"), word("POD"), word("PID").unwrap())
    };
    assert_eq!(lines.len(), DECISIONS.len());
    assert_eq!(lines.iter().map(of).collect::<Vec<_>>(), entries.iter().map(of_entry).collect::<Vec<_>>());
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    assert_eq!(field(&entries[0], "CONTAINER_ID_FULL"), "web");
    assert_eq!(field(&entries[0], "OCI_ISOLATE_RULES"), "data-channels,credentials-env");
    assert_eq!(field(&entries[0], "MESSAGE"), format!("container web isolated: annotation {SWITCH}"));
    assert_eq!((field(&entries[0], "PRIORITY"), field(&entries[3], "PRIORITY")), ("6".into(), "4".into()));
    let ids: Vec<_> = entries.iter().map(|entry| field(entry, "MESSAGE_ID")).collect();
    assert!(ids.iter().all(|id| id == "42961746d90b4280b3c050441ce484fa"), "{ids:?}");
    // journald adds the command line of the sender. That of `exec`, which has the value, is another's.
    let lines: Vec<_> = entries.iter().filter_map(|entry| entry["_CMDLINE"].as_str()).collect();
    assert!(lines.iter().any(|line| line.contains("--root")), "{lines:?}");
    assert!(!format!("{entries:?}").contains(SECRET), "{lines:?}");
}

#[test]
fn journald_has_the_same_without_a_file() {
    let sealed = Sealed::empty();
    sealed.host.write(
        "config.toml",
        "runtime = [\"runc\"]\n[attempts]\ncount = true\n[audit]\njournal = true\nrequired = true\n",
    );
    journald(&sealed.host);
    live(&sealed);
    let entries = journal(&sealed.host);
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let decisions: Vec<_> = entries.iter().map(|entry| word(entry, "OCI_ISOLATE_DECISION")).collect();
    assert_eq!(decisions, DECISIONS);
    let pods: Vec<_> = entries.iter().map(|entry| word(entry, "OCI_ISOLATE_POD")).collect();
    let unread = 5;
    let wanted: Vec<_> = (0..DECISIONS.len()).map(|n| if n == unread { "-" } else { "train-7" }).collect();
    assert_eq!(pods, wanted);
}

#[test]
fn a_journal_that_takes_nothing_stops_isolated_containers_only_when_it_is_required() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.settings("[audit]\njournal = true\nrequired = true");
    let because = "container web not created: cannot send to the journal (/run/systemd/journal/socket), which is required";
    let refused = |cause: &str| ShimOutput {
        status: 1,
        out: String::new(),
        err: format!("oci-isolate: {because}: {cause}\n"),
    };
    assert_eq!(host.shim(&["create", "web"]), refused("No such file or directory (os error 2)"));
    assert_eq!((host.calls(), host.state()), (Vec::new(), Vec::new()));
    // A journald that does not read, and whose queue is full.
    host.sh("mkdir -p /run/systemd/journal
        python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(\"/run/systemd/journal/socket\")
c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); c.setblocking(False)
try:
    while True: c.sendto(b\"MESSAGE=x\\n\", \"/run/systemd/journal/socket\")
except BlockingIOError: open(\"/run/full\", \"w\")
time.sleep(1000)' </dev/null >/dev/null 2>&1 &
        for n in $(seq 200); do [ ! -e /run/full ] || exit 0; sleep 0.05; done; exit 9")
        .must();
    assert_eq!(host.shim(&["create", "web"]), refused("Resource temporarily unavailable (os error 11)"));
    host.settings("[audit]\njournal = true");
    assert_eq!(
        host.shim(&["create", "web"]),
        ShimOutput { status: 0, out: String::new(), err: String::new() }
    );
}
