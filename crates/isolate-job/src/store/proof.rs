//! Whether what the containers of a job wrote may be trusted. That it may not is written before they are started, and stays until each
//! is proven to be isolated: neither a crash nor a full disk makes results of what was not proven.

use std::fs;

use anyhow::{Context, Result};

use super::Job;
use super::outcome::{End, Failure, Outcome};

/// The outcome of a job whose containers were started and not proven to be isolated. It is here before they are started.
const UNPROVEN: &str = "unproven.json";

impl Job {
    /// Before the containers are started: until [`Job::trust`], what they write is not to be trusted, and that can be kept on a full
    /// disk, too.
    ///
    /// # Errors
    /// The system's.
    pub fn expect_proof(&self) -> Result<()> {
        if self.is_proof_expected()? {
            return Ok(());
        }
        let why = "the containers were started and were not proven to be isolated";
        let end = End::Untrusted(Failure::Internal(why.to_owned()));
        self.set_document(UNPROVEN, &Outcome { end, uploaded: false })
    }

    /// Whether containers were started and not proven to be isolated.
    ///
    /// # Errors
    /// The system's.
    pub fn is_proof_expected(&self) -> Result<bool> {
        self.has(UNPROVEN)
    }

    /// Each container is proven to be isolated.
    ///
    /// # Errors
    /// The system's.
    pub fn trust(&self) -> Result<()> {
        let path = self.path(UNPROVEN);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Keeps that what its containers wrote is not to be trusted. The first step needs no space on the disk.
    ///
    /// # Errors
    /// The system's, if neither step succeeded.
    pub fn distrust(&self, failure: &Failure) -> Result<()> {
        let kept = fs::rename(self.path(UNPROVEN), self.path("outcome.json"));
        let outcome = Outcome { end: End::Untrusted(failure.clone()), uploaded: false };
        self.set_outcome(&outcome).or_else(|error| kept.map_err(|_| error))
    }
}
