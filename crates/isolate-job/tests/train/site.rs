//! A throw-away host with an engine, `isolate-job`, and a directory in place of Amazon S3.

#[path = "../canaries/mod.rs"]
#[allow(dead_code, reason = "some test binaries do not search")]
pub(crate) mod canaries;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::host::EngineHost;
use test_support::podman::{Podman, User};

pub(crate) use canaries::CANARIES;

pub(crate) enum Engine {
    Docker(Docker),
    Podman(Podman),
}

pub(crate) struct Site {
    pub(crate) engine: Engine,
}

/// What a job is made of, for [`Site::request`].
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) script: &'a str,
    /// Further members of the request.
    pub(crate) more: Value,
}

pub(crate) fn asked<'a>(name: &'a str, script: &'a str) -> Asked<'a> {
    Asked { name, script, more: json!({}) }
}

/// What the definition of a training job has in its own request and in that of a tuning job.
pub(crate) fn definition(algorithm: &Value) -> Value {
    json!({
        "AlgorithmSpecification": algorithm,
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "InputDataConfig": [{
            "ChannelName": "train",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/train" } },
        }],
        "OutputDataConfig": { "S3OutputPath": "s3://results/out" },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 100 },
        "EnableNetworkIsolation": true,
    })
}

impl Site {
    pub(crate) fn docker() -> Self {
        Self::new(Engine::Docker(Docker::start(Release::Docker28)))
    }

    pub(crate) fn podman() -> Self {
        Self::new(Engine::Podman(Podman::start(test_support::podman::Release::Podman5, User::Root)))
    }

    /// With an engine that was started.
    pub(crate) fn new(engine: Engine) -> Self {
        Self::with(engine, program())
    }

    /// With the product as it is.
    pub(crate) fn real(engine: Engine) -> Self {
        Self::with(engine, Path::new(env!("CARGO_BIN_EXE_isolate-job")))
    }

    /// With a program as `isolate-job`.
    pub(crate) fn with(engine: Engine, program: &Path) -> Self {
        let site = Self { engine };
        let host = site.host();
        fs::create_dir(host.dir().join("bin")).unwrap();
        fs::copy(program, host.dir().join("bin/isolate-job")).unwrap();
        fs::copy(test_support::isolatectl(), host.dir().join("bin/isolatectl")).unwrap();
        fs::create_dir_all(host.dir().join("s3/data/train")).unwrap();
        fs::create_dir_all(host.dir().join("s3/results")).unwrap();
        fs::write(host.dir().join("s3/data/train/x.csv"), "1,2,3\n").unwrap();
        let own = match &site.engine {
            Engine::Docker(_) => "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\n".to_owned(),
            Engine::Podman(podman) => {
                format!("engine = \"podman\"\nengine-path = {:?}\n", podman.program())
            }
        };
        site.settings(&own);
        site
    }

    /// Settings beside those of the state directory.
    pub(crate) fn settings(&self, own: &str) {
        let state = self.host().at("jobs");
        let text = format!(
            "state = {state:?}\ncheckpoint-interval = 1\n{own}\n[instances.\"ml.m4.xlarge\"]\nmemory-gib = 0.03125\nshm-gib = 0.0078125\n"
        );
        self.host().write("job.toml", &text);
    }

    pub(crate) fn host(&self) -> &EngineHost {
        match &self.engine {
            Engine::Docker(docker) => &docker.host,
            Engine::Podman(podman) => &podman.host,
        }
    }

    /// `isolate-job` as a user with credentials calls it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.user(&self.host().at("bin/isolate-job"));
        command.args(["--config", &self.host().at("job.toml")]).args(words);
        command
    }

    /// A program of a user with credentials.
    pub(crate) fn user(&self, program: &str) -> Command {
        let mut command = match &self.engine {
            Engine::Docker(docker) => docker.client(program),
            Engine::Podman(podman) => podman.client(program),
        };
        command.envs(CANARIES).env("AWS_ENDPOINT_URL_S3", self.host().at("s3"));
        command
    }

    pub(crate) fn job(&self, words: &[&str]) -> Finished {
        say(&mut self.command(words))
    }

    /// The engine's own client.
    pub(crate) fn engine(&self, words: &[&str]) -> Finished {
        match &self.engine {
            Engine::Docker(docker) => docker.docker(words),
            Engine::Podman(podman) => podman.podman(words),
        }
    }

    /// Writes a request and returns its path.
    pub(crate) fn request(&self, asked: &Asked) -> String {
        let Asked { name, script, more } = asked;
        let mut request = definition(&json!({
            "TrainingImage": "probe",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c"],
            "ContainerArguments": [script],
        }));
        request["TrainingJobName"] = json!(name);
        for (member, value) in more.as_object().unwrap() {
            request[member] = value.clone();
        }
        self.host().write(&format!("{name}.json"), &request.to_string())
    }

    /// Runs a job in the foreground.
    pub(crate) fn train(&self, asked: &Asked) -> Finished {
        self.job(&["train", &self.request(asked)])
    }

    /// Starts a job in the background.
    #[track_caller]
    pub(crate) fn detach(&self, asked: &Asked) {
        self.detach_in("us-east-1", asked);
    }

    #[track_caller]
    pub(crate) fn detach_in(&self, region: &str, asked: &Asked) {
        let arn = self.job(&["train", "--detach", &self.request(asked)]).must();
        assert_eq!(arn, format!("arn:aws:sagemaker:{region}:111122223333:training-job/{}", asked.name));
    }

    pub(crate) fn describe(&self, name: &str) -> Value {
        serde_json::from_str(&self.job(&["describe", name]).must()).unwrap()
    }

    /// Waits until a job is somewhere.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, secondary: &[&str]) -> Value {
        let found = wait_for(Duration::from_secs(40), || {
            let text = fs::read(self.path(&format!("jobs/{name}/status.json"))).ok()?;
            let status: Value = serde_json::from_slice(&text).ok()?;
            secondary.contains(&status["SecondaryStatus"].as_str()?).then_some(status)
        });
        found.unwrap_or_else(|| panic!("{name} is not {secondary:?}: {}", self.describe(name)))
    }

    /// Waits until the log of a container has a line.
    #[track_caller]
    pub(crate) fn until_logged(&self, name: &str, host: &str, text: &str) {
        let log = self.path(&format!("jobs/{name}/log/{host}.log"));
        let has = || fs::read_to_string(&log).ok().filter(|log| log.contains(text));
        assert!(
            wait_for(Duration::from_secs(40), has).is_some(),
            "{name} does not log {text}: {}",
            self.describe(name)
        );
    }

    /// Waits until a job has no supervisor.
    #[track_caller]
    pub(crate) fn until_left(&self, name: &str) {
        let free =
            || self.host().sh(&format!("flock -n {} true", self.host().at(&format!("jobs/{name}/lock"))));
        assert!(
            wait_for(Duration::from_secs(40), || free().well().then_some(())).is_some(),
            "{name} is supervised"
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host().dir().join(name)
    }

    /// The files of an archive in a bucket.
    pub(crate) fn archive(&self, name: &str, archive: &str) -> String {
        let path = self.path(&format!("s3/results/out/{name}/output/{archive}.tar.gz"));
        let mut listed = Command::new("tar");
        say(listed.arg("-xzOf").arg(path)).must()
    }

    /// Complaints about what a job has left on the engine and in its directory.
    pub(crate) fn left_over(&self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        let containers = self.engine(&["ps", "--all", "--format", "{{.Names}}"]).must();
        all.extend(
            containers.lines().filter(|line| line.contains(name)).map(|line| format!("container {line}")),
        );
        let networks = self.engine(&["network", "ls", "--format", "{{.Name}}"]).must();
        all.extend(networks.lines().filter(|line| line.contains(name)).map(|line| format!("network {line}")));
        let data = self.path(&format!("jobs/{name}/algo-1"));
        all.extend(data.exists().then(|| format!("{}", data.display())));
        all
    }
}

/// `isolate-job` with a directory in place of Amazon S3. It is an example, which cargo does not build for every test.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap();
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--package", "isolate-job", "--example", "without-s3"]);
        assert!(build.env_remove("RUSTC_BOOTSTRAP").status().unwrap().success(), "without-s3 was not built");
        let tests = std::env::current_exe().unwrap();
        tests.parent().and_then(Path::parent).unwrap().join("examples/without-s3")
    })
}

/// The names of a job's transitions.
pub(crate) fn transitions(status: &Value) -> Vec<String> {
    let all = status["SecondaryStatusTransitions"].as_array().unwrap();
    all.iter().map(|one| one["Status"].as_str().unwrap().to_owned()).collect()
}
