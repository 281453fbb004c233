//! FailureReason: a prefix for the party at fault, and at most 1024 characters.

use super::plain;

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The program's error.
    Algorithm {
        /// The beginning of /opt/ml/output/failure, if the program wrote it.
        failure: Option<&'a [u8]>,
        /// How its container ended.
        container: Container,
    },
    /// An error of the request: data that does not exist, a role without permission.
    Client(&'a str),
    /// An error of isolate-job, the engine or the host.
    Internal(&'a str),
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    /// Its first process's exit status.
    pub exit_code: i64,
    /// Whether it ran out of memory.
    pub oom_killed: bool,
}

/// The most characters that SageMaker keeps.
const MOST: usize = 1024;

impl Reason<'_> {
    /// The most bytes that need be read of a failure file: characters have up to four.
    pub const MOST_READ: usize = 4 * MOST;

    /// The text, with its prefix.
    #[must_use]
    pub fn text(&self) -> String {
        let (prefix, detail, end) = match self {
            Self::Algorithm { failure, container } => {
                let oom = if container.oom_killed { ", out of memory" } else { "" };
                let failure =
                    &failure.unwrap_or_default()[..failure.map_or(0, |f| f.len().min(Self::MOST_READ))];
                let detail = String::from_utf8_lossy(failure).trim().to_owned();
                let comma = if detail.is_empty() { "" } else { ", " };
                ("AlgorithmError: ", detail, format!("{comma}exit code: {}{oom}", container.exit_code))
            }
            Self::Client(detail) => ("ClientError: ", (*detail).to_owned(), String::new()),
            Self::Internal(detail) => ("InternalServerError: ", (*detail).to_owned(), String::new()),
        };
        // The exit code stays, however long the program's text is.
        let room = MOST - prefix.len() - end.len();
        let detail = if detail.chars().count() > room {
            detail.chars().take(room - 1).chain(['…']).collect()
        } else {
            detail
        };
        format!("{prefix}{}{end}", plain(&detail))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KILLED: Container = Container { exit_code: 137, oom_killed: true };

    #[test]
    fn the_prefix_says_whose_error_it_was() {
        let failed = Container { exit_code: 3, oom_killed: false };
        let algorithm = |failure, container| Reason::Algorithm { failure, container }.text();
        assert_eq!(
            algorithm(Some(b"no such column\n"), failed),
            "AlgorithmError: no such column, exit code: 3"
        );
        assert_eq!(algorithm(None, KILLED), "AlgorithmError: exit code: 137, out of memory");
        assert_eq!(
            algorithm(Some(b"a\x1b[2J\xff"), failed),
            "AlgorithmError: a\u{fffd}[2J\u{fffd}, exit code: 3"
        );
        assert_eq!(Reason::Client("Data download failed").text(), "ClientError: Data download failed");
        assert_eq!(Reason::Internal("no engine").text(), "InternalServerError: no engine");
    }

    proptest! {
        #[test]
        fn it_has_at_most_1024_characters_and_says_the_exit_code(
            failure in prop::collection::vec(any::<u8>(), 0..6000),
            word in ".{0,1500}",
            exit_code in any::<i64>(),
        ) {
            let container = Container { exit_code, oom_killed: true };
            let text = Reason::Algorithm { failure: Some(&failure), container }.text();
            prop_assert!(text.chars().count() <= MOST);
            let end = format!("exit code: {exit_code}, out of memory");
            prop_assert!(text.ends_with(&end));
            for text in [Reason::Client(&word).text(), Reason::Internal(&word).text()] {
                prop_assert!(text.chars().count() <= MOST);
            }
        }
    }
}
