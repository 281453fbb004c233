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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use super::*;

    /// The kernel reports to each open file once that a write has failed. What the thread is told must not be lost to the other one.
    #[test]
    fn its_open_file_is_not_that_of_the_directory() {
        let place = tempfile::tempdir().unwrap();
        let directory = Dir::open(place.path()).unwrap();
        let _writeback = WriteBack::begin(&directory).unwrap();
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
        let of_directory = |path: &std::path::PathBuf| {
            fs::read_link(path).is_ok_and(|target| target == place.path().canonicalize().unwrap())
        };
        let own = format!("/proc/self/fd/{}", directory.descriptor().as_raw_fd());
        let others: Vec<_> =
            descriptors().filter(of_directory).filter(|path| path.as_os_str() != own.as_str()).collect();
        let [thread] = others.as_slice() else { panic!("{others:?}") };
        // A flag of the open file: a duplicate would have it, too.
        let flags = fcntl_getfl(directory.descriptor()).unwrap();
        fcntl_setfl(directory.descriptor(), flags | OFlags::NONBLOCK).unwrap();
        let info = fs::read_to_string(thread.to_str().unwrap().replace("/fd/", "/fdinfo/")).unwrap();
        let found = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let found = u32::from_str_radix(found.trim(), 8).unwrap();
        assert_eq!(found & OFlags::NONBLOCK.bits(), 0, "{info}");
    }
}
