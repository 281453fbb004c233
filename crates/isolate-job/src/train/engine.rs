//! The engine, as a job uses it: a command that fails is the job's failure if the engine answers at all, and an interruption if not.

use std::path::Path;
use std::thread;

use super::transfer::TICK;
use super::{Problem, Supervisor};
use crate::client::{self, DEADLINE};
use crate::engine::{Engine, Inspected, Network, Subnet, ids, inspected};

/// Removes what an engine still has of a job that has ended: a container of it may still run.
///
/// # Errors
/// The engine's.
pub(crate) fn remove_leftovers(engine: &Engine, job: &str) -> anyhow::Result<()> {
    for id in ids(&client::run(&engine.list(job), DEADLINE)?)? {
        client::run(&engine.remove(&[id]), DEADLINE)?;
    }
    Ok(())
}

impl Supervisor {
    pub(super) fn ask(&self, argv: &[String]) -> Result<String, Problem> {
        client::run(argv, DEADLINE).map_err(|error| self.problem(&error.to_string()))
    }

    /// What an error means.
    pub(super) fn problem(&self, error: &str) -> Problem {
        match client::run(&self.engine.version(), DEADLINE) {
            Ok(_) => Problem::Internal(error.to_owned()),
            Err(gone) => Problem::Interrupted(anyhow::anyhow!("the engine does not answer: {gone}")),
        }
    }

    /// What the engine knows of a container; `None` if it has none of that name.
    pub(super) fn inspect(&self, index: usize) -> Result<Option<Inspected>, Problem> {
        let argv = self.engine.inspect(&self.containers[index].name());
        let answer = match client::run(&argv, DEADLINE) {
            Ok(answer) => answer,
            Err(error) => match self.problem(&error.to_string()) {
                // It answers now, and may not have answered then.
                Problem::Internal(_) => match client::run(&argv, DEADLINE) {
                    Ok(answer) => answer,
                    Err(_) => return Ok(None),
                },
                problem => return Err(problem),
            },
        };
        inspected(&answer).map(Some).map_err(|error| Problem::Internal(error.to_string()))
    }

    /// Begins to remove the containers that this process has created and their network, while their results are uploaded.
    pub(super) fn begin_removal(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let mut all = vec![self.engine.remove(&std::mem::take(&mut self.ids))];
        all.extend(self.has_network().then(|| self.engine.remove_network(&self.job.name)));
        let remove = move || all.iter().all(|argv| client::run(argv, DEADLINE).is_ok());
        self.removal = Some(thread::spawn(remove));
    }

    /// Removes the job's containers and its network, if there are any.
    pub(super) fn clear(&mut self) -> Result<(), Problem> {
        if self.removal.take().is_some_and(|removal| removal.join().unwrap_or_default()) {
            return Ok(());
        }
        self.remove_containers()?;
        if self.has_network() && client::run(&self.engine.inspect_network(&self.job.name), DEADLINE).is_ok() {
            self.ask(&self.engine.remove_network(&self.job.name))?;
        }
        Ok(())
    }

    fn has_network(&self) -> bool {
        self.containers.iter().any(|container| container.network == Network::Job)
    }

    /// Whether a container runs, or may run.
    pub(super) fn any_runs(&self) -> bool {
        let runs =
            |index| self.inspect(index).map_or(true, |found| found.is_some_and(|found| found.state.pid != 0));
        (0..self.containers.len()).any(runs)
    }

    /// Removes each container, whatever becomes of the others.
    fn remove_containers(&self) -> Result<(), Problem> {
        let listed = self.ask(&self.engine.list(&self.job.name))?;
        let all = ids(&listed).map_err(|error| Problem::Internal(error.to_string()))?;
        let removed: Vec<_> =
            all.iter().map(|id| self.ask(&self.engine.remove(std::slice::from_ref(id)))).collect();
        removed.into_iter().try_for_each(|one| one.map(drop))
    }

    /// Makes the job's network, and gives each container an address in it and the names of the others. An engine takes addresses only in
    /// a subnet that it was given, so the one that it has chosen itself is given to it.
    pub(super) fn connect(&mut self) -> Result<(), Problem> {
        if self.containers.iter().all(|container| container.network != Network::Job) {
            return Ok(());
        }
        let name = self.job.name.clone();
        let mut attempts = 0;
        let subnet = loop {
            self.ask(&self.engine.create_network(&name, None))?;
            let answer = self.ask(&self.engine.inspect_network(&name))?;
            let subnet = Subnet::read(&answer).map_err(Problem::Internal)?;
            self.ask(&self.engine.remove_network(&name))?;
            match self.ask(&self.engine.create_network(&name, Some(&subnet.to_string()))) {
                Ok(_) => break subnet,
                // Another network may have got it meanwhile.
                Err(Problem::Internal(_)) if attempts < 2 => attempts += 1,
                Err(problem) => return Err(problem),
            }
        };
        let addresses = subnet.addresses(self.containers.len()).map_err(Problem::Internal)?;
        let named: Vec<_> = self.hosts().into_iter().zip(addresses).collect();
        for (index, container) in self.containers.iter_mut().enumerate() {
            container.address = Some(named[index].1);
            container.peers = named.clone();
            container.peers.remove(index);
        }
        Ok(())
    }

    /// Creates the containers. One that a supervisor demanded before it was killed may appear only now and have the name of ours; it is
    /// removed, and all are created again.
    pub(super) fn create(&mut self) -> Result<(), Problem> {
        let mut attempts = 0;
        loop {
            match self.create_all() {
                Err(Problem::Internal(_)) if attempts < 2 => attempts += 1,
                created => {
                    self.created = created?;
                    self.ids = self.created.iter().map(|found| found.id.clone()).collect();
                    return Ok(());
                }
            }
            thread::sleep(TICK);
            self.remove_containers()?;
        }
    }

    /// Creates each container and looks at it before any of its code can run.
    fn create_all(&self) -> Result<Vec<Inspected>, Problem> {
        let mut all = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            let argv = container.create(&self.engine).map_err(Problem::Client)?;
            self.ask(&argv)?;
            let name = container.name();
            let gone = || Problem::Internal(format!("container {name} is gone"));
            let found = self.inspect(index)?.ok_or_else(gone)?;
            found.is(container, &self.engine).map_err(Problem::Internal)?;
            all.push(found);
        }
        Ok(all)
    }

    /// A directory on the host of a container.
    pub(super) fn directory(&self, host: &str) -> std::path::PathBuf {
        Path::new(self.job.directory()).join(host)
    }
}
