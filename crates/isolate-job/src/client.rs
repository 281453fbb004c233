//! Runs an engine's client and other programs of the host: one command, its output, a deadline. A program gets the variables on a
//! list and no others, so that no credential of the caller's environment reaches an engine.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than an engine takes for anything but pulling an image or stopping a container.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Between two questions to an engine that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked whether a command is to be stopped.
const TICK: Duration = Duration::from_millis(200);

/// The most of a program's output that is read, in bytes.
const MOST: u64 = 16 << 20;

/// The variables that engines and their helpers read. None of them is an AWS variable.
const KEPT: [&str; 16] = [
    "CONTAINER_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "LOGNAME",
    "NO_COLOR",
    "OCI_ISOLATE_CONFIG",
    "PATH",
    "PODMAN_IGNORE_CGROUPSV1_WARNING",
    "REGISTRY_AUTH_FILE",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Prefixes of further ones.
const KEPT_BEGINNINGS: [&str; 3] = ["CONTAINERS_", "DOCKER_", "LC_"];

/// The variables of this process that other programs than the transfer step get.
#[must_use]
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept)).collect()
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || KEPT_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Where a program is: its path, or its name in PATH.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).map(|directory| directory.join(program));
    let given = Some(PathBuf::from(program)).filter(|_| program.contains('/'));
    given.map_or_else(|| named.into_iter().find(|path| path.is_file()), |path| path.is_file().then_some(path))
}

/// A command that failed.
#[derive(Debug)]
pub struct Failed {
    /// The program and its verb.
    what: String,
    /// What it reported, or why it could not be run.
    pub why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failed {}

/// A command with its environment, and nothing on stdin.
#[must_use]
pub fn command(argv: &[String]) -> Command {
    let (program, words) = argv.split_first().map_or(("", argv), |(program, words)| (program, words));
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(environment()).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be run, failed, or did not end before the deadline. The message is its own.
pub fn run(argv: &[String], deadline: Duration) -> Result<String, Failed> {
    run_unless(argv, deadline, || false)
}

/// Runs a command to its end, unless it is to be stopped.
///
/// # Errors
/// As [`run`], and that it was stopped.
pub fn run_unless(
    argv: &[String],
    deadline: Duration,
    is_stopped: impl Fn() -> bool,
) -> Result<String, Failed> {
    let (status, out, err) = output_unless(argv, deadline, is_stopped)?;
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { format!("ended with {status}") } else { one_line(&err) };
    Err(failed(argv, said))
}

/// Runs a command to its end, whatever its exit status; returns its output and its error output.
///
/// # Errors
/// It cannot be run, or did not end before the deadline.
pub fn output(argv: &[String], deadline: Duration) -> Result<(ExitStatus, String, String), Failed> {
    output_unless(argv, deadline, || false)
}

fn output_unless(
    argv: &[String],
    deadline: Duration,
    is_stopped: impl Fn() -> bool,
) -> Result<(ExitStatus, String, String), Failed> {
    let until = Instant::now() + deadline;
    let cannot = |error: io::Error| failed(argv, error.to_string());
    let mut child = command(argv).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let (tell, hear) = channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for (index, pipe) in pipes.into_iter().enumerate() {
        let tell = tell.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.map_or(Ok(0), |pipe| pipe.take(MOST).read_to_end(&mut bytes));
            let _ = tell.send((index, read.map(|_| String::from_utf8_lossy(&bytes).into_owned())));
        });
    }
    let mut texts = [String::new(), String::new()];
    for _ in 0..texts.len() {
        let (index, text) = loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Ok(heard) = hear.recv_timeout(left.min(TICK)) {
                break heard;
            }
            let why = if is_stopped() {
                "was stopped".to_owned()
            } else if left.is_zero() {
                format!("did not answer within {} s", deadline.as_secs())
            } else {
                continue;
            };
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(argv, why));
        };
        texts[index] = text.map_err(cannot)?;
    }
    let status = child.wait().map_err(cannot)?;
    let [out, err] = texts;
    Ok((status, out, err))
}

fn failed(argv: &[String], why: String) -> Failed {
    let verb = argv.iter().skip(1).find(|word| !word.starts_with('-')).map_or("", String::as_str);
    let program = argv.first().map_or("", String::as_str);
    Failed { what: format!("{program} {verb}").trim().to_owned(), why }
}

/// What a program reported, as one line of at most 500 characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(500).collect()
}

/// Of what is repeated until an engine answers.
#[derive(Debug, Default)]
pub struct Patience {
    has_begun: bool,
}

impl Patience {
    /// Waits a moment. The user is told once what is waited for.
    pub fn wait(&mut self, tell: impl FnOnce()) {
        if !std::mem::replace(&mut self.has_begun, true) {
            tell();
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn no_name_of_aws_is_kept() {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "HTTPS_PROXY", "SSH_AUTH_SOCK", "LD_PRELOAD"] {
            assert!(!is_kept(name), "{name}");
        }
        for name in ["PATH", "DOCKER_HOST", "CONTAINERS_CONF", "LC_ALL"] {
            assert!(is_kept(name), "{name}");
        }
    }

    #[test]
    fn output_is_the_answer_and_an_error_is_one_line() {
        assert_eq!(run(&sh("echo a; echo b >&2"), DEADLINE).unwrap(), "a\n");
        let failed = run(&sh("printf 'no\\nway\\n' >&2; exit 3"), DEADLINE).unwrap_err();
        assert_eq!(failed.to_string(), "sh printf 'no\\nway\\n' >&2; exit 3: no way");
        let missing = run(&["/nonexistent".to_owned()], DEADLINE).unwrap_err();
        assert!(missing.to_string().starts_with("/nonexistent: No such file"), "{missing}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let failed = run(&sh("exec sleep 100"), Duration::from_millis(50)).unwrap_err();
        assert!(failed.why.contains("did not answer"), "{failed}");
    }
}
