//! The verb `stage`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::complain;
use crate::stage::{self, Stopped};
use crate::status::Exit;

pub(super) fn stage(what: &stage::Arguments, attended: bool, json: bool) -> Result<ExitCode> {
    if attended {
        // Otherwise this transfer and that of a process that resumes the job could run at the same time.
        set_parent_process_death_signal(Some(Signal::KILL)).context("cannot ask for a signal")?;
    }
    Ok(match stage::stage(what, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stopped::Refused(reasons)) => {
            reasons.iter().for_each(|why| complain(why));
            ExitCode::from(Exit::Refused as u8)
        }
        Err(Stopped::Failed(why)) => {
            complain(&why);
            ExitCode::FAILURE
        }
    })
}
