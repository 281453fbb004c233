//! How much a job may put on its volume, and what its user can do when that is not enough.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that are left. Every file and directory takes a block as well, so that a million empty ones count.
#[derive(Debug)]
pub struct Quota {
    left: AtomicU64,
    remedy: Option<String>,
}

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
        Self { left: AtomicU64::new(bytes), remedy: None }
    }

    /// What gives more.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes this many bytes for content.
    ///
    /// # Errors
    /// Less is left; nothing is taken.
    pub fn bytes(&self, bytes: u64) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| self.exhausted())
    }

    /// Whether this many bytes are left. Nothing is taken.
    pub(super) fn has(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.left.load(Ordering::Relaxed) { Ok(()) } else { Err(self.exhausted()) }
    }

    fn exhausted(&self) -> io::Error {
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
        io::Error::new(io::ErrorKind::QuotaExceeded, format!("insufficient disk space{remedy}"))
    }

    /// Gives back what was taken for content that is gone.
    pub(super) fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes the blocks of this many files or directories.
    ///
    /// # Errors
    /// Less is left; nothing is taken.
    pub fn entries(&self, count: u64) -> io::Result<()> {
        self.bytes(count.saturating_mul(BLOCK))
    }
}
