//! Whether something may be written to the terminal on stderr now. A shell runs a job in the background as a process group that is not
//! the terminal's: what it draws there lands in other output, and with `stty tostop` every write stops it (SIGTTOU).

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

/// Whether this process is in the foreground. Job control does not concern what has another terminal or none.
pub(super) fn is_foreground() -> bool {
    tcgetpgrp(io::stderr()).map_or(true, |group| group == getpgrp())
}

/// Whether a line that is written does not stop this process.
pub(super) fn may_write() -> bool {
    let stops = |modes: LocalModes| modes.contains(LocalModes::TOSTOP);
    is_foreground() || !tcgetattr(io::stderr()).is_ok_and(|terminal| stops(terminal.local_modes))
}
