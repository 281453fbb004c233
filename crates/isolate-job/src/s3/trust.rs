//! The certificate authorities that servers are verified by: those of `ca-bundle`, or the system's. The SDK panics where there are none, and
//! where one cannot be read.

use std::fs;

use aws_smithy_http_client::tls::TrustStore;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Error;
use crate::settings::Settings;

/// Those that the settings demand; none if the host has none.
///
/// # Errors
/// The file cannot be used.
pub(super) fn trust(settings: &Settings) -> Result<Option<TrustStore>, Error> {
    if let Some(path) = &settings.s3.ca_bundle {
        let store = of_bundle(path);
        return store.map(Some).map_err(|why| Error::internal(&format!("cannot use ca-bundle {path}"), why));
    }
    let system = rustls_native_certs::load_native_certs().certs;
    let has_any = RootCertStore::empty().add_parsable_certificates(system).0 > 0;
    Ok(has_any.then(TrustStore::default))
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
