//! Whether the host is shutting down. SIGTERM and the end of a container are the host's end then, not the job's: the job is interrupted.

use std::env;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::client;

const PROGRAM: &str = "systemctl";

/// It answers at once, or not at all.
const DEADLINE: Duration = Duration::from_secs(5);

/// How often it is asked, and how long it is waited in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// By systemd's state; never on a host without systemd. At the very end systemd does not answer any more, or no state is printed; but
/// that is so for a moment, too, while it executes itself again.
#[must_use]
pub fn is_under_way() -> bool {
    if !Path::new("/run/systemd/system").exists() || !is_installed() {
        return false;
    }
    for _ in 0..ATTEMPTS {
        if let Some(known) = is_stopping() {
            return known;
        }
        thread::sleep(PAUSE);
    }
    true
}

fn is_installed() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(PROGRAM).is_file())
}

/// `None`: no answer.
fn is_stopping() -> Option<bool> {
    let argv = [PROGRAM, "is-system-running"].map(str::to_owned);
    // The status is that of the state: not 0 for all but one.
    let (_, state, _) = client::output(&argv, DEADLINE).ok()?;
    match state.trim() {
        "" | "unknown" => None,
        state => Some(state == "stopping"),
    }
}
