//! The two ends of the line between a job's supervisor and the process that was started by the user, which has the credentials. The
//! supervisor demands a transfer, and that process runs it as a child with its own environment and passes on what the child
//! reports. Nothing else of it can be demanded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::one_line;
use crate::plan::Direction;
use crate::progress::Line;

/// What the supervisor demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// A transfer, beside those that run.
    Run(Transfer),
    /// The end of one, at once.
    Abort(Transfer),
    /// The end of a stream that has nobody to read it any more. It ends by itself, and so it is known that it was not interrupted.
    Finish(Transfer),
}

/// Some steps of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transfer {
    /// Which way data goes.
    pub direction: Direction,
    /// `algo-1`.
    pub host: String,
    /// `channel train`, as in the plan; all of the direction if absent.
    pub step: Option<String>,
}

/// What the supervisor is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// About which transfer.
    pub transfer: Transfer,
    /// What became of it.
    pub news: News,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
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

/// The transfers that run.
type Running = Arc<Mutex<Vec<(Transfer, Child)>>>;

/// Carries out demands until the supervisor has ended.
///
/// # Errors
/// The system's.
pub fn serve(line: &UnixStream, command: impl Fn(&Transfer) -> Command) -> Result<()> {
    let running = Running::default();
    let answers = line.try_clone().context("cannot duplicate a descriptor")?;
    let answers = Arc::new(Mutex::new(answers));
    for demand in messages::<Demand>(BufReader::new(line)) {
        let named = |transfer: Transfer| move |(other, _): &(Transfer, Child)| *other == transfer;
        match demand {
            Demand::Run(transfer) => {
                if let Err(error) = start(command(&transfer), &transfer, &running, &answers) {
                    let error = format!("cannot start the transfer: {error}");
                    let news = News::Ended(Ended { status: None, error });
                    let _ = send(&answers, &Answer { transfer, news });
                }
            }
            Demand::Abort(transfer) => end(&running, named(transfer)),
            Demand::Finish(transfer) => {
                let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                let is_meant = named(transfer);
                // With it the end of its stdin.
                running
                    .iter_mut()
                    .filter(|one| is_meant(one))
                    .for_each(|(_, child)| drop(child.stdin.take()));
            }
        }
    }
    end(&running, |_| true);
    Ok(())
}

fn end(running: &Running, is_meant: impl Fn(&(Transfer, Child)) -> bool) {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, child) in running.iter_mut().filter(|one| is_meant(one)) {
        let _ = child.kill();
    }
}

/// The error of a transfer in one line, bounded. All of its stderr is read, so it never waits for a reader.
pub(crate) fn read_error(stderr: Option<ChildStderr>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(MOST_OF_ERROR).read_to_end(&mut bytes);
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        one_line(&String::from_utf8_lossy(&bytes))
    })
}

fn start(
    mut command: Command,
    transfer: &Transfer,
    running: &Running,
    answers: &Arc<Mutex<UnixStream>>,
) -> io::Result<()> {
    // A stream ends with its stdin.
    let stdin = if transfer.direction == Direction::Stream { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    // An interrupt at the terminal is for the job, which is stopped and uploaded.
    let mut child = command.process_group(0).spawn()?;
    let (stdout, stderr, id) = (child.stdout.take(), child.stderr.take(), child.id());
    running.lock().unwrap_or_else(PoisonError::into_inner).push((transfer.clone(), child));
    let errors = read_error(stderr);
    let (running, answers, transfer) = (Arc::clone(running), Arc::clone(answers), transfer.clone());
    thread::spawn(move || {
        let answer = |news| Answer { transfer: transfer.clone(), news };
        for line in stdout.into_iter().flat_map(|stdout| messages::<Line>(BufReader::new(stdout))) {
            let _ = send(&answers, &answer(News::Line(line)));
        }
        let error = errors.join().unwrap_or_default();
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.iter().position(|(_, child)| child.id() == id);
        let child = own.map(|own| running.swap_remove(own).1);
        let status = child.and_then(|mut child| child.wait().ok()).and_then(|status| status.code());
        let _ = send(&answers, &answer(News::Ended(Ended { status, error })));
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

    fn transfer(step: &str) -> Transfer {
        Transfer { direction: Direction::In, host: "algo-1".to_owned(), step: Some(step.to_owned()) }
    }

    fn ended(status: Option<i32>, error: &str) -> News {
        News::Ended(Ended { status, error: error.to_owned() })
    }

    /// What a supervisor is answered that demands this.
    fn answered(script: &'static str, demands: &[Demand], count: usize) -> Vec<Answer> {
        let (own, other) = pair().unwrap();
        let serving = thread::spawn(move || {
            serve(&own, |transfer| {
                let mut command = Command::new("sh");
                command.args(["-c", script, "sh"]).args(&transfer.step);
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
        let transfer = transfer("channel a b");
        let answers = answered(script, &[Demand::Run(transfer.clone())], 2);
        let News::Line(line) = &answers[0].news else { panic!("{answers:?}") };
        assert_eq!(line.step, "channel a b");
        assert_eq!(answers[1], Answer { transfer, news: ended(Some(1), "no such bucket") });
    }

    #[test]
    fn a_transfer_is_aborted_and_ends_with_its_supervisor() {
        let model = transfer("model");
        let demands = [Demand::Run(model.clone()), Demand::Abort(model.clone())];
        let answers = answered("exec sleep 100", &demands, 1);
        assert_eq!(answers, [Answer { transfer: model.clone(), news: ended(None, "") }]);
        // This one is not waited for.
        answered("exec sleep 100", &[Demand::Run(model)], 0);
    }

    #[test]
    fn transfers_run_side_by_side_and_the_one_that_is_named_ends() {
        // The first waits for the end of its stdin, the other one is killed.
        let stream =
            |host: &str| Transfer { direction: Direction::Stream, host: host.to_owned(), step: None };
        let (first, second) = (stream("algo-1"), stream("algo-2"));
        let mut demands = vec![Demand::Run(first.clone()), Demand::Run(second.clone())];
        demands.push(Demand::Abort(second.clone()));
        let mut answers = answered("exec cat", &demands, 1);
        assert_eq!(answers.remove(0), Answer { transfer: second, news: ended(None, "") });
        let demands = [Demand::Run(first.clone()), Demand::Finish(first.clone())];
        let answers = answered("exec cat", &demands, 1);
        assert_eq!(answers, [Answer { transfer: first, news: ended(Some(0), "") }]);
    }
}
