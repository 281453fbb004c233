//! A pod as the API server has it, from within the pod: one request, and a watch that goes on whatever becomes of the server, the
//! connection or the token.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::seen::{Seen, seen};
use super::server::{ANSWER, Connector, MOST, Server, Unexpected, body, unexpected};

/// How long a watch lasts, in seconds. The server ends it then; a server that does not, and is silent, is asked anew.
const WATCH: u64 = 240;

/// Pauses after failures, each twice the one before.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// How long a refusal may last until it counts: a Role may be younger than the pod.
const REFUSED: Duration = Duration::from_secs(10);

/// A pod, and how the API server is reached.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) server: Server,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

/// What is known of the pod.
pub(super) enum News {
    Seen(Seen),
    /// It is not there any more.
    Gone,
    /// The server cannot be asked; it is asked again.
    Away,
}

/// An answer to a request that was made until there was one.
pub(super) struct Looked {
    /// None: the pod is not there any more.
    pub(super) seen: Option<Seen>,
    /// Whether the first request was answered.
    pub(super) is_at_once: bool,
}

/// An event of a watch.
#[derive(Deserialize)]
struct Event<'e> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'e RawValue,
}

impl Api {
    /// Whether the pod can be read. It is waited for a server that does not answer.
    ///
    /// # Errors
    /// The server refuses it, or the pod is not as it should be.
    pub(super) fn check(&self, complain: impl Fn(&str)) -> Result<()> {
        let began = Instant::now();
        run(async {
            let mut failures = Failures::new(complain);
            loop {
                let error = match self.get(&self.server.connect()?).await {
                    Ok(Some(_)) => return Ok(()),
                    Ok(None) => bail!("the pod {} is not there", self.pod),
                    Err(error) => error,
                };
                let is_refused = matches!(
                    error.downcast_ref(),
                    Some(Unexpected(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _))
                );
                if is_refused && began.elapsed() > REFUSED || error.is::<Other>() {
                    return Err(error);
                }
                failures.wait(&error).await;
            }
        })?
    }

    /// How the pod is now. It is waited for a server that does not answer.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn look(&self, complain: impl Fn(&str)) -> Result<Looked> {
        run(async {
            let mut failures = Failures::new(complain);
            let mut is_at_once = true;
            loop {
                match self.get_anew().await {
                    Ok(seen) => return Looked { seen, is_at_once },
                    Err(error) => failures.wait(&error).await,
                }
                is_at_once = false;
            }
        })
    }

    /// Tells what becomes of the pod, until it is gone or no more is to be told.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn follow(&self, complain: impl Fn(&str), mut tell: impl FnMut(News) -> bool) -> Result<()> {
        run(async {
            let mut failures = Failures::new(complain);
            loop {
                match self.follow_once(&mut tell, &mut failures).await {
                    Ok(true) => return,
                    // The watch has ended, or is too old: what was missed is in the pod.
                    Ok(false) => sleep(PAUSES[0]).await,
                    Err(error) => failures.wait(&error).await,
                }
            }
        })
    }

    /// Whether no more is to be told.
    async fn follow_once(
        &self,
        tell: &mut impl FnMut(News) -> bool,
        failures: &mut Failures<impl Fn(&str)>,
    ) -> Result<bool> {
        let client = self.server.connect()?;
        let seen = match self.get(&client).await {
            Ok(Some(seen)) => seen,
            Ok(None) => {
                tell(News::Gone);
                return Ok(true);
            }
            Err(error) => {
                tell(News::Away);
                return Err(error);
            }
        };
        failures.end();
        let version = seen.version.clone();
        if !tell(News::Seen(seen)) {
            return Ok(true);
        }
        let namespace = &self.namespace;
        let query = format!(
            "?watch=true&fieldSelector=metadata.name%3D{}&resourceVersion={version}&timeoutSeconds={WATCH}&allowWatchBookmarks=true",
            self.pod
        );
        let answer = self.server.ask(&client, &format!("/api/v1/namespaces/{namespace}/pods{query}")).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::GONE => return Ok(false),
            status => return Err(unexpected(status, answer).await),
        }
        let mut body = answer.into_body();
        let mut buffer = Vec::new();
        let silence = Duration::from_secs(WATCH) + ANSWER;
        while let Some(frame) = timeout(silence, body.frame()).await.context("the watch is silent")? {
            let Ok(data) = frame.context("the watch was interrupted")?.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = buffer.drain(..=end).collect();
                let event: Event = serde_json::from_slice(&line).context("the watch has no event")?;
                let news = match event.kind.as_str() {
                    "ADDED" | "MODIFIED" => News::Seen(self.seen(event.object.get().as_bytes())?),
                    "DELETED" => News::Gone,
                    "BOOKMARK" => continue,
                    // Of a version that is too old, above all.
                    _ => return Ok(false),
                };
                let is_last = matches!(news, News::Gone);
                if !tell(news) || is_last {
                    return Ok(true);
                }
            }
            if buffer.len() > MOST {
                bail!("an event of the watch is too large");
            }
        }
        Ok(false)
    }

    /// Over a connection of its own, since others may be broken without being closed.
    async fn get_anew(&self) -> Result<Option<Seen>> {
        self.get(&self.server.connect()?).await
    }

    /// None: the pod is not there any more.
    async fn get(&self, client: &Connector) -> Result<Option<Seen>> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.pod);
        let answer = self.server.ask(client, &path).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(self.seen(&body(answer).await?)?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(unexpected(status, answer).await),
        }
    }

    fn seen(&self, object: &[u8]) -> Result<Seen> {
        seen(object, &self.container).map_err(|why| Other(why).into())
    }
}

/// The pod is not the one that was rendered. Waiting does not help.
#[derive(Debug)]
struct Other(String);

impl std::fmt::Display for Other {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Other {}

/// Failures one after the other: each is waited for longer, and said once.
struct Failures<C> {
    complain: C,
    pause: Duration,
    last: String,
}

impl<C: Fn(&str)> Failures<C> {
    fn new(complain: C) -> Self {
        Self { complain, pause: PAUSES[0], last: String::new() }
    }

    fn end(&mut self) {
        self.pause = PAUSES[0];
        self.last.clear();
    }

    async fn wait(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if text != self.last {
            (self.complain)(&format!("{text}; trying again"));
            self.last = text;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }
}

fn run<F: Future>(future: F) -> Result<F::Output> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().context("cannot start")?;
    Ok(runtime.block_on(future))
}
