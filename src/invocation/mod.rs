//! Parses a command line exactly as the runtime behind the shim will parse it.
//!
//! The input is argv without its first word, the result a [`Reading`]: an [`Invocation`] of one of the verbs
//! that matter, a call that passes through untouched, or one that is ambiguous and must not be guessed at.
//! Shims that guess (any `-b...` is the bundle, any `create` is the verb) fail open.
//!
//! Three parsers (`runc`, `crun`, `youki`) share one table of the runtimes' real flags (`table`). Pure: must
//! not touch a file, the environment or a process. Does not decide what follows from a flag.

mod argv_edit;
mod crun;
mod parsed_flag;
mod resolve;
mod runc;
mod table;
#[cfg(test)]
mod tests;
mod verbs;
mod youki;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

pub use argv_edit::ArgvEdit;
pub use parsed_flag::ParsedFlag;
pub use verbs::Reach;

use parsed_flag::{Stop, redacted};

/// The command line grammar of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// urfave/cli v1 over Go's `flag`.
    Runc,
    /// glibc's argp, in order.
    Crun,
    /// clap 4.
    Youki,
}

impl Dialect {
    /// The dialect of the runtime with this file name: `crun*` and `krun` (the same program), `youki*`, else runc.
    pub fn of(file_name: &OsStr) -> Self {
        match file_name.as_bytes() {
            name if name.starts_with(b"crun") || name == b"krun" => Self::Crun,
            name if name.starts_with(b"youki") => Self::Youki,
            _ => Self::Runc,
        }
    }

    /// The runtime's name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Youki => "youki",
        }
    }
}

/// The command of a runtime that a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make a container, without running its program yet.
    Create,
    /// Create and start.
    Run,
    /// Make a container from a checkpoint.
    Restore,
    /// Start another process in a running container.
    Exec,
    /// Run the program of a created container.
    Start,
    /// Delete a container.
    Delete,
    /// Any other word. Never the verb of an [`Invocation`].
    Other,
}

impl Verb {
    /// The verb of this word; no dialect accepts abbreviations.
    pub fn of(word: &OsStr) -> Self {
        match word.as_bytes() {
            b"create" => Self::Create,
            b"run" => Self::Run,
            b"restore" => Self::Restore,
            b"exec" => Self::Exec,
            b"start" => Self::Start,
            b"delete" => Self::Delete,
            _ => Self::Other,
        }
    }

    /// The word for it, for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Run => "run",
            Self::Restore => "restore",
            Self::Exec => "exec",
            Self::Start => "start",
            Self::Delete => "delete",
            Self::Other => "(other)",
        }
    }
}

/// The flags before the verb that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// `--root`, never empty. None: the runtime's default.
    pub root: Option<OsString>,
    /// The file that `--log` names. Also `None` when crun logs to `syslog:` or `journald:`.
    pub log: Option<OsString>,
    /// `--log-format`, as typed.
    pub log_format: Option<OsString>,
}

/// One call of a runtime, parsed without ambiguity. Values are as given: not made absolute and not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The grammar by which it was parsed.
    pub dialect: Dialect,
    /// Never [`Verb::Other`].
    pub verb: Verb,
    /// The index of the verb in the arguments.
    pub verb_at: usize,
    /// `--root`, never empty. None: the runtime's default.
    pub root: Option<OsString>,
    /// The file that `--log` names (see [`Globals::log`]).
    pub log: Option<OsString>,
    /// `--log-format`, as typed.
    pub log_format: Option<OsString>,
    /// The container's id, never empty. With [`Invocation::regex`] it is a pattern.
    pub id: OsString,
    /// `--bundle`, never empty. None: the working directory. Of create, run, restore.
    pub bundle: Option<OsString>,
    /// crun's `--config` (create, run): relative to the working directory, not to the bundle. Also `None`
    /// when it is `config.json`, which crun takes from the bundle (`src/run_create.c`).
    pub config: Option<OsString>,
    /// `--pid-file`, never empty.
    pub pid_file: Option<OsString>,
    /// exec's `--process`, never empty.
    pub process: Option<ParsedFlag>,
    /// exec's `--env`, in order.
    pub env: Vec<ParsedFlag>,
    /// exec's `--cap`, in order.
    pub caps: Vec<ParsedFlag>,
    /// exec's command, when there is no `--process`.
    pub command: Vec<OsString>,
    /// `--preserve-fds`, as typed.
    pub preserve_fds: Option<OsString>,
    /// `--detach` (run, restore, exec).
    pub detach: bool,
    /// `--no-pivot` (create, run, restore).
    pub no_pivot: bool,
    /// delete's `--force`.
    pub force: bool,
    /// crun's `delete --regex`: every container whose id matches.
    pub regex: bool,
}

/// The result of parsing a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Reading {
    /// Unambiguous, for every version of the runtime.
    Understood(Invocation),
    /// Another verb, help, or a call that the runtime answers with its own error: it is passed on untouched.
    PassThrough(Why),
    /// Possibly one of the verbs that matter; to be refused.
    Ambiguous(Why),
}

/// A reason: a short lower-case phrase that can end a message. Holds names of flags, never values of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why(String);

impl Why {
    fn new(phrase: impl Into<String>) -> Self {
        Self(phrase.into())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Why {}

/// Parses the arguments of a runtime, without `argv[0]`.
pub fn read(dialect: Dialect, args: &[OsString]) -> Reading {
    let mut given = Vec::new();
    let head = match walk(dialect, None, args, 0, &mut given) {
        Ok(operands) => operands.first().copied(),
        Err(Stop::Ambiguous(why)) if names_a_verb(args) => return Reading::Ambiguous(why),
        Err(Stop::Ambiguous(why) | Stop::PassThrough(why)) => return Reading::PassThrough(why),
    };
    let Some(verb_at) = head else { return Reading::PassThrough(Why::new("no verb")) };
    let verb = Verb::of(&args[verb_at]);
    if verb == Verb::Other {
        let (word, (_, why)) =
            (redacted(args[verb_at].as_bytes()), verbs::reach(dialect, args[verb_at].as_bytes()));
        return Reading::PassThrough(Why::new(format!("{} {word} {why}", dialect.name())));
    }
    if verb == Verb::Restore && dialect == Dialect::Youki {
        return Reading::PassThrough(Why::new("youki has no restore"));
    }
    if let Err(why) = resolve::check_not_empty(&given) {
        return Reading::Ambiguous(why);
    }
    let globals = resolve::globals(dialect, &given);
    let mut given = Vec::new();
    match walk(dialect, Some(verb), args, verb_at + 1, &mut given) {
        Ok(operands) => resolve::invocation(dialect, verb, verb_at, globals, given, &operands, args),
        Err(stop) => stop.into(),
    }
}

/// What a call that is [`Reading::PassThrough`] can do to an isolated container. One without a recognisable
/// verb is refused.
pub fn reach(dialect: Dialect, args: &[OsString]) -> Reach {
    let operands = walk(dialect, None, args, 0, &mut Vec::new());
    let verb = operands.ok().and_then(|operands| args.get(*operands.first()?));
    verb.map_or(Reach::Refused, |verb| verbs::reach(dialect, verb.as_bytes()).0)
}

/// The flags before the verb, as far as they can be parsed: they say where errors about the rest are logged.
pub fn globals(dialect: Dialect, args: &[OsString]) -> Globals {
    let mut given = Vec::new();
    // Parsing ends at an error; the flags before it are kept.
    let _ = walk(dialect, None, args, 0, &mut given);
    resolve::globals(dialect, &given)
}

fn walk(
    dialect: Dialect,
    verb: Option<Verb>,
    args: &[OsString],
    from: usize,
    given: &mut Vec<ParsedFlag>,
) -> Result<Vec<usize>, Stop> {
    match dialect {
        Dialect::Runc => runc::walk(verb, args, from, given),
        Dialect::Crun => crun::walk(verb, args, from, given),
        Dialect::Youki => youki::walk(verb, args, from, given),
    }
}

fn names_a_verb(args: &[OsString]) -> bool {
    args.iter().any(|word| Verb::of(word) != Verb::Other)
}
