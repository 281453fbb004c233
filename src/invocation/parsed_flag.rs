//! Results of the parsers: the flags that were given, each with its position in argv, and why parsing
//! stopped.
//!
//! Positions make a later edit exact: argv is never put together again from what was parsed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::table::{Flag, Meaning};
use super::{Dialect, Reading, Verb, Why};

/// One flag as it was given: its value and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedFlag {
    /// The value; `true` or `false` for a flag without one.
    pub value: OsString,
    pub(super) meaning: Meaning,
    /// The index of the word with the flag's name.
    pub(super) at: usize,
    /// How many bytes of that word belong to flags before this one (`-de K=V`: 2); 0 if the word is this
    /// flag's alone.
    pub(super) kept: usize,
    /// The index of the word with the value, and the offset of the value in it. Without a value: the same
    /// word, 0.
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

    /// The whole word after `at`.
    pub(super) fn behind(flag: &Flag, value: &OsStr, at: usize, kept: usize) -> Self {
        Self { value: value.to_owned(), meaning: flag.meaning, at, kept, value_at: at + 1, offset: 0 }
    }

    /// The index of the word with the flag's name in the arguments.
    pub fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_on(&self) -> bool {
        self.value == "true"
    }
}

/// Why parsing stopped early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The runtime prints something, help or its own error, and does nothing.
    PassThrough(Why),
    /// What the runtime does is uncertain; most likely it fails.
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

/// What is being parsed, for messages: `runc`, or `runc create`.
#[derive(Clone, Copy)]
pub(super) struct Context(pub(super) Dialect, pub(super) Option<Verb>);

impl Context {
    /// An ambiguity: `unknown flag --foo of runc create`.
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

    /// Stops at a flag that prints, or whose meaning depends on the version.
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

/// A word of argv for a message: up to the first `=`, so that no value is shown, and on one line.
pub(super) fn redacted(word: &[u8]) -> String {
    let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    let name = String::from_utf8_lossy(word.get(..end).unwrap_or_default());
    name.replace(char::is_control, "\u{fffd}")
}
