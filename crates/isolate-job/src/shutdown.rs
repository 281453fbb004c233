//! Whether the host is shutting down. SIGTERM and the end of a container are the host's end then, not the job's: the job is interrupted.

use std::path::Path;
use std::time::Duration;

use crate::client;

/// It answers at once, or not at all.
const DEADLINE: Duration = Duration::from_secs(5);

/// By systemd's state; never on a host without systemd. At the very end systemd itself does not answer any more, and no state is printed.
#[must_use]
pub fn is_under_way() -> bool {
    if !Path::new("/run/systemd/system").exists() {
        return false;
    }
    let argv = ["systemctl", "is-system-running"].map(str::to_owned);
    // The status is that of the state: not 0 for all but one.
    client::output(&argv, DEADLINE).is_ok_and(|(_, out, _)| matches!(out.trim(), "" | "stopping" | "unknown"))
}
