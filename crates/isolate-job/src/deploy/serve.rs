//! From a model's data to a container that serves it, until it is stopped. This process never had credentials in its environment. A container
//! whose isolation does not hold is removed, and the model is not served.

use core::net::SocketAddr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::health::is_healthy;
use super::stop::Stop;
use super::{Options, container, fail};
use crate::client::{self, DEADLINE, Patience};
use crate::engine::{Container, Engine, Inspected, exit_code, ids, inspected};
use crate::foreground::unstopped;
use crate::settings::Settings;
use crate::shutdown;
use crate::status::{Deployment, Exit};
use crate::store::Job;
use crate::train::{now, verify};

/// Between two looks.
const TICK: Duration = Duration::from_millis(200);

/// More than a container may run.
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The container of a model.
pub(crate) struct Served<'s> {
    job: &'s Job,
    engine: Engine,
    container: Container,
    stop: Stop,
    /// Whether it may run without the proof of its isolation.
    is_in_doubt: bool,
    /// What the engine answers when the container has ended.
    ended: Receiver<Result<String, client::Failed>>,
}

/// Serves a model whose data is here. `ready` is told its address. Stdin is the lock of the model's directory.
///
/// # Errors
/// What cannot be kept in the status. A model that cannot be served is an answer.
pub fn serve(job: &Job, settings: &Settings, options: &Options, ready: impl Fn(SocketAddr)) -> Result<Exit> {
    if !job.is_supervised()? {
        bail!("{} is not being deployed; run `isolate-job deploy`", job.name);
    }
    let mut served = Served::new(job, container(job, settings, options)?, settings.engine())?;
    let done = served.start().and_then(|found| served.run(&found, options.startup(), ready));
    let cleared = served.clear(io::stderr());
    match both(done, cleared) {
        Ok(()) => {
            job.clone().remove()?;
            Ok(Exit::Completed)
        }
        // Its endpoint is deployed again.
        Err(why) if shutdown::is_under_way() => Err(why.context("the host is shutting down")),
        Err(why) => {
            fail(job, &format!("{why:#}"))?;
            Ok(Exit::Failed)
        }
    }
}

/// How it ended, and whether its container could be removed.
fn both(done: Result<()>, cleared: Result<()>) -> Result<()> {
    match (done, cleared) {
        (Err(why), Err(left)) => Err(anyhow!("{why:#}; {left:#}")),
        (done, cleared) => done.and(cleared),
    }
}

/// Removes what is left of a model that is not served any more. Whether it was that: not if it is served, or something else.
///
/// # Errors
/// The engine's, or the system's.
pub fn remove(job: Job, settings: &Settings) -> Result<bool> {
    let Some(_lock) = job.lock_if_free()? else { return Ok(false) };
    // Another one may have got the name meanwhile.
    if job.status::<Deployment>().is_err() {
        return Ok(false);
    }
    clear(&job.name, &settings.engine())?;
    job.remove()?;
    Ok(true)
}

/// Removes its containers.
pub(crate) fn clear(name: &str, engine: &Engine) -> Result<()> {
    for id in ids(&client::run(&engine.list(name), DEADLINE)?)? {
        client::run(&engine.remove(&[id]), DEADLINE)?;
    }
    Ok(())
}

impl<'s> Served<'s> {
    pub(crate) fn new(job: &'s Job, container: Container, engine: Engine) -> Result<Self> {
        Ok(Self { job, engine, container, stop: Stop::new(job)?, is_in_doubt: false, ended: channel().1 })
    }

    /// A container that runs, and is isolated.
    pub(crate) fn start(&mut self) -> Result<Inspected> {
        let name = self.container.name();
        clear(&self.job.name, &self.engine)?;
        client::run(&self.container.create(&self.engine).map_err(anyhow::Error::msg)?, DEADLINE)?;
        // Before any of its code can run.
        self.inspect()?.is(&self.container, &self.engine).map_err(anyhow::Error::msg)?;
        self.is_in_doubt = true;
        client::run(&self.engine.start(&name), DEADLINE)?;
        self.log()?;
        let found = self.inspect()?;
        if let Err(why) = verify(&found.id) {
            let state = self.inspect()?.state;
            if state.status == "running" {
                bail!("the isolation of the container does not hold: {why}");
            }
            bail!("the container ended with status {}", state.exit_code);
        }
        self.is_in_doubt = false;
        let (tell, ended) = channel();
        let wait = self.engine.wait(&name);
        thread::spawn(move || tell.send(client::run(&wait, YEARS)));
        self.ended = ended;
        Ok(found)
    }

    fn inspect(&self) -> Result<Inspected> {
        Ok(inspected(&client::run(&self.engine.inspect(&self.container.name()), DEADLINE)?)?)
    }

    /// All that the container writes goes into its log.
    fn log(&self) -> Result<()> {
        let path = self.job.log("model");
        let cannot = || format!("cannot write {}", path.display());
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).with_context(cannot)?;
        let mut command = client::command(&self.engine.logs(&self.container.name()));
        command.stdout(file.try_clone().with_context(cannot)?).stderr(file);
        let mut child = command.spawn().context("cannot follow the log of the container")?;
        thread::spawn(move || child.wait());
        Ok(())
    }

    fn run(&self, found: &Inspected, startup: Duration, ready: impl Fn(SocketAddr)) -> Result<()> {
        let Some(address) = self.healthy(found, startup)? else { return self.end() };
        let mut status: Deployment = self.job.status()?;
        status.in_service(address, now());
        self.job.set_status(&status)?;
        ready(address);
        while !self.is_over()? {}
        status.deleting(now());
        self.job.set_status(&status)?;
        self.end()
    }

    /// Its address when it is healthy; none if it is to be stopped.
    pub(crate) fn healthy(&self, found: &Inspected, startup: Duration) -> Result<Option<SocketAddr>> {
        let address = found.address().context("the engine did not publish port 8080 of the container")?;
        let until = Instant::now() + startup;
        while !is_healthy(address) {
            if Instant::now() > until {
                let seconds = startup.as_secs();
                bail!(
                    "the container did not pass the health check: GET /ping was not answered with 200 within {seconds} s"
                );
            }
            if self.is_over()? {
                return Ok(None);
            }
        }
        Ok(Some(address))
    }

    /// Whether it is to be stopped; waits a moment.
    pub(crate) fn is_over(&self) -> Result<bool> {
        match self.ended.recv_timeout(TICK) {
            Ok(answer) => bail!("the container ended with status {}", exit_code(&answer?)?),
            Err(RecvTimeoutError::Disconnected) => bail!("the container's end is not known"),
            Err(RecvTimeoutError::Timeout) => Ok(self.stop.is_requested()),
        }
    }

    /// Removes it. One that may run without the proof of its isolation is not left alone, whatever the engine answers: `notes` is told, once,
    /// that it is waited for.
    pub(crate) fn clear(&self, mut notes: impl Write) -> Result<()> {
        let mut patience = Patience::default();
        loop {
            let Err(error) = clear(&self.job.name, &self.engine) else { return Ok(()) };
            let error = error.context("the container cannot be removed");
            if !self.is_in_doubt || self.has_ended() {
                return Err(error);
            }
            patience.wait(|| {
                let container = self.container.name();
                // A reader that has gone away is no reason to leave it, nor is a terminal that stops who writes.
                let _ = unstopped(|| {
                    writeln!(
                        notes,
                        "isolate-job: {error:#}; {container} may run without proof of its isolation, so its removal is tried again until it succeeds"
                    )
                });
            });
        }
    }

    /// Whether it is known not to run.
    fn has_ended(&self) -> bool {
        self.inspect().is_ok_and(|found| found.state.pid == 0)
    }

    /// SIGTERM, and SIGKILL after 30 s.
    pub(crate) fn end(&self) -> Result<()> {
        let seconds = self.container.stop_timeout;
        let deadline = DEADLINE + Duration::from_secs(seconds.into());
        client::run(&self.engine.stop(&self.container.name(), seconds), deadline)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    /// Two processes that have seen the same model that failed: the second one does not remove what the first one has created.
    #[test]
    fn what_is_left_of_a_model_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        // An engine that has no container.
        let settings = Settings { engine_path: Some("true".to_owned()), ..Settings::default() };
        let create = || store.create_with("a", b"{}", &Deployment::new(now()), |_| Ok(())).unwrap();
        drop(create());
        let (first, second) = (store.job("a").unwrap(), store.job("a").unwrap());
        assert!(remove(first, &settings).unwrap());
        let (_created, lock) = create();
        assert!(!remove(second, &settings).unwrap() && store.job("a").is_ok());
        drop(lock);
        assert!(remove(store.job("a").unwrap(), &settings).unwrap() && store.job("a").is_err());
        store.create("a", b"{}", &json!({ "TrainingJobArn": "x" })).unwrap();
        assert!(!remove(store.job("a").unwrap(), &settings).unwrap() && store.job("a").is_ok());
    }
}
