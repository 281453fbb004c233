//! `mount-sockets`.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use test_support::bench::{Bench, TOKEN, datagram, listen, mount, refused};
use test_support::findings::Findings;

const CONNECT: &str = "perl /connect.pl /in.sock";

#[test]
fn a_socket_answers_through_a_read_only_mount_and_is_refused() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    let real = bench.dir("run").join("engine.sock");
    listen(&real);
    let link = bench.host.dir().join("harmless");
    symlink("run", bench.host.dir().join("alias")).unwrap();
    symlink("alias/engine.sock", &link).unwrap();
    for source in [&real, &link] {
        let mut spec = bench.spec(CONNECT);
        mount(&mut spec, source, "/in.sock", &["bind", "ro"]);
        let open = bench.open(&spec);
        findings.claim(open.out == TOKEN, format!("it is not open without the shim: {open}"));
        let closed = bench.closed(&spec);
        let words = format!("of /in.sock is a socket; drop -v {}", source.display());
        findings.about("mount", refused(&closed, &words).err().into_iter().collect());
        let stripped = bench.closed_with("[rules]\nmount-sockets = \"strip\"\n", &spec);
        findings.claim(stripped.err.starts_with("refused:"), format!("not stripped: {stripped}"));
        let allowed = bench.closed_with("[rules]\nmount-sockets = \"allow\"\n", &spec);
        findings.claim(allowed.out == TOKEN, format!("not allowed: {allowed}"));
    }
    findings.settle();
}

#[test]
fn a_socket_in_a_directory_is_covered_and_one_that_was_left_is_not() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    let shared = bench.dir("shared");
    drop(UnixListener::bind(shared.join("left.sock")).unwrap());
    let script = "perl /connect.pl /mnt/a/b/late.sock || ls /mnt";
    let spec = |options: &[&str]| {
        let mut spec = bench.spec(script);
        mount(&mut spec, &shared, "/mnt", options);
        spec
    };
    let fine = bench.closed(&spec(&["rbind", "rprivate"]));
    findings.claim(fine.out.contains("left.sock"), format!("a socket of no process is refused: {fine}"));

    std::fs::create_dir_all(shared.join("a/b")).unwrap();
    listen(&shared.join("a/b/late.sock"));
    for options in [&["rbind", "rprivate"][..], &["rbind", "ro"]] {
        let open = bench.open(&spec(options));
        findings.claim(open.out == TOKEN, format!("it is not open without the shim: {open}"));
        let closed = bench.closed(&spec(options));
        let is_refused = closed.err.contains("Connection refused") && closed.out.contains("left.sock");
        findings.claim(is_refused, format!("not closed: {closed}"));
    }
    findings.settle();
}

#[test]
fn a_socket_deep_in_a_huge_directory_is_found_wherever_its_owner_is() {
    let bench = Bench::new();
    let huge = bench.dir("huge");
    for number in 0..3000 {
        std::fs::write(huge.join(number.to_string()), "").unwrap();
    }
    std::fs::create_dir_all(huge.join("z/z")).unwrap();
    // Its owner is not in the network namespace of the throw-away host.
    listen(&huge.join("z/z/log.sock"));
    let mut spec = bench.spec("perl /connect.pl /mnt/z/z/log.sock");
    mount(&mut spec, &huge, "/mnt", &["rbind", "rprivate"]);
    assert_eq!(bench.open(&spec).out, TOKEN);
    let closed = bench.closed(&spec);
    assert!(closed.err.contains("Connection refused"), "{closed}");
}

#[test]
fn datagram_sockets_and_fifos_are_refused_too() {
    let bench = Bench::new();
    let log = bench.dir("log").join("dev-log");
    let _ours = datagram(&log);
    let mut spec = bench.spec("logger -t probe hello; echo sent");
    mount(&mut spec, &log, "/dev/log", &["bind"]);
    assert_eq!(bench.open(&spec).out, "sent");
    refused(&bench.closed(&spec), "of /dev/log is a socket").unwrap();

    let fifo = bench.host.at("log/fifo");
    bench.host.sh(&format!("mkfifo {fifo}")).must();
    let mut spec = bench.spec("echo out of here 1<>/in.fifo");
    mount(&mut spec, fifo.as_ref(), "/in.fifo", &["bind"]);
    assert!(bench.open(&spec).well());
    refused(&bench.closed(&spec), "of /in.fifo is a FIFO").unwrap();
}
