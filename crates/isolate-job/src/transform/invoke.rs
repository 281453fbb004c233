//! POST /invocations: so many requests at a time as MaxConcurrentTransforms has, whose answers are written in the order of the records.

use core::net::SocketAddr;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::client::one_line;
use crate::request::{BatchStrategy, TransformJob};

/// The most bytes of an answer: what MaxPayloadInMB times MaxConcurrentTransforms is at most.
const MOST_OF_ANSWERS: usize = 100 << 20;

/// As SageMaker has them.
const DEFAULT_PAYLOAD: u32 = 6;
const DEFAULT_TIMEOUT: u32 = 600;
const DEFAULT_RETRIES: u32 = 3;

/// How often it is looked whether the job is to be stopped.
const TICK: Duration = Duration::from_millis(200);

/// Where requests go, and how.
pub(super) struct Target {
    address: SocketAddr,
    content_type: Option<String>,
    accept: Option<String>,
    timeout: Duration,
    attempts: u32,
    concurrent: usize,
    /// The most bytes of a request.
    pub(super) most: usize,
    pub(super) strategy: BatchStrategy,
}

/// What a container may choose, where the request does not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    #[serde(rename = "MaxConcurrentTransforms")]
    concurrent: Option<u32>,
    #[serde(rename = "BatchStrategy")]
    strategy: Option<Strategy>,
    #[serde(rename = "MaxPayloadInMB")]
    payload: Option<u32>,
}

/// BatchStrategy, as a container has it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Strategy {
    MultiRecord,
    SingleRecord,
}

impl Target {
    /// Asks the container for GET /execution-parameters, which it need not answer.
    pub(super) async fn new(job: &TransformJob, address: SocketAddr) -> Result<Self> {
        let client = job.model_client_config.as_ref();
        let seconds = client.and_then(|client| client.invocations_timeout_in_seconds);
        let retries = client.and_then(|client| client.invocations_max_retries);
        let mut target = Self {
            address,
            content_type: job.transform_input.content_type.clone(),
            accept: job.transform_output.accept.clone(),
            timeout: Duration::from_secs(seconds.unwrap_or(DEFAULT_TIMEOUT).into()),
            attempts: retries.unwrap_or(DEFAULT_RETRIES) + 1,
            concurrent: 1,
            most: 0,
            strategy: BatchStrategy::MultiRecord,
        };
        let answer =
            timeout(target.timeout, target.ask(Method::GET, "/execution-parameters", Bytes::new())).await;
        let chosen = match answer {
            Ok(Ok((200, text))) => serde_json::from_slice::<Parameters>(&text)
                .context("GET /execution-parameters of the container was not answered with its parameters")?,
            _ => Parameters::default(),
        };
        let concurrent = job.max_concurrent_transforms.filter(|count| *count > 0).or(chosen.concurrent);
        target.concurrent = concurrent.unwrap_or(1).max(1) as usize;
        let payload = job.max_payload_in_mb.or(chosen.payload).unwrap_or(DEFAULT_PAYLOAD);
        if payload == 0 || target.concurrent as u64 * u64::from(payload) > 100 {
            bail!(
                "MaxConcurrentTransforms times MaxPayloadInMB is not 1 to 100: {concurrent:?} times {payload}; give less"
            );
        }
        target.most = (payload as usize) << 20;
        let strategy = chosen.strategy.map(|strategy| match strategy {
            Strategy::MultiRecord => BatchStrategy::MultiRecord,
            Strategy::SingleRecord => BatchStrategy::SingleRecord,
        });
        target.strategy = job.batch_strategy.or(strategy).unwrap_or(target.strategy);
        Ok(target)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect to the container")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        for (name, value) in [(CONTENT_TYPE, &self.content_type), (ACCEPT, &self.accept)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MOST_OF_ANSWERS / self.concurrent).collect().await;
        connection.abort();
        let body =
            body.map_err(|error| anyhow::anyhow!("its answer is not one of at most 100 MB: {error}"))?;
        Ok((status, body.to_bytes()))
    }

    /// The answer to one request, which is sent again if there is none, or an error of the container's.
    async fn invoke(&self, body: Vec<u8>) -> Result<Bytes> {
        let body = Bytes::from(body);
        let mut attempt = 1;
        loop {
            let asked = timeout(self.timeout, self.ask(Method::POST, "/invocations", body.clone())).await;
            let (why, is_final) = match asked {
                Ok(Ok((200..=299, answer))) => return Ok(answer),
                Ok(Ok((status, text))) => {
                    let text = one_line(&String::from_utf8_lossy(&text));
                    (format!("POST /invocations was answered with {status}: {text}"), status < 500)
                }
                Ok(Err(error)) => (format!("POST /invocations was not answered: {error:#}"), false),
                Err(_) => {
                    let seconds = self.timeout.as_secs();
                    (format!("POST /invocations was not answered within {seconds} s"), false)
                }
            };
            if is_final || attempt == self.attempts {
                bail!("{why}");
            }
            attempt += 1;
        }
    }
}

/// Sends all records and writes the answers, with the end of a line after each if they are assembled so. Whether it came to the end: not
/// if it is to be stopped.
pub(super) async fn all(
    target: &Target,
    records: &mut impl Iterator<Item = Result<Vec<u8>>>,
    output: &mut impl Write,
    is_line: bool,
    is_stopped: impl Fn() -> bool,
) -> Result<bool> {
    let invoke = |record: Result<Vec<u8>>| async { target.invoke(record?).await };
    let mut answers = stream::iter(records).map(invoke).buffered(target.concurrent);
    loop {
        let Some(answer) = unless(&is_stopped, answers.next()).await else { return Ok(false) };
        let Some(answer) = answer else { return Ok(true) };
        let end: &[u8] = if is_line { b"\n" } else { b"" };
        let written = output.write_all(&answer?).and_then(|()| output.write_all(end));
        written.context("cannot write an answer")?;
    }
}

/// Waits for something, unless the job is to be stopped.
pub(super) async fn unless<T>(is_stopped: impl Fn() -> bool, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => if is_stopped() { return None },
            done = &mut what => return Some(done),
        }
    }
}
