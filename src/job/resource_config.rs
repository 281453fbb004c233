//! SageMaker's name for a training container: `current_host` of
//! `/opt/ml/input/config/resourceconfig.json` ("How Amazon SageMaker AI Provides Training Information"). Pure.
//!
//! The container may be able to write the file, so the name is a single label: it names this container for its
//! job and can stand for no domain.

use serde::Deserialize;

use super::hosts_file::is_name;

/// Where the contract has the file.
pub const PATH: &str = "/opt/ml/input/config/resourceconfig.json";

/// The largest file that is read, in bytes.
pub const LIMIT: usize = 64 << 10;

/// The part of the file that is of interest.
#[derive(Deserialize)]
struct ResourceConfig {
    current_host: String,
}

/// The name of the container.
///
/// # Errors
/// It is larger than [`LIMIT`], not an object in JSON, or `current_host` is missing, twice there or not a label of a
/// host name.
pub fn current_host(text: &[u8]) -> Result<String, String> {
    if text.len() > LIMIT {
        return Err(format!("it is larger than {LIMIT} bytes"));
    }
    // The derived reader would also take a list.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is not an object in JSON".into());
    }
    let ResourceConfig { current_host } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if current_host.contains('.') || !is_name(&current_host) {
        let shown: String = current_host.chars().take(64).collect();
        return Err(format!("current_host is {shown:?}; it takes 1 to 63 letters, digits and hyphens"));
    }
    Ok(current_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_current_host() {
        let written = br#"{"current_host": "algo-1-x2f9a", "hosts": ["algo-1-x2f9a", "algo-2-qq"], "network_interface_name": "ethwe"}"#;
        assert_eq!(current_host(written).as_deref(), Ok("algo-1-x2f9a"));
        assert_eq!(current_host(br#" {"current_host":"\u0061lgo-1"}"#).as_deref(), Ok("algo-1"));
    }

    #[test]
    fn anything_else_is_an_error_that_tells_why() {
        let large = format!("{{\"current_host\": \"a\"}}{}", " ".repeat(LIMIT));
        for (text, why) in [
            (&*large, "it is larger than 65536 bytes"),
            ("", "it is not an object in JSON"),
            ("[\"algo-1\"]", "it is not an object in JSON"),
            ("{\"current_host\": \"a\"", "EOF while parsing an object at line 1 column 20"),
            ("{}", "missing field `current_host` at line 1 column 2"),
            ("{\"current_host\": 1}", "invalid type: integer `1`, expected a string at line 1 column 18"),
            (
                "{\"current_host\": \"a\", \"current_host\": \"b\"}",
                "duplicate field `current_host` at line 1 column 36",
            ),
        ] {
            assert_eq!(current_host(text.as_bytes()), Err(why.to_owned()), "{text:.80}");
        }
        assert!(current_host(b"{\"current_host\": \"\xff\"}").is_err());
    }

    #[test]
    fn a_domain_an_address_and_another_line_are_no_name() {
        let long = "a".repeat(64);
        for name in [
            "",
            "s3.amazonaws.com",
            "localhost",
            "10.0.0.1",
            "7",
            "algo_1",
            "a b",
            "a\\n10.0.0.1 b",
            "a#",
            "-a",
            &long,
        ] {
            let why = current_host(format!("{{\"current_host\": \"{name}\"}}").as_bytes()).unwrap_err();
            assert!(why.starts_with("current_host is \"") && !why.contains('\n'), "{name}: {why}");
        }
    }
}
