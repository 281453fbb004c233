//! Credentials, and how Amazon S3 is reached: the base identity by the SDK's default chain, and for each step a session of the
//! job's role that is limited to the step's objects. The SDK renews a session before it expires.

use std::fmt;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::origin::Origin;
use aws_types::service_config::ServiceConfigKey;
use tokio::runtime::{Handle, Runtime};

use super::trust::trust;
use super::{Bucket, Error};
use crate::settings::{Addressing, Settings};

/// The host's network, and the base identity.
pub struct Connection<'s> {
    /// What still runs at the end is not waited for: the resolver takes its time where a name server does not answer.
    threads: Option<Runtime>,
    runtime: Handle,
    base: SdkConfig,
    settings: &'s Settings,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Connection")
    }
}

/// The session of a step.
#[derive(Debug)]
pub struct Session<'a> {
    /// The role.
    pub role: &'a str,
    /// The job's name.
    pub name: &'a str,
    /// What the session is limited to.
    pub policy: String,
}

pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// The time until an answer begins.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// The most attempts of a request.
pub(super) const ATTEMPTS: u32 = 6;

/// Threads that read and write sockets; the caller's threads write files.
const THREADS: usize = 2;

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl<'s> Connection<'s> {
    fn new(threads: Runtime, base: SdkConfig, settings: &'s Settings) -> Self {
        Self { runtime: threads.handle().clone(), threads: Some(threads), base, settings }
    }

    /// Determines the region and the base identity. No request is sent to Amazon S3 yet.
    ///
    /// # Errors
    /// There is no region, the CA bundle cannot be read, or there are no certificate authorities where they are needed.
    pub fn open(settings: &'s Settings) -> Result<Self, Error> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(|error| Error::internal("cannot start", error))?;
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
        let trusted = trust(settings)?;
        let has_authorities = trusted.is_some();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(trusted)?)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            // Downloads have a time limit of their own (fetch.rs).
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().upload_enabled(true).download_enabled(false).build(),
            )
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(region) = &settings.s3.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let mut base = runtime.block_on(loader.load());
        if !has_authorities {
            no_tls(&base, settings)?;
        }
        if base.region().is_none() {
            if settings.s3.endpoint.is_none() && base.endpoint_url().is_none() {
                return Err(Error::internal(
                    "no AWS region",
                    "set AWS_REGION, or region in [s3] of the settings",
                ));
            }
            base = base.into_builder().region(Region::from_static("us-east-1")).build();
        }
        Ok(Self::new(runtime, base, settings))
    }

    /// A bucket, with the credentials of the session, or of the base identity if roles are not assumed.
    #[must_use]
    pub fn bucket(&self, name: &str, session: Session) -> Bucket {
        let settings = self.settings;
        let mut config = Builder::from(&self.base);
        config.set_force_path_style(Some(settings.s3.addressing == Addressing::Path));
        if let Some(endpoint) = &settings.s3.endpoint {
            config.set_endpoint_url(Some(endpoint.clone()));
        }
        if settings.role.assume {
            config.set_credentials_provider(Some(self.assume(session)));
        }
        Bucket {
            client: Client::from_conf(config.build()),
            runtime: self.runtime.clone(),
            name: name.to_owned(),
            parallel: settings.parallel as usize,
            part_size: (settings.part_size as usize) << 20,
        }
    }

    fn assume(&self, session: Session) -> SharedCredentialsProvider {
        let mut base = self.base.clone();
        if let Some(endpoint) = &self.settings.role.endpoint {
            let mut own = base.into_builder().endpoint_url(endpoint);
            // It counts more than AWS_ENDPOINT_URL_STS.
            own.insert_origin("endpoint_url", Origin::shared_config());
            base = own.build();
        }
        let mut provider = AssumeRoleProvider::builder(session.role)
            .configure(&base)
            .session_name(session_name(session.name))
            .policy(session.policy);
        if let Some(id) = &self.settings.role.external_id {
            provider = provider.external_id(id);
        }
        SharedCredentialsProvider::new(self.runtime.block_on(provider.build()))
    }
}

/// STS accepts names of at least two characters.
fn session_name(job: &str) -> String {
    if job.len() < 2 { format!("job-{job}") } else { job.to_owned() }
}

fn http_client(trusted: Option<TrustStore>) -> Result<SharedHttpClient, Error> {
    let tls = TlsContext::builder().with_trust_store(trusted.unwrap_or_else(TrustStore::empty)).build();
    let tls = tls.map_err(|error| Error::internal("cannot use ca-bundle", error))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https())
}

/// Whether servers can be verified, as a transfer finds out. No request is sent.
///
/// # Errors
/// See [`Connection::open`].
pub fn verifiable(settings: &Settings) -> Result<(), Error> {
    if trust(settings)?.is_some() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("cannot start", error))?;
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client(None)?);
    // Other servers may be asked for the region.
    let loader = loader.region(Region::from_static("us-east-1")).no_credentials();
    no_tls(&runtime.block_on(loader.load()), settings)
}

/// Checks that no server is reached by TLS: the endpoints are those of the settings, or of the SDK's variables and files.
fn no_tls(base: &SdkConfig, settings: &Settings) -> Result<(), Error> {
    let is_plain = |own: &Option<String>, service: &str| {
        let endpoint = own.clone().or_else(|| endpoint(base, service));
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    };
    let (s3, role) = (&settings.s3, &settings.role);
    if is_plain(&s3.endpoint, "S3") && (!role.assume || is_plain(&role.endpoint, "STS")) {
        return Ok(());
    }
    let why = "this host has none, so that Amazon S3 and STS cannot be reached; install ca-certificates, or set ca-bundle in [s3] of the settings";
    Err(Error::internal("no certificate authorities", why))
}

/// The endpoint that the SDK's client of a service takes from a configuration.
fn endpoint(base: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let own = key.build().ok().and_then(|key| base.service_config()?.load_config(key));
    own.or_else(|| base.endpoint_url().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_connection_ends_before_what_runs_in_its_background() {
        let settings = Settings::default();
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let connection = Connection::new(threads, SdkConfig::builder().build(), &settings);
        let ((begin, begun), (release, released)) = (channel(), channel::<()>());
        connection.runtime.spawn_blocking(move || {
            begin.send(()).unwrap();
            released.recv()
        });
        begun.recv().unwrap();
        drop(connection);
        // Only now it may end.
        drop(release);
    }
}
