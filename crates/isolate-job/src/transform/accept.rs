//! Whether a transform job can be run here, with its model. Everything that can be refused is refused before the job is created.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use serde_json::json;

use super::{MODEL, OBJECTS};
use crate::check::{self, Host};
use crate::request::{
    BatchStrategy, Document, Model, Refusals, Refused, Request, TransformJob, read, read_model,
};
use crate::settings::Settings;
use crate::status::{Scope, TransformStatus};
use crate::store::{Job, NotCreated, Store};
use crate::train::{NotAccepted, host, in_use, now};

/// Accepts a request: the job is created. The model is the one that is given, or one that was created by the API. `region` is for the
/// job's ARN.
///
/// # Errors
/// Why the job is refused; nothing was created.
pub fn accept(
    text: &[u8],
    model: Option<&[u8]>,
    settings: &Settings,
    region: &str,
) -> Result<Job, NotAccepted> {
    let no = |path: &str, why: String| Refusals::from(Refused { path: path.to_owned(), why });
    check::check(text, &Host { settings: settings.clone() })?;
    let Request::Transform(document) = read(text)? else {
        return Err(
            no("", "is not a transform job; give the document of create-transform-job".to_owned()).into()
        );
    };
    let wanted = &document.data.model_name;
    let stored;
    let model = match (model, Store::of_models(&settings.state).job(wanted)) {
        (Some(model), _) => model,
        (None, Ok(found)) => {
            stored = found.request()?;
            &stored
        }
        (None, Err(_)) => {
            let why = format!(
                "there is no model {wanted:?}; create it by the API, or give its document with --model"
            );
            return Err(no("ModelName", why).into());
        }
    };
    check::check(model, &Host { settings: settings.clone() })?;
    let mut model = read_model(model)?;
    if model.data.model_name != *wanted {
        let why = format!(
            "is {wanted:?}, and the model's document has {:?}; give one of them",
            model.data.model_name
        );
        return Err(no("ModelName", why).into());
    }
    let Some(role) = model.data.execution_role_arn.clone() else {
        let why = "is missing in the document of the model; objects are transferred with its role";
        return Err(no("ExecutionRoleArn", why.to_owned()).into());
    };
    let unknown = settings.unknown_subnets(model.data.vpc_config.as_ref());
    if !unknown.is_empty() {
        return Err(Refusals(unknown).into());
    }
    let name = &document.data.transform_job_name;
    let store = Store::new(&settings.state);
    if store.job(name).is_ok() {
        return Err(in_use(name, settings));
    }
    host(&model.data.primary_container.image, "PrimaryContainer.Image", settings)?;
    let status = TransformStatus::new(&document, &Scope::of_role(&role, region), now());
    model.given.insert("ModelName".to_owned(), json!(name));
    let filled = |job: &Job| fill(job, &document.data, &model);
    let created = store.create_with(name, text, &status, filled).map_err(|error| match error {
        NotCreated::InUse(_) => in_use(name, settings),
        NotCreated::Failed(error) => NotAccepted::Failed(error),
    });
    Ok(created?.0)
}

/// What its transfers and its container have.
fn fill(job: &Job, document: &TransformJob, model: &Document<Model>) -> Result<()> {
    job.replace(MODEL, json!(model.given).to_string().as_bytes())?;
    job.replace("environment", environment(document, &model.data).as_bytes())?;
    // The program may run as any user; the directory above keeps others out. It does not see the objects.
    for (name, mode) in [("opt-ml", 0o777), ("opt-ml/model", 0o777), (OBJECTS, 0o700)] {
        let path = job.path(name);
        let cannot = || format!("cannot create {}", path.display());
        fs::create_dir(&path).with_context(cannot)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).with_context(cannot)?;
    }
    Ok(())
}

/// As SageMaker has it in the container.
fn strategy(strategy: BatchStrategy) -> String {
    match strategy {
        BatchStrategy::MultiRecord => "MULTI_RECORD".to_owned(),
        BatchStrategy::SingleRecord => "SINGLE_RECORD".to_owned(),
    }
}

/// The model's variables, the job's, and those by which a program knows that it transforms.
fn environment(job: &TransformJob, model: &Model) -> String {
    let mut all = model.primary_container.environment.clone();
    all.extend(job.environment.clone());
    let mut own = |name: &str, value: Option<String>| {
        all.extend(value.map(|value| (name.to_owned(), value)));
    };
    own("SAGEMAKER_BATCH", Some("true".to_owned()));
    own("SAGEMAKER_BATCH_STRATEGY", job.batch_strategy.map(strategy));
    own("SAGEMAKER_MAX_PAYLOAD_IN_MB", job.max_payload_in_mb.map(|most| most.to_string()));
    own("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", job.max_concurrent_transforms.map(|most| most.to_string()));
    all.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}
