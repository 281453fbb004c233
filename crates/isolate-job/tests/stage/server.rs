//! moto on a port of its own, and plain HTTP to fill it and to look at what it has. It does not check signatures.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A server, until it is dropped.
pub(crate) struct Moto {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// One for all tests that have buckets of their own. It ends with the thread that started it (PR_SET_PDEATHSIG by setpriv), which ends
/// with the process.
pub(crate) fn shared() -> &'static Moto {
    static SHARED: OnceLock<Moto> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            sender.send(Moto::start(&[])).unwrap();
            loop {
                std::thread::park();
            }
        });
        receiver.recv().unwrap()
    })
}

/// The program of moto.
pub(crate) fn program() -> PathBuf {
    let cache = std::env::var_os("OCI_ISOLATE_CACHE").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = cache.unwrap_or_else(|| root.join(".cache")).join("s3/moto-5.2.5/bin/moto_server");
    assert!(program.exists(), "{} is missing; run hack/s3", program.display());
    program
}

impl Moto {
    /// Starts one, behind the words of another program if there are any (`ip netns exec NAME`).
    pub(crate) fn start(before: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let moto = Self::spawn(before, "127.0.0.1", port, address);
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "moto does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        moto
    }

    pub(crate) fn spawn(before: &[&str], host: &str, port: u16, address: SocketAddr) -> Self {
        let program = program();
        let mut words: Vec<_> = before.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        words.extend([program.to_str().unwrap(), "-H", host, "-p", &port.to_string()].map(str::to_owned));
        let (program, words) = words.split_first().unwrap();
        let mut command = Command::new(program);
        // Buckets are in the path, whatever the server is called.
        command.env("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "true");
        let child = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, address }
    }

    /// A request; the status, the headers as text and the body.
    pub(crate) fn request(&self, method: &str, target: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        exchange(self.address, method, target, "", body)
    }

    pub(crate) fn bucket(&self, name: &str) {
        assert_eq!(self.request("PUT", &format!("/{name}"), b"").0, 200);
    }

    pub(crate) fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        let (status, _, answer) = self.request("PUT", &target(bucket, key), body);
        assert_eq!(status, 200, "{key}: {}", String::from_utf8_lossy(&answer));
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let (status, _, body) = self.request("GET", &target(bucket, key), b"");
        (status == 200).then_some(body)
    }

    /// The headers of an object.
    pub(crate) fn head(&self, bucket: &str, key: &str) -> String {
        self.request("HEAD", &target(bucket, key), b"").1
    }

    /// The keys of a bucket, and how many uploads are incomplete.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        let (_, _, body) = self.request("GET", &format!("/{bucket}?list-type=2"), b"");
        let body = String::from_utf8(body).unwrap();
        body.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
    }

    pub(crate) fn incomplete_uploads(&self, bucket: &str) -> usize {
        let (_, _, body) = self.request("GET", &format!("/{bucket}?uploads"), b"");
        String::from_utf8(body).unwrap().matches("<UploadId>").count()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// moto takes any signature, and treats requests without one as anonymous.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

pub(crate) fn exchange(
    server: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n{SIGNED}\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    // moto resets connections that it closes, after the answer.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// Everything but letters and digits is escaped, so that a key is what it is.
fn target(bucket: &str, key: &str) -> String {
    let mut target = format!("/{bucket}/");
    for byte in key.bytes() {
        match byte {
            b'/' => target.push('/'),
            byte if byte.is_ascii_alphanumeric() => target.push(byte.into()),
            byte => write!(target, "%{byte:02X}").unwrap(),
        }
    }
    target
}
