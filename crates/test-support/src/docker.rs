//! A Docker daemon of its own, on a throw-away host.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::command::{Finished, say, wait_for};
use crate::host::{EngineHost, Kind};
use crate::probe::Report;
use crate::{CREDENTIALS, ISOLATE, image, shim};

/// The two generations of Docker that matter to a shim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// No annotations; plumbs the container's veth by a prestart hook.
    Docker20,
    /// Annotations; plumbs the veth itself between create and start.
    Docker28,
}

/// A running daemon with the image `probe` in it.
pub struct Docker {
    /// The host that it runs on.
    pub host: EngineHost,
    /// Its release.
    pub release: Release,
}

impl Docker {
    /// Starts a daemon that knows the runtimes `bare` (runc itself), `shim` (no isolation without the
    /// annotation), `always` (isolation for every container) and `broken` (settings that cannot be read).
    pub fn start(release: Release) -> Self {
        Self::start_with(release, None)
    }

    /// The same with a settings file for the shim, named in the daemon's environment.
    pub fn start_with(release: Release, settings: Option<&str>) -> Self {
        let kind = if release == Release::Docker28 { Kind::Sid } else { Kind::Machine };
        let docker = Self { host: EngineHost::new(kind), release };
        let host = &docker.host;
        let always = host.write("always.toml", "mode = \"always\"\n");
        let broken = host.write("broken.toml", "mode = \"sometimes\"\n");
        let config = json!({
            "data-root": host.at("data"),
            "exec-root": host.at("exec"),
            "pidfile": host.at("docker.pid"),
            "hosts": [docker.socket()],
            "cgroup-parent": host.cgroup(),
            "ipv6": true,
            "fixed-cidr-v6": "fd00:d0c::/64",
            "runtimes": {
                "bare": { "path": "/usr/sbin/runc" },
                "shim": { "path": shim() },
                "always": { "path": shim(), "runtimeArgs": [format!("--isolate-config={always}")] },
                "broken": { "path": shim(), "runtimeArgs": [format!("--isolate-config={broken}")] },
            },
        });
        let file = host.write("daemon.json", &config.to_string());
        let settings = settings.map(|text| host.write("settings.toml", text));
        let env: Vec<_> = settings.iter().map(|file| ("OCI_ISOLATE_CONFIG", file.as_str())).collect();
        docker.daemon(&file, &env);
        image::pack(&host.dir().join("probe.tar"));
        docker.must(&["import", &host.at("probe.tar"), "probe"]);
        docker
    }

    fn daemon(&self, file: &str, env: &[(&str, &str)]) {
        self.host.daemon("dockerd", "/usr/sbin/dockerd", &["--config-file", file], env);
        let answers = wait_for(Duration::from_secs(30), || self.ping().then_some(()));
        assert!(answers.is_some(), "dockerd does not answer: {}", self.host.log("dockerd.log"));
    }

    /// Restarts the daemon with the current `daemon.json`.
    pub fn restart(&self) {
        let pid = self.host.at("docker.pid");
        self.host.sh(&format!("kill $(cat {pid}); while [ -e {pid} ]; do sleep 0.05; done")).must();
        self.daemon(&self.host.at("daemon.json"), &[]);
    }

    /// Kills the daemon. Its containerd and the containers are left alone.
    pub fn crash(&self) {
        let pid = self.host.at("docker.pid");
        let gone = "until ! [ -e /proc/$pid/exe ]; do sleep 0.05; done";
        self.host.sh(&format!("pid=$(cat {pid}); kill -KILL $pid; {gone}; rm {pid}")).must();
    }

    /// Starts the daemon again after [`Docker::crash`].
    pub fn revive(&self) {
        self.daemon(&self.host.at("daemon.json"), &[]);
    }

    /// The daemon's socket, as `DOCKER_HOST`.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.host.at("docker.sock"))
    }

    fn ping(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.host.dir().join("docker.sock")) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = String::new();
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.ends_with("OK")
    }

    /// The command line of the client.
    pub fn client(&self, program: &str) -> Command {
        let mut client = self.host.command(program);
        client.env("DOCKER_HOST", self.socket()).env("HOME", self.host.dir());
        client
    }

    /// Runs the client.
    pub fn docker(&self, args: &[&str]) -> Finished {
        say(self.client("/usr/bin/docker").args(args))
    }

    /// Runs the client, which has to succeed.
    #[track_caller]
    pub fn must(&self, args: &[&str]) -> String {
        self.docker(args).must()
    }

    /// The words of `docker run` that ask for isolation.
    pub fn isolation(&self) -> &'static [&'static str] {
        match self.release {
            Release::Docker20 => &["--runtime=always"],
            Release::Docker28 => &["--runtime=shim", "--annotation", ISOLATE],
        }
    }

    /// `docker run` with credentials in its environment.
    pub fn run(&self, args: &[&[&str]]) -> Finished {
        let mut words = vec!["run"];
        for credential in CREDENTIALS {
            words.extend(["-e", credential]);
        }
        words.extend(args.concat());
        self.docker(&words)
    }

    /// The probe's report from a container of its own.
    #[track_caller]
    pub fn probe(&self, tag: &str, args: &[&str]) -> Report {
        Report::parse(&self.run(&[&["--rm"], args, &["probe", "probe", tag]]).must())
    }

    /// The probe's report from within the running container `name`.
    #[track_caller]
    pub fn probe_in(&self, name: &str, tag: &str) -> Report {
        Report::parse(&self.must(&["exec", name, "probe", tag]))
    }

    /// Starts the container `name` that sleeps, or serves the page "inside" on port 80.
    #[track_caller]
    pub fn background(&self, name: &str, args: &[&str]) {
        const SERVE: [&str; 6] = ["probe", "httpd", "-f", "-h", "/www", "-v"];
        self.run(&[&["-d", "--name", name], args, &SERVE]).must();
    }
}
