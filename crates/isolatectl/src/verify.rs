//! `isolatectl verify`: inspects a running container from outside, every process and not only init, and names
//! each broken promise. What cannot be inspected counts as broken.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::broken_promise::BrokenPromise;
use super::exit::Exit;
use super::members::members;
use super::process_inspector::ProcessInspector;
use super::survey::Survey;
use super::unrecorded::Unrecorded;
use super::{devices, foreign_processes, id_of, network, print, print_json, runtime_state, user_namespace};
use oci_isolate::proc::ProcessId;
use oci_isolate::record::{Record, Slot};
use oci_isolate::seal::OpenNetns;
use oci_isolate::settings::Credentials;

#[derive(Serialize)]
pub(super) struct VerifyReport {
    pub(super) id: String,
    pub(super) root: PathBuf,
    pub(super) holds: bool,
    pub(super) broken: BTreeSet<BrokenPromise>,
    #[serde(skip)]
    look: Noted,
}

/// What is to be in the statement about a container.
enum Noted {
    /// Nothing: there is to be none, or it did not run.
    Nothing,
    /// What was found of the one with this creator, and besides the broken promises of rules that are waived and were not used.
    Found(ProcessId, BTreeSet<&'static str>),
    /// That it did not hold, if there is to be one: which container it is is not known.
    Unread,
}

/// What is verified: records, and containers that should have one.
pub(super) struct VerifyScope<'a> {
    pub(super) slots: &'a [Slot],
    pub(super) unrecorded: &'a [Unrecorded],
    pub(super) credentials: &'a Credentials,
}

/// What is found, container by container. Only what does not hold is written down.
pub(super) fn reports(scope: &VerifyScope) -> Result<Vec<VerifyReport>> {
    let mut unwritten = Ok(());
    let reports = each(scope, |slot, report| {
        if !report.holds || report.look.has_used_a_waiver() {
            unwritten = std::mem::replace(&mut unwritten, Ok(())).and(report.write_look(slot));
        }
    })?;
    unwritten.map(|()| reports)
}

fn each(scope: &VerifyScope, mut found: impl FnMut(&Slot, &VerifyReport)) -> Result<Vec<VerifyReport>> {
    let mut survey = Survey::new()?;
    let mut reports = Vec::new();
    for slot in scope.slots {
        let mut report = report_on(slot, scope.credentials, &survey);
        while report.as_ref().is_some_and(VerifyReport::lacks_filters_only) && is_starting(slot) {
            std::thread::sleep(AGAIN);
            survey = Survey::new()?;
            report = report_on(slot, scope.credentials, &survey);
        }
        if let Some(report) = &report {
            found(slot, report);
        }
        reports.extend(report);
    }
    reports.extend(scope.unrecorded.iter().map(report_unrecorded));
    Ok(reports)
}

pub(super) fn verify(scope: &VerifyScope, json: bool) -> Result<Exit> {
    let mut unwritten = Vec::new();
    let reports = each(scope, |slot, report| unwritten.extend(report.write_look(slot).err()))?;
    let all_hold = reports.iter().all(|report| report.holds);
    if json {
        print_json(&reports)?;
    } else {
        let mut text = String::new();
        for report in &reports {
            writeln!(text, "{}: {}", report.id, if report.holds { "holds" } else { "does not hold" })?;
            for BrokenPromise { rule, why } in &report.broken {
                writeln!(text, "  {rule}: {why}")?;
            }
            let slot = scope.slots.iter().find(|slot| id_of(slot) == report.id && slot.root() == report.root);
            let record = slot.and_then(|slot| slot.load().ok().flatten());
            if record.and_then(|record| super::lease::seconds_left(&record)) == Some(0) {
                writeln!(text, "  note: {}", super::lease::IS_OVER)?;
            }
        }
        print(&text)?;
    }
    if let Some(error) = unwritten.into_iter().next() {
        return Err(error);
    }
    Ok(Exit::ok_if(all_hold))
}

impl Noted {
    /// Whether something uses a waiver that was not used when the container was created.
    fn has_used_a_waiver(&self) -> bool {
        matches!(self, Self::Found(_, waived) if !waived.is_empty())
    }
}

impl VerifyReport {
    /// Writes down what was found, for the statement about the container.
    fn write_look(&self, slot: &Slot) -> Result<()> {
        match &self.look {
            Noted::Nothing => Ok(()),
            Noted::Found(creator, waived) => {
                let mut rules = waived.clone();
                rules.extend(self.broken.iter().map(|broken| broken.rule));
                slot.add_look(*creator, rules.into_iter().map(str::to_owned).collect())
            }
            Noted::Unread => slot.lose_look(),
        }
    }

    fn lacks_filters_only(&self) -> bool {
        !self.holds && self.broken.iter().all(|broken| broken.rule == "seccomp")
    }
}

/// Whether the container was started this moment. The shim writes the record at `start`; with `noNewPrivileges` the
/// runtime's init process loads the filter of system calls after that, as its last act before it becomes the program.
fn is_starting(slot: &Slot) -> bool {
    let written = std::fs::metadata(slot.record()).and_then(|meta| meta.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age < START))
}

/// As long may a start take on a loaded machine.
const START: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(20);

fn report_unrecorded(found: &Unrecorded) -> VerifyReport {
    let broken = [BrokenPromise::new("record", found.why.clone())].into();
    VerifyReport {
        id: found.id.clone(),
        root: found.root.clone(),
        holds: false,
        broken,
        look: Noted::Nothing,
    }
}

/// `None` for a record that was removed meanwhile: its container was deleted.
fn report_on(slot: &Slot, credentials: &Credentials, survey: &Survey) -> Option<VerifyReport> {
    let (broken, look) = match slot.load() {
        Ok(record) => {
            let record = record?;
            let ran = record.lives();
            let found = inspect(slot, &record, credentials, survey)
                .unwrap_or_else(|error| [BrokenPromise::new("verify", format!("{error:#}"))].into());
            // What is waived is not promised.
            let is_waived = |found: &BrokenPromise| record.waived.iter().any(|rule| rule == found.rule);
            let (waived, broken): (BTreeSet<_>, BTreeSet<_>) = found.into_iter().partition(is_waived);
            // One that ends meanwhile cannot be inspected, which says nothing against it.
            let was_seen =
                record.lives() || broken.iter().chain(&waived).any(|found| !UNSEEN.contains(&found.rule));
            let look = match &record.statement {
                Some(statement) if ran && was_seen => {
                    let unused = |rule: &&str| statement.unused.iter().any(|unused| unused == rule);
                    Noted::Found(
                        record.creator,
                        waived.iter().map(|found| found.rule).filter(unused).collect(),
                    )
                }
                _ => Noted::Nothing,
            };
            (broken, look)
        }
        Err(error) => ([BrokenPromise::new("record", format!("{error:#}"))].into(), Noted::Unread),
    };
    let (id, root) = (id_of(slot), slot.root().to_owned());
    Some(VerifyReport { id, root, holds: broken.is_empty(), broken, look })
}

/// What is said of a container of which nothing could be inspected.
const UNSEEN: [&str; 2] = ["record", "verify"];

fn inspect(
    slot: &Slot,
    record: &Record,
    credentials: &Credentials,
    survey: &Survey,
) -> Result<BTreeSet<BrokenPromise>> {
    let stands = |why: String| Ok(BTreeSet::from([BrokenPromise::new("record", why)]));
    if !slot.has_container() {
        return stands("the runtime has no container of that id".into());
    }
    let Some(init) = record.init else { return stands("it is not sealed yet: it was not started".into()) };
    let process = init.dir();
    if !init.runs() {
        return stands(format!("it is stopped: its init process {} has ended", init.pid));
    }
    let netns = OpenNetns::of(&process)?;
    let mut broken = BTreeSet::new();
    if record.sealed.as_ref().is_some_and(|sealed| sealed.netns != netns.id()) {
        let why = format!("process {} left the namespace that was sealed", init.pid);
        broken.insert(BrokenPromise::new("network-namespace", why));
    }
    broken.extend(runtime_state::inspect(slot, record, init.pid));
    broken.extend(network::inspect(slot, record, &process, &netns, survey)?);
    if record.confined {
        let maps = user_namespace::maps_with_host_root(&process)?.into_iter();
        broken.extend(maps.map(|map| {
            let why = format!("the machine's root is in its user namespace ({map}), which confines nothing");
            BrokenPromise::new("host-capabilities", why)
        }));
    }
    let members = members(init.pid, &survey.processes)?;
    broken.extend(foreign_processes::find(survey, slot, init.pid, netns.id(), &members)?);
    broken.extend(devices::allowed(init.pid)?);
    let mut inspector = ProcessInspector::new(&process, netns.id(), credentials, record, survey)?;
    for pid in members {
        broken.extend(inspector.inspect(pid)?);
    }
    Ok(broken)
}
