//! CloudWatch Logs: what containers wrote, as log groups and log streams. A log has no times of its lines; each event has the time at which the
//! job was created.

mod events;

use std::io::ErrorKind;

use anyhow::{Context, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Platform;
use super::endpoints;
use super::models::status;
use super::wire::Failure;
use crate::status::Described;
use crate::store::Job;

pub(super) use events::{filter, get};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Streams {
    log_group_name: String,
    log_stream_name_prefix: Option<String>,
    order_by: Option<OrderBy>,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
enum OrderBy {
    LogStreamName,
    LastEventTime,
}

/// One log.
struct Stream {
    name: String,
    job: Job,
    /// `algo-1`, `model`.
    log: String,
    /// Milliseconds since 1970.
    time: u64,
}

const TRAINING: &str = "/aws/sagemaker/TrainingJobs";
const TRANSFORM: &str = "/aws/sagemaker/TransformJobs";
const ENDPOINTS: &str = "/aws/sagemaker/Endpoints/";

/// DescribeLogStreams.
pub(super) fn streams(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let asked: Streams = read(body)?;
    let mut all = in_group(platform, &asked.log_group_name)?;
    if let Some(prefix) = &asked.log_stream_name_prefix {
        all.retain(|stream| stream.name.starts_with(prefix));
    }
    if let Some(OrderBy::LastEventTime) = asked.order_by {
        all.sort_by_key(|stream| stream.time);
    }
    if asked.descending {
        all.reverse();
    }
    let from = match &asked.next_token {
        None => 0,
        Some(last) => {
            let at = all.iter().position(|stream| stream.name == *last);
            at.ok_or_else(|| invalid("nextToken is not of these streams; begin again"))? + 1
        }
    };
    let page: Vec<_> = all.iter().skip(from).take(asked.limit.unwrap_or(50).clamp(1, 50)).collect();
    let described = page.iter().map(|stream| {
        let Stream { name, time, .. } = stream;
        json!({ "logStreamName": name, "creationTime": time, "firstEventTimestamp": time, "lastEventTimestamp": time })
    });
    let mut answer = json!({ "logStreams": described.collect::<Vec<_>>() });
    if let Some(last) = page.last()
        && from + page.len() < all.len()
    {
        answer["nextToken"] = json!(last.name);
    }
    Ok(answer)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))
}

fn invalid(why: impl Into<String>) -> Failure {
    Failure::new("InvalidParameterException", why, 400)
}

fn missing(why: &str) -> Failure {
    Failure::new("ResourceNotFoundException", why, 400)
}

/// The streams of a group, by name: `JOB/algo-1-TIME`, and `VARIANT/model-TIME` of endpoints.
fn in_group(platform: &Platform, group: &str) -> Result<Vec<Stream>, Failure> {
    let endpoint = group.strip_prefix(ENDPOINTS);
    if ![TRAINING, TRANSFORM].contains(&group) && endpoint.is_none() {
        return Err(missing("The specified log group does not exist."));
    }
    let mut streams = Vec::new();
    for job in platform.jobs.list()? {
        let Some(status) = status::<Described>(&job)? else { continue };
        let created = match status {
            Described::Training(status) if group == TRAINING => status.creation_time,
            Described::Transform(status) if group == TRANSFORM => status.creation_time,
            Described::Deployment(status) if endpoint == Some(job.name.as_str()) => status.creation_time,
            _ => continue,
        };
        let time = created.millis();
        let owner = endpoint.map_or_else(|| job.name.clone(), |name| endpoints::variant(platform, name));
        for log in logs(&job)? {
            streams.push(Stream { name: format!("{owner}/{log}-{time}"), job: job.clone(), log, time });
        }
    }
    if endpoint.is_some() && streams.is_empty() {
        return Err(missing("The specified log group does not exist."));
    }
    streams.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(streams)
}

/// The logs of a job's containers; that of its supervisor is no stream.
fn logs(job: &Job) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(job.path("log")) {
        Ok(entries) => entries,
        // It was removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::new(error).context("cannot list the logs of a job").into()),
    };
    let mut logs = Vec::new();
    for entry in entries {
        let name = entry.context("cannot list the logs of a job")?.file_name();
        let log = name.to_str().and_then(|name| name.strip_suffix(".log"));
        logs.extend(log.filter(|log| *log != "supervisor").map(str::to_owned));
    }
    Ok(logs)
}
