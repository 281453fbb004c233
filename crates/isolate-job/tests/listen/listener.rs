//! A listener of its own, with its own state and keys, which ends with the test.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use test_support::cached;

/// A listener, or what it is started from.
pub(crate) struct Listener {
    directory: TempDir,
    child: Option<Child>,
    /// What it reports.
    lines: Option<JoinHandle<Vec<String>>>,
    address: String,
}

const KEYS: &str = "[[key]]\naccess-key-id = 'AKIATEST'\nsecret-access-key = 'a secret of the tests'\n";

impl Listener {
    /// Its files.
    pub(crate) fn prepare() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = Self { directory, child: None, lines: None, address: String::new() };
        let mut keys = fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(listener.path("keys.toml"))
            .unwrap();
        keys.write_all(KEYS.as_bytes()).unwrap();
        let (state, keys) = (listener.path("state"), listener.path("keys.toml"));
        let text = format!("state = {state:?}\n[listen]\naddress = '127.0.0.1:0'\nkeys = {keys:?}\n");
        fs::write(listener.path("job.toml"), text).unwrap();
        listener
    }

    /// A listener that answers.
    pub(crate) fn start() -> Self {
        let mut listener = Self::prepare();
        let mut child = listener.command().stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the listener has ended").unwrap();
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.to_owned();
            }
        };
        // It is shown when a test fails.
        let shown = |line: &String| eprintln!("{line}");
        listener.lines =
            Some(std::thread::spawn(move || lines.map_while(Result::ok).inspect(shown).collect()));
        (listener.child, listener.address) = (Some(child), address);
        listener
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
        command.arg("listen").arg("--config").arg(self.path("job.toml"));
        command
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Runs a program of a client, which gets the URL and the listener's process, and ends with `done`.
    pub(crate) fn python(&self, program: &str) {
        let url = format!("http://{}", self.address);
        let mut command =
            Command::new(cached("sagemaker/venv/bin/python3", "hack/sagemaker-model --prepare"));
        command.args(["-c", program, &url, &self.pid().to_string()]).env("AWS_EC2_METADATA_DISABLED", "true");
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
        command.env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("done\n"));
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// In KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGTERM ends it, and it has cut off no connection.
    pub(crate) fn terminate(mut self) {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let lines = self.lines.take().unwrap().join().unwrap();
        assert!(lines.iter().all(|line| !line.contains("cut off")), "{lines:?}");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
