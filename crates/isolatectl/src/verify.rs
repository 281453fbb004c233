//! `isolatectl verify`: looks at a running container from outside, at every process of it and not only at init, and
//! names each promise that does not hold. What cannot be looked at does not hold.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::broken::Broken;
use super::exit::Exit;
use super::members::members;
use super::process::Looker;
use super::survey::Survey;
use super::unrecorded::Unrecorded;
use super::{devices, id_of, kept, open, print, print_json, strangers, users};
use oci_isolate::record::{Record, Slot};
use oci_isolate::seal::OpenNetns;
use oci_isolate::settings::Credentials;

#[derive(Serialize)]
struct Verdict {
    id: String,
    root: PathBuf,
    holds: bool,
    broken: BTreeSet<Broken>,
}

/// What is looked at: records, and containers that should have one.
pub(super) struct Wanted<'a> {
    pub(super) slots: &'a [Slot],
    pub(super) unrecorded: &'a [Unrecorded],
    pub(super) credentials: &'a Credentials,
}

pub(super) fn verify(wanted: &Wanted, json: bool) -> Result<Exit> {
    let survey = Survey::new()?;
    let recorded = wanted.slots.iter().filter_map(|slot| verdict(slot, wanted.credentials, &survey));
    let verdicts: Vec<_> = recorded.chain(wanted.unrecorded.iter().map(of_unrecorded)).collect();
    let all_hold = verdicts.iter().all(|verdict| verdict.holds);
    if json {
        print_json(&verdicts)?;
    } else {
        let mut text = String::new();
        for verdict in &verdicts {
            writeln!(text, "{}: {}", verdict.id, if verdict.holds { "holds" } else { "does not hold" })?;
            for Broken { rule, why } in &verdict.broken {
                writeln!(text, "  {rule}: {why}")?;
            }
        }
        print(&text)?;
    }
    Ok(Exit::ok_if(all_hold))
}

fn of_unrecorded(found: &Unrecorded) -> Verdict {
    let broken = [Broken::new("record", found.why.clone())].into();
    Verdict { id: found.id.clone(), root: found.root.clone(), holds: false, broken }
}

/// None for a record that went away meanwhile: its container was deleted.
fn verdict(slot: &Slot, credentials: &Credentials, survey: &Survey) -> Option<Verdict> {
    let broken = match slot.load() {
        Ok(record) => {
            let record = record?;
            look(slot, &record, credentials, survey)
                .unwrap_or_else(|error| [Broken::new("verify", format!("{error:#}"))].into())
        }
        Err(error) => [Broken::new("record", format!("{error:#}"))].into(),
    };
    let (id, root) = (id_of(slot), slot.root().to_owned());
    Some(Verdict { id, root, holds: broken.is_empty(), broken })
}

fn look(
    slot: &Slot,
    record: &Record,
    credentials: &Credentials,
    survey: &Survey,
) -> Result<BTreeSet<Broken>> {
    let stands = |why: String| Ok(BTreeSet::from([Broken::new("record", why)]));
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
        broken.insert(Broken::new("network-namespace", why));
    }
    broken.extend(kept::look(slot, record, init.pid));
    broken.extend(open::look(slot, record, &process, &netns, survey)?);
    if record.confined {
        let maps = users::of_machine(&process)?.into_iter();
        broken.extend(maps.map(|map| {
            let why = format!("the machine's root is in its user namespace ({map}), which confines nothing");
            Broken::new("host-capabilities", why)
        }));
    }
    let members = members(init.pid, &survey.processes)?;
    broken.extend(strangers::look(survey, slot, init.pid, netns.id(), &members)?);
    broken.extend(devices::allowed(init.pid)?);
    let mut looker = Looker::new(&process, netns.id(), credentials, record, survey)?;
    for pid in members {
        broken.extend(looker.look(pid)?);
    }
    // Not promised.
    broken.retain(|broken| !record.waived.iter().any(|waived| waived == broken.rule));
    Ok(broken)
}
