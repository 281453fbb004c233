//! A throw-away host with Docker 28, moto in place of Amazon S3 and STS, and `isolate-job`.

#[path = "../canaries/mod.rs"]
#[allow(dead_code, reason = "some test binaries do not search")]
pub(crate) mod canaries;

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::cached;
use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::host::EngineHost;
use test_support::podman::{self, Podman, User};

use crate::image;
pub(crate) use canaries::CANARIES;

const KEYS: &str = "[[key]]\naccess-key-id = 'AKIATEST'\nsecret-access-key = 'a secret of the tests'\n";

pub(crate) struct Site {
    /// Ends with its host, at the latest.
    servers: Vec<Child>,
    pub(crate) engine: Engine,
}

pub(crate) enum Engine {
    Docker(Docker),
    Podman(Podman),
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(Engine::Docker(Docker::start(Release::Docker28)))
    }

    pub(crate) fn podman() -> Self {
        Self::with(Engine::Podman(Podman::start(podman::Release::Podman5, User::Root)))
    }

    fn with(engine: Engine) -> Self {
        let mut site = Self { engine, servers: Vec::new() };
        let host = site.host();
        fs::create_dir(host.dir().join("bin")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_isolate-job"), host.dir().join("bin/isolate-job")).unwrap();
        fs::copy(test_support::isolatectl(), host.dir().join("bin/isolatectl")).unwrap();
        image::pack(&host.dir().join("model.tar"));
        site.engine(&["import", &host.at("model.tar"), "model"]).must();
        fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(host.dir().join("keys.toml"))
            .unwrap();
        host.write("keys.toml", KEYS);
        match site.engine {
            Engine::Docker(_) => site.settings("shim"),
            Engine::Podman(_) => site.settings("oci-isolate"),
        }
        site.moto();
        site
    }

    pub(crate) fn host(&self) -> &EngineHost {
        match &self.engine {
            Engine::Docker(docker) => &docker.host,
            Engine::Podman(podman) => &podman.host,
        }
    }

    pub(crate) fn docker(&self) -> &Docker {
        let Engine::Docker(docker) = &self.engine else { panic!("the engine is not Docker") };
        docker
    }

    /// The engine's own client.
    pub(crate) fn engine(&self, words: &[&str]) -> Finished {
        match &self.engine {
            Engine::Docker(docker) => docker.docker(words),
            Engine::Podman(podman) => podman.podman(words),
        }
    }

    fn client_of(&self, program: &str) -> Command {
        match &self.engine {
            Engine::Docker(docker) => docker.client(program),
            Engine::Podman(podman) => podman.client(program),
        }
    }

    pub(crate) fn settings(&self, runtime: &str) {
        let host = self.host();
        let (state, keys) = (host.at("jobs"), host.at("keys.toml"));
        let engine = match &self.engine {
            Engine::Docker(_) => "engine-path = \"/usr/bin/docker\"".to_owned(),
            Engine::Podman(podman) => format!("engine = \"podman\"\nengine-path = {:?}", podman.program()),
        };
        let text = format!(
            "state = {state:?}\n{engine}\nruntime = {runtime:?}\n\
             [s3]\nendpoint = \"http://127.0.0.1:5000\"\naddressing = \"path\"\nregion = \"eu-west-1\"\n\
             [role]\nendpoint = \"http://127.0.0.1:5000\"\n\
             [listen]\nkeys = {keys:?}\naddress = \"127.0.0.1:5100\"\n"
        );
        host.write("job.toml", &text);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host().dir().join(name)
    }

    /// A program of the machine's in the host's network.
    fn outside(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.host().world.host.path()));
        command.args(["setpriv", "--pdeathsig", "KILL"]).arg(program);
        command
    }

    fn moto(&mut self) {
        let program = cached("s3/moto-5.2.5/bin/moto_server", "hack/s3");
        let mut command = self.outside(&program);
        // Containers could reach it, if they were not isolated.
        command.args(["-H", "0.0.0.0", "-p", "5000"]).env("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "true");
        let log = File::create(self.path("moto.log")).unwrap();
        self.servers.push(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.python(include_str!("bucket.py"));
    }

    /// `isolate-job` as a user with credentials calls it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let host = self.host();
        let mut command = self.client_of(&host.at("bin/isolate-job"));
        command.envs(CANARIES).args(["--config", &host.at("job.toml")]).args(words);
        command
    }

    pub(crate) fn job(&self, words: &[&str]) -> Finished {
        say(&mut self.command(words))
    }

    /// Something that runs in the background, with its output in `NAME.log`.
    pub(crate) fn background(&self, name: &str, words: &[&str]) {
        self.background_below(&[], name, words);
    }

    /// The listener, which accepts connections.
    pub(crate) fn listen(&self) {
        self.background("listen", &["listen"]);
        self.until_logged("listen", "listening on");
    }

    /// The listener with the capabilities of its unit.
    pub(crate) fn listen_as_unit(&self) {
        let unit = include_str!("../../../../dist/systemd/isolate-job.service");
        let set = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
        let kept: Vec<_> = set.split(' ').map(|name| name.to_lowercase().replace("cap_", ",+")).collect();
        let set = format!("--bounding-set=-all{}", kept.concat());
        self.background_below(&["setpriv", "--no-new-privs", &set], "listen", &["listen"]);
    }

    fn background_below(&self, before: &[&str], name: &str, words: &[&str]) {
        let host = self.host();
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = self.client_of("setsid");
        command.envs(CANARIES).arg("--fork").args(before).arg(host.at("bin/isolate-job"));
        command.args(["--config", &host.at("job.toml")]).args(words);
        assert!(command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap().success());
    }

    #[track_caller]
    pub(crate) fn until_logged(&self, name: &str, text: &str) -> String {
        let log = self.path(&format!("{name}.log"));
        let has = || fs::read_to_string(&log).ok().filter(|log| log.contains(text));
        wait_for(Duration::from_secs(60), has).unwrap_or_else(|| {
            panic!("{name}.log has no {text:?}: {}", self.host().log(&format!("{name}.log")))
        })
    }

    /// Runs a program with boto3 in the host's network.
    #[track_caller]
    pub(crate) fn python(&self, program: &str) {
        let python = cached("sagemaker/venv/bin/python3", "hack/sagemaker-model --prepare");
        self.client(self.outside(&python).args(["-c", program]));
    }

    /// Runs a program with SageMaker's SDK, `v2` or `v3`, in the host's network.
    #[track_caller]
    #[allow(dead_code, reason = "it is for the tests with the SDK")]
    pub(crate) fn sdk(&self, version: &str, program: &str) {
        let python = cached(&format!("sagemaker-sdk/{version}/bin/python3"), "hack/sagemaker-sdk");
        let telemetry =
            "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n";
        let config = self.host().write("config.yaml", telemetry);
        let mut command = self.outside(&python);
        // There is no IAM here, which SDK 3 would ask about the role.
        command.env("SAGEMAKER_USER_CONFIG_OVERRIDE", config).env("SAGEMAKER_VALIDATE_ROLE", "false");
        self.client(command.args(["-c", program]));
    }

    /// Runs a script with the aws CLI in the host's network.
    #[track_caller]
    #[allow(dead_code, reason = "it is for the tests with the SDK")]
    pub(crate) fn aws(&self, script: &str) {
        let aws = cached("sagemaker-sdk/aws/bin/aws", "hack/sagemaker-sdk");
        let path = format!("{}:/usr/bin:/bin", aws.parent().unwrap().display());
        self.client(self.outside(Path::new("bash")).args(["-c", script]).env("PATH", path));
    }

    #[track_caller]
    fn client(&self, command: &mut Command) {
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
        command.env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "a secret of the tests");
        command.env("AWS_REGION", "eu-west-1").env("AWS_DEFAULT_REGION", "eu-west-1");
        for service in ["SAGEMAKER", "SAGEMAKER_RUNTIME", "CLOUDWATCH_LOGS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), "http://127.0.0.1:5100");
        }
        for service in ["S3", "STS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), "http://127.0.0.1:5000");
        }
        let output = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let listen = self.host().log("listen.log");
        assert!(output.status.success() && out.ends_with("done\n"), "{out}\n{err}\n{listen}");
    }

    /// The document of a model; more members, or others.
    pub(crate) fn model(&self, name: &str, more: &Value) -> String {
        let mut request = json!({
            "ModelName": name,
            "PrimaryContainer": {
                "Image": "model",
                "ModelDataUrl": "s3://data/model.tar.gz",
                "Environment": { "AWS_SECRET_ACCESS_KEY": "given", "MODE": "fast" },
            },
            "ExecutionRoleArn": "arn:aws:iam::111122223333:role/Serve",
            "EnableNetworkIsolation": true,
        });
        for (member, value) in more.as_object().unwrap() {
            request[member] = value.clone();
        }
        self.host().write(&format!("{name}.json"), &request.to_string())
    }

    /// Names of containers whose names have this.
    pub(crate) fn containers(&self, name: &str) -> Vec<String> {
        let all = self.engine(&["ps", "--all", "--format", "{{.Names}}"]).must();
        all.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
