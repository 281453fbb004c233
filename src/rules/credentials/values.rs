//! Credentials under another name, by the shape of their value. Each pattern stands behind a piece of text that every
//! match contains: nearly all variables are done with after a few searches, and no pattern is compiled.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regex_lite::Regex;

/// What it is called, texts of which a match contains one, and the pattern.
const PATTERNS: [(&str, &[&str], &str); 12] = [
    ("an access key id", &KEY_ID_PREFIXES, ACCESS_KEY_ID),
    (
        "a session token",
        &["IQoJb3JpZ2lu", "FwoGZXIvYXdz", "AgoJb3JpZ2lu", "AQo"],
        r"(?:^|[^A-Za-z0-9+/])(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|AgoJb3JpZ2lu|AQo[A-Za-z0-9])[A-Za-z0-9+/]{100}",
    ),
    ("a Bedrock key", &["ABSK"], r"ABSK[A-Za-z0-9+/]{109}"),
    ("a Bedrock key", &["bedrock-api-key-"], "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t"),
    ("a presigned URL", &["X-Amz-"], "X-Amz-(?:Signature|Credential|Security-Token)="),
    ("a presigned URL", &["AWSAccessKeyId="], "[?&]AWSAccessKeyId=[^&]+.*[?&]Signature="),
    ("an EKS token", &["k8s-aws-v1."], r"k8s-aws-v1\.[A-Za-z0-9_-]{100}"),
    (
        "a JVM property",
        &["-Daws.", "-Dspark.hadoop.fs.s3", "-Dfs.s3"],
        r"-D(?:aws\.(?:accessKeyId|secretKey|secretAccessKey|sessionToken)|(?:spark\.hadoop\.)?fs\.s3[an]?\.(?:access\.key|secret\.key|session\.token|awsAccessKeyId|awsSecretAccessKey))=",
    ),
    (
        "a URL with a key",
        &["://"],
        r"s3[an]?://[^/@\s:]+:[^/@\s]+@|(?:aws|sqs|s3)://[A-Z0-9]{16,}:[^@\s]+@|https://[A-Z0-9]{20}(?:%[^:@]+)?:[^@]+@git-codecommit\.",
    ),
    (
        CONFIGURATION,
        &["aws_"],
        r"(?i)aws_(?:access_key_id|secret_access_key|session_token|security_token)\s*[=:]\s*\S",
    ),
    ("an ECR login", &["QVdTOmV5S"], "QVdTOmV5S[A-Za-z0-9+/=]{20}"),
    ("a token for AWS", &["eyJ"], JWT),
];

const CONFIGURATION: &str = "an AWS configuration";
const KEY_ID_PREFIXES: [&str; 4] = ["AKIA", "ASIA", "ABIA", "ACCA"];
const ACCESS_KEY_ID: &str = "(?:^|[^A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?:[^A-Za-z0-9]|$)";
const JWT: &str = r"eyJ[A-Za-z0-9_-]+\.(eyJ[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+";
const SECRET: &str = "(?:^|[^A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)";

/// The least entropy, in bits a character, of 40 characters that are taken for a secret access key.
const SECRET_ENTROPY: f64 = 4.25;

/// What the value is, if it is a credential. A secret access key has no shape but its length, so it is only called one
/// under a name that speaks of AWS, or when another variable holds an access key id (`beside_key_id`).
pub(super) fn credential(name: &str, value: &str, beside_key_id: bool) -> Option<&'static str> {
    if let Some(what) = shaped(value) {
        return Some(what);
    }
    let aws_like = || ["AWS", "AMAZON", "S3"].iter().any(|word| name.to_ascii_uppercase().contains(word));
    (value.len() >= 40 && (beside_key_id || aws_like()) && holds_secret(value))
        .then_some("a secret access key")
}

/// What the value is by its shape, if it is a credential.
fn shaped(value: &str) -> Option<&'static str> {
    // No pattern matches less.
    if value.len() < 9 {
        return None;
    }
    let candidates = candidates(value);
    let shaped = PATTERNS.iter().enumerate().filter(|(index, _)| candidates & (1 << index) != 0);
    let shaped = shaped.map(|(_, pattern)| pattern).find(|(_, _, pattern)| match *pattern {
        JWT => is_token_for_aws(value),
        pattern => matches(pattern, value),
    });
    shaped.map(|(what, ..)| *what)
}

/// The patterns, by their bit, of which a piece of text stands in the value: all of them in one walk, since most
/// variables hold none, and searching for each costs more than all the rest of a create.
fn candidates(value: &str) -> u32 {
    const FIRST: [u32; 256] = {
        let mut first = [0; 256];
        let mut index = 0;
        while index < PATTERNS.len() {
            let mut needle = 0;
            while needle < PATTERNS[index].1.len() {
                let byte = PATTERNS[index].1[needle].as_bytes()[0];
                first[byte as usize] |= 1 << index;
                // `aws_` stands in files that are read without regard to case.
                first[byte.to_ascii_uppercase() as usize] |= 1 << index;
                needle += 1;
            }
            index += 1;
        }
        first
    };
    let mut found = 0;
    for (at, byte) in value.bytes().enumerate() {
        let mut possible = FIRST[usize::from(byte)] & !found;
        while possible != 0 {
            let index = possible.trailing_zeros();
            possible &= possible - 1;
            let rest = &value.as_bytes()[at..];
            let stands = |needle: &&str| match rest.get(..needle.len()) {
                Some(text) if *needle == "aws_" => text.eq_ignore_ascii_case(needle.as_bytes()),
                Some(text) => text == needle.as_bytes(),
                None => false,
            };
            if PATTERNS[index as usize].1.iter().any(stands) {
                found |= 1 << index;
            }
        }
    }
    found
}

/// What an argument of a program is, if it is a credential; `before` is the argument in front of it. Text of a
/// configuration file is only one when it holds a secret: scripts speak of `aws_session_token=$TOKEN` all the time.
pub(super) fn argument(arg: &str, before: &str) -> Option<&'static str> {
    let shaped = shaped(arg).filter(|what| *what != CONFIGURATION);
    if shaped.is_some() || arg.len() < 40 {
        return shaped;
    }
    let speaks = |text: &str| {
        let letters = text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase());
        let letters: Vec<u8> = letters.take(ARGUMENT_LIMIT).collect();
        ["secretaccesskey", "secretkey", "awssecret"]
            .iter()
            .any(|word| letters.windows(word.len()).any(|w| w == word.as_bytes()))
    };
    // In an environment `=` stands before the value that is looked at; here it stands within.
    (holds_secret(&arg.replace('=', " ")) && (before.starts_with('-') && speaks(before) || speaks(arg)))
        .then_some("a secret access key")
}

/// Of an argument of a program, as much is searched for words.
const ARGUMENT_LIMIT: usize = 1 << 20;

/// Whether the value holds an access key id. AROA, AIDA, AGPA, ANPA are identifiers and no credentials.
pub(super) fn is_access_key_id(value: &str) -> bool {
    KEY_ID_PREFIXES.iter().any(|prefix| value.contains(prefix)) && matches(ACCESS_KEY_ID, value)
}

fn matches(pattern: &str, value: &str) -> bool {
    regex(pattern).is_match(value)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are tested")
}

/// Never hexadecimal (a SHA-1 has 40 characters too).
fn holds_secret(value: &str) -> bool {
    let regex = regex(SECRET);
    let mut from = 0;
    // Two secrets may share the character between them, so matches may overlap by it.
    while let Some(found) = regex.captures_at(value, from) {
        let Some(secret) = found.get(1) else { return false };
        let text = secret.as_str();
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) && entropy(text) >= SECRET_ENTROPY {
            return true;
        }
        from = secret.end();
    }
    false
}

/// Shannon's entropy in bits a character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let length = text.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    -counts.iter().filter(|count| **count > 0).map(|count| share(count) * share(count).log2()).sum::<f64>()
}

/// Whether the value holds a JSON Web Token whose audience is an AWS service (EKS IRSA, OIDC federation).
fn is_token_for_aws(value: &str) -> bool {
    regex(JWT).captures_iter(value).any(|token| {
        let claims = token.get(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims.as_str()).ok());
        let claims = claims.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
        match claims.as_ref().map(|claims| &claims["aud"]) {
            Some(serde_json::Value::String(audience)) => is_aws(audience),
            Some(serde_json::Value::Array(audiences)) => {
                audiences.iter().any(|a| a.as_str().is_some_and(is_aws))
            }
            _ => false,
        }
    })
}

fn is_aws(audience: &str) -> bool {
    audience.ends_with("amazonaws.com") || audience.ends_with("amazonaws.com.cn")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test values are put together here, so that no scanner takes this file for a leak.
    fn key_id() -> String {
        format!("AKIA{}", "IOSFODNN7EXAMPLE")
    }

    fn secret() -> String {
        ["wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY"].concat()
    }

    fn found(value: &str) -> Option<&'static str> {
        credential("X", value, false)
    }

    #[test]
    fn every_pattern_compiles_and_finds_its_credential() {
        let long = "Ab3".repeat(60);
        let jwt = |claims: &str| format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for (value, what) in [
            (key_id(), "an access key id"),
            (format!("id={};", key_id()), "an access key id"),
            (format!("IQoJb3JpZ2lu{long}"), "a session token"),
            (format!("AQoD{long}"), "a session token"),
            (format!("ABSK{long}"), "a Bedrock key"),
            ("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t/x".into(), "a Bedrock key"),
            ("https://b.s3.amazonaws.com/k?X-Amz-Signature=1".into(), "a presigned URL"),
            ("https://b/k?AWSAccessKeyId=x&Expires=1&Signature=y".into(), "a presigned URL"),
            (format!("k8s-aws-v1.{long}"), "an EKS token"),
            ("-Xmx1g -Daws.secretKey=x".into(), "a JVM property"),
            ("-Dspark.hadoop.fs.s3a.secret.key=x".into(), "a JVM property"),
            ("s3a://key:secret@bucket/".into(), "a URL with a key"),
            ("sqs://ABCDEFGHIJKLMNOPQRST:x@".into(), "a URL with a key"),
            (format!("https://{}:x@git-codecommit.eu-west-1/", "A".repeat(20)), "a URL with a key"),
            ("[default]\naws_secret_access_key = x".into(), "an AWS configuration"),
            ("Aws_Session_Token: x".into(), "an AWS configuration"),
            (format!("QVdTOmV5S{long}"), "an ECR login"),
            (jwt(r#"{"aud":"sts.amazonaws.com"}"#), "a token for AWS"),
            (jwt(r#"{"aud":["x","pods.eks.amazonaws.com"]}"#), "a token for AWS"),
        ] {
            assert_eq!(found(&value), Some(what), "{what}");
        }
        assert_eq!(found(&jwt(r#"{"aud":"https://kubernetes.default.svc"}"#)), None);
    }

    #[test]
    fn a_secret_is_one_under_a_name_of_aws_or_beside_a_key_id_and_never_hexadecimal() {
        assert_eq!(secret().len(), 40);
        assert_eq!(credential("X", &secret(), false), None);
        assert_eq!(credential("X", &secret(), true), Some("a secret access key"));
        assert_eq!(credential("MY_AWS_THING", &secret(), false), Some("a secret access key"));
        assert_eq!(credential("X", &format!("{0} {0}", "a".repeat(40)), true), None);
        assert_eq!(
            credential("X", &format!("{} {}", "a".repeat(40), secret()), true),
            Some("a secret access key")
        );
        assert_eq!(credential("AWS_COMMIT", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", true), None);
    }

    #[test]
    fn arguments_are_credentials_by_shape_or_by_what_they_speak_of() {
        for (arg, before, what) in [
            (format!("--key={}", key_id()), "", "an access key id"),
            (secret(), "--aws-secret-access-key", "a secret access key"),
            (format!("export AWS_SECRET_ACCESS_KEY={}; run", secret()), "-c", "a secret access key"),
            (format!("--secret-key={}", secret()), "x", "a secret access key"),
            ("-Daws.secretKey=x".into(), "", "a JVM property"),
        ] {
            assert_eq!(argument(&arg, before), Some(what), "{what}");
        }
        for (arg, before) in [
            (secret(), "--name"),
            ("export AWS_SECRET_ACCESS_KEY=$SECRET aws_session_token=$TOKEN".into(), "-c"),
            ("/opt/ml/processing/input/code/TrainAndEvaluate7Kx2/secret_key_names.txt".into(), "--path"),
            ("s3://bucket/key".into(), "--aws-secret-access-key"),
        ] {
            assert_eq!(argument(&arg, before), None, "{arg}");
        }
    }

    #[test]
    fn ordinary_values_are_left_alone() {
        for value in [
            "",
            "/usr/bin:/bin",
            "AROAIOSFODNN7EXAMPLE",
            "xAKIAIOSFODNN7EXAMPLE",
            "AKIAshort",
            "s3://bucket/key",
            "https://user:pass@example.org/",
            "-Dfile.encoding=UTF-8",
            "AQo",
            "eyJ",
            "postgres://u:p@db/x",
            "a_b",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }
}
