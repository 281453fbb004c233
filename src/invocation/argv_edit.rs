//! Edits of a command line that leave every other word as it was.
//!
//! Edits are made in place, in the form that the engine chose: runc refuses `-e` and `--env` side by side.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Dialect, Invocation, ParsedFlag};

/// One edit of argv, as data.
#[derive(Clone, Copy, Debug)]
pub enum ArgvEdit<'a> {
    /// Adds `--pid-file` right after the verb, where every runtime accepts it. Only for an invocation without
    /// one.
    PidFile(&'a OsStr),
    /// Sets the value of this flag (`--process FILE`).
    Set(&'a ParsedFlag, &'a OsStr),
    /// Removes this flag and its value (`-e K=V`).
    Drop(&'a ParsedFlag),
}

impl Invocation {
    /// `args`, from which this invocation was parsed, with the edits made. Each [`ParsedFlag`] must be one of
    /// this invocation's, and is edited once.
    pub fn rewritten(&self, args: &[OsString], changes: &[ArgvEdit<'_>]) -> Vec<OsString> {
        let mut words: Vec<Vec<OsString>> = args.iter().map(|word| vec![word.clone()]).collect();
        for change in changes {
            match change {
                ArgvEdit::PidFile(path) => {
                    let mut flag = OsString::from("--pid-file=");
                    flag.push(path);
                    if let Some(verb) = words.get_mut(self.verb_at) {
                        verb.push(flag);
                    }
                }
                ArgvEdit::Set(given, value) => set(self.dialect, args, &mut words, given, value),
                ArgvEdit::Drop(given) => {
                    let kept = prefix(args, given.at, given.kept);
                    replace(&mut words, given.at, if kept.is_empty() { vec![] } else { vec![kept] });
                    if given.value_at != given.at {
                        replace(&mut words, given.value_at, vec![]);
                    }
                }
            }
        }
        words.into_iter().flatten().collect()
    }
}

fn set(dialect: Dialect, args: &[OsString], words: &mut [Vec<OsString>], given: &ParsedFlag, value: &OsStr) {
    let is_attached = given.value_at == given.at;
    let end = if is_attached { given.offset } else { usize::MAX };
    let mut flag = prefix(args, given.at, end);
    let has_equals = is_attached && flag.as_bytes().ends_with(b"=");
    // clap does not accept a word with a dash as a value, and drops one `=` after a short flag.
    let needs_equals = dialect == Dialect::Youki && (is_attached || value.as_bytes().starts_with(b"-"));
    if needs_equals && !has_equals {
        flag.push("=");
    }
    // argp: a short flag with nothing attached takes the next word.
    let fits = has_equals || needs_equals || !value.is_empty();
    if (is_attached && fits) || needs_equals {
        flag.push(value);
        replace(words, given.at, vec![flag]);
        if !is_attached {
            replace(words, given.value_at, vec![]);
        }
    } else if is_attached {
        replace(words, given.at, vec![flag, value.to_owned()]);
    } else {
        replace(words, given.value_at, vec![value.to_owned()]);
    }
}

fn prefix(args: &[OsString], at: usize, end: usize) -> OsString {
    let word = args.get(at).map(|word| word.as_bytes()).unwrap_or_default();
    OsString::from_vec(word.get(..end).unwrap_or(word).to_vec())
}

fn replace(words: &mut [Vec<OsString>], at: usize, with: Vec<OsString>) {
    if let Some(word) = words.get_mut(at) {
        *word = with;
    }
}
