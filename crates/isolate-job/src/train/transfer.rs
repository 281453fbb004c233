//! One transfer, demanded of the process with the credentials.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::{Event, Supervisor};
use crate::plan::Direction;
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
    /// Runs a transfer to its end. A request to stop ends a download; an upload is what a stopped job does anyway.
    pub(super) fn transfer(&mut self, transfer: &Transfer) -> Result<Transferred> {
        let is_in = transfer.direction == Direction::In;
        if is_in && self.job.is_stop_requested() {
            return Ok(Transferred::Stopped);
        }
        self.demand(&Demand::Run(transfer.clone()))?;
        let (mut failure, mut stopped) = (None, false);
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Answer(Answer { transfer: about, news })) if about == *transfer => match news {
                    News::Line(line) => failure = self.progress(&transfer.host, line).or(failure),
                    News::Ended(_) if stopped => return Ok(Transferred::Stopped),
                    // Nothing is known of what it was about to do, so it is done again.
                    News::Ended(Ended { status: None, error }) => {
                        bail!("the transfer was killed{}", after_colon(&error));
                    }
                    News::Ended(ended) => return Ok(ended_with(ended, failure)),
                },
                Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return Err(alone()),
                // Of containers that have ended.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if is_in && !stopped && self.job.is_stop_requested() {
                self.demand(&Demand::Abort(transfer.clone()))?;
                stopped = true;
            }
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
