//! An API server with one pod, as a list of answers: each request takes the next one, and waits until there is one. It speaks TLS, with
//! a certificate of its own authority.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What a request is answered.
pub(crate) enum Answer {
    /// A document, and its status.
    Document(u16, Value),
    /// Events, and the end of the watch.
    Watch(Vec<Value>),
    /// Events, and the end of the connection.
    Broken(Vec<Value>),
    /// Events, and nothing more.
    Silent(Vec<Value>),
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    more: Condvar,
    /// Request lines, and tokens.
    asked: Mutex<Vec<(String, String)>>,
}

pub(crate) struct Api {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

fn openssl(directory: &Path, words: &str) {
    let mut command = Command::new("openssl");
    let done = command.args(words.split_whitespace()).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Api {
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(path, &format!("req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=ca -days 2"));
        openssl(path, &format!("req {key} -keyout server.key -out server.csr -subj /CN=api"));
        fs::write(path.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        openssl(
            path,
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt -extfile extensions",
        );
        fs::write(path.join("token"), "first").unwrap();
        let chain = vec![CertificateDer::from_pem_file(path.join("server.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(path.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into()), ..Shared::default() });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, shared) = (Arc::clone(&tls), Arc::clone(&own));
                thread::spawn(move || serve(stream.unwrap(), tls, &shared));
            }
        });
        Self { directory, address, shared }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.shared.answers.lock().unwrap().push_back(answer);
        self.shared.more.notify_all();
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.directory.path().join("token")
    }
}

fn serve(stream: TcpStream, tls: Arc<ServerConfig>, shared: &Shared) {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream));
    loop {
        let (mut first, mut token) = (String::new(), String::new());
        // A client that does not trust the certificate ends here.
        if !stream.read_line(&mut first).is_ok_and(|count| count > 0) {
            return;
        }
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: bearer ") {
                value.trim().clone_into(&mut token);
            }
        }
        shared.asked.lock().unwrap().push((first.trim().to_owned(), token));
        let mut answers = shared.answers.lock().unwrap();
        let answer = loop {
            if let Some(answer) = answers.pop_front() {
                break answer;
            }
            let (back, waited) = shared.more.wait_timeout(answers, Duration::from_secs(60)).unwrap();
            assert!(!waited.timed_out(), "no answer for {first}");
            answers = back;
        };
        drop(answers);
        let stream = stream.get_mut();
        if let Answer::Document(status, document) = &answer {
            let body = document.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            stream.flush().unwrap();
            continue;
        }
        let (Answer::Watch(events) | Answer::Broken(events) | Answer::Silent(events)) = &answer else {
            return;
        };
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for event in events {
            let line = format!("{event}\n");
            // In two pieces: a line may come in any.
            let (one, two) = line.split_at(line.len() / 2);
            for piece in [one, two] {
                let _ = stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
                let _ = stream.flush();
            }
        }
        match answer {
            Answer::Watch(_) => {
                let _ = stream.write_all(b"0\r\n\r\n");
                let _ = stream.flush();
            }
            Answer::Broken(_) => return,
            _ => loop {
                thread::park();
            },
        }
    }
}

/// The pod, with what it has beyond its containers.
pub(crate) fn pod(metadata: Value, status: Value) -> Value {
    let mut pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "job-x", "namespace": "team", "resourceVersion": "41" },
        "spec": { "containers": [{ "name": "algorithm" }, { "name": "stage-out" }] }, "status": status,
    });
    if let Value::Object(members) = metadata {
        for (name, value) in members {
            pod["metadata"][name] = value;
        }
    }
    pod
}

/// While its container runs.
pub(crate) fn running() -> Value {
    let state = json!({ "running": { "startedAt": "2026-11-30T06:00:00Z" } });
    pod(json!({}), json!({ "containerStatuses": [{ "name": "algorithm", "state": state }] }))
}

/// While it is not started.
pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({ "waiting": { "reason": reason, "message": message } });
    pod(json!({}), json!({ "containerStatuses": [{ "name": "algorithm", "state": state }] }))
}

/// When it has ended.
pub(crate) fn ended(code: i64, reason: &str) -> Value {
    let times = ("2026-11-30T06:00:00Z", "2026-11-30T06:00:42Z");
    let terminated =
        json!({ "exitCode": code, "reason": reason, "startedAt": times.0, "finishedAt": times.1 });
    pod(
        json!({}),
        json!({ "containerStatuses": [{ "name": "algorithm", "state": { "terminated": terminated } }] }),
    )
}

pub(crate) fn event(kind: &str, object: Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// The API's Status.
pub(crate) fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code })
}
