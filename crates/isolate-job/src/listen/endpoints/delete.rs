//! DeleteEndpoint: the deployment is stopped wherever it is, even while its image is pulled, and nothing of it appears afterwards.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Endpoint, Named, served};
use crate::deploy;
use crate::listen::Platform;
use crate::listen::models::found;
use crate::listen::server::note;
use crate::listen::wire::Failure;
use crate::request::read_as;
use crate::settings::Settings;
use crate::store::{Job, Store};

/// How often it is looked whether a deployment has ended.
const TICK: Duration = Duration::from_millis(100);

/// When a deletion that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

pub(in crate::listen) fn delete(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { endpoint_name: name } = read_as("DeleteEndpoint", body)?.data;
    let document = found(&platform.endpoints, "endpoint", &name)?;
    let mut endpoint: Endpoint = document.status()?;
    if endpoint.is_deleted {
        return Err(Failure::validation(format!("Cannot update endpoint {name:?}: it is being deleted.")));
    }
    endpoint.is_deleted = true;
    document.set_status(&endpoint)?;
    remove(platform, document);
    Ok(Value::Null)
}

/// Stops a deployment, and removes it and its document when it has ended.
pub(super) fn remove(platform: &Platform, document: Job) {
    let (jobs, settings) = (platform.jobs.clone(), platform.settings.clone());
    thread::spawn(move || {
        while let Err(error) = end(&jobs, &document, &settings).and_then(|()| document.clone().remove()) {
            note(&format!("cannot delete endpoint {} yet: {error:#}", document.name));
            thread::sleep(RETRY);
        }
    });
}

/// Ends the deployment of an endpoint, wherever it is. One that is served removes itself.
fn end(jobs: &Store, document: &Job, settings: &Settings) -> anyhow::Result<()> {
    // It is to be seen by `deploy` while the image is pulled.
    document.request_stop()?;
    loop {
        // Before it ends, there is what it has deployed.
        let is_deploying = document.is_supervised()?;
        match served(jobs, &document.name) {
            Some((deployment, _)) => end_served(deployment, settings)?,
            None if !is_deploying => return Ok(()),
            None => thread::sleep(TICK),
        }
    }
}

fn end_served(deployment: Job, settings: &Settings) -> anyhow::Result<()> {
    let is_there = || deployment.path("request.json").exists();
    if let Err(error) = deployment.request_stop()
        && is_there()
    {
        return Err(error);
    }
    loop {
        match deployment.is_supervised() {
            Ok(true) => thread::sleep(TICK),
            Ok(false) => break,
            Err(_) if !is_there() => break,
            Err(error) => return Err(error),
        }
    }
    if is_there() { deploy::remove(deployment, settings).map(drop) } else { Ok(()) }
}
