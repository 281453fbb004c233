//! The channels of a container in Pipe mode, streamed while it runs. For each epoch that its program reads there is a FIFO
//! `CHANNEL_EPOCH`, the next one before the current one has ended. The process ends when its stdin does: only whoever started it knows
//! when the container has ended.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::epoch::{Cut, Epoch};
use super::report::Report;
use super::source::Source;
use super::{Job, Ready, Stopped, Transfer, internal, stopped};
use crate::plan::{Form, Pipe, Step, epoch};
use crate::progress::{Amount, Failure};
use crate::request::Distribution;
use crate::s3::Ahead;
use crate::tree::{Dir, Fifo};

/// How much is fetched ahead of the program, in bytes and in requests. Each channel has its part of it.
const AHEAD: (u64, usize) = (8 << 20, 32);

/// How many requests a channel has at least, and at most: more are no faster.
const REQUESTS: (usize, usize) = (2, 16);

/// The most of decompressed records that is held until their length is known, in bytes. Each channel has its part of it; a larger record is
/// decompressed twice.
const HELD: u64 = 4 << 20;

/// The least bytes of a request.
const LEAST: u64 = 64 << 10;

/// How long it is waited before a FIFO without a reader is tried again: twice as long every time.
const WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A program that closes a FIFO early has the next epoch after a pause: each costs requests that it does not use.
const PAUSE: Duration = Duration::from_millis(100);

/// Streams until stdin ends.
pub(super) fn stream<'j>(job: &'j Job, ready: &mut Option<Ready<'j>>) -> Result<(), Stopped> {
    let mut channels = Vec::new();
    for step in &job.steps {
        let mut report = Report::new(&step.name, true);
        let opened = Ready::once(ready, job).and_then(|ready| {
            let channel = Channel::open(&Transfer { job, ready, step })?;
            report.total(channel.amount())?;
            Ok(channel)
        });
        match opened {
            Ok(channel) => channels.push((step, channel, Arc::new(Mutex::new(report)))),
            Err(failure) => {
                let _ = report.failed(&failure);
                return Err(stopped(step, &failure));
            }
        }
    }
    let (tell, told) = channel();
    let mut reports = Vec::new();
    for (step, channel, report) in channels {
        reports.push(Arc::clone(&report));
        let (step, tell) = (step.clone(), tell.clone());
        thread::spawn(move || channel.run(&step, &report, &tell));
    }
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = tell.send(Ok(()));
    });
    told.recv().unwrap_or(Ok(()))?;
    for report in reports {
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        let done = report.done();
        report.complete(done).map_err(|error| Stopped::Failed(error.to_string()))?;
    }
    // One may have failed at the same time.
    told.try_iter().collect()
}

/// A channel.
struct Channel {
    source: Arc<Source>,
    pipe: Pipe,
    directory: Dir,
    name: String,
    /// The FIFO of the next epoch.
    next: Fifo,
    ahead: Ahead,
    /// The most of a record that is held.
    held: u64,
    /// Its container among those that divide the channel.
    container: usize,
    containers: usize,
}

impl Channel {
    /// Finds out what it has, and makes its first FIFO.
    fn open(transfer: &Transfer) -> Result<Self, Failure> {
        let (job, step) = (transfer.job, transfer.step);
        let pipe = step.pipe.clone().ok_or_else(|| internal(format!("{} is not in Pipe mode", step.name)))?;
        let source = Arc::new(transfer.source(&pipe)?);
        if pipe.is_wrapped && !pipe.is_gzip {
            source.fits_records()?;
        }
        let (directory, name) = transfer.place()?;
        // No program has run yet.
        let next = directory.fifo_again(&format!("{name}_0"))?;
        let channels = job.steps.len().max(1);
        let pieces = (AHEAD.1 / channels).clamp(REQUESTS.0, REQUESTS.1);
        let piece = (AHEAD.0 / (pieces * channels) as u64).max(LEAST);
        let (container, containers) = match step.form {
            Form::Prefix(Distribution::ShardedByS3Key)
            | Form::Manifest(Distribution::ShardedByS3Key)
            | Form::Augmented(Distribution::ShardedByS3Key) => (job.container, job.containers),
            _ => (0, 1),
        };
        Ok(Self {
            source,
            pipe,
            directory,
            name,
            next,
            ahead: Ahead { piece, pieces },
            held: (HELD / channels as u64).max(LEAST),
            container,
            containers,
        })
    }

    /// How much its first epoch has.
    fn amount(&self) -> Amount {
        self.source.amount(&self.order(0))
    }

    fn order(&self, number: u64) -> Vec<usize> {
        epoch(self.source.count(), self.pipe.seed, number, self.container, self.containers)
    }

    fn run(self, step: &Step, report: &Mutex<Report>, tell: &Sender<Result<(), Stopped>>) {
        let mut open = None;
        let Err(failure) = self.epochs(report, &mut open);
        // It is reported before the program sees the end of what it reads, and takes it for the end of an epoch.
        let _ = report.lock().unwrap_or_else(PoisonError::into_inner).failed(&failure);
        let _ = tell.send(Err(stopped(step, &failure)));
        drop(open);
    }

    /// One after the other.
    fn epochs(mut self, report: &Mutex<Report>, open: &mut Option<File>) -> Result<Infallible, Failure> {
        let mut number = 0;
        loop {
            let fifo = open.insert(self.wait()?);
            // It is there when the program has read this one to its end.
            self.next = self.directory.fifo(&format!("{}_{}", self.name, number + 1))?;
            let order = self.order(number);
            let epoch = Epoch {
                source: &self.source,
                pipe: &self.pipe,
                fifo,
                report,
                ahead: self.ahead,
                held: self.held,
            };
            match epoch.write(order) {
                Ok(()) => *open = None,
                Err(Cut::Closed) => {
                    *open = None;
                    thread::sleep(PAUSE);
                }
                Err(Cut::Failed(failure)) => return Err(failure),
            }
            // No program opens it again. One that is not removed is only a name.
            let _ = self.directory.remove_fifo(&format!("{}_{number}", self.name));
            number += 1;
        }
    }

    /// Until the program opens the FIFO.
    fn wait(&self) -> Result<File, Failure> {
        let (mut pause, longest) = WAIT;
        loop {
            if let Some(file) = self.directory.open_fifo(&self.next)? {
                return Ok(file);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}
