//! `isolatectl list`: records compared with running containers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Serialize, Serializer};

use super::exit::Exit;
use super::unrecorded::Unrecorded;
use super::{id_of, lease, print, print_json};
use oci_isolate::record::{Record, Slot, Store};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ListedContainer {
    id: String,
    root: PathBuf,
    bundle: Option<PathBuf>,
    state: RecordState,
    pid: Option<u32>,
    /// Of a sandbox: the platform's containers of its pod by name, with the id of the last one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    platform: BTreeMap<String, Option<String>>,
    /// Of a member of a job: for how many seconds members on other nodes are its peers from now, if that has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_left: Option<u64>,
}

/// The state of a container according to its record and its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordState {
    /// Its program may run.
    Sealed,
    /// It is not sealed yet.
    Created,
    /// Its init process has ended.
    Stopped,
    /// The runtime has no such container: a failed create left the record, which the next container of that
    /// id replaces.
    Absent,
    /// Start and exec are refused.
    Unreadable,
    /// It runs, was created isolated and has no record.
    Unrecorded,
    /// It runs, and is not isolated.
    Observed,
}

impl RecordState {
    pub(super) const ALL: [Self; 7] = [
        Self::Sealed,
        Self::Created,
        Self::Stopped,
        Self::Absent,
        Self::Unreadable,
        Self::Unrecorded,
        Self::Observed,
    ];

    /// The state of a container that runs and has no record.
    pub(super) fn without_record(is_observed: bool) -> Self {
        if is_observed { Self::Observed } else { Self::Unrecorded }
    }

    /// The state of a recorded container.
    pub(super) fn of(slot: &Slot, record: &Result<Record>) -> Self {
        let Ok(record) = record else { return Self::Unreadable };
        match (slot.has_container(), record.init) {
            (false, _) => Self::Absent,
            (true, None) => Self::Created,
            (true, Some(init)) if init.runs() => Self::Sealed,
            (true, Some(_)) => Self::Stopped,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Created => "created",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
            Self::Unrecorded => "unrecorded",
            Self::Observed => "observed",
        }
    }
}

impl Serialize for RecordState {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

pub(super) fn list(unrecorded: Vec<Unrecorded>, json: bool) -> Result<Exit> {
    let of_unrecorded = |Unrecorded { id, root, pid, is_observed, .. }| ListedContainer {
        id,
        root,
        bundle: None,
        state: RecordState::without_record(is_observed),
        pid,
        platform: BTreeMap::new(),
        lease_left: None,
    };
    let recorded = Store::ours().iter()?.map(|(slot, record)| line(&slot, record));
    let lines: Vec<ListedContainer> = recorded.chain(unrecorded.into_iter().map(of_unrecorded)).collect();
    if json {
        print_json(&lines)?;
        return Ok(Exit::Ok);
    }
    let width = lines.iter().map(|line| line.id.len()).chain([2]).max().unwrap_or(2);
    let mut text = format!("{:width$}  {:10}  {:>8}  ROOT\n", "ID", "STATE", "PID");
    for line in &lines {
        let pid = line.pid.map_or("-".to_owned(), |pid| pid.to_string());
        writeln!(text, "{:width$}  {:10}  {pid:>8}  {}", line.id, line.state.word(), line.root.display())?;
    }
    for line in &lines {
        for (name, id) in &line.platform {
            let id = id.as_deref().unwrap_or("no container of that name was created");
            writeln!(text, "{}: not isolated is its pod's platform container {name}: {id}", line.id)?;
        }
    }
    for line in lines.iter().filter(|line| line.lease_left == Some(0)) {
        writeln!(text, "{}: {}", line.id, lease::IS_OVER)?;
    }
    print(&text)?;
    Ok(Exit::Ok)
}

fn line(slot: &Slot, record: Result<Record>) -> ListedContainer {
    let state = RecordState::of(slot, &record);
    let root = slot.root().to_owned();
    let Ok(record) = record else {
        return ListedContainer {
            id: id_of(slot),
            root,
            bundle: None,
            state,
            pid: None,
            platform: BTreeMap::new(),
            lease_left: None,
        };
    };
    let pid = record.init.filter(|_| state == RecordState::Sealed).map(|init| init.pid);
    let lease_left = lease::seconds_left(&record);
    let platform = record.pod_network.map(|network| network.containers).unwrap_or_default();
    ListedContainer { id: record.id, root, bundle: Some(record.bundle), state, pid, platform, lease_left }
}
