//! The output of a program.

use std::process::{Command, Stdio};

/// Exit status (128 and the signal's number for one that was killed), stdout, stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimOutput {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl ShimOutput {
    /// Its standard output; panics with all of its output if it failed.
    #[track_caller]
    pub fn must(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out
    }
}

/// Runs a command to its end.
pub fn say(command: &mut Command) -> ShimOutput {
    use std::os::unix::process::ExitStatusExt;
    let output = command.stdin(Stdio::null()).output().unwrap();
    let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    ShimOutput { status, out: text(output.stdout), err: text(output.stderr) }
}
