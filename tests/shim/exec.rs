//! `exec` into an isolated container: the process file, the flags and the environment go through the same rules.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::recorder::Recorded;
use test_support::recorded::spec::{differences, isolated};
use test_support::shim;

const SECRET: &str = "AWS_SECRET_ACCESS_KEY=x";

/// A host with an isolated container `web`.
fn host() -> RecorderHost {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.sealed();
    host.call();
    host
}

fn process() -> Value {
    json!({
        "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/",
        "env": ["PATH=/bin", SECRET, "aws_profile=x", "X=1"],
        "capabilities": {"bounding": ["CAP_KILL", "CAP_NET_ADMIN"], "ambient": ["CAP_NET_RAW"]},
        "oomScoreAdj": 1.50
    })
}

fn changes() -> Vec<String> {
    [
        "-/capabilities/ambient/0 \"CAP_NET_RAW\"",
        "-/capabilities/bounding/1 \"CAP_NET_ADMIN\"",
        "-/env/1 \"AWS_SECRET_ACCESS_KEY=x\"",
        "-/env/2 \"aws_profile=x\"",
        "+/env \"AWS_EC2_METADATA_DISABLED=true\"",
    ]
    .map(str::to_owned)
    .into()
}

#[track_caller]
fn exec(host: &RecorderHost, args: &[&str]) -> Recorded {
    let args: Vec<&str> = ["exec"].iter().chain(args).copied().collect();
    host.shim(&args).must();
    host.call()
}

#[test]
fn the_runtime_reads_a_filtered_copy_and_the_engines_file_stays_as_it_is() {
    let host = host();
    let file = host.write("process.json", process().to_string());
    let stamp = || {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(&file).unwrap();
        (meta.ino(), meta.mtime_nsec(), meta.mode(), fs::read(&file).unwrap())
    };
    let before = stamp();
    let (equals, short) = (format!("--process={file}"), format!("-p={file}"));
    for given in [&["--process", &file][..], &["-p", &file], &[&equals], &["-process", &file], &[&short]] {
        let args: Vec<&str> = given.iter().copied().chain(["--detach", "--pid-file", "/x", "web"]).collect();
        let call = exec(&host, &args);
        assert_eq!(differences(&process(), &call.process()), changes(), "{given:?}");
        assert_eq!(stamp(), before);
        // Every other word is as it was.
        let words = call.words();
        assert_eq!(words.len(), args.len() + 3);
        assert_eq!(words[words.len() - 4..], ["--detach", "--pid-file", "/x", "web"]);
        assert!(words.iter().all(|word| !word.contains(&file)), "{words:?}");
    }
    assert_eq!(host.sh("ls ..").must(), "bundle\ncalls\nconfig.toml\nprocess.json\nrecorder\n");
}

#[test]
fn a_process_file_in_which_nothing_has_to_change_is_the_runtimes() {
    let host = host();
    let clean = json!({"args": ["sh"], "cwd": "/", "env": ["PATH=/bin", "AWS_EC2_METADATA_DISABLED=false"]});
    let file = host.write("process.json", clean.to_string());
    let call = exec(&host, &["--process", &file, "web"]);
    assert_eq!(call.words()[2..], ["exec", "--process", &file, "web"]);
}

#[test]
fn the_copy_is_the_only_descriptor_that_is_added() {
    let host = host();
    let file = host.write("process.json", process().to_string());
    let run = |program: &std::ffi::OsStr| {
        let mut command = host.command("sh");
        command.args([
            "-c",
            "exec 3</dev/null 4>>../four; exec \"$@\" <../config.toml >../out 2>../err",
            "sh",
        ]);
        let root = host.at("root");
        say(command.arg(program).args([
            "--root",
            &root,
            "exec",
            "--preserve-fds",
            "2",
            "--process",
            &file,
            "web",
        ]))
        .must();
        host.call()
    };
    let (direct, mut shimmed) = (run(host.at("recorder").as_ref()), run(shim().as_ref()));
    let name = shimmed.words()[6].rsplit('/').next().unwrap().to_owned();
    let copy = shimmed.fds.remove(&name).unwrap();
    assert!(copy.starts_with("/memfd:"), "{copy}");
    assert_eq!(shimmed.status, direct.status);
    // Those that are handed over arrive, and nothing else: the recorder has its script open.
    for number in ["0", "1", "2", "3", "4"] {
        assert_eq!(shimmed.fds.remove(number), direct.fds.get(number).cloned(), "{number}");
    }
    shimmed.fds.retain(|_, target| !target.contains("/recorder "));
    assert!(shimmed.fds.is_empty(), "{:?}", shimmed.fds);
}

#[test]
fn a_low_limit_of_open_files_is_no_reason_to_fail() {
    let host = host();
    let file = host.write("process.json", process().to_string());
    let root = host.at("root");
    let mut command = host.command("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(shim());
    say(command.args(["--root", &root, "exec", "--process", &file, "web"])).must();
    assert_eq!(differences(&process(), &host.call().process()), changes());
}

#[test]
fn credentials_go_from_the_flags_however_they_are_written() {
    let host = host();
    for (given, left) in [
        ("-e A=1 -e AWS_PROFILE=x web env", "-e A=1 web env"),
        ("--env AWS_PROFILE=x --env=aws_session_token=y --env B=2 web sh", "--env B=2 web sh"),
        ("-env AWS_PROFILE= web sh", "web sh"),
        ("-e=AWS_PROFILE=x -t web sh", "-t web sh"),
        ("-e AWS_PROFILE web sh", "web sh"),
        ("-e AWS_REGION=x web sh -e AWS_PROFILE=x", "-e AWS_REGION=x web sh -e AWS_PROFILE=x"),
        ("--cap CAP_NET_ADMIN --cap=CAP_KILL -c net_raw web sh", ""),
        ("--cap CAP_NET_ADMIN --cap=CAP_KILL --cap cap_net_raw web sh", "--cap=CAP_KILL web sh"),
        ("-c CAP_NET_RAW web sh --cap CAP_NET_ADMIN", "web sh --cap CAP_NET_ADMIN"),
    ] {
        let args: Vec<&str> = ["exec"].into_iter().chain(given.split(' ')).collect();
        if left.is_empty() {
            // Both forms of one flag: runc says "Cannot use two forms of the same flag".
            let said = host.shim(&args);
            assert!(
                said.status == 1 && said.err.contains("cannot read the command line with certainty"),
                "{given}: {}",
                said.err
            );
            continue;
        }
        host.shim(&args).must();
        let call = host.call();
        assert_eq!(call.words()[3..].join(" "), left, "{given}");
    }
    // By the shape of the value, and a secret beside a key id.
    let id = format!("X={}IOSFODNN7EXAMPLE", "AKIA");
    let secret = format!("Y=wJalrXUtnFEMI{}bPxRfiCYEXAMPLEKEY", "/K7MDENG/");
    let call = exec(&host, &["-e", &id, "-e", "Z=1", "-e", &secret, "web", "sh"]);
    assert_eq!(call.words()[2..], ["exec", "-e", "Z=1", "web", "sh"]);
}

#[test]
fn a_process_file_and_flags_are_filtered_in_one_call() {
    let host = host();
    let file = host.write("process.json", process().to_string());
    let call = exec(&host, &["-e", "AWS_PROFILE=x", "--process", &file, "--cap", "CAP_NET_RAW", "web"]);
    assert_eq!(differences(&process(), &call.process()), changes());
    let words = call.words();
    assert_eq!((words[3], words[5], words.len()), ("--process", "web", 6));
}

#[test]
fn the_runtime_inherits_no_credential() {
    let host = host();
    let root = host.at("root");
    let mut command = host.command(shim());
    command
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .env("aws_profile", "x")
        .env("AWS_REGION", "x")
        .env("LISTEN_FDS", "1");
    say(command.args(["--root", &root, "exec", "web", "sh"])).must();
    let names: Vec<String> =
        host.call().env.iter().map(|e| e.to_str().unwrap().split('=').next().unwrap().to_owned()).collect();
    let mut names = names;
    names.sort();
    assert_eq!(names, ["AWS_REGION", "OCI_ISOLATE_CONFIG", "PATH"]);
}

#[test]
fn a_container_that_is_not_isolated_gets_everything_as_it_is() {
    let host = host();
    let file = host.write("process.json", process().to_string());
    let call = exec(&host, &["--process", &file, "-e", SECRET, "--cap", "CAP_NET_ADMIN", "other"]);
    assert_eq!(
        call.words()[2..],
        ["exec", "--process", &file, "-e", SECRET, "--cap", "CAP_NET_ADMIN", "other"]
    );
    assert_eq!(call.process(), process());
    let other_root = host.at("elsewhere");
    say(host.command(shim()).args(["--root", &other_root, "exec", "-e", SECRET, "web", "sh"])).must();
    assert_eq!(host.call().words()[2..], ["exec", "-e", SECRET, "web", "sh"]);
}

#[test]
fn the_settings_of_today_count() {
    let host = host();
    host.settings("[credentials]\nremove = [\"MINE\"]\nkeep = [\"AWS_PROFILE\"]");
    let call = exec(&host, &["-e", "MINE=x", "-e", "AWS_PROFILE=x", "web", "sh"]);
    assert_eq!(call.words()[2..], ["exec", "-e", "AWS_PROFILE=x", "web", "sh"]);
    let asks = ["exec", "--cap", "CAP_SYS_TIME", "web", "sh"];
    let why = "nothing run in container web: host-capabilities: CAP_SYS_TIME is in the bounding set, and it sets the machine's \
               clock; drop --cap-add and --privileged, privileged: true in Kubernetes, or set [rules] host-capabilities = \
               \"strip\" or \"allow\"";
    host.refuses(&asks, why);
    host.settings("[rules]\nhost-capabilities = \"strip\"");
    assert_eq!(exec(&host, &asks[1..]).words()[2..], ["exec", "web", "sh"]);
    host.settings("[rules]\nhost-capabilities = \"allow\"");
    assert_eq!(exec(&host, &asks[1..]).words()[2..], asks);
}

#[test]
fn a_process_file_that_cannot_be_read_with_certainty() {
    let host = host();
    let file = host.at("process.json");
    let refused = |why: &str| {
        let why = why.replace("FILE", &file);
        host.refuses(&["exec", "--process", &file, "web"], &format!("nothing run in container web: {why}"));
    };
    refused("cannot read FILE: No such file or directory (os error 2)");
    for (text, why) in [
        ("", "cannot read FILE with certainty: the file is empty"),
        ("{", "cannot read FILE with certainty: EOF while parsing an object at line 1 column 1"),
        ("[]", "cannot read FILE with certainty: not a process: the JSON is not an object"),
        ("{} {}", "cannot read FILE with certainty: trailing characters at line 1 column 4"),
        (
            r#"{"env":[],"env":[]}"#,
            "cannot read FILE with certainty: member \"env\" is given twice at line 1 column 15",
        ),
        (
            r#"{"Env":[]}"#,
            "cannot read FILE with certainty: member \"Env\" is \"env\" to some decoders and unknown to others at line 1 column 6",
        ),
        (
            r#"{"args":["a\u0000b"]}"#,
            "cannot read FILE with certainty: a string holds a NUL (\\u0000), at which it ends for some decoders at line 1 column 17",
        ),
        (
            r#"{"cwd":"/","user":{"uid":0,"UIDs":1}}"#,
            "unknown-members: member process.user.UIDs is not known; drop it, or set [rules] unknown-members = \"allow\" \
             if no runtime here reads it",
        ),
        (r#"{"env":["A"]}"#, "credentials-env: /process/env/0 has no \"=\""),
        (r#"{"env":7}"#, "cannot read FILE with certainty: wrong type, expected a list at line 1 column 8"),
    ] {
        fs::write(&file, text).unwrap();
        refused(why);
    }
    fs::remove_file(&file).unwrap();
    host.sh("truncate -s 200M ../process.json").must();
    refused("cannot read FILE: 209715200 bytes, at most 134217728 are read");
    fs::remove_file(&file).unwrap();
    host.sh("mkfifo ../process.json").must();
    refused("cannot read FILE: not a regular file");
    fs::remove_file(&file).unwrap();
    host.sh("mkdir ../process.json").must();
    refused("cannot read FILE: not a regular file");
}

#[test]
fn no_value_of_a_variable_is_in_an_error() {
    let host = host();
    let file = host.write("process.json", r#"{"env":"TOKEN=c0ffee"}"#);
    let said = host.shim(&["exec", "--process", &file, "web"]);
    assert_eq!(said.status, 1);
    assert!(!said.err.contains("c0ffee"), "{}", said.err);
}
