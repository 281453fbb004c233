//! youki's grammar: clap 4, derived (`crates/liboci-cli`).
//!
//! Flags and operands mix, up to the first word of exec's command (trailing_var_arg). There are no
//! abbreviations. A required value follows `=`, is the rest of a short flag's word (without one `=`), or is
//! the next word unless that looks like a flag. A single-value flag given twice is an error, except `--log`.
//! Help takes effect immediately.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::parsed_flag::{Context, ParsedFlag, Stop, redacted};
use super::table::{Flag, Meaning, Takes, flags};
use super::{Dialect, Verb, Why};

/// Parses `args` from index `from`, appends the flags to `given` and returns the indexes of the operands.
pub(super) fn walk(
    verb: Option<Verb>,
    args: &[OsString],
    from: usize,
    given: &mut Vec<ParsedFlag>,
) -> Result<Vec<usize>, Stop> {
    let flags = flags(Dialect::Youki, verb);
    let context = Context(Dialect::Youki, verb);
    let mut walk = YoukiParser { context, flags, args, seen: Vec::new() };
    let mut operands = Vec::new();
    let mut next = from;
    while let Some(word) = args.get(next) {
        let word = word.as_bytes();
        if word == b"--" {
            if verb.is_none() {
                return Err(Stop::Ambiguous(Why::new("-- before the verb of youki")));
            }
            operands.extend(next + 1..args.len());
            break;
        }
        if !looks_like_a_flag(word) {
            operands.push(next);
            next += 1;
            // The verb, or the first word of exec's command: what follows is not parsed here.
            if verb.is_none() || (verb == Some(Verb::Exec) && operands.len() > 1) {
                operands.extend(next..args.len());
                break;
            }
            continue;
        }
        next += if word.starts_with(b"--") { walk.long(next, given)? } else { walk.cluster(next, given)? };
    }
    Ok(operands)
}

fn looks_like_a_flag(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'-'
}

struct YoukiParser<'a> {
    context: Context,
    flags: &'static [Flag],
    args: &'a [OsString],
    seen: Vec<&'static Flag>,
}

impl YoukiParser<'_> {
    fn long(&mut self, at: usize, given: &mut Vec<ParsedFlag>) -> Result<usize, Stop> {
        let word = self.args[at].as_bytes();
        let name = redacted(word);
        let equals = word.iter().position(|byte| *byte == b'=');
        let long = &word[2..equals.unwrap_or(word.len())];
        let flag = self.flags.iter().find(|flag| !flag.long.is_empty() && flag.long.as_bytes() == long);
        let flag = self.check_repeat(flag, &name)?;
        match (flag.takes, equals) {
            (Takes::Value, Some(equals)) => {
                given.push(ParsedFlag::attached(flag, &self.args[at], at, 0, equals + 1))
            }
            (Takes::Value, None) => return self.value_in_next_word(flag, at, 0, &name, given),
            (_, Some(_)) => return Err(self.context.ambiguous("flag", &name, " takes no value")),
            (_, None) => given.push(ParsedFlag::switch(flag, true, at)),
        }
        Ok(1)
    }

    fn cluster(&mut self, at: usize, given: &mut Vec<ParsedFlag>) -> Result<usize, Stop> {
        let word = self.args[at].as_bytes();
        for (nth, letter) in word.iter().enumerate().skip(1) {
            let name = redacted(&[b'-', *letter]);
            let flag =
                self.check_repeat(self.flags.iter().find(|flag| flag.short == Some(*letter)), &name)?;
            let kept = if nth == 1 { 0 } else { nth };
            match (flag.takes, word.get(nth + 1)) {
                (Takes::Value, None) => return self.value_in_next_word(flag, at, kept, &name, given),
                (Takes::Value, Some(byte)) => {
                    let offset = if *byte == b'=' { nth + 2 } else { nth + 1 };
                    given.push(ParsedFlag::attached(flag, &self.args[at], at, kept, offset));
                    return Ok(1);
                }
                (_, Some(b'=')) => return Err(self.context.ambiguous("flag", &name, " takes no value")),
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
        match self.args.get(at + 1) {
            Some(value) if !looks_like_a_flag(value.as_bytes()) => {
                given.push(ParsedFlag::behind(flag, value, at, kept));
                Ok(2)
            }
            _ => Err(self.context.no_value(name)),
        }
    }

    /// The flag, unless it is unknown or must not be repeated.
    fn check_repeat(&mut self, flag: Option<&'static Flag>, name: &str) -> Result<&'static Flag, Stop> {
        let flag = flag.ok_or_else(|| self.context.unknown(name))?;
        self.context.check(flag)?;
        let may_repeat =
            matches!(flag.meaning, Meaning::Log | Meaning::Env | Meaning::Cap | Meaning::Repeatable);
        if self.seen.contains(&flag) && !may_repeat {
            return Err(self.context.ambiguous("flag", name, " is given twice"));
        }
        self.seen.push(flag);
        Ok(flag)
    }
}
