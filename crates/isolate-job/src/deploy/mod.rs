//! `isolate-job deploy`: serves a model until it is stopped. This process, which the user started, has the credentials while the model's
//! data is transferred; then it becomes one without them ([`serve()`]), which creates the container.

mod accept;
mod data;
mod health;
mod serve;
mod stop;

use core::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bars::Bars;
use crate::client;
use crate::engine::{Container, Network};
use crate::foreground::ShellGroup;
use crate::request::read_model;
use crate::settings::Settings;
use crate::stager;
use crate::status::{Deployment, Exit};
use crate::store::{Job, Lock};
use crate::train::now;

pub use accept::accept;
pub(crate) use data::{Transferred, run};
pub(crate) use serve::{Served, clear};
pub use serve::{remove, serve};

/// How a model is served.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where /ping and /invocations are answered; port 0 is one that the engine chooses
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// In how many seconds the container has to be healthy (ContainerStartupHealthCheckTimeoutInSeconds)
    #[arg(long, value_name = "SECONDS", default_value_t = 240, value_parser = clap::value_parser!(u32).range(60..=3600))]
    startup_timeout: u32,
    /// The container has the limits that the settings have for this InstanceType
    #[arg(long, value_name = "TYPE")]
    instance_type: Option<String>,
}

impl Options {
    fn startup(&self) -> Duration {
        Duration::from_secs(self.startup_timeout.into())
    }

    fn flags(&self) -> Vec<String> {
        let mut flags =
            vec![format!("--listen={}", self.listen), format!("--startup-timeout={}", self.startup_timeout)];
        flags.extend(self.instance_type.as_ref().map(|name| format!("--instance-type={name}")));
        flags
    }
}

/// Transfers the data of a model that was accepted, and becomes the process that serves it.
///
/// # Errors
/// The next process could not be started. A transfer that failed is an answer.
pub fn deploy(job: &Job, lock: Lock, options: &Options, config: Option<&Path>, json: bool) -> Result<Exit> {
    stager::protect().context("cannot protect the credentials in this process")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let bars = if json { None } else { Bars::of_stderr(ShellGroup::Own) };
    match data::transfer(job, &program, config, bars)? {
        data::Transferred::Complete => {}
        data::Transferred::Stopped => {
            job.clone().remove()?;
            return Ok(Exit::Completed);
        }
        data::Transferred::Failed(why) => {
            fail(job, &why)?;
            return Ok(Exit::Failed);
        }
    }
    let mut command = Command::new(&program);
    command.env_clear().envs(client::environment()).stdin(Stdio::from(lock));
    command
        .args(flags(config))
        .args(json.then_some("--json"))
        .arg("serve")
        .args(options.flags())
        .arg(&job.name);
    Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
}

pub(crate) fn flags(config: Option<&Path>) -> Vec<PathBuf> {
    config.map(|path| vec![PathBuf::from("--config"), path.to_owned()]).unwrap_or_default()
}

/// Keeps why a model is not served. Its data is of no more use.
fn fail(job: &Job, why: &str) -> Result<()> {
    let mut status: Deployment = job.status()?;
    status.fail(why, now());
    job.set_status(&status)?;
    job.remove_data(&["opt-ml".to_owned()])
}

/// Why a model is not served, of one that failed.
///
/// # Errors
/// The system's.
pub fn failure(job: &Job) -> Result<String> {
    Ok(job.status::<Deployment>()?.failure_reason.unwrap_or_default())
}

/// The container's environment and the settings' limits.
fn container(job: &Job, settings: &Settings, options: &Options) -> Result<Container> {
    let document = read_model(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
    let mut container = settings.container(&document.data, options.instance_type.as_deref());
    container.network = Network::Serve(options.listen);
    Ok(container)
}
