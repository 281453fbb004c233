//! The two ends of the line between a job's supervisor and the process that was started by the user, which has the credentials. The
//! supervisor demands a transfer, and that process runs it as a child with its own environment and passes on what the child
//! reports. Nothing else of it can be demanded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::one_line;
use crate::progress::Line;

/// What the supervisor demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// A transfer. There is one at a time.
    Run(Transfer),
    /// The end of the one that runs.
    Abort,
}

/// One step of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transfer {
    /// Into the container, or out of it.
    pub is_in: bool,
    /// `algo-1`.
    pub host: String,
    /// `channel train`, as in the plan.
    pub step: String,
}

/// What the supervisor is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A line of the transfer's.
    Line(Line),
    /// Its end.
    Ended(Ended),
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// Its exit status, if it was not ended by a signal.
    pub status: Option<i32>,
    /// What it reported on stderr.
    pub error: String,
}

/// The most bytes of a transfer's error output.
const MOST_OF_ERROR: u64 = 64 << 10;

/// Keeps credentials in this process: it leaves no core dump, and other processes of the same user cannot read its memory or its
/// environment.
///
/// # Errors
/// The system's.
pub fn protect() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// A line between two processes: ours, and what becomes the other's stdin.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (own, other) = UnixStream::pair()?;
    Ok((own, other.into()))
}

/// Carries out demands until the supervisor has ended.
///
/// # Errors
/// The system's.
pub fn serve(line: &UnixStream, command: impl Fn(&Transfer) -> Command) -> Result<()> {
    let running = Arc::new(Mutex::new(None::<Child>));
    let answers = line.try_clone().context("cannot duplicate a descriptor")?;
    let answers = Arc::new(Mutex::new(answers));
    for demand in messages::<Demand>(BufReader::new(line)) {
        match demand {
            Demand::Run(transfer) => {
                if let Err(error) = start(command(&transfer), &running, &answers) {
                    let error = format!("cannot start the transfer: {error}");
                    let _ = send(&answers, &Answer::Ended(Ended { status: None, error }));
                }
            }
            Demand::Abort => end(&running),
        }
    }
    end(&running);
    Ok(())
}

fn end(running: &Mutex<Option<Child>>) {
    if let Some(child) = &mut *running.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = child.kill();
    }
}

fn start(
    mut command: Command,
    running: &Arc<Mutex<Option<Child>>>,
    answers: &Arc<Mutex<UnixStream>>,
) -> io::Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // An interrupt at the terminal is for the job, which is stopped and uploaded.
    let mut child = command.process_group(0).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(MOST_OF_ERROR).read_to_end(&mut bytes);
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        one_line(&String::from_utf8_lossy(&bytes))
    });
    let (running, answers) = (Arc::clone(running), Arc::clone(answers));
    thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|stdout| messages::<Line>(BufReader::new(stdout))) {
            let _ = send(&answers, &Answer::Line(line));
        }
        let error = errors.join().unwrap_or_default();
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = running.take().and_then(|mut child| child.wait().ok()).and_then(|status| status.code());
        let _ = send(&answers, &Answer::Ended(Ended { status, error }));
    });
    Ok(())
}

/// The supervisor's end, which is its stdin.
#[derive(Debug)]
pub struct Link(std::fs::File);

impl Link {
    /// Takes stdin for the line.
    ///
    /// # Errors
    /// The system's.
    pub fn of_stdin() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Ok(Self(io::stdin().as_fd().try_clone_to_owned()?.into()))
    }

    /// Demands something.
    ///
    /// # Errors
    /// The other process has ended.
    pub fn demand(&mut self, demand: &Demand) -> io::Result<()> {
        self.0.write_all(&line_of(demand))
    }

    /// What is answered, until the other process ends.
    ///
    /// # Errors
    /// The system's.
    pub fn answers(&self) -> io::Result<impl Iterator<Item = Answer> + Send + use<>> {
        Ok(messages(BufReader::new(self.0.try_clone()?)))
    }
}

fn send(line: &Mutex<UnixStream>, answer: &Answer) -> io::Result<()> {
    line.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line_of(answer))
}

fn line_of(message: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(message).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The messages of a stream, one a line, up to the first line that is none.
fn messages<T: DeserializeOwned>(stream: impl BufRead) -> impl Iterator<Item = T> {
    stream.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(step: &str) -> Demand {
        Demand::Run(Transfer { is_in: true, host: "algo-1".to_owned(), step: step.to_owned() })
    }

    /// What a supervisor is answered that demands this.
    fn answered(script: &'static str, demands: &[Demand], count: usize) -> Vec<Answer> {
        let (own, other) = pair().unwrap();
        let serving = thread::spawn(move || {
            serve(&own, |transfer| {
                let mut command = Command::new("sh");
                command.args(["-c", script, "sh", &transfer.step]);
                command
            })
        });
        let mut link = Link(other.into());
        for demand in demands {
            link.demand(demand).unwrap();
        }
        let answers = link.answers().unwrap().take(count).collect();
        // Both descriptors of the supervisor's end are gone with it.
        drop(link);
        serving.join().unwrap().unwrap();
        answers
    }

    #[test]
    fn a_transfer_is_run_and_what_it_reports_is_passed_on() {
        let script =
            r#"echo '{"step":"'"$1"'","total":{"files":1,"bytes":2}}'; echo no such bucket >&2; exit 1"#;
        let answers = answered(script, &[transfer("channel a b")], 2);
        let Answer::Line(line) = &answers[0] else { panic!("{answers:?}") };
        assert_eq!(line.step, "channel a b");
        assert_eq!(answers[1], Answer::Ended(Ended { status: Some(1), error: "no such bucket".to_owned() }));
    }

    #[test]
    fn a_transfer_is_aborted_and_ends_with_its_supervisor() {
        let answers = answered("exec sleep 100", &[transfer("model"), Demand::Abort], 1);
        assert_eq!(answers, [Answer::Ended(Ended { status: None, error: String::new() })]);
        // This one is not waited for.
        answered("exec sleep 100", &[transfer("model")], 0);
    }
}
