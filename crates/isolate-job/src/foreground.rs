//! Whether something may be written to a terminal now. A shell runs a job in the background as a process group that is not the
//! terminal's: what it draws there lands in other output, and with `stty tostop` every write stops its whole group (SIGTTOU). Nobody
//! continues a process that has another group than the one that the shell started.

use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::process::{Pid, getpgid, getpgrp, getppid};
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

/// The process group that a shell moves between foreground and background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellGroup {
    /// This process's own.
    Own,
    /// Its parent's, which has given it a group of its own. Without that parent it is in the background.
    Parents,
}

impl ShellGroup {
    fn id(self) -> Option<Pid> {
        match self {
            Self::Own => Some(getpgrp()),
            Self::Parents => getppid().and_then(|parent| getpgid(Some(parent)).ok()),
        }
    }

    /// Whether it is in the foreground. Job control does not concern what has another terminal or none.
    pub(crate) fn is_foreground(self, terminal: impl AsFd) -> bool {
        tcgetpgrp(terminal).map_or(true, |group| Some(group) == self.id())
    }

    /// Whether the terminal's user wants what is written now.
    pub(crate) fn may_write(self, terminal: impl AsFd) -> bool {
        let stops = |modes: LocalModes| modes.contains(LocalModes::TOSTOP);
        let is_silent = tcgetattr(&terminal).is_ok_and(|terminal| stops(terminal.local_modes));
        !is_silent || self.is_foreground(terminal)
    }
}

/// Writes without being stopped by the terminal, whatever the shell does meanwhile. Only this thread is concerned, and only until it has
/// written: programs that it starts later inherit nothing.
pub(crate) fn unstopped<T>(write: impl FnOnce() -> T) -> T {
    let signals = SigSet::from(Signal::SIGTTOU);
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let written = write();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    written
}
