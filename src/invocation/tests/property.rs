//! For any command line: no panic, and an edited one is parsed as the old one with just that edit.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::super::ArgvEdit;
use super::super::verbs::{KnownVerb, VERBS};
use super::super::{Reach, reach};
use super::{Dialect, Invocation, Reading, globals, read};

const WORDS: &[&str] = &[
    "create",
    "run",
    "restore",
    "exec",
    "start",
    "delete",
    "state",
    "web",
    "/b",
    "--",
    "-",
    "",
    "-b",
    "-b=/b",
    "-b/b",
    "--bundle",
    "--bundle=/b",
    "-bundle",
    "--bundle=",
    "--pid-file",
    "--pid-file=p",
    "-p",
    "--process",
    "--process=f",
    "-pf",
    "-dp",
    "-e",
    "-eA=1",
    "-e=A=1",
    "--env",
    "--env=A=1",
    "-env",
    "-de",
    "-tde",
    "A=1",
    "-c",
    "--cap",
    "--cap=CAP_X",
    "-d",
    "-td",
    "--detach",
    "--detach=false",
    "--no-pivot",
    "--root",
    "--root=/r",
    "--log",
    "--log-format=json",
    "--help",
    "--help=0",
    "-h",
    "-v",
    "--foo",
    "---",
    "-=",
    "--=",
    "--bun",
    "--p",
    "-f",
    "--regex",
    "--rootless=true",
    "--preserve-fds",
    "3",
];

fn word() -> impl Strategy<Value = OsString> {
    prop_oneof![
        20 => prop::sample::select(WORDS).prop_map(OsString::from),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(OsString::from_vec),
    ]
}

/// Mostly with a verb, so that more than the first flag is parsed.
fn line() -> impl Strategy<Value = Vec<OsString>> {
    let verbs = prop::sample::select(&WORDS[..6]).prop_map(OsString::from);
    (prop::collection::vec(word(), 0..3), verbs, prop::collection::vec(word(), 0..7))
        .prop_map(|(before, verb, behind)| before.into_iter().chain([verb]).chain(behind).collect())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(&[Dialect::Runc, Dialect::Crun, Dialect::Youki][..])
}

/// Everything that does not depend on positions in argv.
fn meaning(call: &Invocation) -> impl PartialEq + std::fmt::Debug {
    let values = |given: &[super::super::ParsedFlag]| {
        given.iter().map(|given| given.value.clone()).collect::<Vec<_>>()
    };
    let named = (call.root.clone(), call.bundle.clone(), call.config.clone(), call.preserve_fds.clone());
    let exec =
        (call.process.as_ref().map(|given| given.value.clone()), values(&call.env), values(&call.caps));
    (call.verb, call.verb_at, call.id.clone(), named, exec, (call.detach, call.force, call.regex))
}

fn again(dialect: Dialect, args: &[OsString]) -> Result<Invocation, TestCaseError> {
    match read(dialect, args) {
        Reading::Understood(call) => Ok(call),
        other => Err(TestCaseError::fail(format!("{args:?}: {other:?}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(dialect in dialect(), args in prop::collection::vec(word(), 0..9)) {
        read(dialect, &args);
        globals(dialect, &args);
    }

    /// For isolated containers only the verbs of the table are passed on, after any flags.
    #[test]
    fn a_verb_at_random_is_refused(dialect in dialect(), verb in "[!-,.-~]{0,3}[a-z]{0,9}", args in line()) {
        let args = [vec!["--root".into(), "/r".into(), OsString::from(&verb)], args].concat();
        let known = VERBS.iter().any(|KnownVerb(word, ..)| *word == verb);
        prop_assert!(known || reach(dialect, &args) == Reach::Refused, "{:?}", args);
    }

    #[test]
    fn no_change_changes_nothing(dialect in dialect(), args in line()) {
        if let Reading::Understood(call) = read(dialect, &args) {
            prop_assert_eq!(call.rewritten(&args, &[]), args);
        }
    }

    #[test]
    fn a_pid_file_that_is_added_is_read_and_nothing_else_changes(dialect in dialect(), args in line()) {
        if let Reading::Understood(call) = read(dialect, &args)
            && call.pid_file.is_none()
            && !matches!(call.verb, super::Verb::Start | super::Verb::Delete)
        {
            let changed = call.rewritten(&args, &[ArgvEdit::PidFile(OsStr::new("/p"))]);
            let new = again(dialect, &changed)?;
            prop_assert_eq!(new.pid_file.as_deref(), Some(OsStr::new("/p")));
            prop_assert_eq!(meaning(&new), meaning(&call));
        }
    }

    #[test]
    fn a_variable_that_is_dropped_is_gone_and_nothing_else_changes(dialect in dialect(), args in line()) {
        if let Reading::Understood(call) = read(dialect, &args) {
            for nth in 0..call.env.len() {
                let new = again(dialect, &call.rewritten(&args, &[ArgvEdit::Drop(&call.env[nth])]))?;
                let mut expected = call.clone();
                expected.env.remove(nth);
                prop_assert_eq!(meaning(&new), meaning(&expected));
            }
        }
    }

    #[test]
    fn a_process_that_is_set_is_read_and_nothing_else_changes(dialect in dialect(), args in line()) {
        if let Reading::Understood(call) = read(dialect, &args)
            && let Some(process) = &call.process
        {
            let new = again(dialect, &call.rewritten(&args, &[ArgvEdit::Set(process, OsStr::new("/n"))]))?;
            let mut expected = call.clone();
            expected.process = new.process.clone();
            prop_assert_eq!(&new.process.as_ref().unwrap().value, "/n");
            prop_assert_eq!(meaning(&new), meaning(&expected));
        }
    }
}
