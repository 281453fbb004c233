//! `isolate-job listen`: the SageMaker API on this host, for unmodified AWS SDKs. Every request is signed with a key of this host; sizes, times and
//! numbers of requests are bounded. A caller can start containers, as with the engine's own socket.

mod endpoints;
mod invoke;
mod keys;
mod logs;
mod models;
mod operations;
mod page;
mod server;
mod sigv4;
mod tags;
mod training;
mod transform;
mod tuning;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::settings::Settings;
use crate::stager;
use crate::store::Store;

/// What operations act on.
#[derive(Debug)]
pub(crate) struct Platform {
    settings: Settings,
    /// This program, which trains and deploys.
    program: PathBuf,
    /// The settings file that it is given.
    config: Option<PathBuf>,
    jobs: Store,
    models: Store,
    configs: Store,
    endpoints: Store,
}

impl Platform {
    fn new(settings: Settings, config: Option<PathBuf>, program: PathBuf) -> Self {
        // No name of a job begins with a dot.
        let documents = |kind: &str| Store::new(format!("{}/.{kind}", settings.state));
        let models = Store::of_models(&settings.state);
        let (configs, endpoints) = (documents("endpoint-configs"), documents("endpoints"));
        Self { jobs: Store::new(&settings.state), models, configs, endpoints, program, config, settings }
    }
}

/// Reads the file of access keys.
///
/// # Errors
/// Why no listener would start with it.
pub fn has_keys(settings: &Settings) -> Result<()> {
    keys::Keys::open(settings.listen.keys.as_ref()).map(drop)
}

/// Answers requests until SIGTERM or SIGINT. Jobs and endpoints go on.
///
/// # Errors
/// The keys cannot be read, or the address is taken.
pub fn listen(settings: Settings, config: Option<&Path>) -> Result<()> {
    stager::protect().context("cannot protect the credentials in this process")?;
    let keys = keys::Keys::open(settings.listen.keys.as_ref())?;
    let address = settings.listen.address;
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let platform = Platform::new(settings, config.map(Path::to_owned), program);
    platform.jobs.make()?;
    endpoints::resume(&platform)?;
    // One thread for connections; operations, which read files and start programs, have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(server::MOST_OPERATIONS)
        .build()
        .context("cannot start the listener")?;
    let served = runtime.block_on(server::serve(address, keys, platform));
    // Operations that are under way end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}
