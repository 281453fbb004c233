//! The configuration files below /opt/ml/input/config, and the container's environment.

use serde_json::{Map, Value, json};

use crate::request::{Distribution, RecordWrapper, TrainingJob};

/// One container of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `algo-1`.
    pub name: String,
    /// The interface by which it reaches its peers, as it is called in the container: `eth0`, or `lo` when it is alone.
    pub interface: String,
}

/// The host names of a job of so many containers, in their order.
#[must_use]
pub fn hosts(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("algo-{number}")).collect()
}

/// The documents: file name and content.
#[must_use]
pub fn documents(job: &TrainingJob, host: &Host) -> [(&'static str, Value); 3] {
    let mode = job.algorithm_specification.training_input_mode;
    let channels = job.input_data_config.iter().map(|channel| {
        let distribution = channel.source().s3_data_distribution_type.unwrap_or_default();
        let mut shown = Map::new();
        shown.insert("TrainingInputMode".to_owned(), json!(channel.mode(mode)));
        let distribution = match distribution {
            Distribution::FullyReplicated => "FullyReplicated",
            Distribution::ShardedByS3Key => "ShardedByS3Key",
        };
        shown.insert("S3DistributionType".to_owned(), json!(distribution));
        let wrapper = channel.record_wrapper_type.unwrap_or(RecordWrapper::None);
        shown.insert("RecordWrapperType".to_owned(), json!(wrapper));
        if let Some(kind) = &channel.content_type {
            shown.insert("ContentType".to_owned(), json!(kind));
        }
        (channel.channel_name.clone(), Value::Object(shown))
    });
    // Sorted as text, as SageMaker has them: algo-1, algo-10, algo-2.
    let mut hosts = hosts(job.resource_config.instance_count);
    hosts.sort_unstable();
    let kind = &job.resource_config.instance_type;
    let group = "homogeneousCluster";
    let resources = json!({
        "current_host": host.name,
        "current_instance_type": kind,
        "current_group_name": group,
        "hosts": hosts,
        "instance_groups": [{ "instance_group_name": group, "instance_type": kind, "hosts": hosts }],
        "network_interface_name": host.interface,
    });
    [
        ("hyperparameters.json", json!(job.hyper_parameters)),
        ("inputdataconfig.json", Value::Object(channels.collect())),
        ("resourceconfig.json", resources),
    ]
}

/// The variables of a job's containers, a line for each, as engines read a file of them. Those of the platform go before
/// those of the request.
#[must_use]
pub fn environment(job: &TrainingJob, arn: &str) -> String {
    let mut all = job.environment.clone();
    all.insert("TRAINING_JOB_NAME".to_owned(), job.training_job_name.clone());
    all.insert("TRAINING_JOB_ARN".to_owned(), arn.to_owned());
    all.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Request, read};

    #[test]
    fn documents_are_those_of_the_contract() {
        let Request::Training(mut job) = read(include_bytes!("../request/tests/training.json")).unwrap()
        else {
            panic!()
        };
        job.data.resource_config.instance_count = 11;
        let host = Host { name: "algo-2".to_owned(), interface: "eth0".to_owned() };
        let [hyperparameters, inputs, resources] = documents(&job.data, &host);
        assert_eq!(hyperparameters, ("hyperparameters.json", json!({ "epochs": "3", "lr": "0.1" })));
        let expected = json!({
            "train": {
                "TrainingInputMode": "FastFile", "S3DistributionType": "ShardedByS3Key", "RecordWrapperType": "None",
                "ContentType": "text/csv",
            },
            "validation": {
                "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None",
            },
        });
        assert_eq!(inputs, ("inputdataconfig.json", expected));
        let resources = resources.1;
        assert_eq!(resources["current_host"], "algo-2");
        assert_eq!(resources["network_interface_name"], "eth0");
        let sorted = json!([
            "algo-1", "algo-10", "algo-11", "algo-2", "algo-3", "algo-4", "algo-5", "algo-6", "algo-7",
            "algo-8", "algo-9",
        ]);
        assert_eq!(resources["hosts"], sorted);
        assert_eq!(resources["instance_groups"][0]["hosts"], sorted);
    }

    #[test]
    fn variables_are_lines_and_the_platforms_own_win() {
        let Request::Training(mut job) = read(include_bytes!("../request/tests/training.json")).unwrap()
        else {
            panic!()
        };
        job.data.environment.insert("TRAINING_JOB_NAME".to_owned(), "other".to_owned());
        job.data.environment.insert("ODD".to_owned(), " a=b \"c\" #".to_owned());
        let expected =
            "EMPTY=\nMODE=full\nODD= a=b \"c\" #\nTRAINING_JOB_ARN=arn:x\nTRAINING_JOB_NAME=boston-2026\n";
        assert_eq!(environment(&job.data, "arn:x"), expected);
    }
}
