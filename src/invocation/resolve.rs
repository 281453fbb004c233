//! Resolves parsed flags and operands: which of several values counts, what an empty value means, how many
//! operands are allowed.
//!
//! The last value counts (urfave, argp; clap has refused the second). An empty name is refused, since to the
//! runtimes it is the working directory, nothing, or an error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::parsed_flag::{ParsedFlag, Stop};
use super::table::Meaning;
use super::{Dialect, Globals, Invocation, Reading, Verb, Why};

/// The flags before the verb.
pub(super) fn globals(dialect: Dialect, given: &[ParsedFlag]) -> Globals {
    Globals {
        root: last(given, Meaning::Root),
        log: last(given, Meaning::Log).and_then(|log| log_file(dialect, log)),
        log_format: last(given, Meaning::LogFormat),
    }
}

/// The invocation, or why there is none.
pub(super) fn invocation(
    dialect: Dialect,
    verb: Verb,
    verb_at: usize,
    globals: Globals,
    given: Vec<ParsedFlag>,
    operands: &[usize],
    args: &[OsString],
) -> Reading {
    let id = match container_id(dialect, verb, operands, args) {
        Ok(id) => id,
        Err(stop) => return stop.into(),
    };
    if let Err(why) = check_not_empty(&given).and_then(|()| check_utf8(dialect, &id, &given)) {
        return Reading::Ambiguous(why);
    }
    let bundle = last(&given, Meaning::Bundle);
    if dialect != Dialect::Runc && bundle.as_ref().is_some_and(|bundle| bundle.is_empty()) {
        return Reading::Ambiguous(Why::new("empty --bundle"));
    }
    let all = |meaning| given.iter().filter(|given| given.meaning == meaning).cloned().collect::<Vec<_>>();
    let is_on =
        |meaning| given.iter().rev().find(|given| given.meaning == meaning).is_some_and(ParsedFlag::is_on);
    Reading::Understood(Invocation {
        dialect,
        verb,
        verb_at,
        root: globals.root,
        log: globals.log,
        log_format: globals.log_format,
        id,
        // runc changes directory only to a bundle that is not "" (setupSpec).
        bundle: bundle.filter(|bundle| !bundle.is_empty()),
        config: last(&given, Meaning::Config).filter(|config| config != "config.json"),
        pid_file: last(&given, Meaning::PidFile),
        process: all(Meaning::Process).pop(),
        env: all(Meaning::Env),
        caps: all(Meaning::Cap),
        command: operands.iter().skip(1).filter_map(|at| args.get(*at).cloned()).collect(),
        preserve_fds: last(&given, Meaning::PreserveFds),
        detach: is_on(Meaning::Detach),
        no_pivot: is_on(Meaning::NoPivot),
        force: is_on(Meaning::Force),
        regex: is_on(Meaning::Regex),
    })
}

/// Refuses empty names.
pub(super) fn check_not_empty(given: &[ParsedFlag]) -> Result<(), Why> {
    let named = [
        (Meaning::Root, "empty --root"),
        (Meaning::Config, "empty --config"),
        (Meaning::PidFile, "empty --pid-file"),
        (Meaning::Process, "empty --process"),
    ];
    match named.iter().find(|(meaning, _)| last(given, *meaning).is_some_and(|value| value.is_empty())) {
        Some((_, why)) => Err(Why::new(*why)),
        None => Ok(()),
    }
}

/// The id, if there are no more operands than the verb takes.
fn container_id(
    dialect: Dialect,
    verb: Verb,
    operands: &[usize],
    args: &[OsString],
) -> Result<OsString, Stop> {
    let call = format!("{} {}", dialect.name(), verb.word());
    let Some(&first) = operands.first() else {
        return Err(Stop::PassThrough(Why::new(format!("{call} without a container id"))));
    };
    // crun restore takes a second operand and ignores it (src/restore.c).
    let most = match (dialect, verb) {
        (_, Verb::Exec) => usize::MAX,
        (Dialect::Crun, Verb::Restore) => 2,
        _ => 1,
    };
    if operands.len() > most {
        let why = Why::new(format!("{call} with {} operands", operands.len()));
        // A flag after the id: another version may accept it.
        let is_plain = operands.iter().all(|at| !args[*at].as_bytes().starts_with(b"-"));
        return Err(if is_plain { Stop::PassThrough(why) } else { Stop::Ambiguous(why) });
    }
    match args[first].clone() {
        id if id.is_empty() => Err(Stop::Ambiguous(Why::new("empty container id"))),
        id => Ok(id),
    }
}

/// youki's ids, variables and capabilities must be UTF-8: clap refuses other bytes.
fn check_utf8(dialect: Dialect, id: &OsStr, given: &[ParsedFlag]) -> Result<(), Why> {
    let texts = given.iter().filter(|given| matches!(given.meaning, Meaning::Env | Meaning::Cap));
    let mut texts = texts.map(|given| given.value.as_os_str()).chain([id]);
    if dialect == Dialect::Youki && texts.any(|text| text.to_str().is_none()) {
        return Err(Why::new("not UTF-8, which youki refuses"));
    }
    Ok(())
}

fn last(given: &[ParsedFlag], meaning: Meaning) -> Option<OsString> {
    given.iter().rev().find(|given| given.meaning == meaning).map(|given| given.value.clone())
}

/// crun's `--log` is `file:PATH`, `syslog:ID`, `journald:ID` or, without a colon, a path (get_log_type).
fn log_file(dialect: Dialect, log: OsString) -> Option<OsString> {
    if log.is_empty() {
        return None;
    }
    match dialect {
        Dialect::Crun => match log.as_bytes().strip_prefix(b"file:") {
            Some(path) => Some(OsStr::from_bytes(path).to_owned()),
            None => (!log.as_bytes().contains(&b':')).then_some(log),
        },
        Dialect::Runc | Dialect::Youki => Some(log),
    }
}
