//! crun's grammar: glibc's argp with ARGP_IN_ORDER, which crun uses both before and after the verb.
//!
//! In order means that flags end at the first operand or at `--`: `crun create web --bundle B` has three
//! operands and fails (crun 1.8.1: "requires a maximum of 1 arguments"). Long names may be abbreviated if
//! they stay unambiguous, short ones clustered; a required value is the rest of the word or the next word,
//! even one that looks like a flag; `-b=X` is the value `=X`. Help and version take effect immediately.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::parsed_flag::{Context, ParsedFlag, Stop, redacted};
use super::table::{Flag, Takes, flags};
use super::{Dialect, Verb};

/// Parses `args` from index `from`, appends the flags to `given` and returns the indexes of the operands.
pub(super) fn walk(
    verb: Option<Verb>,
    args: &[OsString],
    from: usize,
    given: &mut Vec<ParsedFlag>,
) -> Result<Vec<usize>, Stop> {
    let walk = CrunParser { context: Context(Dialect::Crun, verb), flags: flags(Dialect::Crun, verb), args };
    let mut next = from;
    while let Some(word) = args.get(next) {
        let word = word.as_bytes();
        if word.len() < 2 || word[0] != b'-' {
            break;
        }
        if word == b"--" {
            next += 1;
            break;
        }
        next += if word.starts_with(b"--") { walk.long(next, given)? } else { walk.cluster(next, given)? };
    }
    Ok((next..args.len()).collect())
}

struct CrunParser<'a> {
    context: Context,
    flags: &'static [Flag],
    args: &'a [OsString],
}

impl CrunParser<'_> {
    /// `--name`, `--name=value`, `--name value`. Returns the number of words.
    fn long(&self, at: usize, given: &mut Vec<ParsedFlag>) -> Result<usize, Stop> {
        let word = self.args[at].as_bytes();
        let equals = word.iter().position(|byte| *byte == b'=');
        let flag = self.flag_by_prefix(&word[2..equals.unwrap_or(word.len())], &redacted(word))?;
        self.context.check(flag)?;
        match (flag.takes, equals) {
            (Takes::Nothing, Some(_)) => {
                Err(self.context.ambiguous("flag", &redacted(word), " takes no value"))
            }
            (Takes::Nothing | Takes::Attached, None) => {
                given.push(ParsedFlag::switch(flag, true, at));
                Ok(1)
            }
            (_, Some(equals)) => {
                given.push(ParsedFlag::attached(flag, &self.args[at], at, 0, equals + 1));
                Ok(1)
            }
            (Takes::Value, None) => self.value_in_next_word(flag, at, 0, &redacted(word), given),
        }
    }

    /// `-d`, `-dp FILE`, `-dpFILE`. Returns the number of words.
    fn cluster(&self, at: usize, given: &mut Vec<ParsedFlag>) -> Result<usize, Stop> {
        let word = self.args[at].as_bytes();
        for (nth, letter) in word.iter().enumerate().skip(1) {
            let name = redacted(&[b'-', *letter]);
            let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(*letter)) else {
                return Err(self.context.unknown(&name));
            };
            self.context.check(flag)?;
            let kept = if nth == 1 { 0 } else { nth };
            let is_last = nth + 1 == word.len();
            match flag.takes {
                Takes::Value if is_last => return self.value_in_next_word(flag, at, kept, &name, given),
                Takes::Value | Takes::Attached if !is_last => {
                    given.push(ParsedFlag::attached(flag, &self.args[at], at, kept, nth + 1));
                    return Ok(1);
                }
                _ => given.push(ParsedFlag::switch(flag, true, at)),
            }
        }
        Ok(1)
    }

    fn value_in_next_word(
        &self,
        flag: &'static Flag,
        at: usize,
        kept: usize,
        name: &str,
        given: &mut Vec<ParsedFlag>,
    ) -> Result<usize, Stop> {
        let value = self.args.get(at + 1).ok_or_else(|| self.context.no_value(name))?;
        given.push(ParsedFlag::behind(flag, value, at, kept));
        Ok(2)
    }

    /// As getopt_long does: the exact name, else the only one with this prefix.
    fn flag_by_prefix(&self, name: &[u8], shown: &str) -> Result<&'static Flag, Stop> {
        let long = || self.flags.iter().filter(|flag| !flag.long.is_empty());
        if let Some(flag) = long().find(|flag| flag.long.as_bytes() == name) {
            return Ok(flag);
        }
        let mut candidates = long().filter(|flag| flag.long.as_bytes().starts_with(name));
        match (candidates.next(), candidates.next()) {
            (None, _) => Err(self.context.unknown(shown)),
            (Some(flag), None) => Ok(flag),
            (Some(_), Some(_)) => Err(self.context.ambiguous("ambiguous flag", shown, "")),
        }
    }
}
