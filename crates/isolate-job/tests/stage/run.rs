//! A request, settings and directories, and `isolate-job stage` run on them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use isolate_job::progress::{Event, Fault, Line};
use serde_json::{Value, json};

pub(crate) const KEY_ID: &str = "AKIACANARYKEYID00000";
pub(crate) const SECRET: &str = "canary-secret-c0ffee";
pub(crate) const TOKEN: &str = "canary-token-c0ffee";

/// A container's directories, and what is to be transferred.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) request: Value,
    pub(crate) settings: String,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Line>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn training(bucket: &str) -> Value {
    json!({
        "TrainingJobName": "job",
        "AlgorithmSpecification": { "TrainingImage": "train:1", "TrainingInputMode": "File" },
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "OutputDataConfig": { "S3OutputPath": format!("s3://{bucket}/out") },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 60 },
        "EnableNetworkIsolation": true,
    })
}

pub(crate) fn channel(name: &str, uri: &str) -> Value {
    let source = json!({ "S3DataType": "S3Prefix", "S3Uri": uri });
    json!({ "ChannelName": name, "DataSource": { "S3DataSource": source } })
}

pub(crate) fn model(container: &Value) -> Value {
    let mut container = container.clone();
    container["Image"] = json!("serve:1");
    json!({
        "ModelName": "model",
        "PrimaryContainer": container,
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/Serve",
        "EnableNetworkIsolation": true,
    })
}

impl Place {
    pub(crate) fn new(request: Value, server: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let settings = format!(
            "part-size = 5\n[s3]\nendpoint = \"http://{server}\"\nregion = \"us-east-1\"\naddressing = \"path\"\n\
             [role]\nendpoint = \"http://{server}\"\n"
        );
        Self { directory, request, settings }
    }

    /// With one channel, `train`.
    pub(crate) fn with_channel(bucket: &str, uri: &str, server: SocketAddr) -> Self {
        let mut request = training(bucket);
        request["InputDataConfig"] = json!([channel("train", uri)]);
        Self::new(request, server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("root").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let at = |name: &str| self.directory.path().join(name);
        let mut command = self.other(&["stage"]);
        command.args(words).arg("--request").arg(at("request.json")).arg("--root").arg(at("root"));
        command
    }

    /// One that is not `stage`, with the settings.
    pub(crate) fn other(&self, words: &[&str]) -> Command {
        let at = |name: &str| self.directory.path().join(name);
        fs::write(at("request.json"), self.request.to_string()).unwrap();
        fs::write(at("job.toml"), &self.settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
        command.arg("--config").arg(at("job.toml")).args(words);
        command.env_clear().env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("AWS_SESSION_TOKEN", TOKEN).env("AWS_EC2_METADATA_DISABLED", "true");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command
    }

    /// With the credentials that a program prints, in place of those in variables.
    pub(crate) fn command_with(&self, credential_process: &str, words: &[&str]) -> Command {
        let config = self.directory.path().join("config");
        fs::write(&config, format!("[default]\ncredential_process = {credential_process}\n")).unwrap();
        let mut command = self.command(words);
        command.env_remove("AWS_ACCESS_KEY_ID").env("AWS_CONFIG_FILE", config).env("PATH", "/usr/bin:/bin");
        command
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words).spawn().unwrap()
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        Ended::of(self.command(words).output().unwrap())
    }

    /// It is to succeed.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        ended
    }

    /// It is to fail, with this text; nothing is left of the step.
    #[track_caller]
    pub(crate) fn failed(&self, words: &[&str], fault: Fault, text: &str) {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
        let Some(Line { event: Event::Failed(failure), .. }) = ended.lines.last() else {
            panic!("{}", ended.stdout)
        };
        assert!(failure.message.contains(text), "{failure:?}");
        assert_eq!(failure.fault, fault, "{failure:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }

    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str], text: &str) {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }

    /// Every file below a directory of the root, with its content.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        if self.path(name).exists() {
            visit(&self.path(name), &mut |path| {
                let relative = path.strip_prefix(self.path(name)).unwrap();
                files.insert(relative.to_str().unwrap().to_owned(), fs::read(path).unwrap());
            });
        }
        files
    }
}

/// Every file below a directory.
pub(crate) fn visit(directory: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            visit(&path, each);
        } else if metadata.is_file() {
            assert_eq!(metadata.permissions().mode() & 0o7000, 0);
            assert!(metadata.nlink() > 0);
            each(&path);
        }
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let stdout = text(output.stdout);
        let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { code: output.status.code(), lines, stdout, stderr: text(output.stderr) }
    }
}
