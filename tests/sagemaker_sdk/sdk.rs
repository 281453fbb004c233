//! A host on which the SDK runs: Docker, an S3 server (moto), the image of the jobs.
//!
//! The SDK itself runs in the machine's own file system, which has its Python, and in the host's network. Docker's and
//! compose's clients are the host's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use test_support::command::{Finished, command_within, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::{CREDENTIALS, cached, isolatectl, shim};

/// Moto's address: of the host, so that a container with a network reaches it.
const S3: &str = "198.51.100.2:5000";

pub(crate) struct Sdk {
    pub(crate) docker: Docker,
    moto: Child,
}

impl Drop for Sdk {
    fn drop(&mut self) {
        drop(self.moto.kill());
        drop(self.moto.wait());
    }
}

impl Sdk {
    /// A host whose Docker has the image `job`: `train` and `serve` of this directory.
    pub(crate) fn start(release: Release) -> Self {
        let docker = Docker::start(release);
        let host = &docker.host;
        for directory in ["bin", "jobs", "programs", ".sagemaker", ".config/sagemaker"] {
            fs::create_dir_all(host.dir().join(directory)).unwrap();
        }
        for program in ["docker", "docker-compose"] {
            let path = host.dir().join("bin").join(program);
            fs::write(&path, host.entering_script(&format!("/usr/bin/{program}"))).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        // It would ask the internet, which is not there.
        let telemetry =
            "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n";
        host.write(".config/sagemaker/config.yaml", telemetry);
        for (name, text) in [
            ("train.py", include_str!("train.py")),
            ("serve.py", include_str!("serve.py")),
            ("v2.py", include_str!("v2.py")),
            ("v3.py", include_str!("v3.py")),
            // SDK 3 wants one in the image.
            ("pip3", "#!/bin/sh\nexec python3 -m pip \"$@\"\n"),
        ] {
            let path = host.write(&format!("programs/{name}"), text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        let image = fs::File::open(cached("sagemaker-sdk", "hack/sagemaker-sdk").join("image.tar")).unwrap();
        let mut import = host.patient_command("/usr/bin/docker");
        import.env("DOCKER_HOST", docker.socket()).args(["import", "-", "python"]).stdin(image);
        say(&mut import).must();
        docker.must(&["create", "--name=make", "python", "true"]);
        for (file, program) in [("train.py", "train"), ("serve.py", "serve"), ("pip3", "pip3")] {
            let file = host.at(&format!("programs/{file}"));
            docker.must(&["cp", &file, &format!("make:/usr/local/bin/{program}")]);
        }
        docker.must(&["commit", "make", "job"]);

        let moto = Self::in_network(&docker, "v2", 600)
            .args(["-m", "moto.server", "-H", "0.0.0.0", "-p", "5000"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(host.dir().join("moto.log")).unwrap())
            .spawn()
            .unwrap();
        let sdk = Self { docker, moto };
        let answers = || sdk.docker.host.world.can_connect(S3).then_some(());
        assert!(
            wait_for(Duration::from_secs(60), answers).is_some(),
            "moto does not answer: {}",
            sdk.docker.host.log("moto.log")
        );
        sdk
    }

    /// Python of this version's environment, in the host's network.
    fn in_network(docker: &Docker, version: &str, seconds: u32) -> Command {
        // The link itself, by which Python finds its environment.
        let environment = cached("sagemaker-sdk", "hack/sagemaker-sdk").join(version).canonicalize().unwrap();
        let python = environment.join("bin/python");
        let mut command = command_within(seconds, "nsenter");
        command.arg(format!("--net={}", docker.host.world.host.path())).arg("--").arg(python);
        command
    }

    /// Runs a script of this directory.
    pub(crate) fn run(&self, version: &str, args: &[&str], env: &[(&str, &str)]) -> Finished {
        let host = &self.docker.host;
        let mut command = Self::in_network(&self.docker, version, 300);
        let credentials = CREDENTIALS[..2].iter().filter_map(|entry| entry.split_once('='));
        command
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.at("bin")))
            .env("HOME", host.dir())
            .env("DOCKER_HOST", self.docker.socket())
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL", format!("http://{S3}"))
            .env("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
            .env("IMAGE", "job")
            .env("JOBS", host.at("jobs"))
            .envs(credentials)
            .envs(env.iter().copied())
            .current_dir(host.dir())
            .arg(host.at(&format!("programs/{version}.py")))
            .args(args);
        say(&mut command)
    }

    /// What the script reports: its last line.
    #[track_caller]
    pub(crate) fn report(&self, version: &str, args: &[&str], env: &[(&str, &str)]) -> Value {
        let said = self.run(version, args, env);
        let last = said.out.lines().next_back().unwrap_or_default().to_owned();
        let report = serde_json::from_str(&last).ok().filter(|_| said.well());
        report.unwrap_or_else(|| panic!("the SDK's run failed: {said}"))
    }

    /// `isolatectl` on the host.
    pub(crate) fn isolatectl(&self, args: &[&str]) -> String {
        let program = self.docker.host.dir().join("isolatectl");
        if !program.exists() {
            fs::copy(isolatectl(), &program).unwrap();
        }
        say(self.docker.host.command(program.to_str().unwrap()).args(args)).must()
    }

    /// Registers the shim with the host's Docker, which then knows it.
    pub(crate) fn install(&self, more: &[&str], runtime: &str) -> String {
        let host = &self.docker.host;
        let (file, shim) = (host.at("daemon.json"), shim());
        let install = ["install", "docker", "--config", &file, "--runtime-path", shim.to_str().unwrap()];
        let said = self.isolatectl(&[&install, more].concat());
        host.sh(&format!("kill -HUP $(cat {})", host.at("docker.pid"))).must();
        let knows = || {
            let known = self.docker.must(&["info", "--format", "{{json .Runtimes}} {{.DefaultRuntime}}"]);
            (known.contains(&format!("\"{runtime}\""))
                && (!more.contains(&"--default") || known.ends_with(runtime)))
            .then_some(())
        };
        assert!(wait_for(Duration::from_secs(20), knows).is_some(), "{}", host.log("dockerd.log"));
        said
    }

    /// The SDK's configuration: these lines, and where it puts its files.
    pub(crate) fn configure(&self, lines: &str) {
        let host = &self.docker.host;
        host.write(".sagemaker/config.yaml", &format!("{lines}\n  container_root: {}\n", host.at("jobs")));
    }
}
