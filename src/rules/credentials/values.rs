//! Credentials under another name, by the shape of their value. Each pattern is guarded by a literal that
//! every match contains: for nearly all variables one scan is enough, and no pattern is compiled. A value
//! that is base64 as a whole is decoded, once, and checked again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use regex_lite::Regex;

/// Its name, literals of which every match contains one, and the pattern. Text within text has its quotes
/// escaped (`\\*["']?`), a URL within a URL has its delimiters encoded (`%3D`).
const PATTERNS: [(&str, &[&str], &str); 18] = [
    ("an access key id", &KEY_ID_PREFIXES, ACCESS_KEY_ID),
    (
        "a session token",
        &["IQoJb3JpZ2lu", "FwoGZXIvYXdz", "AgoJb3JpZ2lu", "AQo"],
        r"(?:^|[^A-Za-z0-9+/])(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|AgoJb3JpZ2lu|AQo[A-Za-z0-9])[A-Za-z0-9+/]{100}",
    ),
    ("a Bedrock key", &["ABSK"], r"ABSK[A-Za-z0-9+/]{109}"),
    ("a Bedrock key", &["bedrock-api-key-"], "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t"),
    ("a presigned URL", &["X-Amz-"], "X-Amz-(?:Signature|Credential|Security-Token)(?:=|%(?:25)*3[Dd])"),
    (
        "a presigned URL",
        &["AWSAccessKeyId"],
        "(?:[?&]|%(?:25)*(?:3[Ff]|26))AWSAccessKeyId(?:=|%(?:25)*3[Dd])[^&]+.*(?:[?&]|%(?:25)*(?:3[Ff]|26))Signature(?:=|%)",
    ),
    (
        "a signed CloudFront URL",
        &["Key-Pair-Id"],
        "Signature(?:=|%(?:25)*3[Dd]).*Key-Pair-Id(?:=|%(?:25)*3[Dd])|Key-Pair-Id(?:=|%(?:25)*3[Dd]).*Signature(?:=|%(?:25)*3[Dd])",
    ),
    ("a CloudFront cookie", &["CloudFront-"], "CloudFront-(?:Signature|Policy)="),
    ("an EKS token", &["k8s-aws-v1."], r"k8s-aws-v1\.[A-Za-z0-9_-]{100}"),
    (
        "a JVM property",
        &["-Daws.", "-Dspark.hadoop.fs.s3", "-Dfs.s3"],
        r"-D(?:aws\.(?:accessKeyId|secretKey|secretAccessKey|sessionToken)|(?:spark\.hadoop\.)?fs\.s3[an]?\.(?:access\.key|secret\.key|session\.token|awsAccessKeyId|awsSecretAccessKey))=",
    ),
    (
        "a Hadoop property",
        &["fs.s3"],
        r#"fs\.s3[an]?\.(?:bucket\.[^=:\s"']+\.)?(?:access\.key|secret\.key|session\.token|awsAccessKeyId|awsSecretAccessKey)(?:\\*["']?[\s=:,]+\\*["']?|</name>\s*<value>)[^\s"'\\,}$<]"#,
    ),
    (
        "a URL with a key",
        &["://"],
        r"s3[an]?://[^/@\s:]+:[^/@\s]+@|(?:aws|sqs|s3)://[A-Z0-9]{16,}:[^@\s]+@|https://[A-Z0-9]{20}(?:%[^:@]+)?:[^@]+@git-codecommit\.",
    ),
    (
        CONFIGURATION,
        &["aws_"],
        r#"(?i)aws_(?:access_key_id|secret_access_key|session_token|security_token)(?:\s*[=:]\s*[^\s"'\\]|\\*["']?\s*[=:,]\s*\\*["'][^\s"'\\,}])"#,
    ),
    (
        "an answer of AWS STS",
        &["SecretAccessKey", "secretAccessKey"],
        r#"[Ss]ecretAccessKey(?:\\*["']?\s*[=:]\s*\\*["']?|>)[A-Za-z0-9/+]{16}"#,
    ),
    (
        "a token of IAM Identity Center",
        &["awsapps.com"],
        r"(?s)accessToken.*\.awsapps\.com|\.awsapps\.com.*accessToken",
    ),
    (
        "a kubeconfig for EKS",
        &[".eks.amazonaws.com"],
        r"(?s)\.eks\.amazonaws\.com.*(?:client-key-data|get-token|aws-iam-authenticator|\btoken\b)",
    ),
    ("an ECR login", &["QVdTOmV5S"], "QVdTOmV5S[A-Za-z0-9+/=]{20}"),
    ("a token for AWS", &["eyJ"], JWT),
];

/// The lengths of base64 that are decoded: shorter values hold no credential, longer ones are data.
const ENCODED: std::ops::RangeInclusive<usize> = 24..=64 << 10;

const CONFIGURATION: &str = "an AWS configuration";
const KEY_ID_PREFIXES: [&str; 4] = ["AKIA", "ASIA", "ABIA", "ACCA"];
const ACCESS_KEY_ID: &str = "(?:^|[^A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?:[^A-Za-z0-9]|$)";
const JWT: &str = r"eyJ[A-Za-z0-9_-]+\.(eyJ[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+";
const SECRET: &str = "(?:^|[^A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)";

/// The least entropy, in bits per character, of the 40 characters of a secret access key.
const SECRET_ENTROPY: f64 = 4.25;

/// The kind of credential that the value is, if any. A secret access key has no shape but its length, so it
/// is recognised only under a name that refers to AWS, or if another variable holds an access key id
/// (`beside_key_id`).
pub(super) fn credential(name: &str, value: &str, beside_key_id: bool) -> Option<&'static str> {
    if let Some(what) = shaped(value) {
        return Some(what);
    }
    (value.len() >= 40 && (beside_key_id || speaks_of_aws(name)) && holds_secret(value))
        .then_some("a secret access key")
}

/// Terraform's variables are often called `secret_key`, as the AWS provider's argument is. `SECRET_KEY` of
/// other programs says nothing: Django and Flask have one of their own.
fn speaks_of_aws(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["AWS", "AMAZON", "S3"].iter().any(|word| name.contains(word))
        || name
            .strip_prefix("TF_VAR_")
            .is_some_and(|name| name.contains("SECRET") || name.contains("ACCESS_KEY"))
}

/// The kind of credential that the value is by its shape, if any, also as base64.
fn shaped(value: &str) -> Option<&'static str> {
    plainly_shaped(value).or_else(|| plainly_shaped(&decoded(value)?))
}

/// The decoded text of base64, with or without padding and line breaks.
fn decoded(value: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    if !ENCODED.contains(&value.len()) {
        return None;
    }
    let (mut url_safe, mut lines) = (false, false);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => {}
            b'-' | b'_' => url_safe = true,
            b'\n' | b'\r' => lines = true,
            _ => return None,
        }
    }
    let text = if lines { Cow::from(value.replace(['\r', '\n'], "")) } else { Cow::from(value) };
    let alphabet = if url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(&*text).ok()?;
    String::from_utf8(bytes).ok()
}

fn plainly_shaped(value: &str) -> Option<&'static str> {
    // No pattern matches a shorter value.
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

/// The bits of the patterns of which a literal is in the value: all in one scan, since most variables contain
/// none, and searching for each would cost more than the rest of a create.
fn candidates(value: &str) -> u32 {
    const FIRST: [u32; 256] = {
        let mut first = [0; 256];
        let mut index = 0;
        while index < PATTERNS.len() {
            let mut needle = 0;
            while needle < PATTERNS[index].1.len() {
                let byte = PATTERNS[index].1[needle].as_bytes()[0];
                first[byte as usize] |= 1 << index;
                // `aws_` occurs in files that are read without regard to case.
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

/// The kind of credential that an argument is, if any; `before` is the preceding argument. Text of a
/// configuration file counts only if it contains a secret: `aws_session_token=$TOKEN` is common in scripts.
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
    // In an environment `=` precedes the value; here it is within.
    (holds_secret(&arg.replace('=', " ")) && (before.starts_with('-') && speaks(before) || speaks(arg)))
        .then_some("a secret access key")
}

/// How much of an argument is searched for words.
const ARGUMENT_LIMIT: usize = 1 << 20;

/// Whether the value holds an access key id. AROA, AIDA, AGPA, ANPA are identifiers and not credentials.
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

/// Shannon entropy in bits per character.
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

    /// Test values are assembled here, so that no scanner reports this file as a leak.
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
            (r#"{"aws_secret_access_key": "x"}"#.into(), "an AWS configuration"),
            (r#"{\"AWS_SESSION_TOKEN\":\"x\"}"#.into(), "an AWS configuration"),
            (format!(r#"{{"SecretAccessKey": "{}"}}"#, secret()), "an answer of AWS STS"),
            (format!(r#"{{\"secretAccessKey\":\"{}\"}}"#, secret()), "an answer of AWS STS"),
            (format!("<SecretAccessKey>{}</SecretAccessKey>", secret()), "an answer of AWS STS"),
            ("https%3A%2F%2Fb%2Fk%3Fa%3D1%26X-Amz-Signature%3D1".into(), "a presigned URL"),
            ("u=X-Amz-Security-Token%253d1".into(), "a presigned URL"),
            ("https%3A%2F%2Fb%2Fk%3FAWSAccessKeyId%3Dx%26Signature%3Dy".into(), "a presigned URL"),
            (
                "https://d.cloudfront.net/x?Policy=a&Signature=b&Key-Pair-Id=K1".into(),
                "a signed CloudFront URL",
            ),
            ("https%3A%2F%2Fd%2Fx%3FKey-Pair-Id%3DK1%26Signature%3Db".into(), "a signed CloudFront URL"),
            ("CloudFront-Policy=a; CloudFront-Signature=b".into(), "a CloudFront cookie"),
            ("--conf spark.hadoop.fs.s3a.secret.key=x".into(), "a Hadoop property"),
            ("fs.s3a.bucket.data.access.key: x".into(), "a Hadoop property"),
            (r#"{"spark.hadoop.fs.s3n.awsSecretAccessKey":"x"}"#.into(), "a Hadoop property"),
            ("<name>fs.s3a.session.token</name>\n<value>x".into(), "a Hadoop property"),
            (
                r#"{"startUrl":"https://x.awsapps.com/start","accessToken":"a"}"#.into(),
                "a token of IAM Identity Center",
            ),
            (
                "server: https://X.gr7.eu-west-1.eks.amazonaws.com\nuser:\n  token: x".into(),
                "a kubeconfig for EKS",
            ),
            (
                "server: https://X.eks.amazonaws.com\nuser: {client-key-data: x}".into(),
                "a kubeconfig for EKS",
            ),
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
    fn base64_is_looked_into_once() {
        use base64::engine::general_purpose::STANDARD;
        let file = "[default]\naws_secret_access_key = x\n";
        let answer = format!(r#"{{"Credentials":{{"SecretAccessKey":"{}"}}}}"#, secret());
        for (encoded, what) in [
            (STANDARD.encode(file), "an AWS configuration"),
            (STANDARD.encode(file).trim_end_matches('=').to_owned(), "an AWS configuration"),
            (URL_SAFE_NO_PAD.encode(format!("{answer}>>>???")), "an answer of AWS STS"),
            (STANDARD.encode(answer.repeat(2)).replace("QW", "QW\n"), "an answer of AWS STS"),
        ] {
            assert_eq!(found(&encoded), Some(what), "{encoded}");
        }
        for value in
            [STANDARD.encode(STANDARD.encode(file)), STANDARD.encode("x".repeat(100)), "A".repeat(41)]
        {
            assert_eq!(found(&value), None, "{value}");
        }
    }

    #[test]
    fn a_secret_key_of_terraform_is_one_of_aws_and_others_are_not() {
        assert_eq!(credential("TF_VAR_secret_key", &secret(), false), Some("a secret access key"));
        for name in ["SECRET_KEY", "DJANGO_SECRET_KEY", "TF_VAR_region", "RECAPTCHA_SECRET_KEY"] {
            assert_eq!(credential(name, &secret(), false), None, "{name}");
        }
        assert_eq!(credential("TF_VAR_secret_key", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", false), None);
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
            r#"{"aws_secret_access_key": ""}"#,
            r#"{"aws_session_token": null, "secretAccessKey": ""}"#,
            r#"{"sessionToken": "abcdefghijklmnopqrstuvwxyz"}"#,
            "https://d.cloudfront.net/x?Key-Pair-Id=K1",
            "spark.hadoop.fs.s3a.endpoint=http://minio:9000",
            "spark.hadoop.fs.s3a.secret.key=$SECRET",
            "fs.s3a.access.key",
            "https://X.gr7.eu-west-1.eks.amazonaws.com",
            "https://x.awsapps.com/start",
            "aHR0cHM6Ly9leGFtcGxlLm9yZy9hL2IvYw==",
            "/usr/local/nvidia/lib/usr/local/nvidia/lib64",
            "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "a_b",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }
}
