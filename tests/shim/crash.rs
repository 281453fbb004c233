//! `kill -9` of the shim at each of its system calls: config.json is the old or the new one, never half of one, and
//! the next call is not held up by what was left.

use std::fs;

use serde_json::json;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, isolated_with};
use test_support::shim;

/// A call of the shim under strace(1), which kills it at the entry of a system call.
fn traced(host: &RecorderHost, inject: &[&str], args: &[&str]) -> i32 {
    let mut command = host.command("strace");
    command.args(["-f", "-qq", "-o"]).arg(host.at("trace")).args(inject).arg(shim());
    command.arg("--root").arg(host.at("root")).args(args);
    say(&mut command).status
}

/// The system calls from the first that touches a file of ours to the exec of the runtime: each by its name and by how
/// often it was called before, which is how strace counts.
fn steps(host: &RecorderHost, args: &[&str]) -> Vec<(String, usize)> {
    assert_eq!(traced(host, &[], args), 0);
    let trace = fs::read_to_string(host.at("trace")).unwrap();
    let (first, last) = (host.at("config.toml"), host.at("recorder"));
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut steps = Vec::new();
    for line in trace.lines() {
        // "1234  openat(AT_FDCWD, ..."
        let Some((name, _)) = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('))
        else {
            continue;
        };
        let count = counts.entry(name).and_modify(|count| *count += 1).or_insert(1);
        if !steps.is_empty() || line.contains(&first) {
            // strace does not count the execve that starts the program.
            steps.push((name.to_owned(), if name == "execve" { *count - 1 } else { *count }));
        }
        if name == "execve" && line.contains(&last) || name == "clone3" || name == "vfork" {
            return steps;
        }
    }
    panic!("the runtime is not called: {trace}");
}

/// Kills the shim at each step, and looks.
fn killed_at_each_step(args: &[&str], prepare: impl Fn(&RecorderHost), look: impl Fn(&RecorderHost, &str)) {
    let host = RecorderHost::new();
    prepare(&host);
    let steps = steps(&host, args);
    assert!(steps.len() > 10, "{steps:?}");
    for (name, count) in steps {
        host.sh("rm -rf /run/oci-isolate ../calls ./.config*; mkdir ../calls").must();
        prepare(&host);
        let status = traced(&host, &["-e", &format!("inject={name}:signal=KILL:when={count}")], args);
        let step = format!("{name} {count}");
        assert_eq!(status, 128 + 9, "{step}");
        look(&host, &step);
    }
}

fn old() -> serde_json::Value {
    isolated_with("/process/env", json!(["PATH=/bin", "AWS_PROFILE=x"]))
}

#[test]
fn create_leaves_the_old_file_or_the_new_one_and_the_next_create_works() {
    let new = {
        let host = RecorderHost::new();
        host.config(&old());
        host.shim(&["create", "web"]).must();
        host.call().config.unwrap()
    };
    killed_at_each_step(
        &["create", "web"],
        |host| host.config(&old()),
        |host, step| {
            let found = fs::read_to_string(host.at("bundle/config.json")).unwrap();
            assert!([old().to_string(), new.clone()].contains(&found), "{step}: {found}");
            // What could be half written is hidden, and no other user may read it.
            let left = host.sh("ls -A").must();
            assert!(
                left.lines().all(|name| matches!(name, "config.json" | "rootfs")
                    || name.starts_with(".config.json.oci-isolate-")),
                "{step}: {left}"
            );
            // A container that the runtime might have seen has a record.
            assert!(found != new || host.outside(&host.record("web")).exists(), "{step}");
            assert!(host.calls().is_empty(), "{step}");
            host.shim(&["create", "web"]).must();
            assert_eq!(host.call().config.unwrap(), new, "{step}");
            assert_eq!(host.read_record("web")["id"], json!("web"));
        },
    );
}

#[test]
fn where_the_file_system_has_no_unnamed_files_the_new_one_has_a_name_and_leaves_none() {
    let host = RecorderHost::new();
    let create = |inject: &[&str]| {
        host.sh("rm -rf /run/oci-isolate ../calls; mkdir ../calls").must();
        host.config(&old());
        let status = traced(&host, inject, &["create", "web"]);
        (status, fs::read_to_string(host.at("trace")).unwrap())
    };
    let (status, trace) = create(&[]);
    // strace counts the calls of each process.
    let unnamed = trace.lines().find(|line| line.contains("O_TMPFILE")).expect("a file without a name");
    let process = unnamed.split(' ').next().unwrap();
    let opens = trace.lines().filter(|line| line.starts_with(process) && line.contains("openat("));
    let at = opens.take_while(|line| *line != unnamed).count();
    let new = host.call().config.unwrap();
    let named = |trace: &str| {
        trace.lines().any(|line| line.contains("O_EXCL") && line.contains(".config.json.oci-isolate-"))
    };
    assert_eq!((status, named(&trace)), (0, false), "{trace}");
    let unsupported = format!("inject=openat:error=EOPNOTSUPP:when={}", at + 1);
    let (status, trace) = create(&["-e", &unsupported]);
    assert_eq!(status, 0, "{trace}");
    assert!(trace.contains("(INJECTED)") && named(&trace), "{trace}");
    assert_eq!(host.call().config.unwrap(), new);
    // A refusal that comes after the new file was made leaves the old one alone.
    let (status, trace) = create(&["-e", &unsupported, "-e", "inject=fdatasync:error=EIO"]);
    assert_eq!(status, 1, "{trace}");
    assert_eq!(fs::read_to_string(host.at("bundle/config.json")).unwrap(), old().to_string());
    assert_eq!(host.sh("ls -A").must(), "config.json\nrootfs\n");
}

#[test]
fn run_leaves_the_old_file_or_the_new_one_and_the_id_is_free_for_others() {
    killed_at_each_step(
        &["run", "web"],
        |host| host.config(&old()),
        |host, step| {
            let found = host.read_config();
            let hooks = found["hooks"].is_object();
            assert_eq!(found["process"]["env"][1] != json!("AWS_PROFILE=x"), hooks, "{step}: {found}");
            // The next container of that id has nothing to do with isolation.
            host.config(&test_support::recorded::spec::plain());
            host.shim(&["create", "web"]).must();
            assert_eq!(host.call().config(), test_support::recorded::spec::plain(), "{step}");
            assert!(!host.outside(&host.record("web")).exists(), "{step}");
        },
    );
}

#[test]
fn delete_leaves_a_record_or_none_and_the_next_delete_works() {
    killed_at_each_step(
        &["delete", "web"],
        |host| {
            host.config(&isolated());
            host.shim(&["create", "web"]).must();
            host.call();
        },
        |host, step| {
            assert!(host.outside(&host.record("web")).exists(), "{step}");
            host.shim(&["delete", "web"]).must();
            assert_eq!(host.state(), [""; 0], "{step}");
        },
    );
}
