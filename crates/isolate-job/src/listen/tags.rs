//! Tags of what has an ARN: kept beside its document, and those of its request until they are changed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Platform;
use super::wire::Failure;
use crate::request::{Tag, read_as};
use crate::store::Job;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Added {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    resource_arn: String,
    next_token: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tags {
    tags: Vec<Tag>,
}

/// The most tags of one resource.
const MOST: usize = 50;

pub(super) fn add(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Added { resource_arn, tags: added } = read_as("AddTags", body)?.data;
    let resource = resource(platform, &resource_arn)?;
    let mut tags = read(&resource)?;
    tags.retain(|tag| added.iter().all(|other| other.key != tag.key));
    tags.extend(added);
    if tags.len() > MOST {
        return Err(Failure::validation(format!("Tags: a resource has at most {MOST} tags")));
    }
    write(&resource, &tags)?;
    Ok(json!({ "Tags": tags }))
}

pub(super) fn delete(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Deleted { resource_arn, tag_keys } = read_as("DeleteTags", body)?.data;
    let resource = resource(platform, &resource_arn)?;
    let mut tags = read(&resource)?;
    tags.retain(|tag| !tag_keys.contains(&tag.key));
    write(&resource, &tags)?;
    Ok(json!({}))
}

/// All of them fit into one answer.
pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Listed { resource_arn, next_token } = read_as("ListTags", body)?.data;
    if next_token.is_some() {
        return Err(Failure::validation("NextToken: is not of this list; begin again"));
    }
    Ok(json!({ "Tags": read(&resource(platform, &resource_arn)?)? }))
}

/// What an ARN names. ARNs have names in lower case.
fn resource(platform: &Platform, arn: &str) -> Result<Job, Failure> {
    let missing = || Failure::not_found(format!("{arn} is not on this host"));
    let (kind, name) = arn.splitn(6, ':').nth(5).and_then(|last| last.split_once('/')).ok_or_else(missing)?;
    let (store, member) = match kind {
        "training-job" => (&platform.jobs, "TrainingJobArn"),
        "hyper-parameter-tuning-job" => (&platform.jobs, "HyperParameterTuningJobArn"),
        "transform-job" => (&platform.jobs, "TransformJobArn"),
        "model" => (&platform.models, "ModelArn"),
        "endpoint-config" => (&platform.configs, "EndpointConfigArn"),
        "endpoint" => (&platform.endpoints, "EndpointArn"),
        _ => return Err(Failure::validation(format!("ResourceArn: a {kind} has no tags here"))),
    };
    let is_it = |job: &Job| {
        job.name.eq_ignore_ascii_case(name) && job.status::<Value>().is_ok_and(|status| status[member] == arn)
    };
    let mut all = store.list()?.into_iter().filter(is_it);
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(missing()),
        _ => {
            Err(Failure::validation(format!("{arn} is the ARN of two resources whose names differ in case")))
        }
    }
}

fn read(resource: &Job) -> Result<Vec<Tag>, Failure> {
    let path = resource.path("tags.json");
    let text = if path.exists() {
        std::fs::read(&path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?
    } else {
        resource.request()?
    };
    let tags: Tags = serde_json::from_slice(&text)
        .map_err(|error| anyhow::anyhow!("cannot understand the tags of {}: {error}", resource.name))?;
    Ok(tags.tags)
}

fn write(resource: &Job, tags: &[Tag]) -> Result<(), Failure> {
    Ok(resource.replace("tags.json", json!({ "Tags": tags }).to_string().as_bytes())?)
}
