//! Each way twice, without and with the annotation. Ways that ask an engine for the same share a container.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use super::call::{Called, Turn, call};
use super::deed::{Deed, Reply};
use super::engine::{Request, TriedEngine};
use super::site::Site;
use super::verdict::{ContainerOutcome, Verdict, judge};
use super::way::{Ask, Way, When};

/// How many containers run at a time; an engine creates no more in parallel for it.
const AT_ONCE: usize = 3;

/// Ways with the same options.
struct Group {
    when: When,
    asks: Vec<Ask>,
    ways: Vec<&'static Way>,
}

impl Group {
    /// The same verdict on all.
    fn all(&self, verdict: &Verdict) -> Vec<(&'static str, Verdict)> {
        self.ways.iter().map(|way| (way.name, verdict.clone())).collect()
    }
}

/// The verdict on each of the ways, in their order.
///
/// # Errors
/// It was interrupted.
pub(super) fn try_all(
    engine: &dyn TriedEngine,
    site: &Site,
    ways: &[&'static Way],
    turn: &Turn<'_>,
) -> Result<Vec<(&'static Way, Verdict)>> {
    let groups = groups(site, ways);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdicts = match turn.must_last() {
                        Ok(()) => try_group(engine, site, group),
                        Err(why) => group.all(&Verdict::Failed(why.to_string())),
                    };
                    if let Ok(mut found) = found.lock() {
                        found.extend(verdicts);
                    }
                }
            });
        }
    });
    if turn.is_interrupted() {
        bail!("interrupted");
    }
    let mut verdicts = found.into_inner().unwrap_or_default();
    let take = |way: &&'static Way| {
        let verdict = verdicts.remove(way.name).with_context(|| format!("{} was not tried", way.name))?;
        Ok((*way, verdict))
    };
    ways.iter().map(take).collect()
}

fn groups(site: &Site, ways: &[&'static Way]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for way in ways {
        let asks = (way.asks)(site);
        match groups.iter_mut().find(|group| group.when == way.when && group.asks == asks) {
            Some(group) => group.ways.push(way),
            None => groups.push(Group { when: way.when, asks, ways: vec![way] }),
        }
    }
    groups
}

fn try_group(engine: &dyn TriedEngine, site: &Site, group: &Group) -> Vec<(&'static str, Verdict)> {
    let mut deeds = BTreeMap::new();
    let mut verdicts = Vec::new();
    for way in &group.ways {
        match (way.deed)(site, engine.peer()) {
            Ok(deed) => drop(deeds.insert(way.name, deed)),
            Err(why) => verdicts.push((way.name, Verdict::NotShown(why))),
        }
    }
    let Some(first) = deeds.keys().next() else { return verdicts };
    let outcome = |name: &str, isolated| {
        let done = outcome(engine, group, &deeds, name, isolated);
        done.unwrap_or_else(|error| ContainerOutcome::Failed(format!("{error:#}")))
    };
    let control = outcome(&format!("{first}-without"), false);
    let isolated = outcome(&format!("{first}-with"), true);
    // Of one that is there afterwards, there was something to reach.
    let has_peer = engine.has_peer();
    let tried = group.ways.iter().filter(|way| deeds.contains_key(way.name));
    verdicts.extend(tried.map(|way| {
        let verdict = judge(way, &site.word, &control, &isolated);
        (way.name, if has_peer { verdict } else { without_peer(verdict) })
    }));
    verdicts
}

/// What leads nowhere by itself is not closed. What is open is open.
fn without_peer(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Open(_) => verdict,
        _ => Verdict::Failed("the container that answers has ended meanwhile".into()),
    }
}

/// What becomes of a container.
///
/// # Errors
/// The engine's client cannot be run, or does not end.
fn outcome(
    engine: &dyn TriedEngine,
    group: &Group,
    deeds: &BTreeMap<&str, Deed>,
    name: &str,
    isolated: bool,
) -> Result<ContainerOutcome> {
    let document = serde_json::to_string(deeds)?;
    let words = ["try", &document];
    let request = |words| Request { name, isolated, asks: &group.asks, words };
    match group.when {
        When::Start => Ok(read(&engine.run(&request(&words))?)),
        When::Later => {
            let started = engine.start(&request(&["wait"]))?;
            if !started.is_well() {
                return Ok(read(&started));
            }
            // Before the network is connected, which `isolatectl verify` rightly complains of.
            let verified = verify(started.out.trim());
            let tried = engine.connect(name).and_then(|()| engine.exec(&request(&["wait"]), &words));
            let mut said =
                tried.map_or_else(|error| ContainerOutcome::Failed(format!("{error:#}")), |said| read(&said));
            if let ContainerOutcome::Ran(replies) = &mut said {
                // What was not found out is not closed.
                let verified = verified.unwrap_or_else(|error| Reply::Untried(format!("{error:#}")));
                replies.insert(RECORD.to_owned(), verified);
            }
            engine.remove(name)?;
            Ok(said)
        }
    }
}

/// The way that is not tried in the container.
const RECORD: &str = "record";

/// Whether a container is *not* isolated, by the record and by what is seen of it from outside. A shim of another version
/// leaves another record.
///
/// # Errors
/// It was not found out.
fn verify(id: &str) -> Result<Reply> {
    let called = call("/proc/self/exe", &["verify", id], None)?;
    Ok(if called.is_well() { Reply::Shut("verified".into()) } else { Reply::Done(called.why()) })
}

/// What an engine's client said of a container.
fn read(called: &Called) -> ContainerOutcome {
    if called.is_well() {
        return match serde_json::from_str::<BTreeMap<String, Reply>>(&called.out) {
            Ok(replies) => ContainerOutcome::Ran(replies),
            Err(error) => {
                ContainerOutcome::Failed(format!("the container did not answer: {error}: {}", called.why()))
            }
        };
    }
    // One line of what the client printed.
    let refusal = called.err.split_once("oci-isolate: container ").and_then(|(_, rest)| {
        let (_, refusal) = rest.lines().next()?.split_once(" not created: ")?;
        Some(refusal.trim_end_matches(": unknown"))
    });
    match refusal {
        Some(refusal) => ContainerOutcome::Refused(refusal.to_owned()),
        None => ContainerOutcome::Failed(called.why()),
    }
}
