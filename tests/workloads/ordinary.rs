//! Programs that people run.

use serde_json::json;

use super::container::{Container, works};

/// Waits until `$1` is listened on.
const LISTENS: &str = r#"listens() { python3 -c '
import socket, sys, time
for _ in range(200):
    try: sys.exit(bool(socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()))
    except OSError: time.sleep(0.05)
sys.exit(1)' $1; }
"#;

#[test]
fn python_computes_with_numpy_and_shares_memory_between_processes() {
    let said = works("python3 shared.py", |_| {});
    assert_eq!(
        said,
        "solved True\nfork 499999500000\nspawn 499999500000\nqueue [0, 1, 4, 9]\nmanager 4\nsemaphore True\n"
    );
}

#[test]
fn a_jvm_compiles_serves_and_asks_itself() {
    let said = works("java -version 2>&1 | grep -c Runtime; java Web.java", |_| {});
    assert_eq!(said, "1\n127.0.0.1 said hello\nlocalhost said hello\nthreads 4950\n");
}

#[test]
fn node_serves_and_asks_itself() {
    assert_eq!(
        works("node web.js", |_| {}),
        "127.0.0.1 said hello\nlocalhost said hello\nworker 42\nchild 7\n"
    );
}

#[test]
fn nginx_answers_on_both_loopback_addresses() {
    let script = format!(
        r#"{LISTENS} nginx && listens 80
        for host in 127.0.0.1 '[::1]' localhost; do
            python3 -c 'import sys, urllib.request as u
print(sys.argv[1], u.urlopen(f"http://{{sys.argv[1]}}/").status)' $host
        done; nginx -s quit"#
    );
    assert_eq!(works(&script, |_| {}), "127.0.0.1 200\n[::1] 200\nlocalhost 200\n");
}

#[test]
fn redis_answers_over_loopback_and_a_socket_and_saves() {
    let script = format!(
        r#"{LISTENS} redis-server --daemonize yes --port 6379 --unixsocket /tmp/redis --dir /tmp >/dev/null
        listens 6379; redis-cli set key value; redis-cli -s /tmp/redis get key; redis-cli -h localhost incr count
        redis-cli bgsave; until [ -s /tmp/dump.rdb ]; do sleep 0.05; done; redis-cli shutdown nosave; echo saved"#
    );
    assert_eq!(works(&script, |_| {}), "OK\nvalue\n1\nBackground saving started\nsaved\n");
}

#[test]
fn gcc_builds_programs_that_run() {
    let script = "set -e; gcc -O2 -Wall -Werror -pthread -o /tmp/threads threads.c; /tmp/threads
        gcc -O2 -static -pthread -o /tmp/static threads.c; /tmp/static";
    assert_eq!(works(script, |_| {}), "40000\n40000\n");
}

/// Docker gives such a user the same bounding set and no other.
fn unprivileged(container: &mut Container) {
    let process = &mut container.config["process"];
    process["user"] = json!({ "uid": 1000, "gid": 1000 });
    for set in ["effective", "permitted"] {
        process["capabilities"][set] = json!([]);
    }
}

#[test]
fn a_shell_of_an_unprivileged_user_has_what_shells_have() {
    let script = r#"id -u; umask 022; mkfifo /tmp/pipe; echo through a pipe >/tmp/pipe & cat /tmp/pipe; wait
        trap 'echo caught' TERM; kill -TERM $$; trap - TERM; sleep 5 & kill $!; wait $! || echo $?
        seq 1 1000 | sort -rn | head -n 1; mktemp -d >/dev/null && echo temporary; (ulimit -n 100; ulimit -n)
        touch /etc/x 2>/dev/null || echo 'not root'; cat </proc/self/comm; find /work -name '*.py' | grep -c shared
        echo to stderr >/dev/stderr; grep CapEff /proc/self/status"#;
    let said = works(script, unprivileged);
    let caps = "CapEff:\t0000000000000000\n";
    assert_eq!(
        said,
        format!("1000\nthrough a pipe\ncaught\n143\n1000\ntemporary\n100\nnot root\nsh\n1\n{caps}")
    );
}

#[test]
fn tini_as_init_forwards_signals_and_reaps_orphans() {
    // Background jobs of a shell that is not interactive would ignore INT.
    let script = r#"cat /proc/1/comm; (sh -c 'sleep 0.1 & exit 0'); sleep 0.4; grep -l '^State:.Z' /proc/[0-9]*/status
        trap 'echo forwarded; exit 0' TERM; kill -TERM 1; while :; do sleep 0.05; done"#;
    let said = works("", |container| {
        let shell = container.config["process"]["args"][2].as_str().unwrap().to_owned() + script;
        container.config["process"]["args"] = json!(["/usr/bin/tini", "--", "/bin/sh", "-c", shell]);
    });
    assert_eq!(said, "tini\nforwarded\n");
}

#[test]
fn gdb_starts_a_program_and_attaches_to_a_running_one() {
    let script = r#"set -e; gcc -g -O0 -o /tmp/traced traced.c; cd /tmp
        gdb -q -batch -ex 'break answer' -ex run -ex 'print question' -ex finish -ex continue ./traced 2>/dev/null | grep '^\$1'
        ./traced wait >/tmp/started & child=$!; until [ -s /tmp/started ]; do sleep 0.05; done
        gdb -q -batch -p $child -ex 'print waiting' -ex 'set var waiting = 0' 2>/dev/null | grep '^\$1'
        wait $child; echo "it ended with $?""#;
    assert_eq!(works(script, |_| {}), "$1 = 6\n$1 = 1\nit ended with 0\n");
}
