//! A DNS server that answers everything with the outside host's address and records the questions.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::mpsc::Sender;
use std::thread;

use crate::world::{INTERNET, INTERNET6};

/// Serves DNS on the address over UDP and TCP, for as long as the process lives. To be called in the
/// namespace; each question is recorded as `dns <name>`.
pub fn serve(address: IpAddr, visits: &Sender<String>) {
    let udp = UdpSocket::bind((address, 53)).unwrap();
    let tcp = TcpListener::bind((address, 53)).unwrap();
    let (to_udp, to_tcp) = (visits.clone(), visits.clone());
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut query) {
            if let Some(reply) = answer(&query[..length], &to_udp) {
                drop(udp.send_to(&reply, from));
            }
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut size = [0; 2];
            if stream.read_exact(&mut size).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(size))];
            if stream.read_exact(&mut query).is_ok()
                && let Some(reply) = answer(&query, &to_tcp)
            {
                let size = u16::try_from(reply.len()).unwrap().to_be_bytes();
                drop(stream.write_all(&size).and_then(|()| stream.write_all(&reply)));
            }
        }
    });
}

/// The reply to a query with one question (RFC 1035, section 4); none for anything else.
fn answer(query: &[u8], visits: &Sender<String>) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let question = query.get(12..at + 4)?;
    drop(visits.send(format!("dns {}", name.join("."))));

    let data = match kind {
        1 => INTERNET.octets().to_vec(),
        28 => INTERNET6.octets().to_vec(),
        _ => Vec::new(),
    };
    let mut reply = query[..2].to_vec();
    // A response, recursion desired and available, no error; one question, and an answer if there is data.
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]);
    reply.extend(question);
    if !data.is_empty() {
        // A pointer to the question's name, its type, class IN, one second to live.
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 1]);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}
