//! The flags of the real runtimes, as data: name, whether there is a value, and meaning.
//!
//! Taken from the sources: runc v1.1.0 to v1.5.1 (`main.go`, `create.go`, ...: the flags differ only in
//! `--criu`, removed in 1.4, and `--pidfd-socket`, new in 1.2), crun 1.0 to 1.29 (`src/crun.c`,
//! `src/create.c`, ...), youki 0.1 to 0.7 (`crates/liboci-cli/src/*.rs`, `crates/youki/src/main.rs`). A flag
//! that only some versions know is listed too: the others refuse it themselves. Must not contain anything
//! about *how* argv is parsed.

use super::{Dialect, Verb};

/// One flag of one runtime.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// Name without dashes; empty when there is only a short one.
    pub(super) long: &'static str,
    /// One-letter name.
    pub(super) short: Option<u8>,
    pub(super) takes: Takes,
    pub(super) meaning: Meaning,
}

/// Whether a flag has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// Only one that is attached to the flag (argp's OPTION_ARG_OPTIONAL).
    Attached,
}

/// What a flag means to the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Root,
    Log,
    LogFormat,
    Bundle,
    Config,
    PidFile,
    Process,
    Env,
    Cap,
    PreserveFds,
    Detach,
    NoPivot,
    Force,
    Regex,
    /// Prints something instead of acting.
    Prints,
    /// Known, and of no interest.
    Ignored,
    /// As `Ignored`, and may be repeated where a repeated flag is an error (clap).
    Repeatable,
    /// Known, but its meaning depends on the version: the reason.
    Doubtful(&'static str),
}

const fn flag(long: &'static str, short: u8, takes: Takes, meaning: Meaning) -> Flag {
    Flag { long, short: if short == 0 { None } else { Some(short) }, takes, meaning }
}

/// The flags of `dialect` after `verb`, or before any verb.
pub(super) fn flags(dialect: Dialect, verb: Option<Verb>) -> &'static [Flag] {
    let (_, _, flags) = TABLE.iter().find(|(of, behind, _)| *of == dialect && *behind == verb).unwrap_or(&(
        Dialect::Runc,
        None,
        &[],
    ));
    flags
}

use Meaning::{
    Bundle, Cap, Config, Detach, Doubtful, Env, Force, Ignored, Log, LogFormat, NoPivot, PidFile,
    PreserveFds, Prints, Process, Regex, Repeatable, Root,
};
use Takes::{Attached, Nothing, Value};

/// Everything, by runtime and verb.
pub(super) const TABLE: &[(Dialect, Option<Verb>, &[Flag])] = &[
    (Dialect::Runc, None, RUNC),
    (Dialect::Runc, Some(Verb::Create), RUNC_CREATE),
    (Dialect::Runc, Some(Verb::Run), RUNC_RUN),
    (Dialect::Runc, Some(Verb::Restore), RUNC_RESTORE),
    (Dialect::Runc, Some(Verb::Exec), RUNC_EXEC),
    (Dialect::Runc, Some(Verb::Start), RUNC_START),
    (Dialect::Runc, Some(Verb::Delete), RUNC_DELETE),
    (Dialect::Crun, None, CRUN),
    (Dialect::Crun, Some(Verb::Create), CRUN_CREATE),
    (Dialect::Crun, Some(Verb::Run), CRUN_RUN),
    (Dialect::Crun, Some(Verb::Restore), CRUN_RESTORE),
    (Dialect::Crun, Some(Verb::Exec), CRUN_EXEC),
    (Dialect::Crun, Some(Verb::Start), CRUN_START),
    (Dialect::Crun, Some(Verb::Delete), CRUN_DELETE),
    (Dialect::Youki, None, YOUKI),
    (Dialect::Youki, Some(Verb::Create), YOUKI_CREATE),
    (Dialect::Youki, Some(Verb::Run), YOUKI_RUN),
    (Dialect::Youki, Some(Verb::Exec), YOUKI_EXEC),
    (Dialect::Youki, Some(Verb::Start), YOUKI_START),
    (Dialect::Youki, Some(Verb::Delete), YOUKI_DELETE),
];

// urfave/cli v1 appends `help, h` to every command and `version, v` to the program.
const GO_HELP: Flag = flag("help", b'h', Nothing, Prints);

const RUNC: &[Flag] = &[
    flag("debug", 0, Nothing, Ignored),
    flag("log", 0, Value, Log),
    flag("log-format", 0, Value, LogFormat),
    flag("root", 0, Value, Root),
    flag("criu", 0, Value, Ignored),
    flag("systemd-cgroup", 0, Nothing, Ignored),
    flag("rootless", 0, Value, Ignored),
    flag("version", b'v', Nothing, Prints),
    GO_HELP,
];

const RUNC_CREATE: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("console-socket", 0, Value, Ignored),
    flag("pidfd-socket", 0, Value, Ignored),
    flag("pid-file", 0, Value, PidFile),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("no-new-keyring", 0, Nothing, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    GO_HELP,
];

const RUNC_RUN: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("console-socket", 0, Value, Ignored),
    flag("pidfd-socket", 0, Value, Ignored),
    flag("detach", b'd', Nothing, Detach),
    flag("keep", 0, Nothing, Ignored),
    flag("pid-file", 0, Value, PidFile),
    flag("no-subreaper", 0, Nothing, Ignored),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("no-new-keyring", 0, Nothing, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    GO_HELP,
];

const RUNC_RESTORE: &[Flag] = &[
    flag("console-socket", 0, Value, Ignored),
    flag("image-path", 0, Value, Ignored),
    flag("work-path", 0, Value, Ignored),
    flag("tcp-established", 0, Nothing, Ignored),
    flag("ext-unix-sk", 0, Nothing, Ignored),
    flag("shell-job", 0, Nothing, Ignored),
    flag("file-locks", 0, Nothing, Ignored),
    flag("manage-cgroups-mode", 0, Value, Ignored),
    flag("bundle", b'b', Value, Bundle),
    flag("detach", b'd', Nothing, Detach),
    flag("pid-file", 0, Value, PidFile),
    flag("no-subreaper", 0, Nothing, Ignored),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("empty-ns", 0, Value, Repeatable),
    flag("auto-dedup", 0, Nothing, Ignored),
    flag("lazy-pages", 0, Nothing, Ignored),
    flag("lsm-profile", 0, Value, Ignored),
    flag("lsm-mount-context", 0, Value, Ignored),
    GO_HELP,
];

const RUNC_EXEC: &[Flag] = &[
    flag("console-socket", 0, Value, Ignored),
    flag("pidfd-socket", 0, Value, Ignored),
    flag("cwd", 0, Value, Ignored),
    flag("env", b'e', Value, Env),
    flag("tty", b't', Nothing, Ignored),
    flag("user", b'u', Value, Ignored),
    flag("additional-gids", b'g', Value, Repeatable),
    flag("process", b'p', Value, Process),
    flag("detach", b'd', Nothing, Detach),
    flag("pid-file", 0, Value, PidFile),
    flag("process-label", 0, Value, Ignored),
    flag("apparmor", 0, Value, Ignored),
    flag("no-new-privs", 0, Nothing, Ignored),
    flag("cap", b'c', Value, Cap),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("cgroup", 0, Value, Repeatable),
    flag("ignore-paused", 0, Nothing, Ignored),
    GO_HELP,
];

const RUNC_START: &[Flag] = &[GO_HELP];

const RUNC_DELETE: &[Flag] = &[flag("force", b'f', Nothing, Force), GO_HELP];

// glibc's argp puts these into every parser; the last two are hidden.
const ARGP_HELP: Flag = flag("help", b'?', Nothing, Prints);
const ARGP_USAGE: Flag = flag("usage", 0, Nothing, Prints);
const ARGP_NAME: Flag = flag("program-name", 0, Value, Doubtful("--program-name is for debugging argp"));
const ARGP_HANG: Flag = flag("HANG", 0, Attached, Doubtful("--HANG is for debugging argp"));

const CRUN: &[Flag] = &[
    flag("debug", 0, Nothing, Ignored),
    flag("cgroup-manager", 0, Value, Ignored),
    flag("systemd-cgroup", 0, Nothing, Ignored),
    flag("log", 0, Value, Log),
    flag("log-format", 0, Value, LogFormat),
    flag("log-level", 0, Value, Ignored),
    flag("root", 0, Value, Root),
    // The table of crun 1.0 to 1.21 gave it OPTION_ROOT (src/crun.c); 1.22 ignores it.
    flag("rootless", 0, Value, Doubtful("--rootless is another --root for crun before 1.22")),
    flag("version", b'v', Nothing, Prints),
    flag("", b'V', Nothing, Prints),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CRUN_CREATE: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("config", b'f', Value, Config),
    flag("console-socket", 0, Value, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("pid-file", 0, Value, PidFile),
    flag("no-subreaper", 0, Nothing, Ignored),
    flag("no-new-keyring", 0, Nothing, Ignored),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CRUN_RUN: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("config", b'f', Value, Config),
    flag("detach", b'd', Nothing, Detach),
    flag("console-socket", 0, Value, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("pid-file", 0, Value, PidFile),
    flag("keep", 0, Nothing, Ignored),
    flag("no-subreaper", 0, Nothing, Ignored),
    flag("no-new-keyring", 0, Nothing, Ignored),
    flag("no-pivot", 0, Nothing, NoPivot),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CRUN_RESTORE: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("image-path", 0, Value, Ignored),
    flag("work-path", 0, Value, Ignored),
    flag("tcp-established", 0, Nothing, Ignored),
    flag("tcp-close", 0, Nothing, Ignored),
    flag("ext-unix-sk", 0, Nothing, Ignored),
    flag("shell-job", 0, Nothing, Ignored),
    flag("detach", b'd', Nothing, Detach),
    flag("pid-file", 0, Value, PidFile),
    flag("console-socket", 0, Value, Ignored),
    flag("file-locks", 0, Nothing, Ignored),
    flag("manage-cgroups-mode", 0, Value, Ignored),
    // Declared without an argument, and its handler takes the next word of argv (src/restore.c, 1.19).
    flag("network-lock", 0, Nothing, Doubtful("--network-lock eats the word behind it")),
    flag("lsm-profile", 0, Value, Ignored),
    flag("lsm-mount-context", 0, Value, Ignored),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CRUN_EXEC: &[Flag] = &[
    flag("console-socket", 0, Value, Ignored),
    flag("tty", b't', Attached, Ignored),
    flag("process", b'p', Value, Process),
    flag("cwd", 0, Value, Ignored),
    flag("cgroup", 0, Value, Ignored),
    flag("detach", b'd', Nothing, Detach),
    flag("user", b'u', Value, Ignored),
    flag("env", b'e', Value, Env),
    flag("cap", b'c', Value, Cap),
    flag("pid-file", 0, Value, PidFile),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("no-new-privs", 0, Nothing, Ignored),
    flag("process-label", 0, Value, Ignored),
    flag("apparmor", 0, Value, Ignored),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CRUN_START: &[Flag] = &[ARGP_HELP, ARGP_USAGE, ARGP_NAME, ARGP_HANG];

const CRUN_DELETE: &[Flag] = &[
    flag("force", b'f', Nothing, Force),
    flag("regex", b'r', Nothing, Regex),
    ARGP_HELP,
    ARGP_USAGE,
    ARGP_NAME,
    ARGP_HANG,
];

const CLAP_HELP: Flag = flag("help", b'h', Nothing, Prints);

const YOUKI: &[Flag] = &[
    flag("log", b'l', Value, Log),
    flag("debug", 0, Nothing, Ignored),
    flag("log-format", 0, Value, LogFormat),
    flag("root", b'r', Value, Root),
    flag("systemd-cgroup", b's', Nothing, Ignored),
    flag("systemd-log", 0, Nothing, Ignored),
    flag("log-level", 0, Value, Ignored),
    flag("version", b'v', Nothing, Prints),
    // clap's own version flag, before youki 0.4.
    flag("", b'V', Nothing, Prints),
    CLAP_HELP,
];

const YOUKI_CREATE: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("console-socket", b'c', Value, Ignored),
    flag("pid-file", b'p', Value, PidFile),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("no-new-keyring", 0, Nothing, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    CLAP_HELP,
];

const YOUKI_RUN: &[Flag] = &[
    flag("bundle", b'b', Value, Bundle),
    flag("console-socket", b'c', Value, Ignored),
    flag("pid-file", b'p', Value, PidFile),
    flag("no-subreaper", 0, Nothing, Ignored),
    flag("no-pivot", 0, Nothing, NoPivot),
    flag("no-new-keyring", 0, Nothing, Ignored),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("keep", 0, Nothing, Ignored),
    flag("detach", b'd', Nothing, Detach),
    CLAP_HELP,
];

const YOUKI_EXEC: &[Flag] = &[
    flag("console-socket", 0, Value, Ignored),
    flag("cwd", 0, Value, Ignored),
    flag("env", b'e', Value, Env),
    flag("tty", b't', Nothing, Ignored),
    flag("user", b'u', Value, Ignored),
    flag("additional-gids", b'g', Value, Repeatable),
    flag("process", b'p', Value, Process),
    flag("detach", b'd', Nothing, Detach),
    flag("pid-file", 0, Value, PidFile),
    flag("process-label", 0, Value, Ignored),
    flag("apparmor", 0, Value, Ignored),
    flag("no-new-privs", 0, Nothing, Ignored),
    flag("cap", 0, Value, Cap),
    flag("preserve-fds", 0, Value, PreserveFds),
    flag("ignore-paused", 0, Nothing, Ignored),
    flag("cgroup", 0, Value, Ignored),
    CLAP_HELP,
];

const YOUKI_START: &[Flag] = &[CLAP_HELP];

const YOUKI_DELETE: &[Flag] = &[flag("force", b'f', Nothing, Force), CLAP_HELP];
