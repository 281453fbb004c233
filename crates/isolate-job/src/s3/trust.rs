//! The certificate authorities that servers are verified by: those of `ca-bundle`, or the system's. The SDK panics where there are none, and
//! where one cannot be read.

use std::fs;

use aws_smithy_http_client::tls::TrustStore;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Error;
use crate::settings::Settings;

/// Those that the settings demand.
///
/// # Errors
/// There are none, or the file cannot be used.
pub fn trust(settings: &Settings) -> Result<TrustStore, Error> {
    if let Some(path) = &settings.s3.ca_bundle {
        return of_bundle(path).map_err(|why| Error::internal(&format!("cannot use ca-bundle {path}"), why));
    }
    let system = rustls_native_certs::load_native_certs().certs;
    if RootCertStore::empty().add_parsable_certificates(system).0 > 0 {
        return Ok(TrustStore::default());
    }
    if is_plain(settings) {
        return Ok(TrustStore::empty());
    }
    let why = "this host has none, so that Amazon S3 and STS cannot be reached; install ca-certificates, or set ca-bundle in [s3] of the settings";
    Err(Error::internal("no certificate authorities", why))
}

/// Each certificate has to be one, as the SDK will read it.
fn of_bundle(path: &str) -> Result<TrustStore, String> {
    let bundle = fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it has no certificate; give a file with certificates in PEM format".to_owned());
    }
    Ok(TrustStore::empty().with_pem_certificate(bundle))
}

/// Whether the settings lead to no server by TLS.
fn is_plain(settings: &Settings) -> bool {
    let is_plain = |endpoint: &Option<String>| {
        endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    };
    is_plain(&settings.s3.endpoint) && (!settings.role.assume || is_plain(&settings.role.endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_the_sdk_could_not_read_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let mut settings = Settings::default();
        settings.s3.ca_bundle = Some(path.to_str().unwrap().to_owned());
        let pem =
            |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
        for (content, why) in [
            (None, "No such file"),
            (Some(String::new()), "it has no certificate; give a file with certificates in PEM format"),
            (Some("no PEM".to_owned()), "it has no certificate"),
            (Some(pem("AAAA")), "invalid peer certificate: BadEncoding"),
            (Some(pem("====")), ""),
        ] {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let error = trust(&settings).unwrap_err().to_string();
            let expected = format!("cannot use ca-bundle {}: ", path.display());
            assert!(error.starts_with(&expected) && error.contains(why), "{error}");
        }
    }
}
