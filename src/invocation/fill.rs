//! From what was given to what it means: which of several values counts, what an empty one is, how many operands.
//!
//! The last value counts (urfave, argp; clap has refused the second). An empty value that names something is
//! refused, since the runtimes take it for the working directory, for nothing, or for an error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::given::{Given, Snag};
use super::table::What;
use super::{Dialect, Globals, Invocation, Reading, Verb, Why};

/// The flags before the verb.
pub(super) fn globals(dialect: Dialect, given: &[Given]) -> Globals {
    Globals {
        root: last(given, What::Root),
        log: last(given, What::Log).and_then(|log| log_file(dialect, log)),
        log_format: last(given, What::LogFormat),
    }
}

/// The invocation, or why there is none.
pub(super) fn invocation(
    dialect: Dialect,
    verb: Verb,
    verb_at: usize,
    globals: Globals,
    given: Vec<Given>,
    operands: &[usize],
    args: &[OsString],
) -> Reading {
    let id = match operand(dialect, verb, operands, args) {
        Ok(id) => id,
        Err(snag) => return snag.into(),
    };
    if let Err(why) = certain(&given).and_then(|()| utf8(dialect, &id, &given)) {
        return Reading::Unclear(why);
    }
    let bundle = last(&given, What::Bundle);
    if dialect != Dialect::Runc && bundle.as_ref().is_some_and(|bundle| bundle.is_empty()) {
        return Reading::Unclear(Why::new("empty --bundle"));
    }
    let all = |what| given.iter().filter(|given| given.what == what).cloned().collect::<Vec<_>>();
    let is_on = |what| given.iter().rev().find(|given| given.what == what).is_some_and(Given::is_on);
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
        config: last(&given, What::Config).filter(|config| config != "config.json"),
        pid_file: last(&given, What::PidFile),
        process: all(What::Process).pop(),
        env: all(What::Env),
        caps: all(What::Cap),
        command: operands.iter().skip(1).filter_map(|at| args.get(*at).cloned()).collect(),
        preserve_fds: last(&given, What::PreserveFds),
        detach: is_on(What::Detach),
        no_pivot: is_on(What::NoPivot),
        force: is_on(What::Force),
        regex: is_on(What::Regex),
    })
}

/// Nothing that names a thing may be empty.
pub(super) fn certain(given: &[Given]) -> Result<(), Why> {
    let named = [
        (What::Root, "empty --root"),
        (What::Config, "empty --config"),
        (What::PidFile, "empty --pid-file"),
        (What::Process, "empty --process"),
    ];
    match named.iter().find(|(what, _)| last(given, *what).is_some_and(|value| value.is_empty())) {
        Some((_, why)) => Err(Why::new(*why)),
        None => Ok(()),
    }
}

/// The id, among as many operands as the verb takes.
fn operand(dialect: Dialect, verb: Verb, operands: &[usize], args: &[OsString]) -> Result<OsString, Snag> {
    let call = format!("{} {}", dialect.name(), verb.word());
    let Some(&first) = operands.first() else {
        return Err(Snag::Idle(Why::new(format!("{call} without a container id"))));
    };
    // crun restore takes a second operand and ignores it (src/restore.c).
    let most = match (dialect, verb) {
        (_, Verb::Exec) => usize::MAX,
        (Dialect::Crun, Verb::Restore) => 2,
        _ => 1,
    };
    if operands.len() > most {
        let why = Why::new(format!("{call} with {} operands", operands.len()));
        // A flag behind the id: the next version may read it.
        let is_plain = operands.iter().all(|at| !args[*at].as_bytes().starts_with(b"-"));
        return Err(if is_plain { Snag::Idle(why) } else { Snag::Unsure(why) });
    }
    match args[first].clone() {
        id if id.is_empty() => Err(Snag::Unsure(Why::new("empty container id"))),
        id => Ok(id),
    }
}

/// youki's ids, variables and capabilities are strings of characters: clap refuses other bytes.
fn utf8(dialect: Dialect, id: &OsStr, given: &[Given]) -> Result<(), Why> {
    let texts = given.iter().filter(|given| matches!(given.what, What::Env | What::Cap));
    let mut texts = texts.map(|given| given.value.as_os_str()).chain([id]);
    if dialect == Dialect::Youki && texts.any(|text| text.to_str().is_none()) {
        return Err(Why::new("not UTF-8, which youki refuses"));
    }
    Ok(())
}

fn last(given: &[Given], what: What) -> Option<OsString> {
    given.iter().rev().find(|given| given.what == what).map(|given| given.value.clone())
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
