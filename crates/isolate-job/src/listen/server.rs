//! Connections: HTTP/1.1, a bounded number of them, each with bounded heads, bodies and times. A body is received only when the key is known.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use super::keys::Keys;
use super::sigv4::{Caller, Claim, Head};
use super::wire::{self, Answer, Call, Failure};
use super::{Platform, invoke, operations};
use crate::train::now;

/// Connections at a time; others wait in the kernel's queue.
const MOST_CONNECTIONS: u32 = 128;

/// Operations at a time.
pub(super) const MOST_OPERATIONS: usize = 16;

/// For the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(10);

/// For the body of a request.
const BODY: Duration = Duration::from_secs(30);

/// A connection takes no further request after this.
const CONNECTION: Duration = Duration::from_secs(300);

/// For the last request of a connection.
const LAST: Duration = Duration::from_secs(90);

/// For the requests that are under way when the listener is told to end.
const GRACE: Duration = Duration::from_secs(20);

/// The most bytes of a head.
const MOST_OF_HEAD: usize = 64 << 10;

/// The most KiB of all bodies together.
const MOST_OF_BODIES: usize = 64 << 10;

struct Shared {
    keys: Keys,
    /// KiB that bodies may still have.
    bodies: Semaphore,
    platform: Arc<Platform>,
}

pub(super) async fn serve(address: SocketAddr, keys: Keys, platform: Platform) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot read the listener's address")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    note(&format!("listening on http://{address}"));
    let shared =
        Arc::new(Shared { keys, bodies: Semaphore::new(MOST_OF_BODIES), platform: Arc::new(platform) });
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    // Connections end when this is dropped.
    let (open, ending) = watch::channel(());
    let accept = async {
        loop {
            let Ok(permit) = connections.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::spawn(connection(stream, shared.clone(), ending.clone(), permit)))
                }
                // Such as too many open files: it passes.
                Err(error) => {
                    note(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // No further connection, and no further request of those there are; the requests that have begun are answered.
    drop((listener, open));
    if timeout(GRACE, connections.acquire_many(MOST_CONNECTIONS)).await.is_err() {
        let left = MOST_CONNECTIONS as usize - connections.available_permits();
        note(&format!("{left} connections have not ended within {} s, and are cut off", GRACE.as_secs()));
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    mut ending: watch::Receiver<()>,
    permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, &shared).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_OF_HEAD);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // An error of the client's connection is the client's.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = timeout(CONNECTION, ending.changed()) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LAST, connection).await;
        }
    }
    drop(permit);
}

/// Answers one request, and reports it in one line.
async fn respond(request: Request<Incoming>, shared: &Shared) -> Answer {
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let call = Call::read(&head);
    let what = match &call {
        // The caller's text.
        Ok(Call::Json { operation, .. }) => {
            operation.chars().filter(char::is_ascii_graphic).take(100).collect()
        }
        Ok(Call::Invoke { endpoint }) => format!("InvokeEndpoint {endpoint}"),
        Err(_) => "unknown".to_owned(),
    };
    let (who, answer) = match call {
        Ok(call) => match authenticated(&head, body, &call, shared).await {
            // The share of the body ends with the answer.
            Ok((caller, body, _share)) => {
                (caller.access_key_id.clone(), carry_out(call, &caller, &head, body, &shared.platform).await)
            }
            Err(failure) => ("-".to_owned(), closing(wire::failed(&failure))),
        },
        Err(failure) => ("-".to_owned(), closing(wire::failed(&failure))),
    };
    note(&format!("{who} {what} {} {} ms", answer.status().as_u16(), start.elapsed().as_millis()));
    answer
}

/// A body that was not read is not read later either.
fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
    answer
}

async fn authenticated<'s>(
    head: &Parts,
    body: Incoming,
    call: &Call,
    shared: &'s Shared,
) -> Result<(Caller, Bytes, SemaphorePermit<'s>), Failure> {
    let mut headers = Vec::new();
    for (name, value) in &head.headers {
        let value =
            value.to_str().map_err(|_| Failure::validation(format!("the header {name} is not text")))?;
        headers.push((name.as_str().to_owned(), value.to_owned()));
    }
    let signed = Head { method: head.method.as_str(), path: head.uri.path(), headers: &headers };
    let claim = Claim::read(&signed, &shared.keys, now())?;
    let most = call.most();
    let too_large = || {
        let why = format!("the request has more than {most} bytes");
        Failure::new("RequestEntityTooLargeException", why, StatusCode::PAYLOAD_TOO_LARGE.as_u16())
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let length = body.size_hint().exact().map_or(most, |length| usize::try_from(length).unwrap_or(most));
    let kib = u32::try_from((length >> 10) + 1).unwrap_or(u32::MAX);
    let receive = async {
        let share = shared.bodies.acquire_many(kib).await;
        (share, Limited::new(body, most).collect().await)
    };
    let (share, received) = timeout(BODY, receive).await.map_err(|_| {
        Failure::new("RequestTimeoutException", "the body did not arrive within 30 seconds", 408)
    })?;
    let share = share.context("cannot receive the body")?;
    let body = received.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => too_large(),
        None => Failure::validation(format!("the body cannot be received: {error}")),
    })?;
    let body = body.to_bytes();
    let caller = claim.verify(&body)?;
    if caller.service != call.service() {
        let why = format!("the request is signed for {}, not for {}", caller.service, call.service());
        return Err(Failure::new("InvalidSignatureException", why, 403));
    }
    Ok((caller, body, share))
}

async fn carry_out(
    call: Call,
    caller: &Caller,
    head: &Parts,
    body: Bytes,
    platform: &Arc<Platform>,
) -> Answer {
    match call {
        Call::Invoke { endpoint } => invoke::invoke(platform, &endpoint, head, body).await,
        Call::Json { operation, .. } => {
            let (platform, region) = (platform.clone(), caller.region.clone());
            let work = move || operations::carry_out(&platform, &region, &operation, &body);
            let done = tokio::task::spawn_blocking(work).await;
            wire::answer(
                done.unwrap_or_else(|_| {
                    Err(Failure::new("InternalFailure", "the operation was cut off", 500))
                }),
            )
        }
    }
}

/// A line on stderr, which is the journal's under systemd.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "isolate-job: {text}");
}
