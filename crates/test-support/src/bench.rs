//! Containers of runc and crun on a throw-away host, bare and behind the shim, from the same config.json.

use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{Finished, command, say};
use crate::host::{EngineHost, Kind};
use crate::{ISOLATE, bundle, shim};

/// The answer of a socket of the host.
pub const TOKEN: &str = "token-of-the-host";

/// Connects to the given stream socket and prints what it receives; perl is on every Debian.
const CONNECT: &str =
    r#"socket(S,1,1,0); connect(S,pack("Sa*",1,$ARGV[0]."\0")) or die "refused: $!\n"; print scalar <S>;"#;

/// core_pattern is the machine's: only one test at a time writes to it, and it is always restored.
pub struct CorePattern {
    before: Vec<u8>,
    _one: std::sync::MutexGuard<'static, ()>,
}

impl CorePattern {
    pub fn take() -> Self {
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self { before: std::fs::read(CORE_PATTERN).unwrap(), _one: one }
    }

    pub fn put_back(&self) {
        std::fs::write(CORE_PATTERN, &self.before).unwrap();
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        drop(std::fs::write(CORE_PATTERN, &self.before));
    }
}

pub const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// A host with a root file system.
pub struct Bench {
    pub host: EngineHost,
    kind: Kind,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(Kind::Machine)
    }

    pub fn of(kind: Kind) -> Self {
        let host = EngineHost::new(kind);
        bundle::rootfs(&host);
        tools(&host.dir().join("rootfs"));
        Self { host, kind }
    }

    /// runc's example of a config.json that runs a shell script.
    pub fn spec(&self, script: &str) -> Value {
        let mut spec = bundle::spec(&self.host, &["sh", "-c", script]);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/c", self.host.cgroup()));
        spec["root"]["readonly"] = json!(false);
        spec
    }

    /// A directory that both the test and the host see.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.host.dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The bare runtime.
    pub fn runtime(&self) -> &'static Path {
        self.kind.runtime()
    }

    /// With the bare runtime.
    pub fn open(&self, spec: &Value) -> Finished {
        self.run(self.runtime(), spec, &[])
    }

    /// Behind the shim, isolated.
    pub fn closed(&self, spec: &Value) -> Finished {
        self.run(&shim(), &isolated(spec), &[])
    }

    /// The same with settings.
    pub fn closed_with(&self, settings: &str, spec: &Value) -> Finished {
        let file = self.host.write("settings.toml", settings);
        self.run(&shim(), &isolated(spec), &[format!("--isolate-config={file}")])
    }

    pub fn run(&self, runtime: &Path, spec: &Value, flags: &[String]) -> Finished {
        self.run_script("exec \"$@\"", runtime, spec, flags)
    }

    /// The script gets the runtime's command line as its arguments.
    pub fn run_script(&self, script: &str, runtime: &Path, spec: &Value, flags: &[String]) -> Finished {
        let bundle = self.dir("bundle");
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        self.host.settings(&format!("runtime = [{:?}]\n", self.kind.runtime()));
        let mut words =
            vec!["-euc".to_owned(), script.to_owned(), "sh".to_owned(), runtime.display().to_string()];
        words.extend_from_slice(flags);
        let root = self.host.at("state");
        words.extend(["--root", &root, "run", "--bundle", &self.host.at("bundle"), "one"].map(str::to_owned));
        say(self.host.command("bash").args(words))
    }
}

/// The same configuration with the annotation.
pub fn isolated(spec: &Value) -> Value {
    let (key, value) = ISOLATE.split_once('=').unwrap();
    let mut spec = spec.clone();
    spec["annotations"][key] = json!(value);
    spec
}

/// Adds a mount.
pub fn mount(spec: &mut Value, source: &Path, destination: &str, options: &[&str]) {
    let mount = json!({"destination": destination, "type": "bind", "source": source, "options": options});
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

/// Puts perl and a script that connects to a socket into a directory with a `bin`.
pub fn tools(root: &Path) {
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy("/usr/bin/perl", bin.join("perl")).unwrap();
    for path in
        say(command("ldd").arg("/usr/bin/perl")).must().split_whitespace().filter(|w| w.starts_with('/'))
    {
        let copy = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(path, copy).unwrap();
    }
    std::fs::write(root.join("connect.pl"), CONNECT).unwrap();
}

/// Listens on a stream socket of the host and sends the token to every client.
pub fn listen(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(format!("{TOKEN}\n").as_bytes()));
        }
    });
}

/// A datagram socket like `/dev/log`.
pub fn datagram(path: &Path) -> UnixDatagram {
    UnixDatagram::bind(path).unwrap()
}

/// Whether it was refused with an error that has these words.
pub fn refused(said: &Finished, words: &str) -> Result<(), String> {
    if said.well() {
        return Err(format!("it was not refused: {said}"));
    }
    if !said.err.contains(words) {
        return Err(format!("{words:?} is not what it says: {said}"));
    }
    Ok(())
}

/// A runtime that runs this line of a shell script. It has a libseccomp, which the shim queries first.
pub fn runtime_that(does: &str) -> String {
    let features = r#"{"linux": {"seccomp": {"enabled": true}}, "annotations": {"io.github.seccomp.libseccomp.version": "2.5.4"}}"#;
    format!("#!/bin/sh\n[ \"$1\" != features ] || exec echo '{features}'\n{does}\n")
}
