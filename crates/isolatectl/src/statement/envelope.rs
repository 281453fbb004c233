//! One line of a file of statements: a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, protocol 1.0.2) in
//! JSON, with one signature. There is one text for each payload and key. Pure.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::key::{PrivateKey, PublicKey};

/// The payload is an in-toto statement in JSON.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: [Signature; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// The line, with its end.
///
/// # Errors
/// None that is known: texts have a form in JSON.
pub fn seal(payload: &[u8], key: &PrivateKey) -> Result<String> {
    let sig = BASE64_STANDARD.encode(key.sign(&signed(payload)));
    let envelope = Envelope {
        payload: BASE64_STANDARD.encode(payload),
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: [Signature { keyid: key.public().id().to_owned(), sig }],
    };
    Ok(serde_json::to_string(&envelope)? + "\n")
}

/// The payload of a line, which ends in a line feed.
pub(super) fn open(line: &[u8], key: &PublicKey) -> Result<Vec<u8>> {
    let Some(text) = line.strip_suffix(b"\n") else { bail!("its end is missing") };
    let envelope: Envelope = serde_json::from_slice(text).context("not an envelope")?;
    // No duplicate names, no blanks, no second spelling of anything.
    if serde_json::to_vec(&envelope)? != text {
        bail!("not written as isolatectl writes an envelope");
    }
    let Envelope { payload, payload_type, signatures: [Signature { keyid, sig }] } = envelope;
    if payload_type != PAYLOAD_TYPE {
        bail!("its payload is not of type {PAYLOAD_TYPE}");
    }
    if keyid != key.id() {
        bail!("it is signed by another key, {keyid} and not {}", key.id());
    }
    let payload = BASE64_STANDARD.decode(payload).context("its payload is not base64")?;
    let sig = BASE64_STANDARD.decode(sig).context("its signature is not base64")?;
    if !key.has_signed(&signed(&payload), &sig) {
        bail!("its signature is not of what it has");
    }
    Ok(payload)
}

/// What is signed ("PAE").
fn signed(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}
