//! Which variables an isolated container and its runtime do not get: `tests/data/aws-credentials.json`, walked.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, isolated_with};
use test_support::shim;

fn env(config: &Value) -> Vec<&str> {
    config["process"]["env"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect()
}

#[test]
fn the_runtime_gets_no_credential_of_ours_and_everything_else() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let kept = [("HOME", "/root"), ("AWS_REGION", "eu-west-1"), ("EMPTY", ""), ("XDG_RUNTIME_DIR", "/x")];
    let gone = [("AWS_SECRET_ACCESS_KEY", "x"), ("aws_profile", ""), ("LISTEN_FDS", "3"), ("KEY", KEY_ID)];
    for verb in ["create", "run", "restore"] {
        let mut command = host.command(shim());
        command.arg("--root").arg(host.at("root")).args([verb, "web"]).envs(kept).envs(gone);
        say(&mut command).must();
        let mut env = host.call().env;
        env.sort();
        let settings = format!("OCI_ISOLATE_CONFIG={}", host.at("config.toml"));
        let mut wanted: Vec<String> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
        wanted.extend([settings, "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()]);
        wanted.sort();
        let wanted: Vec<_> = wanted.into_iter().map(std::ffi::OsString::from).collect();
        assert_eq!(env, wanted, "{verb}");
    }
}

/// AWS's own example of an access key id.
const KEY_ID: &str = concat!("AKIA", "IOSFODNN7EXAMPLE");

fn lists() -> Value {
    serde_json::from_str(include_str!("../data/aws-credentials.json")).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// Creates a container with these variables and says which are left.
fn left(host: &RecorderHost, entries: &[String]) -> Vec<String> {
    host.config(&isolated_with("/process/env", json!(entries)));
    host.shim(&["create", "web"]).must();
    let config = host.call().config();
    let mut left: Vec<String> = env(&config).into_iter().map(str::to_owned).collect();
    assert_eq!(left.pop().unwrap(), "AWS_EC2_METADATA_DISABLED=true");
    left
}

fn any_case(name: &str) -> [String; 3] {
    let mixed = name.chars().enumerate().map(|(n, c)| if n % 2 == 0 { c.to_ascii_lowercase() } else { c });
    [name.to_owned(), name.to_ascii_lowercase(), mixed.collect()]
}

#[test]
fn every_listed_name_goes_in_any_case_and_however_often() {
    let host = RecorderHost::new();
    let lists = lists();
    let names =
        strings(&lists["env_remove_exact"]).into_iter().chain(strings(&lists["env_mask_value_then_remove"]));
    let mut entries = Vec::new();
    for name in names {
        for name in any_case(name) {
            entries.extend([format!("{name}=x"), format!("{name}="), format!("{name}=y=z")]);
        }
    }
    entries.insert(entries.len() / 2, "KEPT=1".into());
    assert_eq!(left(&host, &entries), ["KEPT=1"]);
}

#[test]
fn every_listed_prefix_goes_in_any_case_with_anything_behind_it() {
    let host = RecorderHost::new();
    let mut entries = vec!["KEPT=1".to_owned()];
    for prefix in strings(&lists()["env_remove_prefix"]) {
        for prefix in any_case(prefix) {
            entries.extend([format!("{prefix}=x"), format!("{prefix}x=y"), format!("{prefix}_A_B=")]);
        }
    }
    assert_eq!(left(&host, &entries), ["KEPT=1"]);
}

/// One value, or one name, for each pattern of the list.
fn sample(pattern: &str) -> Vec<String> {
    let secret = concat!("wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY");
    let long = "Ab3".repeat(100);
    let aws = "eyJhdWQiOlsic3RzLmFtYXpvbmF3cy5jb20iXX0"; // {"aud":["sts.amazonaws.com"]}
    match pattern {
        "E1_access_key_id" => ["AKIA", "ASIA", "ABIA", "ACCA"]
            .iter()
            .flat_map(|kind| {
                let id = format!("{kind}{}", &KEY_ID[4..]);
                [format!("X={id}"), format!("X=user:{id}:"), format!("X={{\"id\":\"{id}\"}}")]
            })
            .collect(),
        "E2_secret40_needs_context_and_entropy_4.25" => {
            vec![format!("MY_AWS_THING={secret}"), format!("S3_X=a:{secret}")]
        }
        "E3_session_token" => ["IQoJb3JpZ2lu", "FwoGZXIvYXdz", "AgoJb3JpZ2lu", "AQoD"]
            .map(|head| format!("X={head}{long}=="))
            .into(),
        "E4_bedrock_long" => vec![format!("X=ABSK{long}")],
        "E5_bedrock_short" => vec!["X=bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t".into()],
        "E6_presigned" => vec![
            "X=https://b.s3.amazonaws.com/k?X-Amz-Signature=00".into(),
            "X=?X-Amz-Credential=a".into(),
            "X=?X-Amz-Security-Token=a".into(),
            "X=https://b/k?AWSAccessKeyId=a&Expires=1&Signature=b".into(),
        ],
        "E7_eks_token" => vec![format!("X=k8s-aws-v1.{long}")],
        "E8_jwt_decode_aud" => {
            vec![format!("X=eyJhbGciOiJub25lIn0.{aws}.c2ln"), format!("X=Bearer eyJhIjoxfQ.{aws}.c2ln")]
        }
        "E9_jvm_args" => [
            "aws.accessKeyId",
            "aws.secretKey",
            "aws.secretAccessKey",
            "aws.sessionToken",
            "fs.s3a.access.key",
            "spark.hadoop.fs.s3.secret.key",
            "fs.s3n.awsSecretAccessKey",
            "fs.s3a.session.token",
        ]
        .map(|property| format!("JAVA_TOOL_OPTIONS=-Xmx1g -D{property}=x"))
        .into(),
        "E10_url_userinfo" => {
            vec![
                "X=s3://user:pass@bucket/".into(),
                "X=s3a://u:p@b".into(),
                format!("CELERY=sqs://{KEY_ID}:x/y@"),
            ]
        }
        "E11_ini_text" => vec!["X=[default]\naws_access_key_id = x".into(), "X=AWS_SESSION_TOKEN: y".into()],
        "E12_codecommit_url" => {
            vec![format!("X=https://{KEY_ID}%40a:p@git-codecommit.eu-west-1.amazonaws.com/")]
        }
        "E13_ecr_auth" => vec![format!("X={{\"auth\":\"QVdTOmV5S{}\"}}", &long[..40])],
        "name_shape_1" => [
            "PROD_AWS_SECRET_ACCESS_KEY",
            "X_ACCESS_KEY_ID",
            "ACCESSKEYID",
            "my_aws_secretaccesskey",
            "A_SECRET_KEY_ID",
        ]
        .map(|name| format!("{name}=x"))
        .into(),
        "name_shape_2" => [
            "AWS_PROD_SECRET",
            "AMAZON_X_SESSION_TOKEN",
            "S3_ACCESS_KEY",
            "s3AccessKeyId",
            "AWSsecretKey",
            "S3SECRETACCESS",
        ]
        .map(|name| format!("{name}=x"))
        .into(),
        other => panic!("there is no sample for the pattern {other}"),
    }
}

#[test]
fn every_listed_pattern_goes() {
    let host = RecorderHost::new();
    for (pattern, _) in lists()["value_patterns"].as_object().unwrap() {
        let entries = sample(pattern);
        assert_eq!(left(&host, &entries), [""; 0], "{pattern}");
    }
}

#[test]
fn a_secret_without_a_shape_goes_beside_an_access_key_id_only() {
    let host = RecorderHost::new();
    let secret = concat!("X=wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY");
    assert_eq!(left(&host, &[secret.into()]), [secret]);
    assert_eq!(left(&host, &[secret.into(), format!("Y={KEY_ID}")]), [""; 0]);
}

#[test]
fn what_programs_need_is_kept_to_the_byte() {
    let host = RecorderHost::new();
    let mut entries: Vec<String> = [
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_NEURON_VISIBLE_DEVICES",
        "AWS_BATCH_JOB_ID",
        "AWS_BATCH_JOB_MAIN_NODE_INDEX",
        "AWS_BATCH_JOB_NODE_INDEX",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_ACCOUNT_ID",
        "AWS_EXECUTION_ENV",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_CA_BUNDLE",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "AWS_SKIP_SIGNATURE",
        "AWS_PAGER",
        "AWS_CLI_AUTO_PROMPT",
        "SM_MODEL_DIR",
        "SM_CHANNEL_TRAINING",
        "SAGEMAKER_PROGRAM",
        "SAGEMAKER_REGION",
        "TRAINING_JOB_NAME",
        "TRAINING_JOB_ARN",
        "PATH",
        "HOME",
        "SECRETS",
        "TOKEN",
        "LISTEN",
        "MC_HOST",
        "RCLONE",
    ]
    .iter()
    .flat_map(|name| [format!("{name}=x"), format!("{name}=")])
    .collect();
    entries.extend(
        [
            "=",
            "=x",
            "A=",
            "A==",
            "A=1",
            "A=2",
            "ROLE=AROAIOSFODNN7EXAMPLE",
            "USER_ID=AIDAIOSFODNN7EXAMPLE",
            "AWS_COMMIT=2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "URL=https://user:pass@example.org/",
            "BUCKET=s3://bucket/key",
            "JAVA_TOOL_OPTIONS=-Dfile.encoding=UTF-8",
            "ENTRY=\u{e9}\u{1f600}\n\t\"\\",
        ]
        .map(str::to_owned),
    );
    assert_eq!(left(&host, &entries), entries);
}

#[test]
fn the_settings_add_names_and_keep_names() {
    let host = RecorderHost::new();
    host.settings("[credentials]\nremove = [\"my_token\"]\nkeep = [\"aws_profile\", \"KEPT\"]");
    let entries = ["MY_TOKEN=x", "AWS_PROFILE=x", "BOTO_PATH=x"].map(str::to_owned);
    let kept = format!("KEPT={KEY_ID}");
    assert_eq!(
        left(&host, &[entries.as_slice(), std::slice::from_ref(&kept)].concat()),
        ["AWS_PROFILE=x", &kept]
    );
}

#[test]
fn no_value_of_a_variable_is_in_the_record_or_in_an_error() {
    let host = RecorderHost::new();
    let secret = "c0ffee-c0ffee";
    let entries =
        json!([format!("AWS_SECRET_ACCESS_KEY={secret}"), format!("OTHER={secret}"), format!("X={KEY_ID}")]);
    host.config(&isolated_with("/process/env", entries));
    host.shim(&["create", "web"]).must();
    let record = fs::read_to_string(host.outside(&host.record("web"))).unwrap();
    assert!(record.contains("AWS_SECRET_ACCESS_KEY"), "{record}");
    assert!(!record.contains("c0ffee") && !record.contains(KEY_ID), "{record}");
    host.call();
    host.sh("rm -r /run/oci-isolate").must();
    host.config(&isolated_with("/process/env", json!([format!("A={secret}"), secret])));
    let said = host.shim(&["create", "web"]);
    assert_eq!(said.status, 1);
    assert!(!said.err.contains("c0ffee"), "{}", said.err);
}
