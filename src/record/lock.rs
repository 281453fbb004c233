//! File locks with a deadline.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// Locks an open file until the result is dropped; `path` is for errors.
///
/// # Errors
/// Another process holds it until the deadline.
pub(super) fn lock(mut file: File, path: &Path, deadline: Duration) -> Result<Flock<File>> {
    let shown = path.display();
    let end = Instant::now() + deadline;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => {
                return Err(errno).with_context(|| format!("cannot lock {shown}"));
            }
            Err(_) if Instant::now() > end => {
                bail!("cannot lock {shown}: held by another process for {deadline:?}");
            }
            Err((back, _)) => file = back,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
