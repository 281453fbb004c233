//! `isolate-job logs`: what containers have written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::plan::hosts;
use crate::request::read_training;
use crate::settings::Settings;
use crate::status::Described;
use crate::store::{Job, Store};

/// The interval between reads of a log that grows.
const TICK: Duration = Duration::from_millis(200);

/// The most bytes of a line; a longer one is shown as several.
const LONGEST_LINE: u64 = 64 << 10;

/// One container's log.
struct Log {
    host: String,
    file: Option<BufReader<File>>,
    /// The beginning of an incomplete line.
    begun: Vec<u8>,
}

pub(super) fn logs(name: &str, settings: &Settings, follow: bool, host: Option<&str>) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let all = match job.status()? {
        Described::Tuning(_) => bail!(
            "{name} is a tuning job, and its training jobs have the logs; `isolate-job list` shows their names"
        ),
        Described::Transform(_) => vec!["model".to_owned()],
        Described::Training(_) | Described::Deployment(_) => {
            let document =
                read_training(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
            hosts(document.data.resource_config.instance_count)
        }
    };
    if let Some(host) = host.filter(|host| !all.iter().any(|known| known == host)) {
        bail!("{name} has no container {host:?}; it has {}", all.join(", "));
    }
    let chosen: Vec<_> = all.into_iter().filter(|one| host.is_none_or(|host| one == host)).collect();
    let several = chosen.len() > 1;
    let mut logs: Vec<_> =
        chosen.into_iter().map(|host| Log { host, file: None, begun: Vec::new() }).collect();
    loop {
        // Checked before the read, so that everything written until then is shown.
        let is_over = !follow || is_over(&job)?;
        for log in &mut logs {
            match log.show(&job, several, is_over) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                shown => shown.with_context(|| format!("cannot show the log of {}", log.host))?,
            }
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(TICK);
    }
}

fn is_over(job: &Job) -> Result<bool> {
    Ok(job.status::<Described>()?.is_final() || !job.is_supervised()?)
}

impl Log {
    /// What was written since the last read; at the end also an incomplete line.
    fn show(&mut self, job: &Job, several: bool, is_over: bool) -> io::Result<()> {
        if self.file.is_none() {
            self.file = match File::open(job.log(&self.host)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                file => Some(BufReader::new(file?)),
            };
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut out = io::stdout().lock();
        loop {
            let left = LONGEST_LINE.saturating_sub(self.begun.len() as u64);
            let count = file.by_ref().take(left).read_until(b'\n', &mut self.begun)?;
            let is_line = self.begun.ends_with(b"\n") || self.begun.len() as u64 >= LONGEST_LINE;
            if is_line || count == 0 && is_over && !self.begun.is_empty() {
                if several {
                    write!(out, "{} ", self.host)?;
                }
                out.write_all(&self.begun)?;
                self.begun.clear();
            } else if count == 0 {
                return out.flush();
            }
        }
    }
}
