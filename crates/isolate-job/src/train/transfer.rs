//! Transfers before and after the containers run, demanded of the process with the credentials.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use super::{Event, Supervisor};
use crate::progress::{Event as Progress, Failure, Fault, Line};
use crate::stager::{Answer, Demand, Ended, News, Transfer};

/// How a transfer ended.
pub(crate) enum Transferred {
    Complete,
    /// An error in what was asked for.
    Client(String),
    /// An error of the host or the network.
    Internal(String),
    /// The job is to be stopped.
    Stopped,
}

/// How often it is looked for a request to stop.
pub(super) const TICK: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Downloads. A request to stop ends it.
    pub(super) fn download(&mut self, transfer: &Transfer) -> Result<Transferred> {
        if self.job.is_stop_requested() {
            return Ok(Transferred::Stopped);
        }
        self.demand(&Demand::Run(transfer.clone()))?;
        let (mut failure, mut stopped) = (None, false);
        loop {
            match self.news()? {
                Some(Answer { transfer: about, news }) if about == *transfer => match news {
                    News::Line(line) => failure = self.progress(&transfer.host, line).or(failure),
                    News::Ended(_) if stopped => return Ok(Transferred::Stopped),
                    News::Ended(ended) => return ended_alone(ended, failure),
                },
                _ => {}
            }
            if !stopped && self.job.is_stop_requested() {
                self.demand(&Demand::Abort(transfer.clone()))?;
                stopped = true;
            }
        }
    }

    /// Uploads all at the same time, also if some fail, and also in a job that is to be stopped: how each ended.
    pub(super) fn upload_all(&mut self, all: &[Transfer]) -> Result<Vec<Transferred>> {
        for transfer in all {
            self.demand(&Demand::Run(transfer.clone()))?;
        }
        let mut failures = vec![None; all.len()];
        let mut ends: Vec<_> = all.iter().map(|_| None).collect();
        while ends.iter().any(Option::is_none) {
            let Some(Answer { transfer, news }) = self.news()? else { continue };
            let Some(index) = all.iter().position(|one| *one == transfer) else { continue };
            match news {
                News::Line(line) => {
                    failures[index] = self.progress(&transfer.host, line).or(failures[index].take());
                }
                News::Ended(ended) => ends[index] = Some(ended_alone(ended, failures[index].take())?),
            }
        }
        Ok(ends.into_iter().flatten().collect())
    }

    /// What is heard of transfers within a [`TICK`].
    fn news(&self) -> Result<Option<Answer>> {
        match self.events.recv_timeout(TICK) {
            Ok(Event::Answer(answer)) => Ok(Some(answer)),
            Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => Err(alone()),
            // Of containers that have ended.
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(None),
        }
    }

    pub(super) fn demand(&mut self, demand: &Demand) -> Result<()> {
        self.link.demand(demand).map_err(|_| alone())
    }

    /// Shows a line, and returns a failure that it reports.
    pub(super) fn progress(&mut self, host: &str, line: Line) -> Option<Failure> {
        let host = (self.containers.len() > 1).then_some(host);
        self.view.progress(host, &line);
        match line.event {
            Progress::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

pub(super) fn alone() -> anyhow::Error {
    anyhow!("the process that had the credentials has ended")
}

/// How a transfer ended that was not to be ended. Nothing is known of what a killed one was about to do, so it is done again.
fn ended_alone(ended: Ended, failure: Option<Failure>) -> Result<Transferred> {
    ensure!(ended.status.is_some(), "the transfer was killed{}", after_colon(&ended.error));
    Ok(ended_with(ended, failure))
}

pub(crate) fn ended_with(ended: Ended, failure: Option<Failure>) -> Transferred {
    match (ended.status, failure) {
        (Some(0), None) => Transferred::Complete,
        (_, Some(Failure { fault: Fault::Client, message })) => Transferred::Client(message),
        (_, Some(Failure { fault: Fault::Internal, message })) => Transferred::Internal(message),
        (Some(2), None) => Transferred::Client(ended.error),
        (status, None) => {
            let how = status
                .map_or_else(|| "was killed".to_owned(), |status| format!("ended with status {status}"));
            Transferred::Internal(format!("the transfer {how}{}", after_colon(&ended.error)))
        }
    }
}

fn after_colon(error: &str) -> String {
    if error.is_empty() { String::new() } else { format!(": {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whose_it_is_and_a_status_alone_says_what_it_can() {
        let ended = |status, error: &str| Ended { status, error: error.to_owned() };
        let failure = |fault| Some(Failure { fault, message: "NoSuchBucket".to_owned() });
        assert!(matches!(ended_with(ended(Some(0), ""), None), Transferred::Complete));
        for (end, failure, expected) in [
            (ended(Some(1), "x"), failure(Fault::Client), "client NoSuchBucket"),
            (ended(Some(1), "x"), failure(Fault::Internal), "internal NoSuchBucket"),
            // It reported a failure and success.
            (ended(Some(0), ""), failure(Fault::Internal), "internal NoSuchBucket"),
            (ended(Some(2), "--root: is missing"), None, "client --root: is missing"),
            (ended(Some(1), "no"), None, "internal the transfer ended with status 1: no"),
            (ended(None, ""), None, "internal the transfer was killed"),
        ] {
            let found = match ended_with(end, failure) {
                Transferred::Client(why) => format!("client {why}"),
                Transferred::Internal(why) => format!("internal {why}"),
                Transferred::Complete | Transferred::Stopped => "complete".to_owned(),
            };
            assert_eq!(found, expected);
        }
    }
}
