//! The start of containers that were created, and the proof that they are isolated. Whatever happens in between, none is left to run
//! without the proof, and what it wrote is not uploaded.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::isolation::{self, Unproven};
use super::transfer::TICK;
use super::{Problem, Supervisor};
use crate::client::{self, DEADLINE};
use crate::engine::Inspected;

/// Another text after each start of the host.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Between two questions to an engine that does not answer.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

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

    /// Starts the containers and proves that they are isolated; the answers are about their logs. If the engine does not answer, it is waited
    /// for: some may run. The job is interrupted then, by proven containers only.
    pub(super) fn start_proven(
        &mut self,
        all: &[Inspected],
        places: &[Place],
    ) -> Result<Vec<Result<()>>, Problem> {
        self.job.expect_proof()?;
        let mut followed = Vec::new();
        let done = self.start(places).and_then(|()| {
            // Each is an engine's client that starts: at the same time as the proof. What one that does not hold writes is in its log.
            followed = (0..all.len()).map(|index| self.follow(index)).collect();
            self.prove_all(all, places)
        });
        let interrupted = match done {
            Err(Problem::Interrupted(error)) => error,
            done => {
                done?;
                self.job.trust()?;
                return Ok(followed);
            }
        };
        self.view.note(&self.in_doubt(&interrupted));
        while let Err(problem) = self.start_again() {
            match problem {
                Problem::Interrupted(_) => thread::sleep(PAUSE),
                problem => return Err(problem),
            }
        }
        self.job.trust()?;
        Err(Problem::Interrupted(interrupted))
    }

    /// Starts those that the engine has not started, and proves all.
    fn start_again(&self) -> Result<(), Problem> {
        let Some(all) = self.find()? else { return Ok(()) };
        let places: Vec<_> = all.iter().map(|found| place(&found.state.status)).collect();
        self.start(&places)?;
        self.prove_all(&all, &places)
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

    fn prove_all(&self, all: &[Inspected], places: &[Place]) -> Result<(), Problem> {
        let mut running = all.iter().enumerate().filter(|(index, _)| places[*index] != Place::Ended);
        running.try_for_each(|(index, found)| self.prove(index, &found.id))
    }

    /// A container is isolated. One that ended before it could be verified had the shim as its runtime, and its annotations.
    fn prove(&self, index: usize, id: &str) -> Result<(), Problem> {
        let container = &self.containers[index];
        let gone = || Problem::Internal(format!("container {} is gone", container.name()));
        // The peers of a container change when another one ends, a moment after it has ended.
        let mut attempts = if self.containers.len() > 1 { PEERS_SETTLE } else { 1 };
        loop {
            let Err(unproven) = isolation::verify(id) else { return Ok(()) };
            attempts -= 1;
            // What was found does not become untrue when the container ends.
            let is_verdict = match unproven {
                Unproven::Broken(_) => true,
                Unproven::Seal(_) => self.containers.len() == 1,
                Unproven::Unknown(_) => false,
            };
            if !is_verdict {
                let found = self.inspect(index)?.ok_or_else(gone)?;
                if place(&found.state.status) == Place::Ended {
                    return Ok(());
                }
            }
            if is_verdict || attempts == 0 {
                let host = &container.hostname;
                return Err(Problem::Internal(format!("the isolation of {host} does not hold: {unproven}")));
            }
            thread::sleep(TICK);
        }
    }
}

/// By the words of both engines.
pub(super) fn place(status: &str) -> Place {
    match status {
        "created" | "configured" | "initialized" => Place::Created,
        "running" | "paused" | "restarting" | "stopping" | "removing" => Place::Running,
        _ => Place::Ended,
    }
}
