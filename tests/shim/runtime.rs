//! Which program stands behind the shim.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, plain};
use test_support::shim;

#[track_caller]
fn refused(host: &RecorderHost, looked: &str) {
    let why = format!("no low-level runtime found; looked for {looked}");
    for config in [plain(), isolated()] {
        host.config(&config);
        for args in [&["create", "web"][..], &["state", "web"], &["delete", "web"], &["--version"]] {
            host.refuses(args, &why);
        }
    }
}

fn settings(host: &RecorderHost, runtimes: &[&str]) {
    host.write("config.toml", format!("runtime = {runtimes:?}"));
}

#[test]
fn one_that_is_missing_is_named_with_every_place_that_was_looked_at() {
    let host = RecorderHost::new();
    settings(&host, &["/nowhere/runc", "no-such-runtime"]);
    let places = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/run/current-system/sw/bin",
        "/usr/libexec/oci",
    ];
    let looked: Vec<_> = places.iter().map(|place| format!("{place}/no-such-runtime (missing)")).collect();
    refused(&host, &format!("/nowhere/runc (missing), {}", looked.join(", ")));
}

#[test]
fn one_that_is_not_executable() {
    let host = RecorderHost::new();
    let file = host.write("file", "");
    let directory = host.at("bundle");
    settings(&host, &[&file, &directory]);
    refused(&host, &format!("{file} (not executable), {directory} (not executable)"));
}

#[test]
fn ourselves_through_a_link_or_under_another_name() {
    let host = RecorderHost::new();
    let ours = shim().to_str().unwrap().to_owned();
    let link = host.at("runc");
    host.sh("ln -s \"$SHIM\" ../runc; touch ../bound; mount --bind \"$SHIM\" ../bound").must();
    let bound = host.at("bound");
    settings(&host, &[&ours, &link, &bound]);
    let looked = [ours, link, bound].map(|path| format!("{path} (oci-isolate itself)"));
    refused(&host, &looked.join(", "));
}

/// Two builds before each other: only the first itself skips it.
#[test]
fn two_builds_that_take_each_other_for_the_runtime_notice() {
    let host = RecorderHost::new();
    host.config(&plain());
    let (one, two) = (host.at("one"), host.at("two"));
    // A program is as good with something behind its end, and is another one.
    host.sh("cp \"$SHIM\" ../one; cp \"$SHIM\" ../two; echo one >>../one; echo 2 >>../two").must();
    let call = |program: &str| say(host.command("timeout").args(["60", program, "state", "web"]));
    settings(&host, &[&one, &two]);
    let why = [
        format!("{one} (oci-isolate itself), {two} (another build of oci-isolate)"),
        format!("{one} (another build of oci-isolate), {two} (oci-isolate itself)"),
    ];
    let said = call(&one);
    let why = why.map(|why| format!("oci-isolate: no low-level runtime found; looked for {why}\n"));
    assert!(said.status == 1 && why.contains(&said.err), "{said:?}");
    // They find what is behind them.
    settings(&host, &[&one, &two, &host.at("recorder")]);
    for program in [&one, &two] {
        let said = call(program);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{program}");
        assert_eq!(host.call().words(), ["state", "web"]);
    }
}

#[test]
fn the_first_that_can_be_used_is() {
    let host = RecorderHost::new();
    let file = host.write("file", "");
    settings(&host, &["/nowhere", &file, shim().to_str().unwrap(), &host.at("recorder")]);
    host.config(&plain());
    host.shim(&["create", "web"]).must();
    host.call();
}

#[test]
fn a_name_is_looked_for_where_runtimes_are_also_without_a_path() {
    let host = RecorderHost::new();
    host.config(&plain());
    // The shim is installed as runc before the real one.
    let install = "mount -t tmpfs tmpfs /usr/local; mkdir /usr/local/sbin /usr/local/bin /usr/local/bin/calls; \
        cp \"$SHIM\" /usr/local/sbin/runc; cp ../recorder /usr/local/bin/runc";
    host.sh(install).must();
    fs::remove_file(host.at("config.toml")).unwrap();
    for path in [None, Some(""), Some("/usr/local/sbin")] {
        let mut command = host.command("/usr/local/sbin/runc");
        command.env_remove("PATH").env_remove("OCI_ISOLATE_CONFIG").envs(path.map(|path| ("PATH", path)));
        say(command.args(["create", "web"])).must();
    }
    assert_eq!(host.sh("ls /usr/local/bin/calls").must(), "0\n1\n2\n");
}

#[test]
fn one_that_cannot_be_executed_leaves_no_record() {
    let host = RecorderHost::new();
    let odd = host.write("odd", "no program\n");
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).unwrap();
    settings(&host, &[&odd]);
    // Of an isolated container's it is asked first what it knows of system calls.
    for (config, verb) in [(plain(), "exec"), (isolated(), "run")] {
        host.config(&config);
        let said = host.shim(&["create", "web"]);
        let why = format!(
            "oci-isolate: container web not created: cannot {verb} {odd}: Exec format error (os error 8)\n"
        );
        assert_eq!((said.status, said.out.as_str(), said.err), (1, "", why));
        assert_eq!(host.state(), [""; 0]);
    }
}

#[test]
fn its_name_says_how_it_reads_its_arguments() {
    let host = RecorderHost::new();
    host.config(&isolated());
    // crun takes options before the id only: behind it they are operands, which it refuses itself.
    for (name, understood) in [("crun", false), ("runc", true)] {
        host.sh(&format!("cp ../recorder ../{name}; ln -sf {name} ../runtime")).must();
        settings(&host, &[&host.at("runtime")]);
        host.shim(&["create", "web", "--no-new-keyring"]);
        let isolated = host.state().len() == 1;
        assert_eq!(isolated, understood, "{name}");
        host.sh("rm -rf /run/oci-isolate ../calls; mkdir ../calls").must();
    }
}
