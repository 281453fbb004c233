//! Queries programs on the host: their versions, and what `isolate-job` finds. Runs nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long to wait for a program.
const DEADLINE: Duration = Duration::from_secs(10);

/// The first line of `PROGRAM --version`; `None` if there is no such program, or it prints nothing.
pub(super) fn query(program: &Path) -> Option<String> {
    let mut asked = Command::new(program);
    let said = output(asked.arg("--version"))?;
    let text = String::from_utf8_lossy(&said);
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// What a program prints, whatever its status; `None` if there is no such program, or it does not end in time.
pub(super) fn output(asked: &mut Command) -> Option<Vec<u8>> {
    let mut child = asked.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let deadline = Instant::now() + DEADLINE;
    // All of it fits into the pipe, so the program does not wait for us to read it.
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(child.wait_with_output().ok()?.stdout)
}

/// The number before the first dot of the first word that begins like `2.1.9` or `v2.1.9`.
pub(super) fn major(version: &str) -> Option<u32> {
    let numbers = version.split_whitespace().filter_map(|word| {
        let (major, rest) = word.strip_prefix('v').unwrap_or(word).split_once('.')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| major.parse().ok())?
    });
    numbers.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_number_is_found_in_what_engines_say() {
        for (said, number) in [
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", Some(1)),
            ("containerd github.com/containerd/containerd/v2 2.1.9+unknown", Some(2)),
            ("containerd containerd.io v1.7.27 05044ec", Some(1)),
            ("Docker version 20.10.24+dfsg1, build 5d6db84", Some(20)),
            ("podman version 4.3.1", Some(4)),
            ("no number", None),
        ] {
            assert_eq!(major(said), number, "{said}");
        }
    }
}
