//! Requests to the API server of a cluster, from within a pod.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::timeout;

use crate::client::one_line;

/// The most bytes of an answer, or of an event of a watch. An object in etcd has at most 1.5 MiB.
pub(super) const MOST: usize = 4 << 20;

/// The time until an answer begins.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// Where it is, and how it and this pod know each other.
#[derive(Debug)]
pub(super) struct Server {
    address: String,
    /// With ca.crt and token, which kubelet replaces before it expires.
    credentials: PathBuf,
}

pub(super) type Connector = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The API's Status, of an answer that is an error.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// An answer that is none of the expected ones.
#[derive(Debug)]
pub(super) struct Unexpected(pub(super) StatusCode, pub(super) String);

impl std::fmt::Display for Unexpected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "the API server answers {}: {}", self.0, self.1)
    }
}

impl std::error::Error for Unexpected {}

impl Server {
    /// By the variables that every container has.
    ///
    /// # Errors
    /// They are missing: this is not a pod.
    pub(super) fn of_pod(credentials: PathBuf) -> Result<Self> {
        let variable =
            |name: &str| env::var(name).with_context(|| format!("{name} is not set: this is not a pod"));
        let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { address: format!("https://{host}:{port}"), credentials })
    }

    pub(super) async fn ask(&self, client: &Connector, path: &str) -> Result<Response<Incoming>> {
        let file = self.credentials.join("token");
        let token = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let request = Request::get(format!("{}{path}", self.address))
            .header(AUTHORIZATION, format!("Bearer {}", token.trim()))
            .body(Empty::new())?;
        let answer =
            timeout(ANSWER, client.request(request)).await.context("the API server does not answer")?;
        answer.context("the API server cannot be reached")
    }

    /// With the certificate authority as it is now.
    pub(super) fn connect(&self) -> Result<Connector> {
        let file = self.credentials.join("ca.crt");
        let cannot = || format!("cannot read {}", file.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&file).with_context(cannot)? {
            roots.add(certificate.with_context(cannot)?).with_context(cannot)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

pub(super) async fn unexpected(status: StatusCode, answer: Response<Incoming>) -> anyhow::Error {
    let body = body(answer).await.unwrap_or_default();
    let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.message);
    Unexpected(status, one_line(&said.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned()))).into()
}

pub(super) async fn body(answer: Response<Incoming>) -> Result<Bytes> {
    let body = timeout(ANSWER, Limited::new(answer.into_body(), MOST).collect()).await;
    let body = body.context("the API server does not answer to the end")?;
    Ok(body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?.to_bytes())
}
