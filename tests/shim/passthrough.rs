//! Without the annotation the shim is not there: whatever a runtime can see of its caller is the same with it and
//! without it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::json;

use test_support::recorded::host::{RecorderHost, read, words};
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::recorder::Recorded;
use test_support::recorded::spec::{SWITCH, annotated, plain};
use test_support::shim;

/// Command lines of every verb of runc 1.1 and crun 1.8, and of none.
const CALLS: &[&str] = &[
    "create --bundle BUNDLE --pid-file BUNDLE/init.pid web",
    "create web",
    "--log BUNDLE/log.json --log-format json create -b BUNDLE --no-pivot --preserve-fds 2 web",
    "--systemd-cgroup --debug run --detach -bundle=BUNDLE -pid-file BUNDLE/init.pid web",
    "run --keep -b BUNDLE web",
    "restore --image-path BUNDLE --bundle BUNDLE web",
    "start web",
    "exec web sh -c true",
    "exec -e AWS_SECRET_ACCESS_KEY=x --cap CAP_NET_ADMIN -t web create",
    "exec --process BUNDLE/process.json --detach --pid-file BUNDLE/exec.pid web",
    "delete web",
    "delete --force web",
    "state web",
    "state create",
    "kill web KILL",
    "kill --all web 9",
    "features",
    "--version",
    "--help",
    "help create",
    "create --help",
    "spec",
    "spec --rootless -b BUNDLE",
    "list -f json -q",
    "events --stats web",
    "ps --format json web",
    "pause web",
    "resume web",
    "update --memory 1 web",
    "update -r - web",
    "checkpoint --leave-running --image-path BUNDLE web",
    "init",
    "",
    "nonsense --isolate=always",
    "--nonsense",
    "create",
    "delete",
    "exec",
];

/// Calls `program` with everything about it that a child inherits: descriptors, umask, limits, priority, signals,
/// a stdin and a stdout of files, variables of AWS and such that are no text.
fn call(host: &RecorderHost, program: &OsStr, args: &[OsString]) -> Recorded {
    let inherited = "umask 027; ulimit -c 0; ulimit -n 512; exec 3<config.json 4>>../four 7<> ../seven; \
        exec env --ignore-signal=USR2,HUP --block-signal=USR1,RTMIN nice -n 3 setpriv --ambient-caps=+chown \
        --inh-caps=+chown --keep-groups \"$@\" <../stdin >../stdout 2>../stderr";
    let mut command = host.command("sh");
    command.args(["-c", inherited, "sh"]).arg(program).arg("--root").arg(host.at("root")).args(args);
    command.env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_PROFILE", "").env("LISTEN_FDS", "1");
    command.env("EMPTY", "").env("BYTES", OsString::from_vec(b"\xff\xfe=\n".to_vec()));
    command.env("_OCI_ISOLATE", "x").env("XDG_RUNTIME_DIR", host.at("user"));
    let said = say(&mut command);
    assert_eq!(said, ShimOutput { status: 0, out: String::new(), err: String::new() }, "{args:?}");
    assert_eq!(read(host.at("stderr")), b"", "{args:?}");
    host.call()
}

fn same_with_and_without(host: &RecorderHost, args: &[OsString]) {
    let direct = call(host, host.at("recorder").as_ref(), args);
    let before = host.stamp();
    let shimmed = call(host, shim().as_ref(), args);
    assert_eq!(shimmed, direct, "{args:?}");
    assert_eq!(host.stamp(), before, "{args:?}");
    assert_eq!(host.sh("ls /run").must(), "", "{args:?}");
}

fn host() -> RecorderHost {
    let host = RecorderHost::new();
    host.config(&plain());
    host.write("stdin", "input");
    host.write("bundle/process.json", r#"{"args":["sh"],"cwd":"/","env":["AWS_SECRET_ACCESS_KEY=x"]}"#);
    host
}

#[test]
fn no_call_can_be_told_from_one_without_the_shim() {
    let host = host();
    for line in CALLS {
        same_with_and_without(&host, &words(&line.replace("BUNDLE", &host.at("bundle"))));
    }
}

#[test]
fn an_annotation_that_says_false_passes_through() {
    let host = host();
    for value in ["false", "FALSE"] {
        host.config(&annotated(SWITCH, json!(value)));
        same_with_and_without(&host, &words("create web"));
    }
}

#[test]
fn a_configuration_that_is_not_isolated_may_be_as_odd_as_the_runtime_takes_it() {
    let host = host();
    for text in [
        "{}",
        " {\"process\":{\"env\":[1]},\"process\":7,\"Process\":[]}\n",
        r#"{"linux":null,"annotations":null,"big":123456789012345678901234567890}"#,
        r#"{"annotations":{"COM.EXAMPLE.network-isolation":"true","other":7,"cut\u0000here":"\u0000"}}"#,
    ] {
        host.write("bundle/config.json", text);
        same_with_and_without(&host, &words("create web"));
    }
}

#[test]
fn words_that_are_no_text_pass_through() {
    let host = host();
    let bytes = || OsString::from_vec(b"we\xffb".to_vec());
    for line in ["state", "create", "run", "start", "delete", "kill"] {
        same_with_and_without(&host, &[line.into(), bytes()]);
    }
    let mut exec = words("exec -e");
    exec.extend([OsString::from_vec(b"A=\xff".to_vec()), "web".into(), bytes()]);
    same_with_and_without(&host, &exec);
}

#[test]
fn a_bundle_that_is_the_working_directory_a_relative_one_and_one_behind_a_link_pass_through() {
    let host = host();
    host.sh("ln -s bundle ../link").must();
    for line in [
        "create web",
        "create -b . web",
        "create -b ../link web",
        "create -b= web",
        "create web -b ../bundle",
    ] {
        same_with_and_without(&host, &words(line));
    }
    host.sh("mv config.json real.json; ln -s real.json config.json").must();
    same_with_and_without(&host, &words("create web"));
}

#[test]
fn the_runtimes_input_output_and_exit_status_are_its_own() {
    let host = host();
    for (behaviour, status) in [
        ("true", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -KILL $$", 128 + 9),
        ("kill -TERM $$", 128 + 15),
        ("kill -SEGV $$", 128 + 11),
    ] {
        host.behave(&format!("printf 'out\\000\\n'; cat; echo err >&2; {behaviour}"));
        for verb in ["state", "create", "run", "start", "exec", "delete", "features"] {
            let outcome = |program: &OsStr| {
                let mut command = host.command(program);
                let input = std::fs::File::open(host.at("stdin")).unwrap();
                let child =
                    command.args([verb, "web"]).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
                let output = child.spawn().unwrap().wait_with_output().unwrap();
                (output.status, output.stdout, output.stderr)
            };
            let direct = outcome(host.at("recorder").as_ref());
            assert_eq!(direct.1, b"out\0\ninput");
            assert_eq!(outcome(shim().as_ref()), direct, "{verb} {behaviour}");
            assert_eq!(direct.0.code().unwrap_or_else(|| 128 + direct.0.signal().unwrap()), status);
        }
    }
}

#[test]
fn an_empty_environment_stays_empty() {
    let host = host();
    for verb in ["create", "delete", "state"] {
        let run = |program: &OsStr| {
            let mut command = host.command("env");
            command.arg("-i").arg(program);
            if program == shim() {
                command.arg(format!("--isolate-config={}", host.at("config.toml")));
            }
            say(command.args([verb, "web"])).must();
            host.call()
        };
        let direct = run(host.at("recorder").as_ref());
        assert_eq!(direct.env, [""; 0]);
        let shimmed = run(shim().as_ref());
        assert_eq!((shimmed.env, shimmed.args, shimmed.cwd), (direct.env, direct.args, direct.cwd));
    }
}

#[test]
fn the_shims_own_flags_are_gone_before_the_runtime_sees_its_arguments() {
    let host = host();
    let settings = host.write("other.toml", format!("runtime = [\"{}\"]", host.at("recorder")));
    let flag = format!("--isolate-config={settings}");
    say(host.command(shim()).args([&flag, "--isolate=always", "--root", "/r", "state", "--isolate=always"]))
        .must();
    assert_eq!(host.call().words(), ["--root", "/r", "state", "--isolate=always"]);
}

/// Rust's standard library acts before `main`, and safe code cannot undo it: it opens /dev/null for a missing
/// stdin, stdout or stderr, and a SIGPIPE that was ignored is at its default again in a program that it execs. Go
/// does the same of the first in newer versions (runtime, `checkfds`; not 1.19, of which Debian 12's runc is built) and of
/// the second (os/signal, "SIGPIPE"), and so runc.
#[test]
fn only_a_missing_stdin_and_an_ignored_sigpipe_look_different() {
    let host = host();
    let run = |program: &OsStr| {
        let script = "exec <&- ; exec env --ignore-signal=PIPE,USR2 \"$@\"";
        say(host.command("sh").args(["-c", script, "sh"]).arg(program).args(["state", "web"])).must();
        host.call()
    };
    let (direct, mut shimmed) = (run(host.at("recorder").as_ref()), run(shim().as_ref()));
    let ignored = |call: &Recorded| {
        let line = call.status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    const SIGPIPE: u64 = 1 << 12;
    assert_eq!(ignored(&direct), ignored(&shimmed) | SIGPIPE);
    let null = shimmed.fds.remove("0").unwrap();
    assert!(null.starts_with("/dev/null"), "{null}");
    assert!(shimmed.fds.keys().eq(direct.fds.keys()), "{shimmed:?} {direct:?}");
}

#[test]
fn a_verb_among_the_values_is_not_a_verb() {
    let host = host();
    // An isolating configuration is there: it would be rewritten if one of these words were taken for `create`.
    host.config(&annotated(SWITCH, json!("true")));
    for line in [
        "--root create state web",
        "kill create KILL",
        "state create",
        "--log run --root run list",
        "list create",
    ] {
        let before = host.stamp();
        say(host.command(shim()).args(words(line))).must();
        assert_eq!(host.call().args, words(line));
        assert_eq!(host.stamp(), before);
        assert_eq!(host.state(), [""; 0]);
    }
}

#[test]
fn the_call_is_handed_over_and_not_passed_on() {
    let host = host();
    for verb in ["create", "run", "start", "exec", "delete", "state"] {
        let mut command = host.command("sh");
        let shell =
            say(command.args(["-c", "echo $$; \"$0\" \"$1\" web; true"]).arg(shim()).arg(verb)).must();
        // The runtime's parent is the shim's caller.
        let parent = format!("PPid:\t{}", shell.trim());
        let status = host.call().status;
        assert!(status.lines().any(|line| line == parent), "{verb}: {status}");
    }
}
