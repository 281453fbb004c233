//! Whether a tuning job can be run here. What would refuse one of its training jobs refuses it.

use crate::check::{self, Host};
use crate::request::{Refusals, Refused, Request, read};
use crate::settings::Settings;
use crate::status::{Scope, TuningStatus};
use crate::store::{Job, NotCreated, Store};
use crate::train::{NotAccepted, host, in_use, now, volume};

/// Accepts a request: the job is created. `region` is for its ARN.
///
/// # Errors
/// Why the job is refused; nothing was created.
pub fn accept(text: &[u8], settings: &Settings, region: &str) -> Result<Job, NotAccepted> {
    check::check(text, &Host { settings: settings.clone() })?;
    let Request::Tuning(document) = read(text)? else {
        let why = "is not a tuning job; give the document of create-hyper-parameter-tuning-job".to_owned();
        return Err(Refusals::from(Refused { path: String::new(), why }).into());
    };
    let definition = &document.data.training_job_definition;
    let mut unknown = settings.unknown_subnets(definition.vpc_config.as_ref());
    if !unknown.is_empty() {
        for refused in &mut unknown {
            refused.path.insert_str(0, "TrainingJobDefinition.");
        }
        return Err(Refusals(unknown).into());
    }
    let name = &document.data.hyper_parameter_tuning_job_name;
    let store = Store::new(&settings.state);
    if store.job(name).is_ok() {
        return Err(in_use(name, settings));
    }
    let limits = &document.data.hyper_parameter_tuning_job_config.resource_limits;
    if let Some(resources) = definition.resources() {
        let name = match definition.resource_config {
            Some(_) => "ResourceConfig",
            None => "HyperParameterTuningResourceConfig",
        };
        let member = format!("TrainingJobDefinition.{name}");
        volume(resources, &member, limits.max_parallel_training_jobs, settings)?;
    }
    let image = &definition.algorithm_specification.training_image;
    host(image, "TrainingJobDefinition.AlgorithmSpecification.TrainingImage", settings)?;
    let status = TuningStatus::new(&document, &Scope::of_role(&definition.role_arn, region), now());
    store.create(name, text, &status).map_err(|error| match error {
        NotCreated::InUse(_) => in_use(name, settings),
        NotCreated::Failed(error) => NotAccepted::Failed(error),
    })
}
