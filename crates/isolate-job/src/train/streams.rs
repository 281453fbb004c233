//! The streams of channels in Pipe mode, one transfer for each container. They are open before the first container starts and end with
//! their container. One that ends by itself fails the job: what its program reads would end early, and the program cannot tell.

use std::collections::BTreeSet;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::transfer::{TICK, Transferred, alone, ended_with};
use super::{Event, Problem, Supervisor, follow};
use crate::client::{self, DEADLINE};
use crate::plan::Direction;
use crate::progress::{Event as Progress, Failure as Reported, Fault, Line};
use crate::stager::{Answer, Demand, Ended, News, Transfer};
use crate::store::{End, Failure};

/// The stream of one container.
pub(super) struct Stream {
    transfer: Transfer,
    /// The steps whose first FIFO is not there yet.
    awaited: BTreeSet<String>,
    /// Whether its container has ended.
    may_end: bool,
    /// Whether it has reported why it failed.
    has_failed: bool,
}

/// What an answer is about.
pub(super) enum Of {
    /// A stream, which goes on or has failed.
    Stream(Result<(), Reported>),
    /// Another transfer.
    Transfer,
}

impl Supervisor {
    pub(super) fn has_streams(&self) -> bool {
        self.steps.iter().any(|step| step.direction == Direction::Stream)
    }

    /// Opens all streams, and waits for their first FIFOs. Without them, if the job is to be stopped.
    pub(super) fn open_streams(&mut self) -> Result<bool, Problem> {
        let steps = self.steps.iter().filter(|step| step.direction == Direction::Stream);
        let awaited: BTreeSet<_> = steps.map(|step| step.name.clone()).collect();
        if awaited.is_empty() {
            return Ok(true);
        }
        for host in self.hosts() {
            let transfer = Transfer { direction: Direction::Stream, host, step: None };
            self.demand(&Demand::Run(transfer.clone()))?;
            self.streams.push(Stream {
                transfer,
                awaited: awaited.clone(),
                may_end: false,
                has_failed: false,
            });
        }
        while self.streams.iter().any(|stream| !stream.awaited.is_empty()) {
            match self.events.recv_timeout(TICK) {
                // No program has run, so it is done again.
                Ok(Event::Answer(Answer { news: News::Ended(Ended { status: None, .. }), .. })) => {
                    return Err(anyhow!("the transfer was killed").into());
                }
                Ok(Event::Answer(answer)) => match self.of_stream(&answer) {
                    Of::Stream(Err(Reported { fault, message })) => {
                        self.abort_streams()?;
                        return Err(match fault {
                            Fault::Client => Problem::Client(message),
                            Fault::Internal => Problem::Internal(message),
                        });
                    }
                    Of::Stream(Ok(())) | Of::Transfer => {}
                },
                Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return Err(alone().into()),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if self.job.is_stop_requested() {
                self.abort_streams()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes an answer, if it is about a stream.
    pub(super) fn of_stream(&mut self, answer: &Answer) -> Of {
        let Some(index) = self.streams.iter().position(|stream| stream.transfer == answer.transfer) else {
            return Of::Transfer;
        };
        let stream = &mut self.streams[index];
        let failed = match &answer.news {
            News::Line(Line { step, event: Progress::Total(_) }) => {
                stream.awaited.remove(step);
                None
            }
            News::Line(Line { step, event: Progress::Failed(failure) }) => {
                stream.has_failed = true;
                Some((failure.fault, format!("{step}: {}", failure.message)))
            }
            News::Line(_) => None,
            News::Ended(ended) => {
                let stream = self.streams.swap_remove(index);
                match ended_with(ended.clone(), None) {
                    _ if stream.has_failed && ended.status.is_some() => None,
                    _ if stream.may_end && ended.status == Some(0) => None,
                    Transferred::Client(why) => Some((Fault::Client, why)),
                    Transferred::Internal(why) => Some((Fault::Internal, why)),
                    Transferred::Complete | Transferred::Stopped => {
                        Some((Fault::Internal, "the transfer ended before the container".to_owned()))
                    }
                }
            }
        };
        Of::Stream(failed.map_or(Ok(()), |(fault, why)| {
            Err(Reported { fault, message: format!("Data streaming failed: {why}") })
        }))
    }

    /// The container has ended, and reads nothing any more.
    pub(super) fn finish_stream(&mut self, host: &str) -> Result<()> {
        let own = self.streams.iter_mut().find(|stream| stream.transfer.host == host);
        if let Some(stream) = own {
            stream.may_end = true;
            let demand = Demand::Finish(stream.transfer.clone());
            self.demand(&demand)?;
        }
        Ok(())
    }

    /// Ends all of them before their time, and waits until they have ended.
    pub(super) fn abort_streams(&mut self) -> Result<()> {
        let all: Vec<_> = self.streams.iter().map(|stream| stream.transfer.clone()).collect();
        for transfer in all {
            self.demand(&Demand::Abort(transfer))?;
        }
        let until = Instant::now() + DEADLINE;
        while !self.streams.is_empty() {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // What they report does not count any more.
                Ok(Event::Answer(answer)) => drop(self.of_stream(&answer)),
                Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return Err(alone()),
                Err(RecvTimeoutError::Timeout) => return Err(anyhow!("a transfer does not end")),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// The streams ended with another supervisor, while these containers ran and may have taken that for the end of an epoch. What
    /// they have written is uploaded if that supervisor had proven them, and the job fails.
    pub(super) fn streams_are_gone(&mut self, started: &[usize]) -> Result<(), Problem> {
        let why = "the streams of its channels in Pipe mode were interrupted; start the job again";
        self.must_be_proven(why)?;
        for index in started {
            let container = &self.containers[*index];
            let (name, log) = (container.name(), self.job.log(&container.hostname));
            let deadline = DEADLINE + Duration::from_secs(container.stop_timeout.into());
            let stopped = client::run(&self.engine.stop(&name, container.stop_timeout), deadline);
            stopped.map_err(|error| self.problem(&error.to_string()))?;
            let followed = follow::log(&self.engine.logs(&name), &log, *index, self.tell.clone())?;
            thread::spawn(move || followed.drain(follow::PATIENCE));
            let ended = self.events.iter().find_map(|event| match event {
                Event::LogEnded { is_complete, .. } => Some(is_complete),
                _ => None,
            });
            self.log_ended(*index, ended.unwrap_or_default());
        }
        Ok(self.ended(End::Failed(Failure::Internal(why.to_owned())))?)
    }
}
