//! The session policy of a step: an IAM policy that limits the job's role to the objects of this step. AssumeRole intersects it with
//! the role's own policies; it never adds a permission.

use std::fmt;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::request::S3Uri;

/// Something that a step reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// All objects with this key prefix are listed and read.
    Prefix(S3Uri),
    /// Objects with this key prefix are read, and not listed: a manifest names them.
    Below(S3Uri),
    /// One object is read.
    Object(S3Uri),
    /// One object is written.
    Write(S3Uri),
    /// Objects with this key prefix are written.
    WriteBelow(S3Uri),
}

/// The account of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantee {
    partition: String,
    account: String,
}

impl Grantee {
    /// Out of `arn:aws:iam::ACCOUNT:role/NAME`.
    #[must_use]
    pub fn of_role(role: &str) -> Self {
        let part = |index: usize| role.split(':').nth(index).unwrap_or_default().to_owned();
        Self { partition: part(1), account: part(4) }
    }
}

/// The longest policy that STS accepts.
const MOST: usize = 2048;

/// A policy that is too long for STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTooLong(usize);

impl fmt::Display for PolicyTooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "the session policy has {} characters; the most is {MOST}; shorten the S3 URI",
            self.0
        )
    }
}

impl std::error::Error for PolicyTooLong {}

/// The policy of a step, for AssumeRole. `kms` is the key by which written objects are encrypted.
///
/// # Errors
/// It is longer than STS accepts.
pub fn session_policy(
    grantee: &Grantee,
    accesses: &[Access],
    kms: Option<&str>,
) -> Result<String, PolicyTooLong> {
    let Grantee { partition, .. } = grantee;
    let objects =
        |uri: &S3Uri, end: &str| format!("arn:{partition}:s3:::{}/{}{end}", uri.bucket, plain(&uri.key));
    let mut statements = Vec::new();
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for access in accesses {
        match access {
            Access::Prefix(uri) => {
                let bucket = format!("arn:{partition}:s3:::{}", uri.bucket);
                let mut list = json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket });
                if !uri.key.is_empty() {
                    // No pattern, but policy variables are replaced here, too.
                    let prefix = uri.key.replace('$', "${$}");
                    list["Condition"] = json!({ "StringEquals": { "s3:prefix": prefix } });
                }
                statements.push(list);
                reads.push(objects(uri, "*"));
            }
            Access::Below(uri) => reads.push(objects(uri, "*")),
            Access::Object(uri) => reads.push(objects(uri, "")),
            Access::Write(uri) => writes.push(objects(uri, "")),
            Access::WriteBelow(uri) => writes.push(objects(uri, "*")),
        }
    }
    if !reads.is_empty() {
        statements.push(json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": reads }));
        // Objects may be encrypted by any key that the role may use.
        statements.push(through_s3(&json!("kms:Decrypt")));
    }
    if !writes.is_empty() {
        let actions = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"];
        statements.push(json!({ "Effect": "Allow", "Action": actions, "Resource": writes }));
        statements.push(match kms {
            Some(key) => encryption(grantee, key),
            // The bucket may have encryption by default.
            None => through_s3(&json!(ENCRYPT)),
        });
    }
    let policy = ascii(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string());
    if policy.len() > MOST { Err(PolicyTooLong(policy.len())) } else { Ok(policy) }
}

/// Parts of an object are encrypted, and decrypted when the upload is completed.
const ENCRYPT: [&str; 2] = ["kms:GenerateDataKey", "kms:Decrypt"];

/// Any key of the role's, which only S3 may use for the session.
fn through_s3(actions: &Value) -> Value {
    let condition = json!({ "StringLike": { "kms:ViaService": "s3.*" } });
    json!({ "Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition })
}

fn encryption(grantee: &Grantee, key: &str) -> Value {
    let Grantee { partition, account } = grantee;
    let alias = key.rsplit_once(":alias/").map(|(_, name)| name).or(key.strip_prefix("alias/"));
    match alias {
        Some(name) => json!({
            "Effect": "Allow",
            "Action": ENCRYPT,
            "Resource": format!("arn:{partition}:kms:*:{account}:key/*"),
            "Condition": { "StringEquals": { "kms:RequestAlias": format!("alias/{name}") } },
        }),
        None if key.starts_with("arn:") => json!({ "Effect": "Allow", "Action": ENCRYPT, "Resource": key }),
        None => {
            let key = format!("arn:{partition}:kms:*:{account}:key/{key}");
            json!({ "Effect": "Allow", "Action": ENCRYPT, "Resource": key })
        }
    }
}

/// Escapes IAM's wildcards and variables: `*`, `?` and `${...}`.
fn plain(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '*' | '?' | '$' => plain.extend(['$', '{', c, '}']),
            c => plain.push(c),
        }
    }
    plain
}

/// STS accepts no characters beyond Latin-1; JSON has escapes for them.
fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> S3Uri {
        S3Uri::read(text).unwrap()
    }

    fn policy(accesses: &[Access], kms: Option<&str>) -> Value {
        let grantee = Grantee::of_role("arn:aws-us-gov:iam::111122223333:role/Train");
        serde_json::from_str(&session_policy(&grantee, accesses, kms).unwrap()).unwrap()
    }

    #[test]
    fn a_prefix_is_listed_and_read_and_nothing_else() {
        let policy = policy(&[Access::Prefix(uri("s3://data/a/b"))], Some("alias/x"));
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws-us-gov:s3:::data",
                    "Condition": { "StringEquals": { "s3:prefix": "a/b" } },
                },
                { "Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws-us-gov:s3:::data/a/b*"] },
                {
                    "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*",
                    "Condition": { "StringLike": { "kms:ViaService": "s3.*" } },
                },
            ],
        });
        assert_eq!(policy, expected);
    }

    #[test]
    fn results_are_written_with_their_key_and_not_read() {
        for (key, resource) in [
            ("1234abcd", "arn:aws-us-gov:kms:*:111122223333:key/1234abcd"),
            ("arn:aws:kms:eu-west-1:1:key/7", "arn:aws:kms:eu-west-1:1:key/7"),
            ("alias/x", "arn:aws-us-gov:kms:*:111122223333:key/*"),
            ("arn:aws:kms:eu-west-1:1:alias/x", "arn:aws-us-gov:kms:*:111122223333:key/*"),
        ] {
            let policy = policy(&[Access::WriteBelow(uri("s3://results/out/name/"))], Some(key));
            let statements = policy["Statement"].as_array().unwrap();
            assert_eq!(statements.len(), 2);
            assert_eq!(statements[0]["Resource"], json!(["arn:aws-us-gov:s3:::results/out/name/*"]));
            assert!(!statements[0]["Action"].to_string().contains("Get"));
            assert_eq!(statements[1]["Resource"], resource);
            let alias = &statements[1]["Condition"]["StringEquals"]["kms:RequestAlias"];
            assert_eq!(alias.as_str(), key.contains("alias").then_some("alias/x"));
        }
    }

    #[test]
    fn one_result_is_one_object() {
        let policy = policy(&[Access::Write(uri("s3://results/model.tar.gz"))], None);
        assert_eq!(policy["Statement"][0]["Resource"], json!(["arn:aws-us-gov:s3:::results/model.tar.gz"]));
        assert_eq!(policy["Statement"][1]["Condition"]["StringLike"]["kms:ViaService"], "s3.*");
    }

    #[test]
    fn objects_of_a_manifest_are_read_and_not_listed() {
        let policy = policy(&[Access::Below(uri("s3://data/p"))], None);
        assert_eq!(policy["Statement"][0]["Action"], "s3:GetObject");
        assert_eq!(policy["Statement"][0]["Resource"], json!(["arn:aws-us-gov:s3:::data/p*"]));
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_key_cannot_widen_what_is_granted() {
        let policy = policy(&[Access::Object(uri("s3://data/*?${aws:username}"))], None);
        let resource = "arn:aws-us-gov:s3:::data/${*}${?}${$}{aws:username}";
        assert_eq!(policy["Statement"][0]["Resource"], json!([resource]));
        let policy = self::policy(&[Access::Prefix(uri("s3://data/${x}"))], None);
        assert_eq!(policy["Statement"][0]["Condition"]["StringEquals"]["s3:prefix"], "${$}{x}");
    }

    #[test]
    fn what_sts_does_not_take_is_an_error() {
        let long = format!("s3://data/{}", "k".repeat(1000));
        let error = session_policy(&Grantee::of_role(""), &[Access::Prefix(uri(&long))], None).unwrap_err();
        assert!(error.to_string().contains("the most is 2048"), "{error}");
    }

    proptest! {
        #[test]
        fn any_key_is_text_that_sts_takes_and_means_itself(key in "[^\\p{Cc}]{0,40}") {
            let access = [Access::Object(S3Uri { bucket: "data".to_owned(), key: key.clone() })];
            let text = session_policy(&Grantee::of_role("arn:aws:iam::1:role/x"), &access, None).unwrap();
            prop_assert!(text.is_ascii());
            let policy: Value = serde_json::from_str(&text).unwrap();
            let resource = policy["Statement"][0]["Resource"][0].as_str().unwrap().to_owned();
            let meant = resource.replace("${*}", "*").replace("${?}", "?").replace("${$}", "$");
            prop_assert_eq!(meant, format!("arn:aws:s3:::data/{key}"));
        }
    }
}
