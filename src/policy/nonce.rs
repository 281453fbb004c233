//! The nonce of a relying party: a text that the statement about a container repeats, so that it cannot be one about
//! another container, or of another day.

use super::{Annotation, only, shown};
use crate::settings::Settings;

/// The annotation with the nonce.
pub const NONCE: &str = "io.oci-isolate.nonce";

/// The longest nonce, in bytes.
const LIMIT: usize = 128;

/// The nonce that a container asks for.
///
/// # Errors
/// It is no nonce, or the settings have no file for statements, so that none would ever repeat it.
pub(super) fn nonce(settings: &Settings, annotations: &[Annotation]) -> Result<Option<String>, String> {
    let Some(nonce) = only(annotations, NONCE)? else { return Ok(None) };
    if settings.statement.file.is_none() {
        return Err(format!(
            "annotation {NONCE}: this host makes no statements; set statement.file in the settings, or drop it"
        ));
    }
    if nonce.is_empty() || nonce.len() > LIMIT || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "annotation {NONCE}: {} is not 1 to {LIMIT} printable ASCII characters without spaces",
            shown(nonce)
        ));
    }
    Ok(Some(nonce.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(settings: &str, value: &str) -> Result<Option<String>, String> {
        let annotations = [Annotation { name: NONCE.into(), value: Some(value.to_owned().into()) }];
        nonce(&Settings::parse(settings).unwrap(), &annotations)
    }

    #[test]
    fn a_nonce_is_repeated_as_it_is_or_refused() {
        let on = "[statement]\nfile = \"/var/log/statements\"";
        assert_eq!(asked(on, "7f3a-01=="), Ok(Some("7f3a-01==".to_owned())));
        assert_eq!(asked(on, &"x".repeat(LIMIT)), Ok(Some("x".repeat(LIMIT))));
        for bad in ["", "a b", "a\n", "\u{e4}", &"x".repeat(LIMIT + 1)] {
            assert!(
                asked(on, bad).unwrap_err().contains("is not 1 to 128 printable ASCII characters"),
                "{bad}"
            );
        }
        assert_eq!(
            asked("", "a").unwrap_err(),
            "annotation io.oci-isolate.nonce: this host makes no statements; set statement.file in the settings, or drop it"
        );
        assert_eq!(nonce(&Settings::default(), &[]), Ok(None));
    }
}
