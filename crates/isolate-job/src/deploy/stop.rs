//! Whether a model is to be served no more: SIGTERM, SIGINT, or `isolate-job stop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::store::Job;

pub(super) struct Stop {
    signalled: Arc<AtomicBool>,
    job: Job,
}

impl Stop {
    pub(super) fn new(job: &Job) -> Result<Self> {
        let signalled = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&signalled)).context("cannot handle signals")?;
        }
        Ok(Self { signalled, job: job.clone() })
    }

    pub(super) fn is_requested(&self) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.job.is_stop_requested()
    }
}
