//! `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 8;

/// How long a client may take to send a request.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a connection may take as a whole.
const CONNECTION: Duration = Duration::from_secs(10);

/// Answers until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Infallible> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.context("cannot serve")?;
        // A client that has gone away.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let _place = place;
            let answer = service_fn(|request| {
                let response = answer(&request, &metrics);
                async { Ok::<_, Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            // One that sends or reads nothing must not keep its place.
            let server = server.timer(TokioTimer::new()).header_read_timeout(REQUEST).keep_alive(false);
            let served = server.serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(CONNECTION, served).await;
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.text()),
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => match metrics.unready() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
