//! A finished command and its output, so that a failing test can show it.

use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

/// In seconds: longer than an engine takes for anything.
const DEADLINE: u32 = 60;

/// A finished command.
pub struct Finished {
    /// What was run.
    pub line: String,
    /// The exit status; none when a signal ended it.
    pub status: Option<i32>,
    /// Standard output, without the last newline.
    pub out: String,
    /// Standard error, without the last newline.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

impl Finished {
    /// Whether the command exited with 0.
    pub fn well(&self) -> bool {
        self.status == Some(0)
    }

    /// Standard output of a command that has to succeed.
    #[track_caller]
    pub fn must(self) -> String {
        assert!(self.well(), "a command of the test failed: {self}");
        self.out
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {:?} after {:?}", self.line, self.status, self.took)?;
        write!(f, "\n  stdout: {}\n  stderr: {}", self.out, self.err)
    }
}

/// A command with a deadline and none of the environment that this machine's user has.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    command_within(DEADLINE, program)
}

/// The same with a deadline of its own, in seconds.
pub fn command_within(deadline: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=2", &(deadline * slowness()).to_string()]).arg(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(std::process::Stdio::null());
    command
}

/// How many times longer things may take: an emulated machine (hack/kernels) has a fraction of a processor.
fn slowness() -> u32 {
    if std::env::var_os("OCI_ISOLATE_TEST_EMULATED").is_some() { 10 } else { 1 }
}

/// Runs a command to its end.
pub fn say(command: &mut Command) -> Finished {
    let started = Instant::now();
    let output = command.output().unwrap_or_else(|cause| panic!("cannot run {command:?}: {cause}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    Finished {
        line: words.join(" "),
        status: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        took: started.elapsed(),
    }
}

/// Waits until `done` returns something, at most `patience`; `None` on timeout.
pub fn wait_for<T>(patience: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience * slowness();
    loop {
        if let Some(answer) = done() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
