//! What is shown of a transfer: a bar on a terminal, in the foreground, and lines without control characters everywhere else.

use std::process::Command;
use std::thread;

use crate::faulty::{Fault, Faulty};
use crate::run::Place;
use crate::transfers::noise;

/// A line of a shell on a terminal, by script(1). In it `$transfer` is the program.
fn on_terminal(place: &Place, line: &str) -> String {
    let inner = place.command(&["in"]);
    let words: Vec<_> = inner.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let program = inner.get_program().to_str().unwrap();
    let line = line.replace("$transfer", &format!("{program} {}", words.join(" ")));
    let mut command = Command::new("/usr/bin/script");
    command.args(["--quiet", "--return", "--command", &format!("stty cols 80 rows 24; {line}"), "/dev/null"]);
    command.env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/bash");
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn a_terminal_has_a_bar_and_its_last_line_and_a_pipe_has_lines() {
    let server = Faulty::start(Fault::Slow, noise(10_000_000));
    let place = || Place::with_channel("bucket", "s3://bucket/t/", server.address);
    let (text, piped) = thread::scope(|scope| {
        let shown = scope.spawn(|| on_terminal(&place(), "exec $transfer"));
        let piped = place().done(&["in"]);
        (shown.join().unwrap(), piped)
    });
    assert!(text.contains("/9.54 MiB") && text.contains("iB/s ") && text.contains(" left"), "{text:?}");
    // What stays is one line; the bar was removed before it was written.
    let (bar, last) = text.trim_end().rsplit_once("\x1b[2K").unwrap();
    assert!(last.starts_with("channel train: 1 file, 9.54 MiB in "), "{last:?}");
    assert!(last.ends_with("/s") && !last.contains(char::is_control), "{last:?}");
    // No line of it is wrapped.
    let lines = bar.split("\x1b[2K").map(|line| line.trim_end_matches('\r').chars().count());
    assert!(lines.max() <= Some(80), "{text:?}");
    assert!(piped.lines.len() > 4, "{}", piped.stdout);
    assert!(!piped.stdout.contains(|c: char| c.is_control() && c != '\n'), "{}", piped.stdout);
}

/// As a shell runs `isolate-job ... &`: what is drawn there would be in the way, and with `stty tostop` it would stop the transfer.
#[test]
fn in_the_background_nothing_is_drawn_and_nothing_stops_the_transfer() {
    let server = Faulty::start(Fault::Slow, noise(10_000_000));
    let shown = |stty: &str| {
        let place = Place::with_channel("bucket", "s3://bucket/t/", server.address);
        // `wait` returns when the job is stopped, too, and then it is ended.
        let line = "set -m; $transfer & wait $!; echo status $?; kill -KILL $! 2>/dev/null; true";
        on_terminal(&place, &format!("stty {stty}; {line}"))
    };
    let (free, stopping) = thread::scope(|scope| {
        let free = scope.spawn(|| shown("-tostop"));
        let stopping = shown("tostop");
        (free.join().unwrap(), stopping)
    });
    for (text, has_line) in [(&free, true), (&stopping, false)] {
        assert!(text.ends_with("status 0\r\n") && !text.contains('\x1b'), "{text:?}");
        assert_eq!(text.starts_with("channel train: 1 file, 9.54 MiB in "), has_line, "{text:?}");
    }
}
