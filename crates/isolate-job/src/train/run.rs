//! From created containers to their end. A supervisor that takes over finds them in whatever state they are in, and starts those that
//! were not started.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use anyhow::Result;

use super::start::{Place, place};
use super::streams::Of;
use super::transfer::{TICK, alone};
use super::{Event, Problem, Supervisor, follow, now};
use crate::engine::Inspected;
use crate::plan::Metrics;
use crate::progress::{Failure as Reported, Fault};
use crate::shutdown;
use crate::stager::{Demand, Transfer};
use crate::status::{MetricData, Secondary, Time};
use crate::store::{End, Failure, Outcome};

/// What is known while the containers run.
pub(super) struct Watch {
    /// Containers whose end, and whose log's end, are not here yet.
    pub(super) running: usize,
    logs: usize,
    /// The first that did not complete.
    failure: Option<Failure>,
    /// Why they were told to end.
    pub(super) stopping: Option<Option<End>>,
    /// Whether checkpoints are being uploaded.
    pub(super) uploading: Option<Transfer>,
    pub(super) next_upload: Instant,
    next_look: Instant,
    metrics: Metrics,
    lines: usize,
    times: BTreeMap<String, Time>,
}

impl Supervisor {
    pub(super) fn run(&mut self) -> Result<(), Problem> {
        let all = match std::mem::take(&mut self.created) {
            created if created.is_empty() => self.find_left()?,
            created => Some(created),
        };
        let Some(all) = all else { return Ok(()) };
        self.state_containers(&all);
        let places: Vec<_> = all.iter().map(|found| place(&found.state.status)).collect();
        if self.was_restarted()? {
            let why = "the host was restarted while the containers ran; their results may be incomplete";
            return self.ended_unseen(why);
        }
        if self.has_streams() && self.streams.is_empty() {
            let started = (0..places.len()).filter(|index| places[*index] != Place::Created);
            let started: Vec<_> = started.collect();
            if !started.is_empty() {
                return self.streams_are_gone(&started);
            }
            if !self.open_streams()? {
                self.to(Secondary::Stopping, "Stopping before the containers were started")?;
                return Ok(self.ended(End::Stopped)?);
            }
        }
        let followed = self.start_proven(&all, &places)?;
        // Whatever became of the logs: without the proof no container may be left to run.
        followed.into_iter().collect::<Result<()>>()?;
        let end = self.watch()?;
        Ok(self.ended(end)?)
    }

    /// Reads the log of a container, and waits for its end.
    pub(super) fn follow(&self, index: usize) -> Result<()> {
        let (name, path) = (self.containers[index].name(), self.job.log(&self.containers[index].hostname));
        let log = follow::log(&self.engine.logs(&name), &path, index, self.tell.clone())?;
        follow::end(&self.engine, &name, index, log, self.tell.clone());
        Ok(())
    }

    /// The containers that another supervisor has created; none if the job has ended because one is gone.
    pub(super) fn find(&self) -> Result<Option<Vec<Inspected>>, Problem> {
        let mut all = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            let Some(found) = self.inspect(index)? else {
                self.ended_unseen(&format!("container {} is gone", container.name()))?;
                return Ok(None);
            };
            found.is(container, &self.engine).map_err(Problem::Internal)?;
            all.push(found);
        }
        Ok(Some(all))
    }

    /// The containers have ended without a supervisor. What they wrote is uploaded, unless the last one had not proven them.
    fn ended_unseen(&self, why: &str) -> Result<(), Problem> {
        self.must_be_proven(why)?;
        Ok(self.ended(End::Failed(Failure::Internal(why.to_owned())))?)
    }

    fn watch(&mut self) -> Result<End, Problem> {
        let count = self.containers.len();
        let mut watch = Watch {
            running: count,
            logs: count,
            failure: None,
            stopping: None,
            uploading: None,
            next_upload: Instant::now() + self.interval(),
            next_look: Instant::now(),
            metrics: Metrics::new(&self.document.data.algorithm_specification.metric_definitions),
            lines: 0,
            times: BTreeMap::new(),
        };
        while watch.running > 0 || watch.logs > 0 || watch.uploading.is_some() || !self.streams.is_empty() {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Line(host, line)) => self.line(host, &line, &mut watch),
                Ok(Event::LogEnded { host, is_complete }) => {
                    watch.logs -= 1;
                    self.log_ended(host, is_complete);
                }
                Ok(Event::Ended(host, code)) => self.container_ended(host, code, &mut watch)?,
                Ok(Event::Answer(answer)) => match self.of_stream(&answer) {
                    Of::Stream(Ok(())) => {}
                    Of::Stream(Err(Reported { fault, message })) => {
                        let failure = match fault {
                            Fault::Client => Failure::Client(message),
                            Fault::Internal => Failure::Internal(message),
                        };
                        self.failed(failure, &mut watch);
                    }
                    Of::Transfer => self.answer(answer, &mut watch),
                },
                Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return Err(alone().into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if watch.running > 0 && Instant::now() >= watch.next_look {
                watch.next_look = Instant::now() + TICK;
                self.look(&mut watch)?;
            }
        }
        self.status.final_metric_data_list = watch
            .metrics
            .last()
            .into_iter()
            .map(|metric| {
                let timestamp = watch.times.get(&metric.name).copied().unwrap_or_else(now);
                MetricData { metric_name: metric.name, value: metric.value, timestamp }
            })
            .collect();
        Ok(match (watch.failure, watch.stopping) {
            (_, Some(Some(end))) => end,
            (Some(failure), _) => End::Failed(failure),
            (None, _) => End::Completed,
        })
    }

    fn line(&mut self, host: usize, line: &[u8], watch: &mut Watch) {
        let several = self.containers.len() > 1;
        self.view.log(several.then(|| self.containers[host].hostname.as_str()), host, line);
        if self.document.data.algorithm_specification.metric_definitions.is_empty() {
            return;
        }
        watch.metrics.line(String::from_utf8_lossy(line).trim_end());
        let at = watch.lines;
        for metric in watch.metrics.last().into_iter().filter(|metric| metric.line == at) {
            watch.times.insert(metric.name, now());
        }
        watch.lines += 1;
    }

    pub(super) fn log_ended(&mut self, host: usize, is_complete: bool) {
        if !is_complete {
            let host = &self.containers[host].hostname;
            let why = "the engine does not end it, although the container has ended";
            self.view.note(&format!("the log of {host} may be incomplete: {why}"));
        }
    }

    fn container_ended(
        &mut self,
        host: usize,
        code: Result<i64, String>,
        watch: &mut Watch,
    ) -> Result<(), Problem> {
        let container = &self.containers[host];
        let exit_code = code.map_err(|error| {
            Problem::Interrupted(anyhow::anyhow!("cannot wait for {}: {error}", container.name()))
        })?;
        if watch.stopping.is_none() && shutdown::is_under_way() {
            // By the engine. If this comes too late, it is noticed after the restart.
            return Err(Problem::Interrupted(anyhow::anyhow!("the host is shutting down")));
        }
        watch.running -= 1;
        let hostname = container.hostname.clone();
        if exit_code != 0 && watch.failure.is_none() && watch.stopping.is_none() {
            let oom_killed = self.inspect(host)?.is_some_and(|found| found.state.oom_killed);
            let host = hostname.clone();
            self.failed(Failure::Algorithm { host, exit_code, oom_killed }, watch);
        }
        Ok(self.finish_stream(&hostname)?)
    }

    /// The job fails, and its containers are ended. What fails later is a consequence.
    fn failed(&self, failure: Failure, watch: &mut Watch) {
        watch.failure.get_or_insert(failure);
        if watch.stopping.is_none() {
            watch.stopping = Some(None);
            self.stop_containers();
        }
    }

    /// Ends those that run.
    fn stop_containers(&self) {
        for container in &self.containers {
            let seconds = container.stop_timeout;
            follow::stop(self.engine.stop(&container.name(), seconds), seconds);
        }
    }

    /// Whether the job is to be stopped, and whether its checkpoints are due.
    fn look(&mut self, watch: &mut Watch) -> Result<()> {
        if watch.stopping.is_none() {
            let most = self.document.data.stopping_condition.max_runtime_in_seconds;
            let ran = self.status.training_start_time.map_or(0, |start| now().seconds_since(start));
            let (end, message) = if self.job.is_stop_requested() {
                (End::Stopped, "Stopping the training job")
            } else if ran >= u64::from(most) {
                (End::TimeLimit, "Stopping the training job after MaxRuntimeInSeconds")
            } else {
                return self.upload_checkpoints(watch);
            };
            if self.status.secondary_status != Secondary::Stopping {
                self.to(Secondary::Stopping, message)?;
            }
            watch.stopping = Some(Some(end));
            self.stop_containers();
            if let Some(transfer) = watch.uploading.clone() {
                // They are uploaded again when the containers have ended.
                self.demand(&Demand::Abort(transfer))?;
            }
        }
        Ok(())
    }

    /// The containers have ended; from here on the results are uploaded.
    pub(super) fn ended(&self, end: End) -> Result<()> {
        if !self.status.final_metric_data_list.is_empty() {
            self.job.set_status(&self.status)?;
        }
        self.job.set_outcome(&Outcome { end, uploaded: false })
    }
}
