//! AWS's SDKs, planted with every variable that leads to credentials: without isolation they find each, with it none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::container::{AS_AN_ENGINE, COUNTING, Container};
use super::foretold::observed;

/// A way to plant credentials: its name, the variables it takes, how boto3 calls it, whether the SDK for JavaScript
/// knows it. Debian's botocore is older than the file with the authorization token.
const WAYS: [(&str, &str, Option<&str>, bool); 17] = [
    ("keys", "AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY", Some("env"), true),
    ("session", "AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN", Some("env"), true),
    ("security", "AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SECURITY_TOKEN", Some("env"), true),
    ("shared", "AWS_SHARED_CREDENTIALS_FILE", Some("shared-credentials-file"), true),
    ("config", "AWS_CONFIG_FILE", Some("config-file"), true),
    ("process", "AWS_CONFIG_FILE,AWS_PROFILE", Some("custom-process"), true),
    ("default", "AWS_CONFIG_FILE,AWS_DEFAULT_PROFILE", Some("custom-process"), true),
    ("old", "AWS_CREDENTIAL_FILE", Some("ec2-credentials-file"), false),
    ("boto2", "BOTO_CONFIG", Some("boto-config"), false),
    ("identity", "AWS_WEB_IDENTITY_TOKEN_FILE,AWS_ROLE_ARN", Some("assume-role-with-web-identity"), true),
    (
        "named",
        "AWS_WEB_IDENTITY_TOKEN_FILE,AWS_ROLE_ARN,AWS_ROLE_SESSION_NAME",
        Some("assume-role-with-web-identity"),
        true,
    ),
    ("ecs", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Some("container-role"), true),
    (
        "agent",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI,AWS_CONTAINER_AUTHORIZATION_TOKEN",
        Some("container-role"),
        true,
    ),
    ("pod", "AWS_CONTAINER_CREDENTIALS_FULL_URI,AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", None, true),
    ("bare", "AWS_CONTAINER_CREDENTIALS_FULL_URI", Some("container-role"), true),
    ("instance", "AWS_EC2_METADATA_SERVICE_ENDPOINT", Some("iam-role"), true),
    ("renamed", "DEPLOY_ID,DEPLOY_AWS_KEY", Some("explicit"), false),
];

/// What an SDK answers when there is nothing, and how long it may take: isolated jobs are expected to be told in less
/// than a second, and a busy machine is given five.
const NONE: [&str; 2] =
    ["NoCredentialsError", "CredentialsProviderError:Could_not_load_credentials_from_any_providers"];
const SECONDS: f64 = 5.0;

/// AWS's own examples, and a token that has the beginning of one.
const KEY_ID: &str = concat!("AKIA", "IOSFODNN7EXAMPLE");
const SECRET: &str = concat!("wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY");

fn token() -> String {
    format!("IQoJb3JpZ2lu{}", "Ab3".repeat(100))
}

/// Every variable on the list that programs read, and those that the ways take.
fn planted() -> BTreeMap<String, String> {
    let lists: Value = serde_json::from_str(include_str!("../data/aws-credentials.json")).unwrap();
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut planted = BTreeMap::new();
    for name in strings(&lists["env_remove_exact"]) {
        planted.insert(name, "x".to_owned());
    }
    for prefix in strings(&lists["env_remove_prefix"]) {
        planted.insert(format!("{prefix}X"), "x".to_owned());
    }
    for (name, value) in [
        ("PROD_AWS_SECRET_ACCESS_KEY", "x"),
        ("aws_secret_access_key", "x"),
        ("JAVA_TOOL_OPTIONS", "-Daws.secretKey=x"),
        ("DEPLOY_ID", KEY_ID),
        ("DEPLOY_AWS_KEY", SECRET),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", &token()),
        ("AWS_CREDENTIAL_EXPIRATION", "2099-01-01T00:00:00Z"),
        ("AWS_SECURITY_TOKEN", &token()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/planted/shared"),
        ("AWS_CONFIG_FILE", "/planted/config"),
        ("AWS_PROFILE", "job"),
        ("AWS_DEFAULT_PROFILE", "job"),
        ("AWS_CREDENTIAL_FILE", "/planted/old"),
        ("BOTO_CONFIG", "/planted/boto2"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/planted/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/job"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:8000/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/planted/token"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:8000"),
    ] {
        planted.insert(name.to_owned(), value.to_owned());
    }
    planted
}

/// Writes what the variables point to, and what the endpoints hand out.
fn plant(container: &Container) {
    let pair = format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    let given = json!({"Version": 1, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
        "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": token(), "Expiration": "2099-01-01T00:00:00Z"});
    let process = "[profile job]\ncredential_process = cat /planted/from-process\n";
    let from_process = json!({"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET});
    container.plant("shared", &format!("[default]\n{pair}"));
    container.plant("config", &format!("[default]\n{pair}{process}"));
    container.plant("from-process", &from_process.to_string());
    container.plant("old", &format!("AWSAccessKeyId={KEY_ID}\nAWSSecretKey={SECRET}\n"));
    container.plant("boto2", &format!("[Credentials]\n{pair}"));
    container.plant("token", "token");
    container.plant("handed-out", &given.to_string());
    container.plant("names", &planted().into_keys().collect::<Vec<_>>().join("\n"));
}

/// What stays, since programs need it.
fn kept() -> Vec<String> {
    ["AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:8000"]
        .map(str::to_owned)
        .into()
}

fn entries() -> Vec<String> {
    planted().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The command lines that ask both SDKs, the endpoints beside them.
fn questions() -> String {
    let ways: Vec<_> = WAYS.iter().map(|(name, variables, ..)| format!("{name}={variables}")).collect();
    let ways = ways.join(" ");
    format!(
        "env -i python3 /work/endpoints.py & until [ -e /tmp/listening ]; do sleep 0.05; done
        python3 ask.py {ways}; echo; node ask.js {ways} 2>/dev/null; kill $!"
    )
}

/// The answers of both SDKs, by way, and the longest time that either took.
#[track_caller]
fn answers(out: &str) -> [(BTreeMap<String, String>, f64); 2] {
    let (python, node) = out.split_once("\n\n").unwrap_or_else(|| panic!("{out}"));
    [python, node].map(|text| {
        let mut longest: f64 = 0.0;
        let lines = text.lines().map(|line| {
            let [way, answer, seconds] =
                line.split(' ').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{out}"));
            longest = longest.max(seconds.parse().unwrap());
            (way.to_owned(), answer.to_owned())
        });
        (lines.collect(), longest)
    })
}

/// Asserts what the SDKs say without isolation.
#[track_caller]
fn finds_each(out: &str) {
    let [(python, _), (node, _)] = answers(out);
    for (way, _, boto, javascript) in WAYS {
        assert_eq!(python[way], boto.unwrap_or("container-role"), "boto3 {way}\n{out}");
        assert_eq!(node[way], if javascript { "found" } else { NONE[1] }, "JavaScript {way}\n{out}");
    }
    assert_eq!((python["together"].as_str(), node["together"].as_str()), ("explicit", "found"), "{out}");
    assert_eq!(python["left"], planted().len().to_string(), "{out}");
}

/// Asserts what they say with it.
#[track_caller]
fn finds_none(out: &str) {
    for ((answers, longest), none) in answers(out).into_iter().zip(NONE) {
        assert!(answers.len() > WAYS.len(), "{out}");
        for (way, answer) in answers {
            assert_eq!(answer, if way == "left" { "0" } else { none }, "{way}\n{out}");
        }
        assert!(longest < SECONDS, "{none} after {longest} s");
        println!("{none} after {longest} s at most");
    }
}

#[test]
fn sdks_of_a_container_find_every_planted_credential_without_isolation_and_none_with_it() {
    let mut container = Container::of(&questions());
    plant(&container);
    container.variables(&entries());
    container.variables(&kept());
    let bare = container.host(false, AS_AN_ENGINE);
    finds_each(&bare.out);
    let isolated = container.host(true, AS_AN_ENGINE);
    finds_none(&isolated.out);
    container.settings = COUNTING;
    let counting = container.host(true, AS_AN_ENGINE);
    finds_none(&counting.out);
    for said in [&bare, &isolated, &counting] {
        assert_eq!(said.err, "");
    }
    finds_each(&observed(&mut container, AS_AN_ENGINE).out);
}

/// dockerd and containerd build the environment of `exec` from their own memory.
#[test]
fn sdks_that_come_by_exec_find_none_either() {
    let mut container = Container::of("exec sleep 600");
    plant(&container);
    container.variables(&kept());
    let mut process = container.config["process"].clone();
    process["args"] = json!(["/bin/sh", "-c", questions()]);
    let env = process["env"].as_array().unwrap().to_vec();
    process["env"] = env.into_iter().chain(entries().into_iter().map(Value::from)).collect();
    container.write("process.json", &process);
    let words: String = entries().iter().map(|entry| format!(" --env '{entry}'")).collect();
    container.plant("questions", &questions());
    let run = r#"$R run --detach --bundle "$D/bundle" --pid-file "$D/pid" web >/dev/null 2>&1
        nsenter --net --target "$(cat "$D/pid")" ip addr add 169.254.170.2/32 dev lo"#;
    for exec in
        [r#"$R exec --process "$D/process.json" web"#, &format!("$R exec {words} web sh /planted/questions")]
    {
        let script = format!("{run}\n{exec}");
        finds_each(&container.host(false, &script).out);
        finds_none(&container.host(true, &script).out);
    }
}
