//! What `out` waits for: the end of the isolated container, or of its pod, or that the container does not start. Checkpoints are
//! uploaded meanwhile, and hold up nothing. That it does not start is concluded from a fresh answer only: what a watch told last
//! may be old, and the results of a container that has started meanwhile would be lost.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::api::{Looked, News};
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
    /// How it is now, as it was asked for.
    Looked(Looked),
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
        end
    }

    fn learn(&self, events: &Receiver<Event>, checkpoints: &mut Checkpoints) -> Result<End> {
        let (mut last, mut until, mut is_looking) = (None::<Seen>, None, false);
        let mut attempts = Attempts { patience: Duration::from_secs(self.arguments.start), stuck: None };
        loop {
            match events.recv_timeout(TICK) {
                Ok(Event::Pod(News::Seen(seen))) => {
                    attempts.see(seen.stuck.clone());
                    last = Some(seen);
                }
                Ok(Event::Pod(News::Away)) => attempts.begin_again(),
                Ok(Event::Looked(Looked { seen: None, .. })) => return Ok(End::Pod(Some(Ending::Deleted))),
                Ok(Event::Looked(Looked { seen: Some(seen), is_at_once })) => {
                    is_looking = false;
                    if !is_at_once {
                        attempts.begin_again();
                    }
                    // Not if a watch has told of a start meanwhile.
                    let was_over = attempts.are_over();
                    attempts.see(seen.stuck.clone());
                    if let (true, None, Some(how)) = (was_over, until, attempts.given_up()) {
                        return Ok(End::Container(Ended { how, started: None, finished: None }));
                    }
                    last = Some(seen);
                }
                Ok(Event::Signal) => {
                    checkpoints.end();
                    until.get_or_insert(Instant::now() + Duration::from_secs(self.arguments.wait));
                }
                Ok(Event::Checkpoints(ended)) => checkpoints.ended(ended),
                // What is left of the pod is this process.
                Ok(Event::Pod(News::Gone)) => return Ok(End::Pod(Some(Ending::Deleted))),
                Ok(Event::Lost(why)) => return Ok(End::Lost(why)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(End::Lost("nothing tells of it".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let ended = last.as_ref().and_then(|seen| seen.ended.clone());
            match (ended, until) {
                (Some(ended), None) => return Ok(End::Container(ended)),
                (ended, Some(until)) if ended.is_some() || Instant::now() >= until => {
                    return Ok(End::Pod(last.and_then(|seen| seen.ending(now()))));
                }
                (_, Some(_)) => {}
                (None, None) => {
                    if attempts.are_over() && !is_looking {
                        self.look(checkpoints.tell.clone())?;
                        is_looking = true;
                    }
                    checkpoints.upload();
                }
            }
        }
    }

    /// Tells how the pod is now, however long it takes to learn that.
    fn look(&self, tell: Sender<Event>) -> Result<()> {
        let (api, complain) = (self.api()?, self.complain);
        thread::spawn(move || {
            let event = match api.look(complain) {
                Ok(looked) => Event::Looked(looked),
                Err(error) => Event::Lost(format!("{error:#}")),
            };
            let _ = tell.send(event);
        });
        Ok(())
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

    /// Nothing was heard for a while: what kubelet did meanwhile is not known yet, so that time does not count.
    fn begin_again(&mut self) {
        if let Some((since, _)) = &mut self.stuck {
            *since = Instant::now();
        }
    }

    /// Whether no more attempts are waited for, if they still fail.
    fn are_over(&self) -> bool {
        self.stuck.as_ref().is_some_and(|(since, stuck)| stuck.is_final() || since.elapsed() >= self.patience)
    }

    /// Why no more attempts are waited for, if so.
    fn given_up(&self) -> Option<How> {
        let (_, stuck) = self.stuck.as_ref().filter(|_| self.are_over())?;
        Some(How::NotStarted(format!("the container was not started: {stuck}")))
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
