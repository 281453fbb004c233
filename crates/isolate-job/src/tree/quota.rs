//! How much a job may put on its volume.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that are left. Every file and directory takes a block as well, so that a million empty ones count.
#[derive(Debug)]
pub struct Quota(AtomicU64);

/// What an entry takes beside its content.
const BLOCK: u64 = 4096;

impl Quota {
    /// What a file of this size takes.
    pub(super) fn of_file(size: u64) -> u64 {
        size.saturating_add(BLOCK)
    }

    /// A quota of this many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes this many bytes for content.
    ///
    /// # Errors
    /// Less is left; nothing is taken.
    pub fn bytes(&self, bytes: u64) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    /// Whether this many bytes are left. Nothing is taken.
    pub(super) fn has(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.0.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// Gives back what was taken for content that is gone.
    pub(super) fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes the blocks of this many files or directories.
    ///
    /// # Errors
    /// Less is left; nothing is taken.
    pub fn entries(&self, count: u64) -> io::Result<()> {
        self.bytes(count.saturating_mul(BLOCK))
    }
}
