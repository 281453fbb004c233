//! What `out` waits for: the end of the isolated container, or of its pod, or that the container does not start. Checkpoints are
//! uploaded meanwhile, and hold up nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::api::News;
use super::outcome::End;
use super::seen::{Ended, Ending, How, Seen, Stuck};
use super::transfer::Running;
use super::{Pod, on_signal};
use crate::plan::{Direction, Step};
use crate::settings::Settings;
use crate::train::{Transferred, now};

/// How often it is looked at the clock.
const TICK: Duration = Duration::from_millis(500);

enum Event {
    Pod(News),
    /// Nothing more is learnt of the pod.
    Lost(String),
    Signal,
    Checkpoints(Transferred),
}

/// The uploads of checkpoints, one after the other.
struct Checkpoints<'p> {
    pod: &'p Pod<'p>,
    step: Option<Step>,
    interval: Duration,
    next: Instant,
    uploading: Option<Running>,
    tell: Sender<Event>,
}

impl Pod<'_> {
    /// Until the container has ended, or the pod is about to.
    pub(super) fn wait(&self, settings: &Settings) -> Result<End> {
        let (tell, events) = channel();
        self.watch(tell.clone())?;
        let interval = Duration::from_secs(settings.checkpoint_interval.into());
        let step = self.steps(Direction::Out).into_iter().find(|step| step.name == "checkpoints");
        let next = Instant::now() + interval;
        let mut checkpoints = Checkpoints { pod: self, step, interval, next, uploading: None, tell };
        let end = self.learn(&events, &mut checkpoints);
        checkpoints.end();
        Ok(end)
    }

    fn learn(&self, events: &Receiver<Event>, checkpoints: &mut Checkpoints) -> End {
        let (mut last, mut until) = (None::<Seen>, None);
        let mut attempts = Attempts { patience: Duration::from_secs(self.arguments.start), stuck: None };
        loop {
            match events.recv_timeout(TICK) {
                Ok(Event::Pod(News::Seen(seen))) => {
                    attempts.see(seen.stuck.clone());
                    last = Some(seen);
                }
                Ok(Event::Signal) => {
                    checkpoints.end();
                    until.get_or_insert(Instant::now() + Duration::from_secs(self.arguments.wait));
                }
                Ok(Event::Checkpoints(ended)) => checkpoints.ended(ended),
                // What is left of the pod is this process.
                Ok(Event::Pod(News::Gone)) => return End::Pod(Some(Ending::Deleted)),
                Ok(Event::Lost(why)) => return End::Lost(why),
                Err(RecvTimeoutError::Disconnected) => return End::Lost("nothing tells of it".to_owned()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let ended = last.as_ref().and_then(|seen| seen.ended.clone());
            match (ended, until) {
                (Some(ended), None) => return End::Container(ended),
                (ended, Some(until)) if ended.is_some() || Instant::now() >= until => {
                    return End::Pod(last.and_then(|seen| seen.ending(now())));
                }
                (_, Some(_)) => {}
                (None, None) => match attempts.given_up() {
                    Some(how) => return End::Container(Ended { how, started: None, finished: None }),
                    None => checkpoints.upload(),
                },
            }
        }
    }

    /// Tells of the pod and of signals.
    fn watch(&self, tell: Sender<Event>) -> Result<()> {
        let signalled = tell.clone();
        on_signal(move || {
            let _ = signalled.send(Event::Signal);
        })?;
        let (api, complain) = (self.api()?, self.complain);
        thread::spawn(move || {
            let followed = api.follow(complain, |news| tell.send(Event::Pod(news)).is_ok());
            let why =
                followed.err().map_or_else(|| "it is not followed".to_owned(), |error| format!("{error:#}"));
            let _ = tell.send(Event::Lost(why));
        });
        Ok(())
    }
}

/// kubelet's attempts to start the container.
struct Attempts {
    patience: Duration,
    /// Since when they fail, and why.
    stuck: Option<(Instant, Stuck)>,
}

impl Attempts {
    fn see(&mut self, new: Option<Stuck>) {
        self.stuck = match (self.stuck.take(), new) {
            (None, new) => new.map(|new| (Instant::now(), new)),
            (Some(_), None) => None,
            (Some((since, old)), Some(new)) => {
                Some((since, if new.names_cause() || !old.names_cause() { new } else { old }))
            }
        };
    }

    /// Why no more attempts are waited for, if so.
    fn given_up(&self) -> Option<How> {
        let (since, stuck) = self.stuck.as_ref()?;
        let is_over = stuck.is_final() || since.elapsed() >= self.patience;
        is_over.then(|| How::NotStarted(format!("the container was not started: {stuck}")))
    }
}

impl Checkpoints<'_> {
    /// Begins an upload, if one is due and none runs.
    fn upload(&mut self) {
        let Some(step) =
            self.step.as_ref().filter(|_| self.uploading.is_none() && Instant::now() >= self.next)
        else {
            return;
        };
        match self.pod.arguments.start(step) {
            Ok(running) => {
                let (tell, uploading) = (self.tell.clone(), running.clone());
                thread::spawn(move || {
                    // Its reader may have gone away.
                    let _ = tell.send(Event::Checkpoints(uploading.finish()));
                });
                self.uploading = Some(running);
            }
            Err(error) => self.ended(Transferred::Internal(format!("{error:#}"))),
        }
    }

    fn ended(&mut self, ended: Transferred) {
        // One that was killed is no news.
        let is_own = self.uploading.take().is_none_or(|running| !running.was_killed());
        if let (true, Transferred::Client(why) | Transferred::Internal(why)) = (is_own, ended) {
            (self.pod.complain)(&format!("checkpoints are not uploaded, and are tried again: {why}"));
        }
        self.next = Instant::now() + self.interval;
    }

    /// Ends an upload that runs: the checkpoints are uploaded again when the container has ended.
    fn end(&self) {
        if let Some(running) = &self.uploading {
            running.kill();
        }
    }
}
