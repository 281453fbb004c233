//! Log events: the lines of one stream, in both directions (GetLogEvents), and of the streams of a group one after the other (FilterLogEvents).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Stream, in_group, invalid, missing, read};
use crate::listen::Platform;
use crate::listen::wire::Failure;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Get {
    log_group_name: String,
    log_stream_name: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    log_group_name: String,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// Without effect, as with CloudWatch.
    #[serde(rename = "interleaved")]
    _interleaved: Option<bool>,
}

/// The most bytes of the events in one answer, as with CloudWatch.
const MOST: u64 = 1 << 20;

/// The most events in one answer.
const MOST_EVENTS: usize = 10_000;

/// GetLogEvents.
pub(in crate::listen) fn get(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let asked: Get = read(body)?;
    let all = in_group(platform, &asked.log_group_name)?;
    let stream = all.iter().find(|stream| stream.name == asked.log_stream_name);
    let mut log = Log::open(stream.ok_or_else(|| missing("The specified log stream does not exist."))?)?;
    let limit = asked.limit.unwrap_or(MOST_EVENTS).clamp(1, MOST_EVENTS);
    let token = asked.next_token.as_deref().map(|token| {
        let (kind, at) = token.split_once('/')?;
        let at = at.parse::<u64>().ok().filter(|at| *at <= log.size)?;
        ["f", "b"].contains(&kind).then_some((kind, at))
    });
    let part = match token {
        None if asked.start_from_head => log.forward(0, limit)?,
        None => log.backward(log.size, limit)?,
        Some(Some(("f", at))) => log.forward(at, limit)?,
        Some(Some((_, at))) => log.backward(at, limit)?,
        Some(None) => return Err(invalid("nextToken is not of this stream")),
    };
    let is_asked = within(log.stream.time, asked.start_time, asked.end_time);
    let lines = part.lines().filter(|_| is_asked);
    Ok(json!({
        "events": lines.map(|(_, message)| event(log.stream, &message)).collect::<Vec<_>>(),
        "nextForwardToken": format!("f/{}", part.end()),
        "nextBackwardToken": format!("b/{}", part.from),
    }))
}

/// FilterLogEvents: each answer has events of one stream.
pub(in crate::listen) fn filter(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let asked: Filter = read(body)?;
    if asked.filter_pattern.is_some_and(|pattern| !pattern.is_empty()) {
        return Err(invalid("filterPattern is not supported; leave it out, and filter what is answered"));
    }
    if asked.log_stream_names.is_some() && asked.log_stream_name_prefix.is_some() {
        return Err(invalid("give logStreamNames or logStreamNamePrefix, not both"));
    }
    let mut all = in_group(platform, &asked.log_group_name)?;
    all.retain(|stream| {
        asked.log_stream_names.as_ref().is_none_or(|names| names.contains(&stream.name))
            && asked.log_stream_name_prefix.as_ref().is_none_or(|prefix| stream.name.starts_with(prefix))
            && within(stream.time, asked.start_time, asked.end_time)
    });
    let (at, from) = match &asked.next_token {
        None => (0, 0),
        Some(token) => {
            let place = token.split_once('/').and_then(|(from, name)| {
                let at = all.iter().position(|stream| stream.name == name)?;
                Some((at, from.parse().ok()?))
            });
            place.ok_or_else(|| invalid("nextToken is not of these streams"))?
        }
    };
    let Some(stream) = all.get(at) else { return Ok(json!({ "events": [] })) };
    let mut log = Log::open(stream)?;
    let part = log.forward(from, asked.limit.unwrap_or(MOST_EVENTS).clamp(1, MOST_EVENTS))?;
    let events = part.lines().map(|(at, message)| {
        let mut event = event(stream, &message);
        event["logStreamName"] = json!(stream.name);
        event["eventId"] = json!(format!("{at}/{}", stream.name));
        event
    });
    let mut answer = json!({ "events": events.collect::<Vec<_>>() });
    if !part.bytes.is_empty() && part.end() < log.size {
        answer["nextToken"] = json!(format!("{}/{}", part.end(), stream.name));
    } else if let Some(next) = all.get(at + 1) {
        answer["nextToken"] = json!(format!("0/{}", next.name));
    }
    Ok(answer)
}

fn within(time: u64, start: Option<u64>, end: Option<u64>) -> bool {
    start.is_none_or(|start| time >= start) && end.is_none_or(|end| time < end)
}

fn event(stream: &Stream, message: &str) -> Value {
    json!({ "timestamp": stream.time, "ingestionTime": stream.time, "message": message })
}

/// The file of a stream.
struct Log<'s> {
    stream: &'s Stream,
    file: File,
    size: u64,
    is_ended: bool,
}

impl<'s> Log<'s> {
    fn open(stream: &'s Stream) -> Result<Self, Failure> {
        // First: what is written before the end is in the size.
        let is_ended = !stream.job.is_supervised()?;
        let path = stream.job.log(&stream.log);
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(&path).with_context(cannot)?;
        let size = file.metadata().with_context(cannot)?.len();
        Ok(Self { stream, file, size, is_ended })
    }

    /// The first lines from here on. A last line without its end is left for later, unless it is the log's or fills an answer.
    fn forward(&mut self, from: u64, limit: usize) -> Result<Part, Failure> {
        let to = self.size.min(from.saturating_add(MOST));
        let mut part = self.read(from, to)?;
        let ends = part.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let ends: Vec<usize> = ends.take(limit).collect();
        let is_whole =
            (self.is_ended && to == self.size) || (ends.is_empty() && part.bytes.len() as u64 == MOST);
        if !(is_whole && ends.len() < limit) {
            part.bytes.truncate(ends.last().copied().unwrap_or(0));
        }
        Ok(part)
    }

    /// The last lines up to here.
    fn backward(&mut self, to: u64, limit: usize) -> Result<Part, Failure> {
        let mut part = self.read(to.saturating_sub(MOST), to)?;
        let bytes = &part.bytes;
        let first =
            bytes.iter().position(|byte| *byte == b'\n').filter(|_| part.from > 0).map_or(0, |at| at + 1);
        let last = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_end = self.is_ended && to == self.size;
        let last = if is_end || last <= first { bytes.len() } else { last };
        let whole = &bytes[first..last.max(first)];
        let starts = whole.split_inclusive(|byte| *byte == b'\n').rev().take(limit).map(<[u8]>::len);
        let start = first + whole.len() - starts.sum::<usize>();
        part.from += start as u64;
        part.bytes = bytes[start..last.max(first)].to_vec();
        Ok(part)
    }

    fn read(&mut self, from: u64, to: u64) -> Result<Part, Failure> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(from)).context("cannot read the log")?;
        (&self.file).take(to.saturating_sub(from)).read_to_end(&mut bytes).context("cannot read the log")?;
        Ok(Part { from, bytes })
    }
}

/// A part of a log, of whole lines.
struct Part {
    from: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    /// Its lines and where they begin.
    fn lines(&self) -> impl Iterator<Item = (u64, String)> {
        let mut at = self.from;
        self.bytes.split_inclusive(|byte| *byte == b'\n').map(move |line| {
            let start = at;
            at += line.len() as u64;
            (start, String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned())
        })
    }
}
