//! Verifies Signature Version 4 in the Authorization header (AWS General Reference, "Signature Version 4 signing process"). The canonical request
//! is made from what was received: a path or a header that would have to be normalised is refused, since what is signed
//! must be what is carried out. That is why this is HMAC and SHA-256 of RustCrypto and not a library that signs.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::keys::{Keys, Secret};
use crate::status::Time;

/// What of a request is signed, besides its body. A request with a query string does not get here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Names in lower case.
    pub(super) headers: &'a [(String, String)],
}

/// A request that is not authenticated: the error's type, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) access_key_id: String,
    pub(super) region: String,
    /// The service that the request is signed for: `sagemaker`, `logs`.
    pub(super) service: String,
}

/// A signature that remains to be compared, when the body is known.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    caller: Caller,
    secret: &'a Secret,
    date_time: String,
    signature: [u8; 32],
    /// The canonical request up to the hash of the body.
    canonical: String,
}

/// Seconds that the clocks of client and server may differ, as with AWS.
const SKEW: u64 = 15 * 60;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Headers that have to be signed, if they are there; besides all `x-amz-*`.
const SIGNED: [&str; 2] = ["host", "content-type"];

impl<'a> Claim<'a> {
    /// Reads the Authorization header. The key has to be known, and the time near enough, before a body is received.
    pub(super) fn read(head: &Head, keys: &'a Keys, now: Time) -> Result<Self, Denied> {
        let authorization = only(head, "authorization")?
            .ok_or_else(|| denied("MissingAuthenticationTokenException", "the request is not signed"))?;
        let fields = fields(authorization)?;
        let scope: Vec<&str> = fields.credential.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = scope[..] else {
            return Err(incomplete("Credential is not KEY/DATE/REGION/SERVICE/aws4_request"));
        };
        let secret = keys.secret(access_key_id).ok_or_else(|| {
            denied("UnrecognizedClientException", "the access key is not one of the keys of this host")
        })?;
        if only(head, "x-amz-security-token")?.is_some() {
            return Err(denied(
                "UnrecognizedClientException",
                "session tokens are not supported; sign with a key of this host",
            ));
        }
        let date_time = only(head, "x-amz-date")?.ok_or_else(|| incomplete("x-amz-date is missing"))?;
        near(date_time, date, now)?;
        let canonical = canonical(head, fields.signed_headers)?;
        Ok(Self {
            caller: Caller {
                access_key_id: access_key_id.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
            secret,
            date_time: date_time.to_owned(),
            signature: bytes(fields.signature)
                .ok_or_else(|| incomplete("Signature is not 64 hexadecimal digits"))?,
            canonical,
        })
    }

    /// Compares the signature, in constant time.
    pub(super) fn verify(self, body: &[u8]) -> Result<Caller, Denied> {
        let Caller { region, service, .. } = &self.caller;
        let date = self.date_time.get(..8).unwrap_or_default();
        let canonical = format!("{}{}", self.canonical, hex(&Sha256::digest(body)));
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let text = format!("{ALGORITHM}\n{}\n{date}/{region}/{service}/aws4_request\n{hash}", self.date_time);
        let mut key = mac(format!("AWS4{}", self.secret.reveal()).as_bytes(), date);
        for part in [region, service, "aws4_request", &text] {
            key = mac(&key.finalize().into_bytes(), part);
        }
        key.verify_slice(&self.signature).map_err(|_| {
            denied("InvalidSignatureException", "the signature does not match; check the secret access key")
        })?;
        Ok(self.caller)
    }
}

fn denied(kind: &'static str, message: impl Into<String>) -> Denied {
    Denied { kind, message: message.into() }
}

fn incomplete(message: impl Into<String>) -> Denied {
    denied("IncompleteSignatureException", message)
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

struct Fields<'h> {
    credential: &'h str,
    signed_headers: &'h str,
    signature: &'h str,
}

fn fields(authorization: &str) -> Result<Fields<'_>, Denied> {
    let rest = authorization
        .strip_prefix(ALGORITHM)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(|| incomplete(format!("Authorization is not {ALGORITHM}")))?;
    let parts: Vec<_> = rest.split(',').map(|part| part.trim().split_once('=')).collect();
    match parts[..] {
        [
            Some(("Credential", credential)),
            Some(("SignedHeaders", signed_headers)),
            Some(("Signature", signature)),
        ] => Ok(Fields { credential, signed_headers, signature }),
        _ => Err(incomplete("Authorization is not Credential, SignedHeaders and Signature")),
    }
}

/// The value of a header that may be there once.
fn only<'h>(head: &Head<'h>, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut values = head.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(incomplete(format!("{name} is given twice"))),
    }
}

fn near(date_time: &str, date: &str, now: Time) -> Result<(), Denied> {
    let time = time(date_time).ok_or_else(|| incomplete("x-amz-date is not YYYYMMDDTHHMMSSZ"))?;
    if !date_time.starts_with(date) || date.len() != 8 {
        return Err(incomplete("x-amz-date is not of the day in Credential"));
    }
    if time.seconds_since(now).max(now.seconds_since(time)) > SKEW {
        return Err(denied(
            "InvalidSignatureException",
            format!(
                "x-amz-date {date_time} is more than 15 minutes from the time of this host; set the clocks"
            ),
        ));
    }
    Ok(())
}

/// `20150830T123600Z`.
fn time(date_time: &str) -> Option<Time> {
    let is_basic = date_time.len() == 16 && date_time.is_ascii();
    let part = |from: usize, to: usize| date_time.get(from..to).filter(|_| is_basic);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 11)?, part(11, 13)?, part(13, 16)?);
    let time = humantime::parse_rfc3339(&format!("{year}-{month}-{day}{hour}:{minute}:{second}")).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Time::from_millis)
}

/// Everything of the canonical request but the hash of the body.
fn canonical(head: &Head, signed_headers: &str) -> Result<String, Denied> {
    let names: Vec<&str> = signed_headers.split(';').collect();
    if !names.is_sorted_by(|one, next| one < next) {
        return Err(incomplete("SignedHeaders is not sorted"));
    }
    let carried_out = ["x-amz-", "x-amzn-sagemaker-"];
    let needed =
        |name: &str| SIGNED.contains(&name) || carried_out.iter().any(|prefix| name.starts_with(prefix));
    let unsigned = head.headers.iter().find(|(name, _)| needed(name) && !names.contains(&name.as_str()));
    if let Some((name, _)) = unsigned {
        return Err(incomplete(format!("{name} is not signed")));
    }
    if !names.contains(&"host") {
        return Err(incomplete("host is not signed"));
    }
    let mut canonical = format!("{}\n{}\n\n", head.method, path(head.path)?);
    for name in names {
        let value =
            only(head, name)?.ok_or_else(|| incomplete(format!("the signed header {name} is missing")))?;
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        canonical.push_str(&format!("{name}:{}\n", words.join(" ")));
    }
    canonical.push_str(&format!("\n{signed_headers}\n"));
    Ok(canonical)
}

/// The path, encoded once more, as services other than Amazon S3 have it.
fn path(path: &str) -> Result<String, Denied> {
    let is_plain = path.starts_with('/') && path.split('/').skip(1).all(|part| !matches!(part, "." | ".."));
    if !is_plain || path.contains("//") {
        return Err(incomplete("the path has empty or relative segments"));
    }
    let mut encoded = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(encoded)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let all: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
    all.filter(|_| is_hex)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: &str = "[[key]]\naccess-key-id = 'AKIDEXAMPLE'\nsecret-access-key = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'\n";

    /// Of the vector `get-vanilla` of AWS's test suite.
    const VANILLA: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
        SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

    /// As botocore 1.44.8 signs ListModels.
    const BOTOCORE: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/sagemaker/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=f04da7d6121205eb073a4fbfbda0d5ac8b83d9a27d98bc7aad9465d101fc8b1c";

    fn vanilla() -> Vec<(String, String)> {
        headers(&[
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", VANILLA),
        ])
    }

    fn botocore() -> Vec<(String, String)> {
        headers(&[
            ("host", "127.0.0.1:5100"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "SageMaker.ListModels"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", BOTOCORE),
        ])
    }

    fn headers(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn at(date_time: &str) -> Time {
        time(date_time).unwrap()
    }

    fn verified(
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
        now: Time,
    ) -> Result<Caller, Denied> {
        let keys = Keys::read(KEYS).unwrap();
        Claim::read(&Head { method, path, headers }, &keys, now)?.verify(body)
    }

    #[test]
    fn requests_that_others_signed_are_verified() {
        let now = at("20150830T123601Z");
        let caller = verified("GET", "/", &vanilla(), b"", now).unwrap();
        assert_eq!((caller.region.as_str(), caller.service.as_str()), ("us-east-1", "service"));
        let caller = verified("POST", "/", &botocore(), b"{}", now).unwrap();
        assert_eq!((caller.region.as_str(), caller.service.as_str()), ("eu-west-1", "sagemaker"));
    }

    #[test]
    fn a_request_from_another_time_is_refused() {
        for (now, is_near) in [
            ("20150830T125100Z", true),
            ("20150830T122100Z", true),
            ("20150830T125101Z", false),
            ("20150830T122059Z", false),
        ] {
            assert_eq!(verified("GET", "/", &vanilla(), b"", at(now)).is_ok(), is_near, "{now}");
        }
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        let now = at("20150830T123601Z");
        let mut more = vanilla();
        more.push(("x-amz-target".to_owned(), "SageMaker.DeleteModel".to_owned()));
        assert!(
            verified("GET", "/", &more, b"", now).unwrap_err().message.contains("x-amz-target is not signed")
        );
        let mut twice = vanilla();
        twice.push(("host".to_owned(), "other".to_owned()));
        assert!(verified("GET", "/", &twice, b"", now).unwrap_err().message.contains("host is given twice"));
        for path in ["//", "/.", "/a/../", ""] {
            assert!(
                verified("GET", path, &vanilla(), b"", now).unwrap_err().message.contains("path"),
                "{path}"
            );
        }
        let missing = vanilla()[..2].to_vec();
        assert_eq!(
            verified("GET", "/", &missing, b"", now).unwrap_err().kind,
            "MissingAuthenticationTokenException"
        );
    }

    proptest! {
        /// A byte of the method, the path, a signed header, the body, the scope or the signature.
        #[test]
        fn a_change_of_any_signed_byte_is_refused(place in 0_usize..7, index in any::<prop::sample::Index>(), other in 0x20_u8..0x7f) {
            let mut parts = [
                "POST".to_owned(), "/".to_owned(), "{}".to_owned(),
                botocore()[0].1.clone(), botocore()[1].1.clone(), botocore()[2].1.clone(), BOTOCORE.to_owned(),
            ];
            let mut text = parts[place].clone().into_bytes();
            let at_byte = index.index(text.len());
            // Hexadecimal digits have two cases; white space around names and values is none of theirs.
            prop_assume!(!text[at_byte].eq_ignore_ascii_case(&other) && other != b' ' && text[at_byte] != b' ');
            text[at_byte] = other;
            parts[place] = String::from_utf8(text).unwrap();
            let mut headers = botocore();
            for (header, part) in [(0, 3), (1, 4), (2, 5), (4, 6)] {
                headers[header].1.clone_from(&parts[part]);
            }
            let found = verified(&parts[0], &parts[1], &headers, parts[2].as_bytes(), at("20150830T123601Z"));
            prop_assert!(found.is_err());
        }

        #[test]
        fn no_header_makes_reading_fail_otherwise(authorization in "(AWS4-HMAC-SHA256 )?[ -~]{0,80}", date in "[ -~]{0,20}") {
            let headers = headers(&[("host", "a"), ("x-amz-date", &date), ("authorization", &authorization)]);
            prop_assert!(verified("GET", "/", &headers, b"", at("20150830T123601Z")).is_err());
        }
    }
}
