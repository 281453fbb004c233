//! A throw-away host for one engine: own mount, pid, network, ipc and UTS namespaces. Killing its process 1
//! ends every process in it and removes every mount, so cleanup is the same after a failed test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::command::{Finished, command, command_within, say, wait_for};
use crate::netns::is_orphan;
use crate::world::World;
use crate::{cached, shim};

/// The Debian release and the control groups of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The machine's own file system.
    Machine,
    /// The same, without the unified cgroups beside the old ones.
    MachineForCrun,
    /// The Debian that `hack/engines` put into the cache.
    Sid,
    /// The same, without the unified cgroups beside the old ones.
    SidForCrun,
}

impl Kind {
    /// One for each low-level runtime: runc and crun of Debian 12, and of the second Debian.
    pub const RUNTIMES: [Self; 4] = [Self::Machine, Self::MachineForCrun, Self::Sid, Self::SidForCrun];

    /// The runtime that it is for, bare.
    pub fn runtime(self) -> &'static Path {
        Path::new(if self.is_for_crun() { "/usr/bin/crun" } else { "/usr/sbin/runc" })
    }

    fn is_for_crun(self) -> bool {
        matches!(self, Self::MachineForCrun | Self::SidForCrun)
    }

    /// Whether it is the second Debian.
    pub(crate) fn is_sid(self) -> bool {
        matches!(self, Self::Sid | Self::SidForCrun)
    }
}

/// A throw-away host.
pub struct EngineHost {
    dir: TempDir,
    init: String,
    holder: Child,
    /// The network outside of it.
    pub world: World,
}

impl EngineHost {
    /// Creates a host and waits until it is ready.
    pub fn new(kind: Kind) -> Self {
        sweep();
        let world = World::new();
        let dir = tempfile::Builder::new().prefix(&format!("{}-", world.name)).tempdir().unwrap();
        fs::write(dir.path().join("resolv.conf"), World::resolv_conf()).unwrap();
        // As in Debian: the host's own name resolves to itself, also for containers in its network.
        fs::write(dir.path().join("hosts"), "127.0.0.1 localhost\n127.0.1.1 throwaway\n").unwrap();
        fs::write(dir.path().join("host.sh"), include_str!("host.sh")).unwrap();
        let mut script = Command::new("nsenter");
        script.arg(format!("--net={}", world.host.path()));
        // The parent-death signal is for a test that is killed: its host must not outlive it.
        script.args(["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--ipc", "--uts"]);
        script.args(["--fork", "--kill-child=KILL", "sh"]).arg(dir.path().join("host.sh"));
        script.arg(dir.path()).arg(shim()).arg(if kind.is_for_crun() { "" } else { "hybrid" });
        if kind.is_sid() {
            script.arg(sid());
        }
        script.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        let log = fs::File::create(dir.path().join("host.log")).unwrap();
        let holder = script.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut host = Self { dir, init: String::new(), holder, world };
        let ready = host.dir().join("ready");
        let there = wait_for(Duration::from_secs(20), || ready.exists().then_some(()));
        assert!(there.is_some(), "the host did not come up: {}", host.log("host.log"));
        let holder = host.holder.id();
        let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap();
        host.init = children.trim().to_owned();
        host
    }

    /// A directory that has the same path inside and outside.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The path of `name` in that directory, as text for a command line.
    pub fn at(&self, name: &str) -> String {
        self.dir().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file into that directory and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.dir().join(name), text).unwrap();
        self.at(name)
    }

    /// The end of a log in that directory.
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.dir().join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// A command that runs on the host.
    pub fn command(&self, program: &str) -> Command {
        self.enter(command("nsenter"), program)
    }

    /// A command that may take minutes.
    pub fn patient_command(&self, program: &str) -> Command {
        self.enter(command_within(300, "nsenter"), program)
    }

    fn enter(&self, mut command: Command, program: &str) -> Command {
        command.args(["--mount", "--pid", "--ipc", "--uts", "--net", "--target", &self.init]);
        // Process 1's own directory: a path would be looked up before the namespaces change.
        command.args(["--wd", "--", program]);
        command
    }

    /// A command of the machine's that sees the processes of the host, and its file system below /proc/1/root.
    pub fn observer(&self, program: &str) -> Command {
        let mut command = command_within(300, "nsenter");
        command.args(["--pid", "--target", &self.init, "--", "unshare", "--mount", "sh", "-euc"]);
        command.args(["mount -t proc proc /proc; exec \"$@\"", "sh", program]);
        command
    }

    /// A script for the machine that runs a program in the file system of the host, with its own arguments.
    pub fn entering_script(&self, program: &str) -> String {
        format!("#!/bin/sh\nexec nsenter --mount --target {} --wd -- {program} \"$@\"\n", self.init)
    }

    /// Runs a shell script on the host.
    pub fn sh(&self, script: &str) -> Finished {
        say(self.command("sh").args(["-euc", script]))
    }

    /// Gives the host the settings file that the shim reads by itself.
    pub fn settings(&self, text: &str) {
        let file = self.write("config.toml", text);
        self.sh(&format!("mkdir -p /etc/oci-isolate && cp {file} /etc/oci-isolate/config.toml")).must();
    }

    /// Starts a daemon whose output is written to `<name>.log`. It ends with the host.
    pub fn daemon(&self, name: &str, program: &str, args: &[&str], env: &[(&str, &str)]) {
        let log = fs::File::create(self.dir().join(format!("{name}.log"))).unwrap();
        let mut daemon = self.command("setsid");
        daemon.arg("--fork").arg(program).args(args).envs(env.iter().copied());
        let said = daemon.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        assert!(said.success(), "cannot start {name}: {}", self.log(&format!("{name}.log")));
    }

    /// The parent of the engine's control groups, so that they can be removed.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.world.name)
    }
}

impl Drop for EngineHost {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in fs::read_dir(self.dir()).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".log") && name != "host.log" {
                    eprintln!("--- the end of {name}\n{}", self.log(&name));
                }
            }
        }
        // When the holder ends, process 1 ends, and with it everything else, before the wait returns.
        drop(say(command("kill").args(["-KILL", &self.init])));
        drop(self.holder.wait());
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join(&self.world.name));
        }
    }
}

/// Removes a control group and those below it; the files in them cannot be removed and need not be.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    drop(fs::remove_dir(group));
}

/// Removes leftovers of hosts whose test was killed. Their processes and mounts are gone with the host.
fn sweep() {
    let is_left = |entry: &fs::DirEntry| is_orphan(&entry.file_name().to_string_lossy());
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for dir in entries(&std::env::temp_dir()).filter(is_left) {
        drop(fs::remove_dir_all(dir.path()));
    }
    for hierarchy in entries(Path::new("/sys/fs/cgroup")) {
        entries(&hierarchy.path()).filter(is_left).for_each(|group| remove_groups(&group.path()));
    }
}

/// The second Debian.
fn sid() -> PathBuf {
    let root = cached("sid", "hack/engines");
    assert!(root.with_extension("stamp").exists(), "{} is not finished; run hack/engines", root.display());
    root
}
