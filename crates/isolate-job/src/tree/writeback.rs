//! Writes a directory under construction to the disk while the rest of it arrives, so that there is little left to wait for at its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::{Dir, Error};

/// The disk is asked to begin after this many bytes.
const EVERY: u64 = 16 << 20;

/// A thread that writes what has arrived; it ends with this.
#[derive(Debug)]
pub(super) struct WriteBack {
    arrived: AtomicU64,
    wake: SyncSender<()>,
}

impl WriteBack {
    /// # Errors
    /// The system's.
    pub(super) fn begin(directory: &Dir) -> Result<Self, Error> {
        // An open file of its own: the kernel reports that a write has failed once to each, and `Stage::publish` has to see it.
        let own = directory.sub(".")?;
        let (wake, woken) = sync_channel(1);
        let write = move || {
            for () in woken {
                let _ = rustix::fs::syncfs(own.descriptor());
            }
        };
        let thread = thread::Builder::new().name("write-back".to_owned()).spawn(write);
        thread.map_err(|error| Error::system("", error))?;
        Ok(Self { arrived: AtomicU64::new(0), wake })
    }

    /// This many bytes more have arrived.
    pub(super) fn arrived(&self, bytes: u64) {
        let before = self.arrived.fetch_add(bytes, Ordering::Relaxed);
        if before / EVERY != (before + bytes) / EVERY {
            // If the thread has been woken already, it writes these, too.
            let _ = self.wake.try_send(());
        }
    }
}
