//! Whether a model can be served here. Everything that can be refused is refused before its directory is created.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::serve;
use crate::check::{self, Host};
use crate::plan::steps_of_model;
use crate::request::{ContainerDefinition, Refusals, Refused, Request, read};
use crate::settings::Settings;
use crate::stage;
use crate::status::Deployment;
use crate::store::{Job, Lock, NotCreated, Store};
use crate::train::{NotAccepted, host_unless, in_use, now};

/// Accepts a request: its directory is created, and locked. What is left of a model of that name that is not served any more is replaced.
/// While its image is pulled, the file `until` stops it; from then on, a request to stop it does.
///
/// # Errors
/// Why it is refused; nothing was created.
pub fn accept(text: &[u8], settings: &Settings, until: Option<&Path>) -> Result<(Job, Lock), NotAccepted> {
    check::check(text, &Host { settings: settings.clone() })?;
    let Request::Model(document) = read(text)? else {
        let why = "is not a model; give the document of create-model".to_owned();
        return Err(Refusals::from(Refused { path: String::new(), why }).into());
    };
    let unknown = settings.unknown_subnets(document.data.vpc_config.as_ref());
    if !unknown.is_empty() {
        return Err(Refusals(unknown).into());
    }
    let name = &document.data.model_name;
    let container = &document.data.primary_container;
    let store = Store::new(&settings.state);
    let left = store.job(name).ok();
    if let Some(job) = &left
        && (job.status::<Deployment>().is_err() || job.is_supervised()?)
    {
        return Err(in_use(name, settings));
    }
    if !steps_of_model(&document.data).map_err(anyhow::Error::msg)?.is_empty() {
        stage::verifiable(settings).map_err(NotAccepted::Host)?;
    }
    let is_stopped = || until.is_some_and(Path::exists);
    host_unless(&container.image, "PrimaryContainer.Image", settings, is_stopped)?;
    if let Some(job) = left
        && !serve::remove(job, settings)?
    {
        return Err(in_use(name, settings));
    }
    let created = store.create_with(name, text, &Deployment::new(now()), |job| fill(job, container));
    created.map_err(|error| match error {
        NotCreated::InUse(_) => in_use(name, settings),
        NotCreated::Failed(error) => NotAccepted::Failed(error),
    })
}

/// What its container has.
fn fill(job: &Job, container: &ContainerDefinition) -> Result<()> {
    let variables: String =
        container.environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    job.replace("environment", variables.as_bytes())?;
    for name in ["opt-ml", "opt-ml/model"] {
        let path = job.path(name);
        let cannot = || format!("cannot create {}", path.display());
        fs::create_dir(&path).with_context(cannot)?;
        // The program may run as any user; the directory above keeps others out.
        fs::set_permissions(&path, Permissions::from_mode(0o777)).with_context(cannot)?;
    }
    Ok(())
}
