//! The files of one container of a pod, and `isolate-job pod` run on them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::api::Api;
use crate::server::shared;

pub(crate) struct Place {
    directory: tempfile::TempDir,
    pub(crate) api: Api,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) message: Value,
    pub(crate) stderr: String,
}

/// A job whose results go to a bucket of that name.
pub(crate) fn training(bucket: &str) -> Value {
    json!({
        "TrainingJobName": "job",
        "AlgorithmSpecification": { "TrainingImage": "train:1", "TrainingInputMode": "File" },
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "HyperParameters": { "epochs": "3" },
        "InputDataConfig": [{
            "ChannelName": "train",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": format!("s3://{bucket}/in/") } },
        }],
        "OutputDataConfig": { "S3OutputPath": format!("s3://{bucket}/out"), "CompressionType": "NONE" },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 60 },
        "EnableNetworkIsolation": true,
    })
}

impl Place {
    pub(crate) fn new(request: &Value, api: Api) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let server = shared().address;
        let settings = format!(
            "checkpoint-interval = 1\n[s3]\nendpoint = \"http://{server}\"\nregion = \"us-east-1\"\naddressing = \"path\"\n\
             [role]\nendpoint = \"http://{server}\"\n"
        );
        fs::write(directory.path().join("request.json"), request.to_string()).unwrap();
        fs::write(directory.path().join("job.toml"), settings).unwrap();
        Self { directory, api }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As the isolated container would.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path("data/opt-ml").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn start(&self, direction: &str, credentials: &Path) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
        command.arg("--config").arg(self.path("job.toml"));
        command.args([
            "pod",
            direction,
            "--namespace",
            "team",
            "--pod",
            "job-x",
            "--wait",
            "1",
            "--start",
            "1",
        ]);
        for (flag, name) in [("--request", "request.json"), ("--data", "data"), ("--message", "message")] {
            command.arg(flag).arg(self.path(name));
        }
        command.arg("--credentials").arg(credentials);
        command
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIACANARYKEYID00000")
            .env("AWS_SECRET_ACCESS_KEY", "canary-secret");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("KUBERNETES_SERVICE_HOST", self.api.address.ip().to_string());
        command.env("KUBERNETES_SERVICE_PORT", self.api.address.port().to_string());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn run(&self, direction: &str) -> Ended {
        self.end(self.start(direction, self.api.directory.path()))
    }

    pub(crate) fn end(&self, child: Child) -> Ended {
        let output = child.wait_with_output().unwrap();
        let message = fs::read(self.path("message")).unwrap_or_default();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("canary") && !stderr.contains("first"), "{stderr}");
        Ended {
            code: output.status.code(),
            message: serde_json::from_slice(&message).unwrap_or_default(),
            stderr,
        }
    }
}

/// The next line of its error output.
pub(crate) fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

pub(crate) fn terminate(child: &Child) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}
