//! One line per command line and its result; statements about runc 1.1.5 and crun 1.8.1 were tried on them.

mod captured;
mod changes;
mod property;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use super::table::{TABLE, Takes};
use super::{Dialect, Invocation, Reading, Verb, globals, read};
use Dialect::{Crun, Runc, Youki};

/// Words between blanks; `''` is the empty word.
fn argv(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(|word| if word == "''" { "".into() } else { word.into() }).collect()
}

fn understood(dialect: Dialect, line: &str) -> Invocation {
    match read(dialect, &argv(line)) {
        Reading::Understood(invocation) => invocation,
        other => panic!("{line}: {other:?}"),
    }
}

/// The whole result in one line.
fn summary(reading: &Reading) -> String {
    let call = match reading {
        Reading::Understood(invocation) => invocation,
        Reading::PassThrough(why) => return format!("not ours: {why}"),
        Reading::Ambiguous(why) => return format!("unclear: {why}"),
    };
    let mut said = format!("{} id={}", call.verb.word(), call.id.display());
    let mut say = |name: &str, value: Option<&OsStr>| {
        if let Some(value) = value {
            said.push_str(&format!(" {name}={}", value.display()));
        }
    };
    say("bundle", call.bundle.as_deref());
    say("config", call.config.as_deref());
    say("pid-file", call.pid_file.as_deref());
    say("process", call.process.as_ref().map(|given| given.value.as_os_str()));
    call.env.iter().for_each(|given| say("env", Some(&given.value)));
    call.caps.iter().for_each(|given| say("cap", Some(&given.value)));
    for (name, is_on) in
        [("detach", call.detach), ("no-pivot", call.no_pivot), ("force", call.force), ("regex", call.regex)]
    {
        if is_on {
            said.push_str(&format!(" {name}"));
        }
    }
    let mut say = |name: &str, value: Option<&OsStr>| {
        if let Some(value) = value {
            said.push_str(&format!(" {name}={}", value.display()));
        }
    };
    say("preserve-fds", call.preserve_fds.as_deref());
    say("root", call.root.as_deref());
    say("log", call.log.as_deref());
    say("log-format", call.log_format.as_deref());
    said
}

fn all_read(cases: &[(Dialect, &str, &str)]) {
    for (dialect, line, expected) in cases {
        assert_eq!(summary(&read(*dialect, &argv(line))), *expected, "{} {line}", dialect.name());
    }
}

#[test]
fn a_runtime_is_known_by_its_file_name() {
    for (name, dialect) in
        [("crun", Crun), ("crun-vm", Crun), ("krun", Crun), ("youki", Youki), ("runc", Runc)]
    {
        assert_eq!(Dialect::of(OsStr::new(name)), dialect);
    }
    assert_eq!(Dialect::of(OsStr::new("docker-runc")), Runc);
}

#[test]
fn the_word_create_as_a_value_or_an_id_is_not_a_verb() {
    all_read(&[
        (Runc, "--root create create web", "create id=web root=create"),
        (Runc, "create create", "create id=create"),
        (Runc, "--root create state web", "not ours: runc state prints"),
        (Runc, "--root create", "not ours: no verb"),
        (Runc, "start create", "start id=create"),
        (Runc, "exec web create", "exec id=web"),
        (Crun, "--root create create web", "create id=web root=create"),
        (Youki, "-r create create web", "create id=web root=create"),
        (Runc, "kill create", "not ours: runc kill signals"),
    ]);
}

#[test]
fn what_is_not_ours_passes_through() {
    all_read(&[
        (Runc, "", "not ours: no verb"),
        (Runc, "--debug", "not ours: no verb"),
        (Runc, "--version", "not ours: runc prints its version"),
        (Runc, "-v create web", "not ours: runc prints its version"),
        (Runc, "--help create web", "not ours: runc prints its help"),
        (Runc, "help create", "not ours: runc help prints"),
        (Runc, "create --help", "not ours: runc prints its help"),
        (Runc, "create web -h", "not ours: runc prints its help"),
        (Runc, "create web --help=true", "not ours: runc prints its help"),
        (Runc, "'' create web", "not ours: runc  is not known"),
        (Runc, "- create web", "not ours: runc - is not known"),
        (Runc, "Create web", "not ours: runc Create is not known"),
        (Crun, "--usage create web", "not ours: crun prints its usage"),
        (Crun, "create -? --nonsense", "not ours: crun prints its help"),
        (Crun, "-V", "not ours: crun prints its version"),
        (Youki, "create web --help", "not ours: youki prints its help"),
        (Youki, "restore web", "not ours: youki has no restore"),
    ]);
}

#[test]
fn a_call_that_the_runtime_answers_with_an_error_is_left_to_it() {
    all_read(&[
        (Runc, "create", "not ours: runc create without a container id"),
        (Runc, "create --bundle web", "not ours: runc create without a container id"),
        (Runc, "create a b", "not ours: runc create with 2 operands"),
        (Runc, "create --no-pivot web other", "not ours: runc create with 2 operands"),
        (Runc, "exec", "not ours: runc exec without a container id"),
        (Crun, "start", "not ours: crun start without a container id"),
        (Crun, "delete a b", "not ours: crun delete with 2 operands"),
        (Youki, "run a b", "not ours: youki run with 2 operands"),
    ]);
}

#[test]
fn an_unknown_flag_before_the_verb_is_unclear_when_a_verb_may_follow() {
    all_read(&[
        (Runc, "--foo create web", "unclear: unknown flag --foo of runc"),
        (Runc, "--foo=bar delete web", "unclear: unknown flag --foo of runc"),
        (Runc, "--foo state web", "not ours: unknown flag --foo of runc"),
        (Runc, "--debug=maybe create web", "unclear: the value of --debug of runc is not a boolean"),
        (Runc, "---root /r create web", "unclear: unknown flag ---root of runc"),
        (Crun, "-x run web", "unclear: unknown flag -x of crun"),
        (Youki, "-- run web", "unclear: -- before the verb of youki"),
    ]);
}

#[test]
fn an_unknown_flag_behind_the_verb_is_unclear() {
    all_read(&[
        (Runc, "create --foo web", "unclear: unknown flag --foo of runc create"),
        (Runc, "create web --foo=secret", "unclear: unknown flag --foo of runc create"),
        (Runc, "create -b/b web", "unclear: unknown flag -b/b of runc create"),
        (Runc, "create --bund /b web", "unclear: unknown flag --bund of runc create"),
        (Runc, "start --bundle /b web", "unclear: unknown flag --bundle of runc start"),
        (Runc, "exec --foo web ls", "unclear: unknown flag --foo of runc exec"),
        (Runc, "create --bundle", "unclear: flag --bundle of runc create has no value"),
        (Crun, "create --foo web", "unclear: unknown flag --foo of crun create"),
        (Crun, "run -dx web", "unclear: unknown flag -x of crun run"),
        (Crun, "run --detach=true web", "unclear: flag --detach of crun run takes no value"),
        (Crun, "restore --network-lock skip web", "unclear: --network-lock eats the word behind it"),
        (Youki, "create --foo web", "unclear: unknown flag --foo of youki create"),
        (Youki, "exec -c CAP_X web ls", "unclear: unknown flag -c of youki exec"),
    ]);
}

#[test]
fn runc_takes_one_dash_or_two_and_flags_behind_the_id() {
    all_read(&[
        (Runc, "create -bundle /b web", "create id=web bundle=/b"),
        (Runc, "create -bundle=/b web", "create id=web bundle=/b"),
        (Runc, "create -b=/b web", "create id=web bundle=/b"),
        (Runc, "create --b /b web", "create id=web bundle=/b"),
        (Runc, "create web --bundle /b", "create id=web bundle=/b"),
        (Runc, "create --bundle /b web --pid-file p", "create id=web bundle=/b pid-file=p"),
        (Runc, "-root /r -- create web", "create id=web root=/r"),
        (Runc, "create -- -web", "create id=-web"),
        (Runc, "create --bundle --pid-file web", "create id=web bundle=--pid-file"),
        (Runc, "create -b /a -b /b web", "create id=web bundle=/b"),
        (Runc, "create --bundle= web", "create id=web"),
        (Runc, "create --help=false --bundle /b web", "create id=web bundle=/b"),
        (Runc, "create --help --help=0 web", "create id=web"),
        (Runc, "run -d=false web", "run id=web"),
        (Runc, "run --detach -d=T web", "unclear: both forms of the flag --detach of runc run are given"),
        (Runc, "--root=/a --root=/b start web", "start id=web root=/b"),
        (Runc, "--log= start web", "start id=web"),
    ]);
}

#[test]
fn runc_s_exec_reads_no_flag_behind_the_id() {
    all_read(&[
        (Runc, "exec web env -e A=1 --process f", "exec id=web"),
        (Runc, "exec -e A=1 -e=B=2 -c CAP_X web -e C=3", "exec id=web env=A=1 env=B=2 cap=CAP_X"),
        (Runc, "exec -env A=1 --env B=2 -- web --help", "exec id=web env=A=1 env=B=2"),
        (Runc, "exec -e A=1 --env B=2 web", "unclear: both forms of the flag --env of runc exec are given"),
        (Runc, "exec -p a -p b web", "exec id=web process=b"),
        (Runc, "exec -td web", "unclear: unknown flag -td of runc exec"),
    ]);
}

/// runc 1.1 (urfave/cli 1.22.1), Debian's 1.1.5 (1.22.9) and runc 1.2 to 1.5 (1.22.14 to 17) differ here.
#[test]
fn what_runc_s_versions_read_differently_is_unclear() {
    let why = "unclear: the arguments of runc create are read differently by its versions";
    all_read(&[
        (Runc, "create web --", why),
        (Runc, "create web -- --bundle", why),
        (Runc, "create --bundle -- web", "create id=web bundle=--"),
        (
            Runc,
            "create --pid-file - --bundle /b web",
            "unclear: the value of --pid-file of runc create is not behind it",
        ),
        (Runc, "create --bundle -odd web", "unclear: the value of --bundle of runc create is not behind it"),
        // Re-ordered, a is the bundle and b the id.
        (Runc, "create a b --bundle", "unclear: the value of --bundle of runc create is not behind it"),
    ]);
}

/// A boolean flag moves the word after it to the front, and what follows is no longer a flag (tried on
/// 1.1.5).
#[test]
fn a_bool_flag_before_the_id_hides_the_flags_behind_it_from_runc() {
    all_read(&[
        (Runc, "create --no-pivot web --bundle /b", "unclear: runc create with 3 operands"),
        (Runc, "create --no-pivot=true web --bundle /b", "create id=web bundle=/b no-pivot"),
        (Runc, "create --no-pivot=false web --bundle /b", "create id=web bundle=/b"),
        (Runc, "create --bundle /b --no-pivot web", "create id=web bundle=/b no-pivot"),
        (Crun, "run --no-piv -b /b web", "run id=web bundle=/b no-pivot"),
        (Youki, "create --no-pivot -b /b web", "create id=web bundle=/b no-pivot"),
    ]);
}

#[test]
fn crun_reads_flags_in_order_and_stops_at_the_id() {
    all_read(&[
        (Crun, "create --bundle /b web", "create id=web bundle=/b"),
        (Crun, "create web --bundle /b", "unclear: crun create with 3 operands"),
        (Crun, "-- create -- -web", "create id=-web"),
        (Crun, "create -b/b web", "create id=web bundle=/b"),
        (Crun, "create -b=/b web", "create id=web bundle==/b"),
        (Crun, "create --bundle --pid-file web", "create id=web bundle=--pid-file"),
        (Crun, "run -db /b web", "run id=web bundle=/b detach"),
        (Crun, "run -db/b web", "run id=web bundle=/b detach"),
        (Crun, "create -b /a --bundle /b web", "create id=web bundle=/b"),
        (Crun, "create -f /c web", "create id=web config=/c"),
        (Crun, "create --config=config.json web", "create id=web"),
        (Crun, "create --bundle= web", "unclear: empty --bundle"),
        (Crun, "create -bundle /b web", "not ours: crun create with 2 operands"),
        (Crun, "delete -fr ^web", "delete id=^web force regex"),
        (Crun, "restore web ignored", "restore id=web"),
        (Crun, "exec -tde A=1 web ls", "exec id=A=1"),
        (
            Crun,
            "exec -dtx -eA=1 -e B=2 --env=C=3 --cap CAP_X web ls -e D",
            "exec id=web env=A=1 env=B=2 env=C=3 cap=CAP_X detach",
        ),
    ]);
}

#[test]
fn crun_takes_any_unambiguous_beginning() {
    all_read(&[
        (Crun, "--roo /r create web", "unclear: ambiguous flag --roo of crun"),
        (
            Crun,
            "--log-f json --log /l create --bun=/b --pi p web",
            "create id=web bundle=/b pid-file=p log=/l log-format=json",
        ),
        (Crun, "create --p x web", "unclear: ambiguous flag --p of crun create"),
        (Crun, "create --b /b web", "create id=web bundle=/b"),
        (Crun, "--rootl true create web", "unclear: --rootless is another --root for crun before 1.22"),
        (Crun, "--rootless=true state web", "not ours: --rootless is another --root for crun before 1.22"),
        (Crun, "exec --proc f web", "unclear: ambiguous flag --proc of crun exec"),
        (Crun, "create --h", "not ours: crun prints its help"),
    ]);
}

#[test]
fn youki_mixes_flags_and_operands() {
    all_read(&[
        (Youki, "-l /l -r/r create web -b /b -p=p", "create id=web bundle=/b pid-file=p root=/r log=/l"),
        (Youki, "--log /a --log /b start web", "start id=web log=/b"),
        (Youki, "create -b /a --bundle /b web", "unclear: flag --bundle of youki create is given twice"),
        (Youki, "create --bundle --pid-file web", "unclear: flag --bundle of youki create has no value"),
        (Youki, "create --bundle= web", "unclear: empty --bundle"),
        (Youki, "create -- -web", "create id=-web"),
        (Youki, "exec -dtp f web -e A=1 ls -e B=2", "exec id=web process=f env=A=1 detach"),
        (Youki, "exec -eA=1 --env B=2 web -- ls", "exec id=web env=A=1 env=B=2"),
        (Youki, "run --detach=true web", "unclear: flag --detach of youki run takes no value"),
        (Youki, "delete web -f", "delete id=web force"),
    ]);
}

#[test]
fn what_is_named_may_not_be_empty() {
    all_read(&[
        (Runc, "--root= create web", "unclear: empty --root"),
        (Runc, "create ''", "unclear: empty container id"),
        (Runc, "create --pid-file= web", "unclear: empty --pid-file"),
        (Runc, "exec --process '' web ls", "unclear: empty --process"),
        (Crun, "create --config= web", "unclear: empty --config"),
    ]);
}

#[test]
fn crun_s_log_may_be_no_file() {
    for (log, file) in
        [("/l", Some("/l")), ("file:/l", Some("/l")), ("syslog:web", None), ("journald:web", None)]
    {
        let call = understood(Crun, &format!("--log {log} start web"));
        assert_eq!(call.log.as_deref(), file.map(OsStr::new));
    }
    assert_eq!(understood(Runc, "--log file:/l start web").log, Some("file:/l".into()));
}

#[test]
fn a_complaint_finds_its_log_in_what_is_not_understood() {
    let told = globals(Runc, &argv("--log /l --log-format json --foo create --bar web"));
    assert_eq!((told.log, told.log_format, told.root), (Some("/l".into()), Some("json".into()), None));
}

#[test]
fn any_bytes_are_read() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let args = [odd(b"--root=\xff"), odd(b"create"), odd(b"-b"), odd(b"\xfe\xfd"), odd(b"\x80")];
    let Reading::Understood(call) = read(Runc, &args) else { panic!() };
    assert_eq!((call.root, call.bundle, call.id), (Some(odd(b"\xff")), Some(odd(b"\xfe\xfd")), odd(b"\x80")));
    assert_eq!(summary(&read(Youki, &args)), "unclear: not UTF-8, which youki refuses");
    assert_eq!(summary(&read(Runc, &[odd(b"\xff")])), "not ours: runc \u{fffd} is not known");
    assert_eq!(
        summary(&read(Crun, &[odd(b"run"), odd(b"-\xff")])),
        "unclear: unknown flag -\u{fffd} of crun run"
    );
}

#[test]
fn a_value_never_shows_in_a_reason() {
    for line in [
        "exec --envv=SECRET web",
        "exec -x=SECRET web",
        "--x=SECRET create web",
        "create --no-pivot=SECRET x",
    ] {
        for dialect in [Runc, Crun, Youki] {
            assert!(!summary(&read(dialect, &argv(line))).contains("SECRET"), "{line}");
        }
    }
}

#[test]
fn a_reason_is_one_line() {
    for dialect in [Runc, Crun, Youki] {
        for words in [["--a\nb", "create"], ["create", "--a\nb"], ["a\nb", "x"], ["run", "-\n"]] {
            assert!(!summary(&read(dialect, &words.map(OsString::from))).contains('\n'));
        }
    }
}

#[test]
fn every_flag_of_the_table_is_read_in_each_of_its_forms() {
    for (dialect, verb, flags) in TABLE {
        for flag in flags.iter() {
            let value = if flag.takes == Takes::Value { " value" } else { "" };
            let names = [
                (!flag.long.is_empty()).then(|| format!("--{}", flag.long)),
                flag.short.map(|short| format!("-{}", char::from(short))),
            ];
            for name in names.into_iter().flatten() {
                let line = match verb {
                    None => format!("{name}{value} start web"),
                    Some(verb) => format!("{} {name}{value} web", verb.word()),
                };
                let said = summary(&read(*dialect, &argv(&line)));
                assert!(!said.contains("unknown") && !said.contains("operands"), "{line}: {said}");
            }
        }
    }
}

#[test]
fn the_table_names_no_flag_twice_and_has_every_verb() {
    for (dialect, verb, flags) in TABLE {
        for (nth, flag) in flags.iter().enumerate() {
            let twin = |other: &&super::table::Flag| {
                (other.long == flag.long && !flag.long.is_empty())
                    || (flag.short.is_some() && other.short == flag.short)
            };
            assert_eq!(flags.iter().skip(nth + 1).find(twin), None, "{dialect:?} {verb:?}");
        }
    }
    for verb in [Verb::Create, Verb::Run, Verb::Exec, Verb::Start, Verb::Delete] {
        for dialect in [Runc, Crun, Youki] {
            assert!(TABLE.iter().any(|(of, behind, _)| *of == dialect && *behind == Some(verb)));
        }
    }
}
