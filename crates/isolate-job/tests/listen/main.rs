//! `isolate-job listen` with unmodified AWS SDKs and with clients that do not behave. `hack/sagemaker-model --prepare` puts boto3 into the cache.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod listener;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use listener::Listener;

#[test]
fn every_operation_on_documents_answers_boto3() {
    Listener::start().python(include_str!("documents.py"));
}

#[test]
fn only_callers_with_a_key_are_answered() {
    Listener::start().python(include_str!("caller.py"));
}

/// What a connection answers until its end, which has to come.
fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}, after {text:?}"),
        _ => text,
    }
}

#[test]
fn a_body_is_received_from_a_known_key_only_and_up_to_its_bound() {
    let listener = Listener::start();
    // Without a signature the answer comes before the body.
    let mut stream = listener.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nX-Amz-Target: SageMaker.ListModels\r\nContent-Length: 4000000\r\n\r\n").unwrap();
    assert!(answer(stream).starts_with("HTTP/1.1 403"));
    // With one, too, if it would be too long; and a chunked one ends at the bound.
    listener.python(include_str!("size.py"));
}

#[test]
fn a_slow_client_is_cut_off_and_others_are_answered_meanwhile() {
    let listener = Listener::start();
    let mut slow: Vec<TcpStream> = (0..100).map(|_| listener.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"POST / HTTP/1.1\r\nHost:").unwrap();
    }
    listener.python("import sys, boto3\nassert boto3.client('sagemaker', endpoint_url=sys.argv[1], region_name='eu-west-1', aws_access_key_id='AKIATEST', aws_secret_access_key='a secret of the tests').list_models()['Models'] == []\nprint('done')\n");
    for stream in slow {
        answer(stream);
    }
}

#[test]
fn a_thousand_requests_are_answered_and_leave_nothing_behind() {
    let listener = Listener::start();
    let before = listener.descriptors();
    listener.python(include_str!("thousand.py"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(listener.descriptors() <= before + 2, "{} descriptors, {before} before", listener.descriptors());
    assert!(listener.resident() < 64 << 10, "{} KiB", listener.resident());
}

#[test]
fn keys_that_others_may_read_are_refused_and_no_secret_is_in_the_error() {
    let listener = Listener::prepare();
    let keys = listener.path("keys.toml");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = listener.command().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("chmod 600") && !said.contains("a secret"), "{said}");
}

#[test]
fn sigterm_ends_it() {
    Listener::start().terminate();
}

#[test]
fn a_request_that_is_under_way_at_sigterm_is_answered() {
    let listener = Listener::start();
    listener.python(include_str!("ending.py"));
    listener.terminate();
}
