//! CloudWatch Logs: what containers wrote, as log streams. A log has no times of its lines; each event has the time at which the job was created.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Platform;
use super::models::status;
use super::wire::Failure;
use crate::store::Job;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Events {
    log_group_name: String,
    log_stream_name: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
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

/// The most bytes of the events in one answer, as with CloudWatch.
const MOST: u64 = 1 << 20;

/// The most events in one answer.
const MOST_EVENTS: usize = 10_000;

const TRAINING: &str = "/aws/sagemaker/TrainingJobs";
const ENDPOINTS: &str = "/aws/sagemaker/Endpoints/";

pub(super) fn streams(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let asked: Streams = read(body)?;
    let mut all = in_group(platform, &asked.log_group_name)?;
    if let Some(prefix) = &asked.log_stream_name_prefix {
        all.retain(|stream| stream.name.starts_with(prefix));
    }
    match asked.order_by {
        Some(OrderBy::LastEventTime) => all.sort_by_key(|stream| stream.time),
        Some(OrderBy::LogStreamName) | None => all.sort_by(|one, other| one.name.cmp(&other.name)),
    }
    if asked.descending {
        all.reverse();
    }
    let from = asked
        .next_token
        .map_or(0, |last| all.iter().position(|stream| stream.name == last).map_or(0, |at| at + 1));
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

pub(super) fn events(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let asked: Events = read(body)?;
    let all = in_group(platform, &asked.log_group_name)?;
    let stream = all.into_iter().find(|stream| stream.name == asked.log_stream_name);
    let stream = stream.ok_or_else(|| missing("The specified log stream does not exist."))?;
    let path = stream.job.log(&stream.log);
    let mut file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let size = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
    let is_ended = !stream.job.is_supervised()?;
    let limit = asked.limit.unwrap_or(MOST_EVENTS).clamp(1, MOST_EVENTS);
    let token = asked.next_token.as_deref().map(|token| {
        let (kind, at) = token.split_once('/')?;
        let at = at.parse::<u64>().ok().filter(|at| *at <= size)?;
        ["f", "b"].contains(&kind).then_some((kind, at))
    });
    let (is_forward, at) = match token {
        None if asked.start_from_head => (true, 0),
        None => (false, size),
        Some(Some((kind, at))) => (kind == "f", at),
        Some(None) => {
            return Err(Failure::new("InvalidParameterException", "nextToken is not of this stream", 400));
        }
    };
    let from = if is_forward { at } else { at.saturating_sub(MOST) };
    let to = if is_forward { size.min(at + MOST) } else { at };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).context("cannot read the log")?;
    file.take(to - from).read_to_end(&mut bytes).context("cannot read the log")?;
    let mut part = Part { from, bytes: &bytes };
    if is_forward {
        part.forward(is_ended && to == size, limit);
    } else {
        part.backward(from > 0, is_ended && to == size, limit);
    }
    let is_asked = asked.start_time.is_none_or(|start| stream.time >= start)
        && asked.end_time.is_none_or(|end| stream.time < end);
    let lines = part.bytes.split_inclusive(|byte| *byte == b'\n').filter(|_| is_asked);
    let events: Vec<_> = lines
        .map(|line| {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
            json!({ "timestamp": stream.time, "ingestionTime": stream.time, "message": text })
        })
        .collect();
    let (start, end) = (part.from, part.from + part.bytes.len() as u64);
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{end}"),
        "nextBackwardToken": format!("b/{start}"),
    }))
}

/// A part of a log that is cut to whole lines.
struct Part<'b> {
    from: u64,
    bytes: &'b [u8],
}

impl Part<'_> {
    /// The first lines. A last line without its end is left for later, unless it is the log's or fills an answer.
    fn forward(&mut self, is_end: bool, limit: usize) {
        let ends = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let ends: Vec<usize> = ends.take(limit).collect();
        let is_whole = is_end || (ends.is_empty() && self.bytes.len() as u64 == MOST);
        if !(is_whole && ends.len() < limit) {
            self.bytes = &self.bytes[..ends.last().copied().unwrap_or(0)];
        }
    }

    /// The last lines.
    fn backward(&mut self, is_cut: bool, is_end: bool, limit: usize) {
        let first =
            self.bytes.iter().position(|byte| *byte == b'\n').filter(|_| is_cut).map_or(0, |at| at + 1);
        let last = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = if is_end || last <= first { self.bytes.len() } else { last };
        let whole = &self.bytes[first..last.max(first)];
        let starts = whole.split_inclusive(|byte| *byte == b'\n').rev().take(limit).map(<[u8]>::len);
        let start = whole.len() - starts.sum::<usize>();
        (self.from, self.bytes) = (self.from + (first + start) as u64, &whole[start..]);
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new("InvalidParameterException", error.to_string(), 400))
}

fn missing(why: &str) -> Failure {
    Failure::new("ResourceNotFoundException", why, 400)
}

/// The streams of a group.
fn in_group(platform: &Platform, group: &str) -> Result<Vec<Stream>, Failure> {
    let endpoint = group.strip_prefix(ENDPOINTS);
    if group != TRAINING && endpoint.is_none() {
        return Err(missing("The specified log group does not exist."));
    }
    let mut streams = Vec::new();
    for job in platform.jobs.list()? {
        let Some(status) = status::<Value>(&job)? else { continue };
        let is_training = status.get("TrainingJobName").is_some();
        if endpoint.map_or(!is_training, |name| is_training || job.name != name) {
            continue;
        }
        // To milliseconds, as the status has it.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after 1970")]
        let time = (status["CreationTime"].as_f64().unwrap_or_default() * 1000.0).round() as u64;
        for log in logs(&job) {
            let name =
                if is_training { format!("{}/{log}-{time}", job.name) } else { format!("{log}/{time}") };
            streams.push(Stream { name, job: job.clone(), log, time });
        }
    }
    if endpoint.is_some() && streams.is_empty() {
        return Err(missing("The specified log group does not exist."));
    }
    Ok(streams)
}

/// The logs that a job has.
fn logs(job: &Job) -> Vec<String> {
    let entries = std::fs::read_dir(job.path("log")).into_iter().flatten().flatten();
    let name = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".log").map(str::to_owned);
    entries.filter_map(|entry| name(entry.file_name())).collect()
}
