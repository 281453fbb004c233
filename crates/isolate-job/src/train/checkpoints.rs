//! Checkpoints, uploaded while the containers run: those of one container after the other, at an interval.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Supervisor;
use super::run::Watch;
use super::transfer::{Transferred, ended_with};
use crate::plan::Direction;
use crate::stager::{Answer, Demand, News, Transfer};

impl Supervisor {
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(self.settings.checkpoint_interval.into())
    }

    /// One container's after the other's.
    pub(super) fn upload_checkpoints(&mut self, watch: &mut Watch) -> Result<()> {
        let has =
            self.steps.iter().any(|step| step.direction == Direction::Out && step.name == "checkpoints");
        if has && watch.uploading.is_none() && Instant::now() >= watch.next_upload {
            let transfer = Transfer {
                direction: Direction::Out,
                host: self.containers[0].hostname.clone(),
                step: Some("checkpoints".to_owned()),
            };
            self.demand(&Demand::Run(transfer.clone()))?;
            watch.uploading = Some(transfer);
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, answer: Answer, watch: &mut Watch) {
        let Some(transfer) = watch.uploading.clone().filter(|own| *own == answer.transfer) else { return };
        match answer.news {
            News::Line(line) => {
                if let Some(failure) = self.progress(&transfer.host, line) {
                    self.view.note(&format!("checkpoints are not uploaded: {}", failure.message));
                }
            }
            News::Ended(ended) => {
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
}
