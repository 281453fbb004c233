//! Settings that cannot be used: nothing runs, since an unread policy must be noticed. Only what an
//! engine asks about the runtime itself is answered.

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{isolated, plain};
use test_support::shim;

const VERBS: [&[&str]; 4] = [&["create", "web"], &["start", "web"], &["state", "web"], &["list"]];

#[track_caller]
fn refused(host: &RecorderHost, why: &str) {
    host.config(&plain());
    for args in VERBS {
        host.refuses(args, why);
    }
}

#[test]
fn a_key_that_nobody_knows_and_wrong_types_are_named_by_line() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    let known = "`runtime`, `mode`, `annotations`, `require`, `refuse`, `platform`, `firewall`, `links`, `joiners`, `restore`, `credentials`, `seccomp`, `ingress`, `peers`, `openings`, `job`, `audit`, `attempts`, `statement`, `rules`";
    for (text, why) in [
        ("moed = \"always\"", format!("line 2: unknown field `moed`, expected one of {known}")),
        (
            "mode = \"sometimes\"",
            "line 2: unknown variant `sometimes`, expected `annotation` or `always`".into(),
        ),
        ("mode = 1", "line 2: wanted string or table".into()),
        ("mode = ", "line 2: string values must be quoted, expected literal string".into()),
        ("annotations = \"x\"", "line 2: invalid type: string \"x\", expected a sequence".into()),
        ("[credentials]\nremoev = []", "line 3: unknown field `remoev`, expected `remove` or `keep`".into()),
        ("[[require]]\nannotation = \"a\"", "line 2: missing field `matches`".into()),
        (
            "[audit]\nformat = \"ocsf\"",
            "line 3: unknown field `format`, expected one of `file`, `journal`, `required`, `passed-through`"
                .into(),
        ),
        ("[audit]\nrequired = true", "audit: required, and no file is named and no journal = true".into()),
    ] {
        host.settings(text);
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn openings_that_no_annotation_could_have() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    for (text, why) in [
        ("ingress = \"0\"", "openings.ingress: \"0\": \"0\" is not a valid port; ports go from 1 to 65535"),
        (
            "peers = \"8.8.8.8\"",
            "openings.peers: \"8.8.8.8\" is not within what the settings allow (peers.within)",
        ),
        (
            "job = \"\"",
            "openings.job: \"\" is not a valid name of a job: 1 to 128 letters, digits and . _ / : -",
        ),
    ] {
        host.settings(&format!("[openings]\n{text}"));
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn statements_without_a_file_of_their_own() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    for (text, why) in [
        ("file = \"statements\"", "statement.file: statements is not the absolute path of a file"),
        ("file = \"/\"", "statement.file: / is not the absolute path of a file"),
    ] {
        host.settings(&format!("[statement]\n{text}"));
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn attempts_that_cannot_be_counted() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    for (text, why) in [
        ("destinations = 0", "attempts.destinations: 0 is not within 1 to 16384"),
        ("destinations = 16385", "attempts.destinations: 16385 is not within 1 to 16384"),
        ("counts = true", "line 3: unknown field `counts`, expected `count` or `destinations`"),
    ] {
        host.settings(&format!("[attempts]\n{text}"));
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn times_of_jobs_that_are_none() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    for (text, why) in [
        ("hold = \"5s\"", "job.hold: \"5s\" is not within 1ms to 4s"),
        ("lease = \"1m 59s\"", "job.lease: \"1m 59s\" is not within 2m to 1day"),
        (
            "hold = \"2\"",
            "line 3: \"2\" is no time, such as \"2s\" or \"5m\": time unit needed, for example 2sec or 2ms",
        ),
    ] {
        host.settings(&format!("[job]\n{text}"));
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn runtimes_that_are_none() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    for (text, why) in [
        ("runtime = []", "runtime: empty list; name at least one low-level runtime, such as \"runc\""),
        ("runtime = [\"bin/runc\"]", "runtime: bin/runc is neither a name nor an absolute path"),
    ] {
        host.write("config.toml", text);
        refused(&host, &format!("cannot use the settings {path}: {why}"));
    }
}

#[test]
fn a_file_that_is_named_and_missing_a_directory_a_fifo_no_text() {
    let host = RecorderHost::new();
    let path = host.at("config.toml");
    std::fs::remove_file(&path).unwrap();
    refused(
        &host,
        &format!("cannot use the settings: cannot read {path}: No such file or directory (os error 2)"),
    );
    std::fs::create_dir(&path).unwrap();
    refused(&host, &format!("cannot use the settings: cannot read {path}: not a regular file"));
    std::fs::remove_dir(&path).unwrap();
    host.sh("mkfifo ../config.toml").must();
    refused(&host, &format!("cannot use the settings: cannot read {path}: not a regular file"));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("config.toml", &path).unwrap();
    refused(
        &host,
        &format!(
            "cannot use the settings: cannot read {path}: Too many levels of symbolic links (os error 40)"
        ),
    );
    std::fs::remove_file(&path).unwrap();
    host.write("config.toml", b"mode = \"\xff\"");
    refused(&host, &format!("cannot use the settings {path}: not UTF-8"));
    host.sh("truncate -s 5M ../config.toml").must();
    refused(
        &host,
        &format!("cannot use the settings: cannot read {path}: 5242880 bytes, at most 4194304 are read"),
    );
}

#[test]
fn a_default_file_that_is_a_dangling_link_is_not_a_missing_one() {
    let host = RecorderHost::new();
    host.config(&plain());
    host.sh("mount -t tmpfs tmpfs /etc; mkdir /etc/oci-isolate; ln -s nowhere /etc/oci-isolate/config.toml")
        .must();
    host.refuses_with(
        |command| {
            command.env_remove("OCI_ISOLATE_CONFIG");
        },
        &["create", "web"],
        "cannot use the settings: cannot read /etc/oci-isolate/config.toml: No such file or directory (os error 2)",
    );
}

#[test]
fn a_file_that_its_caller_may_not_read() {
    let host = RecorderHost::new();
    host.config(&plain());
    host.sh("chmod 0600 ../config.toml; cp \"$SHIM\" ../shim; chmod 0755 ../shim").must();
    let mut command = host.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(host.at("shim"))
        .args(["state", "web"]);
    let path = host.at("config.toml");
    let err = format!(
        "oci-isolate: cannot use the settings: cannot read {path}: Permission denied (os error 13)\n"
    );
    assert_eq!(say(&mut command), ShimOutput { status: 1, out: String::new(), err });
    assert!(host.calls().is_empty());
}

#[test]
fn a_flag_that_is_none_of_ours() {
    let host = RecorderHost::new();
    host.config(&plain());
    for flag in [
        "--isolate",
        "--isolate=no",
        "--isolate=annotation",
        "--isolate-config",
        "--isolate-config=",
        "--isolated",
    ] {
        let said = say(host.command(shim()).args([flag, "state", "web"]));
        let err = format!(
            "oci-isolate: {flag:?} is not a flag of oci-isolate; its flags are --isolate=always and --isolate-config=PATH\n"
        );
        assert_eq!(said, ShimOutput { status: 1, out: String::new(), err });
    }
    assert!(host.calls().is_empty());
}

#[test]
fn isolated_containers_that_are_there_are_seen_and_ended_by_the_runtime_that_made_them_and_nothing_starts() {
    let host = RecorderHost::new();
    let other = host.at("other-runtime");
    host.sh(&format!("cp ../recorder {other}")).must();
    let file = host.at("config.toml");
    for (settings, why) in [
        ("mode = 1", format!("cannot use the settings {file}: line 1: wanted string or table")),
        (
            "runtime = [\"/nowhere/runc\"]",
            "no low-level runtime found; looked for /nowhere/runc (missing)".into(),
        ),
    ] {
        host.config(&isolated());
        host.settings("");
        host.shim(&["create", "web"]).must();
        host.call();
        host.write("config.toml", settings);
        for args in [
            &["state", "web"][..],
            &["kill", "web", "KILL"],
            &["kill", "--all", "web"],
            &["delete", "--force", "web"],
        ] {
            host.shim(args).must();
            assert_eq!(host.call().words()[2..], *args);
        }
        assert_eq!(host.state(), [""; 0], "delete drops the record");
        // Now it is not known here any more.
        for args in [
            &["state", "web"][..],
            &["delete", "web"],
            &["kill", "web", "KILL"],
            &["list"],
            &["features", "web"],
            &["--version", "create", "web"],
        ] {
            host.refuses(args, &why);
        }
        host.settings("");
        host.config(&isolated());
        host.shim(&["create", "web"]).must();
        host.call();
        host.write("config.toml", settings);
        for args in [&["start", "web"][..], &["exec", "web", "sh"], &["create", "web"], &["run", "web"]] {
            host.refuses(args, &why);
        }
        // Two that were made by different programs, in one call: whose it is is unknown.
        host.write("config.toml", format!("runtime = [\"{other}\"]"));
        host.config(&isolated());
        host.shim(&["create", "KILL"]).must();
        host.call();
        host.write("config.toml", settings);
        host.refuses(&["kill", "web", "KILL"], &why);
        host.sh("rm -r /run/oci-isolate").must();
    }
}

#[test]
fn what_an_engine_asks_of_the_runtime_when_it_starts_is_answered_by_the_one_that_is_found_without_settings() {
    let host = RecorderHost::new();
    host.write("config.toml", "mode = 1");
    for word in ["features", "--version", "-v", "--help", "-h"] {
        let runc = say(host.command("/usr/sbin/runc").arg(word));
        assert!(runc.status == 0 && !runc.out.is_empty(), "{word}: {runc:?}");
        assert_eq!(say(host.command(shim()).arg(word)), runc, "{word}");
    }
    // Settings that can be read say which runtime it is, and another's features would be wrong.
    host.write("config.toml", "runtime = [\"/nowhere/runc\"]");
    for word in ["features", "--version"] {
        host.refuses(&[word], "no low-level runtime found; looked for /nowhere/runc (missing)");
    }
}

#[test]
fn a_runtime_in_whose_place_the_shim_was_put_is_not_asked_to_end_anything() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.shim(&["create", "web"]).must();
    host.call();
    host.sh("rm ../recorder; cp \"$SHIM\" ../recorder").must();
    let ours = format!("{} (oci-isolate itself)", host.at("recorder"));
    host.refuses(&["kill", "web"], &format!("no low-level runtime found; looked for {ours}"));
}
