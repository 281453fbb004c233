//! A containerd of its own, on a throw-away host, and `ctr`.

use std::path::Path;
use std::time::Duration;

use crate::command::{Finished, command, say, wait_for};
use crate::host::{EngineHost, Kind};
use crate::probe::Report;
use crate::{CREDENTIALS, ISOLATE, bundle, shim};

/// Debian's runc.
pub const RUNC: &str = "/usr/sbin/runc";

/// The network of `ctr run --cni` and of prepared namespaces.
const CNI: &str = r#"{
  "cniVersion": "0.4.0", "name": "demo", "plugins": [{
    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
    "ipam": { "type": "host-local", "dataDir": "/run/cni", "ranges": [[{ "subnet": "10.22.0.0/16" }]] }
  }]
}"#;

/// The two generations of containerd that matter to a shim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12's 1.6.
    Containerd1,
    /// Debian sid's 2.1.
    Containerd2,
}

/// A running daemon.
pub struct Containerd {
    /// The host that it runs on.
    pub host: EngineHost,
}

impl Containerd {
    /// Starts a daemon, and makes the root file system that all containers share.
    pub fn start(release: Release) -> Self {
        let kind = if release == Release::Containerd2 { Kind::Sid } else { Kind::Machine };
        let host = EngineHost::new(kind);
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\n{1}]\n\
             [grpc]\n  address = \"{0}/containerd.sock\"\n",
            host.dir().display(),
            "  \"io.containerd.grpc.v1.cri\",\n",
        );
        let file = host.write("containerd.toml", &config);
        host.daemon("containerd", "/usr/bin/containerd", &["--config", &file], &[]);
        let network = host.write("demo.conflist", CNI);
        // The second Debian has no plugins of its own; these run there too.
        let plugins = host.at("cni");
        say(command("cp").args(["-rL", "/usr/lib/cni", &plugins])).must();
        let script =
            format!("mkdir -p /etc/cni/net.d; cp {network} /etc/cni/net.d/; ln -sfn {plugins} /opt/cni/bin");
        host.sh(&script).must();
        bundle::rootfs(&host);
        let containerd = Self { host };
        let answers = wait_for(Duration::from_secs(20), || containerd.ctr(&["version"]).well().then_some(()));
        assert!(answers.is_some(), "containerd does not answer: {}", containerd.host.log("containerd.log"));
        containerd
    }

    /// Runs `ctr`.
    pub fn ctr(&self, args: &[&str]) -> Finished {
        say(self.host.command("ctr").args(["--address", &self.host.at("containerd.sock")]).args(args))
    }

    /// Runs `ctr`, and waits for the output of the container's program, both streams in one.
    ///
    /// ctr copies the output itself, and sometimes loses it if the program ends soon on a busy machine
    /// (containerd#770: the copying is cancelled before its pipe is open); a log that containerd's shim
    /// writes is complete.
    pub fn hear(&self, verb: &[&str], args: &[&str]) -> Finished {
        let log = self.host.at("said");
        let uri = format!("--log-uri=file://{log}");
        let mut said = self.ctr(&[verb, &[&uri], args].concat());
        match std::fs::read_to_string(&log) {
            Ok(text) => said.out.push_str(text.trim_end()),
            // No program was started that could have written it.
            Err(cause) => {
                assert!(cause.kind() == std::io::ErrorKind::NotFound && !said.well(), "{cause}: {said}")
            }
        }
        // The next program starts with an empty one.
        drop(std::fs::remove_file(&log));
        said
    }

    /// `ctr run` of `command` in the container `id`, with credentials in its environment.
    pub fn run(&self, runtime: &Path, id: &str, flags: &[&str], command: &[&str]) -> Finished {
        let cgroup = format!("{}/{id}", self.host.cgroup());
        let runtime = runtime.to_str().unwrap();
        // ctr forgets its default PATH as soon as it is given a variable.
        let mut words = vec!["--runc-binary", runtime, "--cgroup", &cgroup, "--env", "PATH=/bin"];
        for credential in CREDENTIALS {
            words.extend(["--env", credential]);
        }
        words.extend(flags);
        let rootfs = self.host.at("rootfs");
        words.extend(["--rootfs", &rootfs, id]);
        words.extend(command);
        if flags.contains(&"--detach") {
            return self.ctr(&[&["run"], &words[..]].concat());
        }
        self.hear(&["run"], &words)
    }

    /// The probe's report from an isolated container of its own.
    #[track_caller]
    pub fn isolated(&self, id: &str, flags: &[&str]) -> Report {
        let flags = [&["--rm", "--annotation", ISOLATE], flags].concat();
        Report::parse(&self.run(&shim(), id, &flags, &["probe", id]).must())
    }

    /// The probe's report from a container that `runtime` starts without being asked for isolation.
    #[track_caller]
    pub fn open(&self, runtime: &Path, id: &str, flags: &[&str]) -> Report {
        Report::parse(&self.run(runtime, id, &[&["--rm"], flags].concat(), &["probe", id]).must())
    }
}
