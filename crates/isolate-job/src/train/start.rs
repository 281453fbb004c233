//! The start of containers that were created, and the proof that they are isolated. Whatever happens in between, none is left to run
//! without the proof, and what it wrote is not uploaded. There is one exception, see [`Supervisor::prove`].

use std::fs;
use std::io;
use std::thread;

use anyhow::{Context, Result};

use super::isolation::{self, Unproven};
use super::transfer::TICK;
use super::{Problem, Supervisor};
use crate::client::{self, DEADLINE, Patience};
use crate::engine::Inspected;

/// Another text after each start of the host.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// How often a container of several is verified, at most.
const PEERS_SETTLE: u32 = 10;

/// Where a container is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Created,
    Running,
    Ended,
}

impl Supervisor {
    /// Whether the containers were started before the host was. An engine may show them as ended, with any status, or as not started.
    pub(super) fn was_restarted(&self) -> Result<bool> {
        let now = fs::read(BOOT).with_context(|| format!("cannot read {BOOT}"))?;
        let path = self.job.path("boot");
        match fs::read(&path) {
            Ok(then) => Ok(then != now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.job.replace("boot", &now)?;
                Ok(false)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Starts the containers and proves that they are isolated; the answers are about their logs. If the engine does not answer while some may
    /// run without proof, it is waited for. The job is interrupted then, by proven containers only.
    pub(super) fn start_proven(
        &mut self,
        all: &[Inspected],
        places: &[Place],
    ) -> Result<Vec<Result<()>>, Problem> {
        let is_left = self.job.is_proof_expected()?;
        let is_expected = is_left || places.contains(&Place::Created);
        if is_expected {
            self.job.expect_proof()?;
        }
        let mut followed = Vec::new();
        let done = self.start(places).and_then(|()| {
            // Each is an engine's client that starts: at the same time as the proof. What one that does not hold writes is in its log.
            followed = (0..all.len()).map(|index| self.follow(index)).collect();
            (0..all.len()).try_for_each(|index| self.prove(index, &all[index].id, !is_left))
        });
        match done {
            Err(Problem::Interrupted(error)) if is_expected => {
                self.outlast(all)?;
                self.job.trust()?;
                Err(Problem::Interrupted(error))
            }
            done => {
                done?;
                if is_expected {
                    self.job.trust()?;
                }
                Ok(followed)
            }
        }
    }

    /// Fails if another supervisor has left containers without proof: what they wrote is not uploaded.
    pub(super) fn must_be_proven(&self, why: &str) -> Result<(), Problem> {
        if self.job.is_proof_expected()? { Err(unproven(why)) } else { Ok(()) }
    }

    /// The containers that another supervisor has created; see [`Supervisor::find`]. One that it has not proven may run.
    pub(super) fn find_left(&self) -> Result<Option<Vec<Inspected>>, Problem> {
        if self.job.is_proof_expected()? { self.insist(Self::find) } else { self.find() }
    }

    /// Repeats what takes an engine, until it answers.
    fn insist<T>(&self, mut act: impl FnMut(&Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut patience = Patience::default();
        loop {
            match act(self) {
                Err(Problem::Interrupted(error)) => patience.wait(|| self.view.note(&self.in_doubt(&error))),
                done => return done,
            }
        }
    }

    /// Proves all: by what the shim has written as long as the engine does not answer. Those that it has not started are started.
    fn outlast(&self, all: &[Inspected]) -> Result<(), Problem> {
        let mut open: Vec<_> = (0..all.len()).collect();
        self.insist(|this| {
            for index in std::mem::take(&mut open) {
                match isolation::verify(&all[index].id) {
                    Ok(()) => {}
                    Err(why) if this.is_verdict(&why) => return Err(this.broken(index, &why)),
                    Err(_) => open.push(index),
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            let Some(found) = this.find()? else { return Ok(()) };
            let places: Vec<_> = found.iter().map(|found| place(&found.state.status)).collect();
            this.start(&places)?;
            open.iter().try_for_each(|index| this.prove(*index, &all[*index].id, false))
        })
    }

    /// What is said while the engine is waited for.
    pub(super) fn in_doubt(&self, error: &anyhow::Error) -> String {
        let name = &self.job.name;
        format!(
            "{error:#}; containers of {name} may run without proof of their isolation, so the engine is asked until it answers"
        )
    }

    /// Starts all that were not started, at the same time.
    fn start(&self, places: &[Place]) -> Result<(), Problem> {
        let created = self.containers.iter().zip(places).filter(|(_, place)| **place == Place::Created);
        let all: Vec<_> = created.map(|(container, _)| container).collect();
        let failures: Vec<_> = thread::scope(|scope| {
            let start = |argv: Vec<String>| client::run(&argv, DEADLINE).map_err(|error| error.why);
            let started: Vec<_> = all
                .iter()
                .map(|container| (container.hostname.as_str(), self.engine.start(&container.name())))
                .map(|(host, argv)| (host, scope.spawn(move || start(argv))))
                .collect();
            let joined = started.into_iter().map(|(host, thread)| (host, thread.join()));
            joined
                .filter_map(|(host, done)| done.ok()?.err().map(|why| format!("cannot start {host}: {why}")))
                .collect()
        });
        match failures.into_iter().next() {
            None => Ok(()),
            Some(why) => Err(match self.problem(&why) {
                // An entry point that is not there, most of the time.
                Problem::Internal(why) => Problem::Client(why),
                problem => problem,
            }),
        }
    }

    /// A container is isolated. One that has ended can be verified no more; it had the shim as its runtime, and its annotations. That is
    /// enough if it ended under the supervisor that started it, or was proven before.
    fn prove(&self, index: usize, id: &str, may_have_ended: bool) -> Result<(), Problem> {
        let name = self.containers[index].name();
        // The peers of a container change when another one ends, a moment after it has ended.
        let mut attempts = if self.containers.len() > 1 { PEERS_SETTLE } else { 1 };
        loop {
            let Err(why) = isolation::verify(id) else { return Ok(()) };
            attempts -= 1;
            let is_verdict = self.is_verdict(&why);
            if !is_verdict {
                let gone = || Problem::Internal(format!("container {name} is gone"));
                let found = self.inspect(index)?.ok_or_else(gone)?;
                if place(&found.state.status) == Place::Ended {
                    let ended = format!("container {name} has ended");
                    return if may_have_ended { Ok(()) } else { Err(unproven(&ended)) };
                }
            }
            if is_verdict || attempts == 0 {
                return Err(self.broken(index, &why));
            }
            thread::sleep(TICK);
        }
    }

    /// Whether a container is not isolated, for sure: what was found does not become untrue when it ends.
    const fn is_verdict(&self, why: &Unproven) -> bool {
        match why {
            Unproven::Broken(_) => true,
            Unproven::Seal(_) => self.containers.len() == 1,
            Unproven::Unknown(_) => false,
        }
    }

    fn broken(&self, index: usize, why: &Unproven) -> Problem {
        let host = &self.containers[index].hostname;
        Problem::Internal(format!("the isolation of {host} does not hold: {why}"))
    }
}

/// The containers were left without proof.
fn unproven(why: &str) -> Problem {
    Problem::Internal(format!("{why}; the containers were not proven to be isolated before"))
}

/// By the words of both engines.
pub(super) fn place(status: &str) -> Place {
    match status {
        "created" | "configured" | "initialized" => Place::Created,
        "running" | "paused" | "restarting" | "stopping" | "removing" => Place::Running,
        _ => Place::Ended,
    }
}
