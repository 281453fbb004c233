//! What the grammars hand on: the flags that were given, each with its place in argv, and the snags on the way.
//!
//! Places are what makes a later change exact: the words of argv are never put together anew from what was read.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::table::{Flag, Meaning};
use super::{Dialect, Reading, Verb, Why};

/// One flag as it was given: its value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedFlag {
    /// The value; of a flag without one `true` or `false`.
    pub value: OsString,
    pub(super) meaning: Meaning,
    /// The word with the flag's name.
    pub(super) at: usize,
    /// How much of that word belongs to flags before this one (`-de K=V`: 2); 0 when the word is all ours.
    pub(super) kept: usize,
    /// The word with the value, and where in it the value starts. Without a value: the same word, its end.
    pub(super) value_at: usize,
    pub(super) offset: usize,
}

impl ParsedFlag {
    pub(super) fn switch(flag: &Flag, on: bool, at: usize) -> Self {
        let value = if on { "true" } else { "false" };
        Self { value: value.into(), meaning: flag.meaning, at, kept: 0, value_at: at, offset: 0 }
    }

    /// The rest of the word `at`, from `offset`.
    pub(super) fn attached(flag: &Flag, word: &OsStr, at: usize, kept: usize, offset: usize) -> Self {
        let value = word.as_bytes().get(offset..).unwrap_or_default();
        Self {
            value: OsString::from_vec(value.to_vec()),
            meaning: flag.meaning,
            at,
            kept,
            value_at: at,
            offset,
        }
    }

    /// The whole word behind `at`.
    pub(super) fn behind(flag: &Flag, value: &OsStr, at: usize, kept: usize) -> Self {
        Self { value: value.to_owned(), meaning: flag.meaning, at, kept, value_at: at + 1, offset: 0 }
    }

    /// Where the word that carries the flag's name stands in the arguments.
    pub fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_on(&self) -> bool {
        self.value == "true"
    }
}

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The runtime prints something, help or its own error, and does nothing.
    PassThrough(Why),
    /// It cannot be told what the runtime does, most likely it fails.
    Ambiguous(Why),
}

impl From<Stop> for Reading {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::PassThrough(why) => Self::PassThrough(why),
            Stop::Ambiguous(why) => Self::Ambiguous(why),
        }
    }
}

/// Where the walk is: `runc`, or `runc create`.
#[derive(Clone, Copy)]
pub(super) struct Context(pub(super) Dialect, pub(super) Option<Verb>);

impl Context {
    /// An unsure snag: `unknown flag --foo of runc create`.
    pub(super) fn ambiguous(self, before: &str, name: &str, after: &str) -> Stop {
        let runtime = self.0.name();
        let verb = self.1.map(|verb| format!(" {}", verb.word())).unwrap_or_default();
        Stop::Ambiguous(Why::new(
            format!("{before} {name} of {runtime}{verb}{after}").trim_start().to_owned(),
        ))
    }

    pub(super) fn unknown(self, name: &str) -> Stop {
        self.ambiguous("unknown flag", name, "")
    }

    pub(super) fn no_value(self, name: &str) -> Stop {
        self.ambiguous("flag", name, " has no value")
    }

    /// A snag for a flag that prints or is read in several ways, none for the rest.
    pub(super) fn check(self, flag: &Flag) -> Result<(), Stop> {
        match flag.meaning {
            Meaning::Prints => Err(self.prints(flag)),
            Meaning::Doubtful(why) => Err(Stop::Ambiguous(Why::new(why))),
            _ => Ok(()),
        }
    }

    pub(super) fn prints(self, flag: &Flag) -> Stop {
        let name = if flag.long.is_empty() { "version" } else { flag.long };
        Stop::PassThrough(Why::new(format!("{} prints its {name}", self.0.name())))
    }
}

/// A word of argv in a message: up to the first `=`, so that no value is shown, and on one line.
pub(super) fn redacted(word: &[u8]) -> String {
    let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    let name = String::from_utf8_lossy(word.get(..end).unwrap_or_default());
    name.replace(char::is_control, "\u{fffd}")
}
