//! Models: documents. Their data is transferred when an endpoint is created.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Platform;
use super::page::{Item, Listing, Order, Page};
use super::wire::Failure;
use crate::request::{self, Document, Model, read_as};
use crate::status::{ModelStatus, Scope};
use crate::store::{Job, Lock, NotCreated, Store};
use crate::train::now;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    model_name: String,
}

pub(super) fn create(platform: &Platform, region: &str, body: &[u8]) -> Result<Value, Failure> {
    let model = request::read_model(body)?;
    if !model.data.enable_network_isolation {
        return Err(Failure::not_isolated("CreateModel"));
    }
    let scope = match &model.data.execution_role_arn {
        Some(role) => Scope::of_role(role, region),
        // A model without data needs no role.
        None => Scope {
            partition: "aws".to_owned(),
            region: region.to_owned(),
            account: "000000000000".to_owned(),
        },
    };
    let status = ModelStatus::new(&model, &scope, now());
    created(&platform.models, &model.data.model_name, body, &status)?;
    Ok(json!({ "ModelArn": status.model_arn }))
}

pub(super) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { model_name: name } = read_as("DescribeModel", body)?.data;
    Ok(found(&platform.models, "model", &name)?.status()?)
}

pub(super) fn delete(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { model_name: name } = read_as("DeleteModel", body)?.data;
    found(&platform.models, "model", &name)?.remove()?;
    Ok(Value::Null)
}

pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListModels", body)?.data;
    let summary = &["ModelName", "ModelArn", "CreationTime"];
    page.of(
        items(&platform.models)?,
        Listing { member: "Models", summary, status: "", order: Order::Descending },
    )
}

/// A model as it was requested.
pub(super) fn model(platform: &Platform, name: &str) -> Result<Document<Model>, Failure> {
    Ok(request::read_model(&found(&platform.models, "model", name)?.request()?)?)
}

/// Creates a document of any kind.
pub(super) fn created(
    store: &Store,
    name: &str,
    body: &[u8],
    status: &impl serde::Serialize,
) -> Result<Job, Failure> {
    created_with(store, name, body, status, |_| Ok(())).map(|(job, _)| job)
}

/// A document that was created with more files, and its lock.
pub(super) fn created_with(
    store: &Store,
    name: &str,
    body: &[u8],
    status: &impl serde::Serialize,
    fill: impl FnOnce(&Job) -> anyhow::Result<()>,
) -> Result<(Job, Lock), Failure> {
    store.create_with(name, body, status, fill).map_err(|error| match error {
        NotCreated::InUse(_) => Failure::in_use(format!("{name} exists on this host; choose another name")),
        NotCreated::Failed(error) => error.into(),
    })
}

/// A document of any kind. That there is none is a ValidationException, as SageMaker answers it and as waiters expect it.
pub(super) fn found(store: &Store, kind: &str, name: &str) -> Result<Job, Failure> {
    store.job(name).map_err(|_| Failure::validation(format!("Could not find {kind} {name:?}.")))
}

/// All documents of a kind.
pub(super) fn items(store: &Store) -> Result<Vec<Item>, Failure> {
    let item = |job: Job| Ok(status(&job)?.map(|described| Item { described, name: job.name }));
    store.list()?.into_iter().filter_map(|job| item(job).transpose()).collect()
}

/// The status of what is listed; none if it was removed meanwhile.
pub(super) fn status<T: DeserializeOwned>(job: &Job) -> Result<Option<T>, Failure> {
    match job.status() {
        Ok(status) => Ok(Some(status)),
        Err(_) if !job.path("request.json").exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a program that failed reported, without its name before each line.
pub(super) fn reported(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| line.strip_prefix("isolate-job: ").unwrap_or(line));
    let lines: Vec<_> =
        lines.map(|line| line.strip_prefix("-: ").unwrap_or(line)).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it gave no reason".to_owned() } else { lines.join("\n") }
}
