//! Variables that are credentials or point to one, by their name. Names compare without regard to ASCII case:
//! object_store lower-cases any `AWS_...`, fsspec lower-cases its own.
//!
//! From the sources of the AWS SDKs and CLI, S3 clients, the ECS agent, the EKS webhook and Pod Identity agent,
//! Greengrass and others. `AWS_*` as a whole would be too broad (`AWS_REGION`, `AWS_BATCH_JOB_*` are needed) and too
//! narrow (`SECRET_ACCESS_KEY`, `BOTO_CONFIG`).

/// Whole names, in byte order.
#[rustfmt::skip]
const NAMES: [&str; 72] = [
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY", "AMAZON_SESSION_TOKEN", "AWSACCESSKEYID", "AWSSECRETACCESSKEY",
    "AWSSESSIONTOKEN", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_SERVICE_ENDPOINT", "AWS_CREDENTIAL_EXPIRATION", "AWS_CREDENTIAL_FILE",
    "AWS_CREDENTIAL_PROFILES_FILE", "AWS_DEFAULT_PROFILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ECR_CACHE_DIR", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH",
    "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_METADATA_ENDPOINT", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_S3_ACCESS_KEY_ID",
    "AWS_S3_SECRET_ACCESS_KEY", "AWS_S3_SESSION_PROFILE", "AWS_SDK_GO_CLIENT_TLS_KEY",
    "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_TOKEN", "AWS_VAULT_FILE_PASSPHRASE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BITBUCKET_STEP_OIDC_TOKEN", "BOTO_CONFIG", "BOTO_PATH", "CIRCLE_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_V2",
    "CODEARTIFACT_AUTH_TOKEN", "CODEARTIFACT_TOKEN", "CODEBUILD_AGENT_ENDPOINT", "CODEBUILD_AUTH_TOKEN", "CPL_AWS_CREDENTIALS_FILE", "ECS_AGENT_URI",
    "ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "FSSPEC_CONFIG_DIR", "FSSPEC_S3",
    "FSSPEC_S3A", "HADOOP_CREDSTORE_PASSWORD", "HADOOP_TOKEN", "HADOOP_TOKEN_FILE_LOCATION", "LISTEN_FDNAMES",
    "LISTEN_FDS", "LISTEN_PID", "MC_CONFIG_ENV_FILE", "MINIO_SHARED_CREDENTIALS_FILE", "RCLONE_CONFIG",
    "RCLONE_CONFIG_PASS", "RCLONE_PASSWORD_COMMAND", "SECRET_ACCESS_KEY", "SVCUID",
    "TFC_WORKLOAD_IDENTITY_TOKEN", "VERCEL_OIDC_TOKEN",
];

/// Beginnings of names.
const PREFIXES: [&str; 11] = [
    "AWS_BEARER_TOKEN_",
    "CI_JOB_JWT",
    "FSSPEC_S3A_",
    "FSSPEC_S3_",
    "MC_HOST_",
    "MC_ROLE_ARN_",
    "MC_ROLE_SESSION_NAME_",
    "MC_STS_ENDPOINT_",
    "MC_WEB_IDENTITY_TOKEN_FILE_",
    "RCLONE_CONFIG_",
    "RCLONE_S3_",
];

/// Whether a variable of this name is removed whatever its value.
pub(super) fn is_credential(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    NAMES.binary_search(&upper.as_str()).is_ok()
        || PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
        || ends_like_a_key(&upper)
        || belongs_to_aws_and_ends_like_a_secret(&upper)
}

/// `(^|_)(AWS_?)?(SECRET_?ACCESS_?KEY|ACCESS_?KEY_?ID|SECRET_?KEY_?ID)$`. Anchored at the end: unanchored it would hit
/// `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
fn ends_like_a_key(name: &str) -> bool {
    const WORDS: [[&str; 3]; 3] =
        [["SECRET", "ACCESS", "KEY"], ["ACCESS", "KEY", "ID"], ["SECRET", "KEY", "ID"]];
    let front = |front: &str| front.is_empty() || front.ends_with('_');
    WORDS.iter().filter_map(|words| before_words(name, words)).any(|rest| {
        let without_aws = rest.strip_suffix('_').unwrap_or(rest).strip_suffix("AWS");
        front(rest) || without_aws.is_some_and(front)
    })
}

/// `^(AWS|AMAZON|S3).*(SECRET(_?ACCESS)?(_?KEY)?|SESSION_?TOKEN|ACCESS_?KEY(_?ID)?)$`
fn belongs_to_aws_and_ends_like_a_secret(name: &str) -> bool {
    const ENDS: [&[&str]; 7] = [
        &["SECRET"],
        &["SECRET", "ACCESS"],
        &["SECRET", "KEY"],
        &["SECRET", "ACCESS", "KEY"],
        &["SESSION", "TOKEN"],
        &["ACCESS", "KEY"],
        &["ACCESS", "KEY", "ID"],
    ];
    let Some(rest) = ["AWS", "AMAZON", "S3"].iter().find_map(|owner| name.strip_prefix(owner)) else {
        return false;
    };
    ENDS.iter().any(|words| before_words(rest, words).is_some())
}

/// The part of the name before these words at its end; an underscore may separate two of them.
fn before_words<'n>(name: &'n str, words: &[&str]) -> Option<&'n str> {
    let (last, others) = words.split_last()?;
    others.iter().rev().try_fold(name.strip_suffix(last)?, |rest, word| {
        rest.strip_suffix('_').unwrap_or(rest).strip_suffix(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_that_the_search_needs() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn credentials_are_found_in_any_case_and_shape() {
        for name in [
            "AWS_SECRET_ACCESS_KEY",
            "aws_secret_access_key",
            "Aws_Session_Token",
            "SECRET_ACCESS_KEY",
            "AWSSECRETACCESSKEY",
            "AMAZON_ACCESS_KEY_ID",
            "BOTO_CONFIG",
            "MC_HOST_play",
            "SVCUID",
            "rclone_s3_secret",
            "AWS_BEARER_TOKEN_BEDROCK",
            "FSSPEC_S3_KEY",
            "PROD_AWS_SECRET_ACCESS_KEY",
            "PROD_AWSACCESSKEYID",
            "MINIO_ACCESS_KEY_ID",
            "S3_SECRET",
            "S3SESSIONTOKEN",
            "AWS_PROD_ACCESSKEY",
            "LISTEN_FDS",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "X_SECRETKEYID",
        ] {
            assert!(is_credential(name), "{name}");
        }
    }

    #[test]
    fn what_programs_need_stays() {
        for name in [
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_NEURON_VISIBLE_DEVICES",
            "AWS_BATCH_JOB_ID",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_ACCOUNT_ID",
            "AWS_EXECUTION_ENV",
            "AWS_MAX_ATTEMPTS",
            "AWS_RETRY_MODE",
            "AWS_CA_BUNDLE",
            "AWS_USE_FIPS_ENDPOINT",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_SKIP_SIGNATURE",
            "AWS_PAGER",
            "AWS_CLI_AUTO_PROMPT",
            "AWS_EC2_METADATA_DISABLED",
            "SM_MODEL_DIR",
            "SAGEMAKER_PROGRAM",
            "TRAINING_JOB_NAME",
            "PATH",
            "SECRET",
            "NOTSECRET_ACCESS",
            "XSECRET_ACCESS_KEY",
            "SECRET_ACCESS_KEY_FILE_X",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
