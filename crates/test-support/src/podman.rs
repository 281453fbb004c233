//! Podman with storage, networks and state of its own, on a throw-away host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::command::{Finished, say};
use crate::host::{EngineHost, Kind};
use crate::probe::Report;
use crate::{CREDENTIALS, image, isolatectl, shim};

/// The two generations of Podman that matter to a shim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12's: slirp4netns without root, CNI beside netavark, annotations split at commas.
    Podman4,
    /// Debian sid's: pasta without root, netavark by nftables.
    Podman5,
}

/// The user of Podman.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum User {
    Root,
    /// A user with subordinate ids of its own.
    Rootless,
}

/// Podman with the image `probe` in its storage.
pub struct Podman {
    /// The host that it runs on.
    pub host: EngineHost,
    /// Its release.
    pub release: Release,
    user: User,
}

/// An id that no Debian gives to a real user.
const UID: &str = "59999";

impl Podman {
    /// Podman with runc.
    pub fn start(release: Release, user: User) -> Self {
        let kind = if release == Release::Podman5 { Kind::Sid } else { Kind::Machine };
        Self::new(kind, user, "/usr/sbin/runc")
    }

    /// Podman with crun, also behind the shim.
    pub fn start_with_crun(release: Release, user: User) -> Self {
        let kind = if release == Release::Podman5 { Kind::SidForCrun } else { Kind::MachineForCrun };
        let podman = Self::new(kind, user, "/usr/bin/crun");
        podman.host.settings("runtime = [\"crun\"]\n");
        podman
    }

    /// Prepares storage and configuration. The shim is the runtime `oci-isolate`, and `bare` is `runtime` itself.
    pub fn new(kind: Kind, user: User, runtime: &str) -> Self {
        let release = if kind.is_sid() { Release::Podman5 } else { Release::Podman4 };
        let podman = Self { host: EngineHost::new(kind), release, user };
        let host = &podman.host;
        // Podman names a runtime by its file name; and a user has to be able to reach the binary.
        fs::copy(shim(), host.dir().join("oci-isolate")).unwrap();
        fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "[engine]\nruntime = \"bare\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             runtime_supports_json = [\"runc\", \"crun\", \"bare\", \"oci-isolate\"]\n\
             [engine.runtimes]\nbare = [\"{runtime}\"]\noci-isolate = [\"{}\"]\n\
             [network]\nnetwork_backend = \"netavark\"\n",
            host.at("oci-isolate"),
        );
        host.write("containers.conf", &config);
        fs::create_dir(host.dir().join("home")).unwrap();
        if user == User::Rootless {
            let ids = format!(
                "echo 'tester:x:{UID}:{UID}::{0}:/bin/sh' >>/etc/passwd; echo 'tester:x:{UID}:' >>/etc/group
                 echo tester:600000:65536 >/etc/subuid; echo tester:600000:65536 >/etc/subgid
                 mkdir -p /run/user/{UID}; chmod 0700 /run/user/{UID}; chown {UID}:{UID} /run/user/{UID} {0}",
                host.at("home"),
            );
            host.sh(&ids).must();
        }
        image::pack(&host.dir().join("probe.tar"));
        podman.must(&["import", &host.at("probe.tar"), "probe"]);
        podman
    }

    fn command(&self, args: &[&str]) -> Command {
        let home = self.host.at("home");
        let (root, state) = (format!("{home}/storage"), format!("{home}/state"));
        let (user, driver) = match self.user {
            User::Root => (&[][..], "overlay"),
            User::Rootless => (&["--reuid", UID, "--regid", UID, "--init-groups"][..], "vfs"),
        };
        let mut command = self.host.command("setpriv");
        command.args(user).args(["podman", "--root", &root, "--runroot", &state, "--storage-driver", driver]);
        command.args(args).env("HOME", &home).env("CONTAINERS_CONF", self.host.at("containers.conf"));
        // Podman 5 says so with every call; Podman 6 has none.
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        if self.user == User::Rootless {
            command.env("XDG_RUNTIME_DIR", format!("/run/user/{UID}"));
        }
        command
    }

    /// A program that calls podman with its storage, for one that knows only a path. The path.
    pub fn program(&self) -> String {
        let (home, parent) = (self.host.at("home"), self.host.world.name.as_str());
        let script = format!(
            "#!/bin/bash\nwords=()\nfor word; do words+=(\"$word\"); [ \"$word\" != create ] || [ -n \"${{done:-}}\" ] || \
             [[ \"$*\" == *network* && \"$*\" != *--network* ]] || {{ words+=(--cgroup-parent {parent} --ulimit=host); done=1; }}; done\n\
             exec podman --root {home}/storage --runroot {home}/state --storage-driver overlay \"${{words[@]}}\"\n"
        );
        let path = self.host.write("podman.sh", &script);
        self.host.sh(&format!("chmod 0755 {path}")).must();
        path
    }

    /// A program that finds podman's configuration.
    pub fn client(&self, program: &str) -> Command {
        let mut client = self.host.command(program);
        client.env("HOME", self.host.at("home")).env("CONTAINERS_CONF", self.host.at("containers.conf"));
        client.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        client
    }

    /// Whether its user is not root.
    pub fn is_rootless(&self) -> bool {
        self.user == User::Rootless
    }

    /// Runs podman.
    pub fn podman(&self, args: &[&str]) -> Finished {
        say(&mut self.command(args))
    }

    /// Runs podman, which has to succeed.
    #[track_caller]
    pub fn must(&self, args: &[&str]) -> String {
        self.podman(args).must()
    }

    /// What an operator calls for these containers: within the user's namespace, without root.
    pub fn isolatectl(&self, args: &[&str]) -> Finished {
        let program = self.host.at("isolatectl");
        if !Path::new(&program).exists() {
            fs::copy(isolatectl(), &program).unwrap();
        }
        match self.user {
            User::Root => say(self.host.command(&program).args(args)),
            User::Rootless => self.podman(&[&["unshare", &program], args].concat()),
        }
    }

    /// `podman run` by the runtime `runtime`, with credentials in its environment.
    pub fn run(&self, runtime: &str, args: &[&[&str]]) -> Finished {
        let mut words = vec!["--runtime", runtime, "run", "--ulimit=host"];
        if self.user == User::Root {
            words.extend(["--cgroup-parent", self.host.world.name.as_str()]);
        }
        for credential in CREDENTIALS {
            words.extend(["-e", credential]);
        }
        words.extend(args.concat());
        self.podman(&words)
    }

    /// The probe's report from a container of its own.
    #[track_caller]
    pub fn probe(&self, runtime: &str, tag: &str, args: &[&str]) -> Report {
        Report::parse(&self.run(runtime, &[&["--rm"], args, &["probe", "probe", tag]]).must())
    }
}
