//! From created containers to their end. A supervisor that takes over finds them in whatever state they are in, and starts those that
//! were not started.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::start::{Place, place};
use super::transfer::{TICK, Transferred, alone, ended_with};
use super::{Event, Problem, Supervisor, follow, now};
use crate::engine::Inspected;
use crate::plan::{Direction, Metrics};
use crate::shutdown;
use crate::stager::{Answer, Demand, Transfer};
use crate::status::{MetricData, Secondary, Time};
use crate::store::{End, Failure, Outcome};

/// What is known while the containers run.
struct Watch {
    /// Containers whose end, and whose log's end, are not here yet.
    running: usize,
    logs: usize,
    /// The first that did not complete.
    failure: Option<Failure>,
    /// Why they were told to end.
    stopping: Option<Option<End>>,
    /// Whether checkpoints are being uploaded.
    uploading: Option<Transfer>,
    next_upload: Instant,
    next_look: Instant,
    metrics: Metrics,
    lines: usize,
    times: BTreeMap<String, Time>,
}

impl Supervisor {
    pub(super) fn run(&mut self) -> Result<(), Problem> {
        let all = match std::mem::take(&mut self.created) {
            created if created.is_empty() => self.find()?,
            created => Some(created),
        };
        let Some(all) = all else { return Ok(()) };
        let places: Vec<_> = all.iter().map(|found| place(&found.state.status)).collect();
        if self.was_restarted()? {
            let why = "the host was restarted while the containers ran; their results may be incomplete";
            return Ok(self.ended(End::Failed(Failure::Internal(why.to_owned())))?);
        }
        self.start(&places)?;
        for (index, found) in all.iter().enumerate() {
            if places[index] != Place::Ended {
                self.prove(index, &found.id)?;
            }
        }
        for (index, container) in self.containers.iter().enumerate() {
            let path = self.job.log(&container.hostname);
            follow::log(&self.engine.logs(&container.name()), &path, index, self.tell.clone())?;
            follow::end(self.engine.wait(&container.name()), index, self.tell.clone());
        }
        let end = self.watch()?;
        Ok(self.ended(end)?)
    }

    /// The containers that another supervisor has created; none if the job has ended because one is gone.
    fn find(&self) -> Result<Option<Vec<Inspected>>, Problem> {
        let mut all = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            let Some(found) = self.inspect(index)? else {
                let why = Failure::Internal(format!("container {} is gone", container.name()));
                self.ended(End::Failed(why))?;
                return Ok(None);
            };
            found.is(container, &self.engine).map_err(Problem::Internal)?;
            all.push(found);
        }
        Ok(Some(all))
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
        while watch.running > 0 || watch.logs > 0 || watch.uploading.is_some() {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Line(host, line)) => self.line(host, &line, &mut watch),
                Ok(Event::LogEnded) => watch.logs -= 1,
                Ok(Event::Ended(host, code)) => self.container_ended(host, code, &mut watch)?,
                Ok(Event::Answer(answer)) => self.answer(answer, &mut watch),
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
        if exit_code != 0 && watch.failure.is_none() && watch.stopping.is_none() {
            let oom_killed = self.inspect(host)?.is_some_and(|found| found.state.oom_killed);
            let host = container.hostname.clone();
            watch.failure = Some(Failure::Algorithm { host, exit_code, oom_killed });
            watch.stopping = Some(None);
            self.stop_containers();
        }
        Ok(())
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
            if watch.uploading.is_some() {
                // They are uploaded again when the containers have ended.
                self.demand(&Demand::Abort)?;
            }
        }
        Ok(())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.settings.checkpoint_interval.into())
    }

    /// One container's after the other's.
    fn upload_checkpoints(&mut self, watch: &mut Watch) -> Result<()> {
        let has =
            self.steps.iter().any(|step| step.direction == Direction::Out && step.name == "checkpoints");
        if has && watch.uploading.is_none() && Instant::now() >= watch.next_upload {
            let transfer = Transfer {
                is_in: false,
                host: self.containers[0].hostname.clone(),
                step: "checkpoints".to_owned(),
            };
            self.demand(&Demand::Run(transfer.clone()))?;
            watch.uploading = Some(transfer);
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer, watch: &mut Watch) {
        let Some(transfer) = watch.uploading.clone() else { return };
        match answer {
            Answer::Line(line) => {
                if let Some(failure) = self.progress(&transfer.host, line) {
                    self.view.note(&format!("checkpoints are not uploaded: {}", failure.message));
                }
            }
            Answer::Ended(ended) => {
                if let Transferred::Client(why) | Transferred::Internal(why) = ended_with(ended, None)
                    && watch.stopping.is_none()
                {
                    self.view.note(&format!("checkpoints are not uploaded, and are tried again: {why}"));
                }
                let next = self.hosts().into_iter().skip_while(|host| *host != transfer.host).nth(1);
                watch.uploading = None;
                match next.filter(|_| watch.stopping.is_none() && watch.running > 0) {
                    Some(host) => {
                        let transfer = Transfer { host, ..transfer };
                        if self.demand(&Demand::Run(transfer.clone())).is_ok() {
                            watch.uploading = Some(transfer);
                        }
                    }
                    None => watch.next_upload = Instant::now() + self.interval(),
                }
            }
        }
    }

    /// The containers have ended; from here on the results are uploaded.
    fn ended(&self, end: End) -> Result<()> {
        self.job.set_status(&self.status)?;
        self.job.set_outcome(&Outcome { end, uploaded: false })
    }
}
