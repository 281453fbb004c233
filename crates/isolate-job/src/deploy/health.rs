//! The health check: GET /ping answers 200 within two seconds. The first line of the answer is all that is read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// As in SageMaker.
const DEADLINE: Duration = Duration::from_secs(2);

pub(super) fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let request = format!("GET /ping HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut line = [0; 12];
        stream.read_exact(&mut line)?;
        Ok(line.starts_with(b"HTTP/1.") && line.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    /// Whether a container that answers so is healthy, and after how long that is known.
    fn found(answer: &'static [u8]) -> (bool, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let start = Instant::now();
        let is_healthy = is_healthy(address);
        server.join().unwrap();
        (is_healthy, start.elapsed())
    }

    #[test]
    fn only_an_answer_of_200_is_healthy() {
        assert!(found(b"HTTP/1.1 200 OK\r\n\r\n").0);
        assert!(found(b"HTTP/1.0 200\r\n\r\n").0);
        for answer in [&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], b"SSH-2.0-OpenSSH 200"] {
            assert!(!found(answer).0, "{}", String::from_utf8_lossy(answer));
        }
        let (is_healthy, after) = found(b"");
        assert!(!is_healthy && after < Duration::from_secs(4), "{after:?}");
    }
}
