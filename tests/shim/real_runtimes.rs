//! Real runc and crun behind the shim: what a caller sees of a container that is not isolated is the same with it and
//! without it.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{plain, put};
use test_support::shim;

pub(crate) const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// What stands in a container's environment, besides its PATH.
const CREDENTIALS: [&str; 3] =
    ["AWS_SECRET_ACCESS_KEY=x", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x", "KEPT=1"];

pub(crate) fn host(runtime: &str) -> RecorderHost {
    let host = RecorderHost::new();
    let rootfs = "cd rootfs; mkdir bin proc sys dev etc tmp; cp /bin/busybox bin; cd bin
        for applet in sh cat sleep env ip ping ls kill stty tty id head wget nc true grep; do ln -s busybox $applet; done
        mkdir ../../../root";
    host.sh(rootfs).must();
    host.write("config.toml", format!("runtime = [{runtime:?}]"));
    host
}

/// A bundle beside the first one, with the same root file system, whose program is this shell script.
pub(crate) fn bundle(host: &RecorderHost, name: &str, script: &str, change: impl FnOnce(&mut Value)) {
    let mut config = plain();
    put(&mut config, "/root/path", json!(host.at("bundle/rootfs")));
    put(&mut config, "/process/args", json!(["/bin/sh", "-c", script]));
    let env: Vec<&str> = ["PATH=/bin"].into_iter().chain(CREDENTIALS).collect();
    put(&mut config, "/process/env", json!(env));
    put(&mut config, "/linux/cgroupsPath", json!(format!("{}/{name}", group(host))));
    let caps = json!(["CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW"]);
    put(
        &mut config,
        "/process/capabilities",
        json!({"bounding": caps, "effective": caps, "permitted": caps}),
    );
    change(&mut config);
    fs::create_dir_all(host.at(name)).unwrap();
    host.write(&format!("{name}/config.json"), config.to_string());
}

fn group(host: &RecorderHost) -> String {
    format!("/{}", host.at("").trim_end_matches('/').rsplit('/').next().unwrap())
}

/// Runs a script in which `$R` is a runtime with its root, and `$D` the host's directory. It is a fresh root each time.
pub(crate) fn script(host: &RecorderHost, program: &str, text: &str) -> ShimOutput {
    let said = say(host
        .command("sh")
        .args(["-c", text])
        .env("R", format!("{program} --root {}", host.at("root")))
        .env("D", host.at("")));
    // Control groups outlive the host.
    let group = group(host);
    host.sh(&format!(
        "rm -rf ../root; find /sys/fs/cgroup/*{group} -depth -type d -exec rmdir {{}} + 2>/dev/null || true"
    ))
    .must();
    said
}

/// Runs the script with the bare runtime and with the shim, and asserts that there is no difference; returns the output.
#[track_caller]
pub(crate) fn same(host: &RecorderHost, runtime: &str, text: &str) -> ShimOutput {
    let shim = shim();
    let (direct, shimmed) = (script(host, runtime, text), script(host, shim.to_str().unwrap(), text));
    // crun says its own name as it was called.
    assert_eq!(shimmed, direct, "{runtime}");
    assert_eq!(host.sh("ls /run | grep oci-isolate || true").must(), "");
    direct
}

#[test]
fn run_has_the_programs_input_output_and_status() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(
            &host,
            "a",
            "cat; echo out; echo err >&2; env | grep KEY; ip -o link | head -1; exit 7",
            |_| {},
        );
        let said = same(&host, runtime, "echo input | $R run -b $D/a web; echo $?; ls $D/a");
        assert_eq!(said.err, "err\n");
        assert!(
            said.out.starts_with("input\nout\nAWS_SECRET_ACCESS_KEY=x\n1: lo:")
                && said.out.ends_with("\n7\nconfig.json\n"),
            "{}",
            said.out
        );
    }
}

#[test]
fn a_program_that_is_killed_and_one_that_is_not_there_end_alike() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "while :; do sleep 0.05; done", |_| {});
        bundle(&host, "b", "", |config| put(config, "/process/args", json!(["/nowhere"])));
        let said = same(&host, runtime, "$R run -b $D/a one & pid=$!
            until $R state one 2>/dev/null | grep -q running; do sleep 0.02; done; $R kill one KILL; wait $pid; echo $?
            $R run -b $D/b two >/dev/null 2>&1; echo $?; $R state two >/dev/null 2>&1; echo $?");
        assert_eq!(said.out.lines().next(), Some("137"), "{said:?}");
    }
}

#[test]
fn signals_reach_the_program() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(
            &host,
            "a",
            "trap 'echo term; exit 5' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done",
            |_| {},
        );
        let text = "rm -f $D/out; $R run -b $D/a web >$D/out 2>&1 & pid=$!
            until grep -q ready $D/out 2>/dev/null; do sleep 0.02; done
            until grep -q hup $D/out 2>/dev/null; do kill -HUP $pid; sleep 0.2; done
            while kill -TERM $pid 2>/dev/null; do sleep 0.2; done; wait $pid; echo $?; uniq $D/out";
        assert_eq!(same(&host, runtime, text).out, "5\nready\nhup\nterm\n");
    }
}

#[test]
fn a_container_is_created_started_entered_killed_and_deleted_alike() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "echo started; while :; do sleep 0.05; done", |_| {});
        let text = r#"state() { $R state web | grep -o '"status": *"[a-z]*"'; }
            $R create -b $D/a --pid-file $D/pid web </dev/null >$D/out 2>&1; echo $?
            state; cat $D/out
            $R start web; echo $?
            until grep -q started $D/out 2>/dev/null; do sleep 0.02; done
            state; [ -d /proc/$(cat $D/pid) ]; echo $?
            $R exec -e AWS_PROFILE=x -e X=1 web /bin/sh -c 'env | grep -E "AWS_PROFILE|X="; cat; exit 4' </dev/null; echo $?
            echo '{"args":["/bin/env"],"env":["AWS_TOKEN=x"],"cwd":"/"}' >$D/process.json
            $R exec --process $D/process.json web | grep AWS_TOKEN; echo $?
            $R exec --detach --pid-file $D/pid2 web /bin/sleep 100 </dev/null >/dev/null 2>&1; echo $?; [ -s $D/pid2 ]; echo $?
            $R kill web KILL; echo $?
            until state | grep -q stopped; do sleep 0.02; done
            $R delete web; echo $?; $R delete web >/dev/null 2>&1; echo $?; $R delete --force web >/dev/null 2>&1; echo $?
            $R state web >/dev/null 2>&1; echo $?; ls -A $D/root"#;
        let said = same(&host, runtime, text);
        assert!(
            said.out.contains("\"running\"")
                && said.out.contains("AWS_PROFILE=x\n")
                && said.out.contains("AWS_TOKEN=x\n"),
            "{said:?}"
        );
    }
}

#[test]
fn a_detached_run_writes_its_pid_file_and_lives_on() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "echo started; while :; do sleep 0.05; done", |_| {});
        let text = "$R run --detach --pid-file $D/pid -b $D/a web </dev/null >$D/out 2>&1; echo $?
            until grep -q started $D/out 2>/dev/null; do sleep 0.02; done
            $R ps web >/dev/null; echo $?; [ -d /proc/$(cat $D/pid) ]; echo $?; $R delete --force web; echo $?; cat $D/out";
        assert_eq!(same(&host, runtime, text).out, "0\n0\n0\n0\nstarted\n");
    }
}

#[test]
fn preserved_descriptors_arrive_and_others_do_not() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "cat <&3; cat <&4; ls /proc/self/fd | grep -c .; cat <&5", |_| {});
        host.write("three", "three\n");
        host.write("four", "four\n");
        let text = "$R run --preserve-fds 2 -b $D/a web 3<$D/three 4<$D/four 5<$D/three; echo $?";
        let said = same(&host, runtime, text);
        assert!(said.out.starts_with("three\nfour\n") && !said.out.ends_with("three\n0\n"), "{said:?}");
    }
}

#[test]
fn a_terminal_is_the_programs() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        // Not the size: runc sets it beside the program, which may be faster.
        bundle(&host, "a", "tty; echo done", |config| put(config, "/process/terminal", json!(true)));
        let text = "TERM=xterm script -qec \"$R run -b $D/a web\" /dev/null </dev/null >$D/out; echo $?
            sed 's/\\^@//' $D/out";
        // crun 1.8.1 now and then writes the time before what the program says.
        for program in [runtime, shim().to_str().unwrap()] {
            let said = script(&host, program, text);
            let shows =
                said.out.starts_with("0\n") && said.out.contains("/dev/") && said.out.contains("done");
            assert!(shows, "{program}: {said:?}");
        }
    }
}

#[test]
fn a_console_socket_gets_the_terminal() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "tty >/dev/null && echo terminal", |config| {
            put(config, "/process/terminal", json!(true))
        });
        // The message waits unread, and the terminal in it lives, until the container is gone.
        let talk = |program: &str| {
            let socket = host.at("console");
            let _ = fs::remove_file(&socket);
            let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            std::thread::scope(|scope| {
                let stream = scope.spawn(|| listener.accept().unwrap().0);
                let text = "$R create --console-socket $D/console -b $D/a web; echo $?; $R start web; echo $?
                    until $R state web | grep -q stopped; do sleep 0.02; done; $R delete web; echo $?";
                let said = script(&host, program, text);
                let mut name = [0; 64];
                let length = stream.join().unwrap().read(&mut name).unwrap();
                (said, String::from_utf8_lossy(&name[..length]).into_owned())
            })
        };
        let direct = talk(runtime);
        assert_eq!(talk(shim().to_str().unwrap()), direct, "{runtime}");
        assert!(!direct.1.is_empty() && direct.0.out == "0\n0\n0\n", "{direct:?}");
    }
}

#[test]
fn what_engines_ask_a_runtime_first_is_answered_alike() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        for call in [
            "$R --version",
            "$R features",
            "$R list",
            "$R list --format json",
            "$R state web",
            "$R spec -b $D; head -3 $D/config.json",
            "$R kill web KILL",
            "$R start web",
            "$R exec web true",
            "$R ps web",
            "$R nonsense",
        ] {
            let text = format!(
                "cd $D; rm -f config.json; ({call}) >out 2>err; echo $?; cat out; sed 's/time=\"[^\"]*\"//; s/^[0-9TZ:.-]*: //; s/{}/THE RUNTIME/g' err",
                shim().to_str().unwrap().replace('/', "\\/")
            );
            same(&host, runtime, &text);
        }
    }
}
