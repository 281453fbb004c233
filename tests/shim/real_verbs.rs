//! What suites and people ask of real runc and crun beyond an engine's daily calls, and how: the same with the shim and
//! without it.

use std::fs;

use serde_json::json;

use super::real_runtimes::{RUNTIMES, bundle, host, same, script};
use test_support::recorded::spec::{SWITCH, put};
use test_support::shim;

const LOOP: &str = "while :; do sleep 0.05; done";
const WAIT: &str = "until $R state web | grep -q '\"status\": *\"running\"'; do sleep 0.02; done";

/// An isolated container is like any other but for its network and credentials, which are not tested here.
#[test]
fn a_running_container_is_changed_paused_and_looked_at_alike_isolated_or_not() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        let text = r#"limits() { cat /sys/fs/cgroup/memory$G/memory.limit_in_bytes /sys/fs/cgroup/pids$G/pids.max; }
            $R run --detach -b $D/a web </dev/null >/dev/null 2>&1; WAIT; echo $?
            $R update --memory 67108864 --pids-limit 33 web; echo $?; limits
            echo '{"memory": {"limit": 33554432}}' | $R update --resources - web; echo $?; limits
            $R update --memory nonsense web >/dev/null 2>&1; echo $?
            $R pause web; echo $?; until $R state web | grep -q '"paused"'; do sleep 0.02; done; echo paused
            $R resume web; echo $?; $R state web | grep -o '"status": *"[a-z]*"'
            $R events --stats web 2>/dev/null | grep -o '"type":"[a-z]*"\|"limit":33554432' | head -2
            $R ps web | grep -q 'while :'; echo $?; $R list -q
            $R kill --all web KILL; echo $?; $R delete --force web; echo $?; $R list -q"#;
        let group = host.at("").trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
        let text = text.replace("$G", &format!("/{group}/a")).replace("WAIT", WAIT);
        bundle(&host, "a", LOOP, |_| {});
        let said = same(&host, runtime, &text);
        bundle(&host, "a", LOOP, |config| config["annotations"][SWITCH] = json!("true"));
        assert_eq!(script(&host, shim().to_str().unwrap(), &text), said, "{runtime} isolated");
        assert_eq!(host.state(), [""; 0]);
        assert!(said.out.starts_with("0\n0\n67108864\n33\n0\n33554432\n33\n1\n"), "{runtime} {said:?}");
        assert!(said.out.contains("\npaused\n"), "{runtime} {said:?}");
    }
}

/// CRIU is not there, so that what is compared is how that is said.
#[test]
fn checkpoint_and_restore_end_alike() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", LOOP, |_| {});
        bundle(&host, "b", "", |_| {});
        let text = "mkdir -p $D/image; $R run --detach -b $D/a web </dev/null >/dev/null 2>&1; WAIT
            said() { \"$@\" >$D/out 2>&1; echo $?; sed 's/time=\"[^\"]*\"//; s/^[0-9TZ:.-]*: //' $D/out; }
            said $R checkpoint --image-path $D/image --leave-running web
            said $R checkpoint --image-path $D/image web
            said $R restore --image-path $D/image --bundle $D/b other
            $R delete --force web; echo $?; ls $D/image";
        let said = same(&host, runtime, &text.replace("WAIT", WAIT));
        assert!(!said.out.starts_with("0\n"), "CRIU is there, and wants a test of its own: {said:?}");
    }
}

#[test]
fn what_spec_and_features_write_is_the_same_to_the_byte() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        let text = "mkdir -p $D/spec; cd $D/spec; rm -f config.json
            $R spec; echo $?; cat config.json; rm config.json; cd /
            $R spec --bundle $D/spec --rootless; echo $?; cat $D/spec/config.json
            $R spec --bundle $D/spec >/dev/null 2>&1; echo $?; $R features; echo $?";
        let said = same(&host, runtime, text);
        assert!(said.out.matches("\"ociVersion\"").count() >= 2, "{runtime} {said:?}");
    }
}

#[test]
fn the_umask_is_the_callers_for_files_of_the_runtime_and_the_configurations_for_the_program() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        for umask in [None, Some(0o27)] {
            bundle(&host, "a", "umask; while :; do sleep 0.05; done", |config| {
                if let Some(umask) = umask {
                    put(config, "/process/user/umask", json!(umask));
                }
            });
            let text = "rm -rf $D/root; for mask in 077 000 022; do
                (umask $mask; exec $R create -b $D/a --pid-file $D/pid web </dev/null >$D/out 2>&1); echo $?
                $R start web; echo $?; until [ -s $D/out ]; do sleep 0.02; done; cat $D/out
                stat -c %a $D/pid $D/root $D/root/web; $R exec web /bin/sh -c umask; $R delete --force web; rm $D/pid; done";
            let said = same(&host, runtime, text);
            assert!(umask.is_none() || said.out.starts_with("0\n0\n0027\n"), "{runtime} {said:?}");
        }
    }
}

/// Rust puts /dev/null in the place of a descriptor that is missing, as newer Go does
/// (`only_a_missing_stdin_and_an_ignored_sigpipe_look_different`): crun, which stops without one, then goes on.
#[test]
fn a_caller_without_input_or_output_gets_the_same_status_but_from_crun() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        bundle(&host, "a", "read line; exit 7", |_| {});
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let text = format!(
                "($R run -b $D/a web {closed}; echo $?; $R delete --force web 2>&1; $R list -q) </dev/null"
            );
            let shimmed = script(&host, shim().to_str().unwrap(), &text);
            assert!(shimmed.out.starts_with("7\n"), "{runtime} {closed} {shimmed:?}");
            let direct = script(&host, runtime, &text);
            let stops = runtime == "crun" && direct.out.starts_with("1\n");
            assert!(direct == shimmed || stops, "{runtime} {closed} {direct:?} {shimmed:?}");
        }
    }
}

#[test]
fn a_process_that_joins_has_a_terminal_of_its_own() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        let text = "$R run --detach -b $D/a web </dev/null >/dev/null 2>&1; WAIT
            TERM=xterm script -qec \"$R exec -t web /bin/sh -c 'tty; stty -a | grep -o isig; exit 5'\" /dev/null </dev/null >$D/out; echo $?
            tr -d '\\r' <$D/out | sed 's/\\^@//; s/[0-9TZ:.-]*: //'; echo '{\"terminal\":true,\"args\":[\"/bin/sh\",\"-c\",\"tty\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]}' >$D/process.json
            $R exec -t web /bin/true </dev/null >/dev/null 2>&1; echo $?
            $R exec --process $D/process.json --console-socket $D/nowhere --detach web </dev/null >/dev/null 2>&1; echo $?
            $R delete --force web; echo $?";
        let text = text.replace("WAIT", WAIT);
        for (program, isolated) in
            [(runtime, "false"), (shim().to_str().unwrap(), "false"), (shim().to_str().unwrap(), "true")]
        {
            bundle(&host, "a", LOOP, |config| config["annotations"][SWITCH] = json!(isolated));
            let said = script(&host, program, &text);
            let shows = said.out.starts_with("5\n")
                && said.out.contains("/dev/pts/0\n")
                && said.out.contains("isig\n");
            assert!(shows && said.out.ends_with("\n0\n"), "{program}: {said:?}");
        }
    }
}

/// The runtime's own rootless configuration, by a user whose programs are his.
#[test]
fn a_user_runs_containers_alike() {
    for runtime in RUNTIMES {
        let host = host(runtime);
        host.sh("mkdir ../user; cp \"$SHIM\" ../shim; chmod 0755 ../shim; chmod -R a+rX ../bundle; chown -R 1000:1000 ../user").must();
        let user = host.at("user");
        let copy = host.at("shim");
        let talk = |program: &str| {
            // cgroups are root's, and a user's runtime does without.
            let text = "$R spec --rootless --bundle $D/user; cd $D/user; sed -i 's|\"terminal\": true|\"terminal\": false|; s|\"path\": \"rootfs\"|\"path\": \"BUNDLE/rootfs\"|' config.json
                sed -i '0,/\"sh\"/s||\"/bin/sh\", \"-c\", \"id -u; ls /proc/self/fd \\| wc -l; exit 4\"|' config.json
                $R run web; echo $?; $R state web >/dev/null 2>&1; echo $?; ls -A $D/user; rm config.json";
            let mut command = host.command("setpriv");
            command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c"]);
            command.arg(text.replace("BUNDLE", &host.at("bundle")));
            command.env("XDG_RUNTIME_DIR", &user).env("HOME", &user).env("D", host.at("")).env("R", program);
            test_support::recorded::output::say(&mut command)
        };
        let direct = talk(runtime);
        assert_eq!(talk(&copy), direct, "{runtime}");
        assert!(direct.out.starts_with("0\n") && direct.out.contains("\n4\n"), "{runtime} {direct:?}");
        assert!(fs::read_dir(&user).unwrap().count() < 3);
    }
}
