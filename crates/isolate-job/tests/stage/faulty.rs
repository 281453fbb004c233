//! A server with one object that misbehaves as it is told, in ways that moto does not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What it does with a GET of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing wrong.
    None,
    /// The first so many are closed in the middle of the body.
    Cut(usize),
    /// The first so many are answered with 503 SlowDown.
    SlowDown(usize),
    /// The first so many are closed without an answer.
    Reset(usize),
    /// It always sends one byte less than it announces.
    Short,
    /// It announces, and sends, one byte more than was asked for.
    Longer,
    /// It ignores the range.
    NoRange,
    /// It answers 412, since the object has changed.
    Changed,
    /// STS answers AccessDenied.
    Role,
    /// STS answers with sessions that have expired.
    Expired,
    /// A second for each tenth of the body.
    Slow,
}

/// The first and the last.
type Bytes = (usize, usize);

/// The server, and how many GETs of the object it has had.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    pub(crate) gets: Arc<AtomicUsize>,
    /// How many sessions of the role there were.
    pub(crate) sessions: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn start(fault: Fault, content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gets = Arc::new(AtomicUsize::new(0));
        let sessions = Arc::new(AtomicUsize::new(0));
        let (content, counted, begun) = (Arc::new(content), Arc::clone(&gets), Arc::clone(&sessions));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (content, counted, begun) =
                    (Arc::clone(&content), Arc::clone(&counted), Arc::clone(&begun));
                std::thread::spawn(move || serve(&stream.unwrap(), fault, &content, &counted, &begun));
            }
        });
        Self { address, gets, sessions }
    }
}

/// Until the connection ends; an error is an end.
fn serve(
    stream: &TcpStream,
    fault: Fault,
    content: &[u8],
    gets: &AtomicUsize,
    sessions: &AtomicUsize,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (line, range, length) = head(&mut reader)?;
        std::io::copy(&mut std::io::Read::take(&mut reader, length), &mut std::io::sink()).ok()?;
        if line.starts_with("POST / ") && fault == Fault::Role {
            let error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not for you</Message></Error></ErrorResponse>";
            answer(stream, "403 Forbidden", "", error.as_bytes())?;
        } else if line.starts_with("POST / ") {
            sessions.fetch_add(1, Ordering::SeqCst);
            let session =
                if fault == Fault::Expired { SESSION.replace("2099", "2020") } else { SESSION.to_owned() };
            answer(stream, "200 OK", "", session.as_bytes())?;
        } else if line.contains("list-type=2") {
            answer(stream, "200 OK", "", listing(content.len()).as_bytes())?;
        } else {
            let count = gets.fetch_add(1, Ordering::SeqCst);
            object(stream, fault, content, range, count)?;
        }
    }
}

fn object(
    mut stream: &TcpStream,
    fault: Fault,
    content: &[u8],
    range: Option<Bytes>,
    count: usize,
) -> Option<()> {
    let (start, end) = range.unwrap_or((0, content.len() - 1));
    let body = &content[start..=end];
    let partial = "206 Partial Content";
    match fault {
        Fault::Reset(most) if count < most => return None,
        Fault::SlowDown(most) if count < most => {
            let error =
                "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            return answer(stream, "503 Slow Down", "", error.as_bytes());
        }
        Fault::Changed => {
            let error = "<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>";
            return answer(stream, "412 Precondition Failed", "", error.as_bytes());
        }
        Fault::Longer => {
            let mut longer = body.to_vec();
            longer.push(0);
            return answer(stream, partial, "", &longer);
        }
        Fault::NoRange => return answer(stream, "200 OK", "", content),
        _ => {}
    }
    let head = format!("HTTP/1.1 {partial}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    match fault {
        Fault::Cut(most) if count < most => {
            stream.write_all(&body[..body.len() / 2]).ok()?;
            None
        }
        Fault::Short => {
            stream.write_all(&body[..body.len() - 1]).ok()?;
            None
        }
        Fault::Slow => {
            for part in body.chunks(body.len().div_ceil(10)) {
                std::thread::sleep(Duration::from_secs(1));
                stream.write_all(part).ok()?;
            }
            Some(())
        }
        _ => stream.write_all(body).ok(),
    }
}

/// The request line, the range and the length of the body.
fn head(reader: &mut impl BufRead) -> Option<(String, Option<Bytes>, u64)> {
    let (mut first, mut range, mut length) = (String::new(), None, 0);
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            return Some((first, range, length));
        }
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            let (start, end) = bytes.split_once('-')?;
            range = Some((start.parse().ok()?, end.parse().ok()?));
        }
        if let Some(bytes) = line.strip_prefix("content-length: ") {
            length = bytes.parse().ok()?;
        }
    }
}

fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

fn listing(size: usize) -> String {
    format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>t/object</Key>\
         <ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents></ListBucketResult>"
    )
}

const SESSION: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIASESSION</AccessKeyId>\
    <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";
