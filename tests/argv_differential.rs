//! `invocation::read` against runc and crun of both Debians, on command lines put together at random.
//!
//! A bundle that is not there is what the runtime complains about (`chdir B`), so its error says which bundle it
//! acted on; `delete --force` of a state directory without a state removes that directory, so what is gone says which
//! id. Nothing is ever started. Whatever `read` understands the runtime must have done, and of what `read` calls not
//! ours it must have done nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;

use oci_isolate::invocation::{Dialect, Reading, Verb, read};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use test_support::host::{EngineHost, Kind};

const WORDS: &[&str] = &[
    "web",
    "web",
    "other",
    "--",
    "-",
    "-b",
    "-b=/no1",
    "-b/no2",
    "--bundle",
    "--bundle=/no3",
    "-bundle",
    "/no4",
    "/no5",
    "--bundle=",
    "--no-pivot",
    "--no-pivot=true",
    "--no-pivot=0",
    "-no-pivot",
    "--pid-file",
    "--pid-file=/no6",
    "--help",
    "--help=false",
    "-h",
    "--foo",
    "---",
    "--bun",
    "--bun=/no7",
    "--p",
    "-odd",
    "create",
];

fn words(most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(WORDS), 0..most)
}

/// A runtime on a throw-away host, and a directory there for its state.
struct Installed {
    host: EngineHost,
    kind: Kind,
    root: PathBuf,
}

impl Installed {
    fn new(kind: Kind) -> Self {
        let host = EngineHost::new(kind);
        let root = host.dir().join("state");
        std::fs::create_dir(&root).unwrap();
        Self { host, kind, root }
    }

    /// Calls it, in a working directory that has no bundle.
    fn call(&self, args: &[OsString]) -> Output {
        self.host.command(self.kind.runtime().to_str().unwrap()).args(args).output().unwrap()
    }
}

/// The bundle in the runtime's complaint; None when it complained about something else.
fn bundle_it_acted_on(runtime: &Installed, args: &[OsString]) -> Option<String> {
    let output = runtime.call(args);
    assert!(
        !output.status.success() || output.stdout.starts_with(b"NAME") || output.stdout.starts_with(b"Usage")
    );
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of runc, crun 1.8 and crun 1.28.
    let none = ["config.json not found", "error loading config.json", "load `config.json`"];
    if none.iter().any(|none| error.contains(none)) {
        return Some(String::new());
    }
    let quoted = |start: &str, end: &str| {
        let rest = &error[error.find(start)? + start.len()..];
        Some(rest[..rest.find(end)?].to_owned())
    };
    quoted("runc create failed: chdir ", ": no such")
        .or_else(|| quoted("chdir `", "`"))
        .or_else(|| quoted("realpath `", "`"))
}

fn creates_agree(dialect: Dialect, runtime: &Installed) {
    let root = &runtime.root;
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    runner
        .run(&(words(3), words(6)), |(before, behind)| {
            let mut args = vec![OsString::from("--root"), root.into()];
            // A few of the words before the verb too: `--` and unknown ones.
            args.extend(
                before.iter().filter(|word| ["--", "--foo", "create"].contains(word)).map(OsString::from),
            );
            args.push("create".into());
            args.extend(behind.iter().map(OsString::from));
            let acted = bundle_it_acted_on(runtime, &args);
            match read(dialect, &args) {
                Reading::Understood(call) => {
                    let bundle = call.bundle.map(|bundle| bundle.to_string_lossy().into_owned());
                    prop_assert_eq!(Some(bundle.unwrap_or_default()), acted, "{:?}", args);
                }
                Reading::PassThrough(why) => prop_assert_eq!(None, acted, "{:?}: {}", args, why),
                Reading::Ambiguous(_) => {}
            }
            Ok(())
        })
        .unwrap();
}

fn deletes_agree(dialect: Dialect, runtime: &Installed) {
    let root = &runtime.root;
    let ids = ["web", "other", "-odd", "create", "-"];
    let mut runner = TestRunner::new(Config { cases: 80, failure_persistence: None, ..Config::default() });
    const GIVEN: &[&str] = &[
        "web",
        "other",
        "-odd",
        "create",
        "--",
        "-",
        "--force",
        "--force=true",
        "-f",
        "--foo",
        "-fr",
        "-h=0",
    ];
    runner
        .run(&prop::collection::vec(prop::sample::select(GIVEN), 0..4), |words| {
            for id in ids {
                std::fs::create_dir_all(root.join(id)).unwrap();
            }
            let mut args = vec![OsString::from("--root"), root.into(), "delete".into(), "--force".into()];
            args.extend(words.iter().map(OsString::from));
            runtime.call(&args);
            let gone: Vec<&str> = ids.into_iter().filter(|id| !root.join(id).exists()).collect();
            match read(dialect, &args) {
                Reading::Understood(call) if call.regex => {}
                Reading::Understood(call)
                    if ids.iter().any(|id| call.id == *id) && dialect == Dialect::Runc =>
                {
                    // runc refuses ids that are no names.
                    let id = call.id.to_string_lossy().into_owned();
                    prop_assert!(gone.is_empty() || gone == [id.as_str()], "{:?}: {:?}", args, gone);
                    prop_assert!(!gone.is_empty() || id.starts_with('-'), "{:?}", args);
                }
                Reading::Understood(_) => {}
                Reading::PassThrough(why) => prop_assert!(gone.is_empty(), "{:?}: {} {:?}", args, why, gone),
                Reading::Ambiguous(_) => {}
            }
            Ok(())
        })
        .unwrap();
}

/// crun names what it doesn't find of the container's state, `R/ID/status` or `R/ID`.
fn crun_looks_for_the_same_id(crun: &Installed) {
    const GIVEN: &[&str] = &[
        "web",
        "other",
        "-odd",
        "--",
        "-",
        "-d",
        "-dt",
        "-td",
        "-e",
        "-eA=1",
        "-dec",
        "A=1",
        "--env",
        "--env=B=2",
        "--en",
        "-p",
        "-pf",
        "--process",
        "--process=f",
        "--proc",
        "-c",
        "--cap=X",
        "--tty",
        "--tty=no",
        "--detach",
        "-f",
        "-r",
        "--force",
        "--regex=1",
        "--for",
        "--pid",
        "--usage",
        "-?",
    ];
    let root = &crun.root;
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let verbs = prop::sample::select(&["exec", "exec", "start", "delete"][..]);
    runner
        .run(&(verbs, prop::collection::vec(prop::sample::select(GIVEN), 0..6)), |(verb, words)| {
            let mut args = vec![OsString::from("--root"), root.into(), verb.into()];
            args.extend(words.iter().map(OsString::from));
            let output = crun.call(&args);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let root = root.display();
            // As crun 1.8 and crun 1.28 quote it.
            let between = |start: &str, end: &str| {
                let (_, rest) = error.split_once(&format!("{start}{root}/"))?;
                rest.split_once(end).map(|(id, _)| id.to_owned())
            };
            // crun 1.28 refuses some ids before it looks for them.
            let refused = || {
                let (_, rest) = error.split_once("in the container ID `")?;
                rest.split_once('`').map(|(id, _)| id.to_owned())
            };
            let looked_for = between("error opening file `", "/status`")
                .or_else(|| between("does not exist: open `", "/status`"))
                .or_else(|| between("cannot open directory '", "'"))
                .or_else(|| between("cannot open directory `", "`"))
                .or_else(refused);
            match read(Dialect::Crun, &args) {
                Reading::Understood(call) if call.regex => {}
                Reading::Understood(call) => match looked_for {
                    Some(id) => prop_assert_eq!(call.id.to_string_lossy(), id, "{:?}", args),
                    // exec without a command, or with a process file that is not there; delete --force is silent.
                    None => prop_assert!(call.verb == Verb::Exec || call.force, "{:?}: {}", args, error),
                },
                Reading::PassThrough(why) => prop_assert_eq!(None, looked_for, "{:?}: {}", args, why),
                Reading::Ambiguous(_) => {}
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn runc_acts_on_what_was_understood() {
    for kind in [Kind::Machine, Kind::Sid] {
        let runc = Installed::new(kind);
        creates_agree(Dialect::Runc, &runc);
        deletes_agree(Dialect::Runc, &runc);
    }
}

#[test]
fn crun_acts_on_what_was_understood() {
    for kind in [Kind::MachineForCrun, Kind::SidForCrun] {
        let crun = Installed::new(kind);
        creates_agree(Dialect::Crun, &crun);
        crun_looks_for_the_same_id(&crun);
    }
}
