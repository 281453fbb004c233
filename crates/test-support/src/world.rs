//! The outside: everything that a container with a network can reach.
//!
//! ```text
//! world                                        host (an engine runs here)
//! 203.0.113.7, 2001:db8:a::7   tcp 80, udp 7
//! 203.0.113.53                 DNS
//! 169.254.169.254, ...170.2    metadata          |
//! down0 198.51.100.1 ---------------------- up0 198.51.100.2      127.0.0.53 DNS
//! ```
//!
//! The addresses are those set aside for documentation (RFC 5737, RFC 3849); nothing here is connected to
//! the machine's own network.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::dns;
use crate::netns::{Netns, sweep, unique_name};

/// The host on the internet that containers talk to.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The same host's IPv6 address.
pub const INTERNET6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 7);
/// The DNS server out there.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
/// The resolver on the host itself, as systemd-resolved would be. dockerd forwards to it from its own
/// namespace, and leaves it out of the resolv.conf of containers on the default bridge.
const STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// Metadata and credential endpoints of AWS.
const METADATA: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"];

/// The two namespaces and what was received from the inside.
pub struct World {
    outside: Netns,
    /// The engine's namespace.
    pub host: Netns,
    /// The unique part of both names.
    pub name: String,
    heard: Mutex<(Receiver<String>, Vec<String>)>,
}

impl World {
    /// Makes both namespaces, the wire between them and the servers.
    pub fn new() -> Self {
        sweep();
        let name = unique_name();
        let outside = Netns::new(format!("{name}-out"));
        let host = Netns::new(name.clone());
        host.ip(&format!("link add up0 type veth peer name down0 netns {name}-out"));
        for (netns, link, end) in [(&host, "up0", 2), (&outside, "down0", 1)] {
            netns.ip(&format!("addr add 198.51.100.{end}/24 dev {link}"));
            netns.ip(&format!("addr add 2001:db8:b::{end}/64 dev {link} nodad"));
            netns.ip(&format!("link set {link} up"));
        }
        host.ip("route add default via 198.51.100.1");
        host.ip("route add default via 2001:db8:b::1");
        // Back to the containers, for networks without NAT.
        for inside in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] {
            outside.ip(&format!("route add {inside} via 198.51.100.2"));
        }
        outside.ip("route add fd00::/8 via 2001:db8:b::2");

        let (tell, hear) = channel();
        let web: Vec<IpAddr> = METADATA.iter().map(|address| address.parse().unwrap()).collect();
        let web: Vec<IpAddr> = web.into_iter().chain([INTERNET.into(), INTERNET6.into()]).collect();
        for address in web.iter().chain([&IpAddr::from(RESOLVER)]) {
            let options = if address.is_ipv6() { "/128 dev lo nodad" } else { "/32 dev lo" };
            outside.ip(&format!("addr add {address}{options}"));
        }
        let told = tell.clone();
        outside.inside(move || {
            web.into_iter().for_each(|address| serve_web(address, 80, &told));
            serve_echo(INTERNET.into(), 7, &told);
            dns::serve(RESOLVER.into(), &told);
        });
        host.inside(move || dns::serve(STUB.into(), &tell));
        Self { outside, host, name, heard: Mutex::new((hear, Vec::new())) }
    }

    /// Serves a page and echoes datagrams at this port of the host's loopback, as a database or an agent does
    /// that is not meant for others.
    pub fn serve_on_loopback(&self, port: u16) {
        let (tell, hear) = channel();
        self.host.inside(move || {
            serve_web(IpAddr::from(Ipv4Addr::LOCALHOST), port, &tell);
            serve_echo(Ipv4Addr::LOCALHOST.into(), port, &tell);
        });
        drop(hear);
    }

    /// The host's resolv.conf.
    pub fn resolv_conf() -> String {
        format!("nameserver {STUB}\nnameserver {RESOLVER}\n")
    }

    /// Everything received there until now: `dns <name>`, `tcp <address>`, `udp <address>`.
    pub fn visits(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap();
        let (hear, known) = &mut *heard;
        known.extend(hear.try_iter());
        known.clone()
    }

    /// The questions that the DNS servers were asked.
    pub fn questions(&self) -> Vec<String> {
        self.visits().iter().filter_map(|visit| visit.strip_prefix("dns ")).map(str::to_owned).collect()
    }

    /// Tries to open a TCP connection from the outside, as a client of a published port would.
    pub fn can_connect(&self, address: &str) -> bool {
        let address = address.parse().unwrap();
        self.outside.inside(move || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok_and(
                |mut stream| {
                    // A forwarding proxy accepts first and closes the connection if there is no backend.
                    let mut answer = Vec::new();
                    stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
                    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && {
                        drop(stream.read_to_end(&mut answer));
                        !answer.is_empty()
                    }
                },
            )
        })
    }
}

/// Answers every HTTP request with a page.
fn serve_web(address: IpAddr, port: u16, visits: &Sender<String>) {
    let listener = TcpListener::bind((address, port)).unwrap();
    let visits = visits.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(visits.send(format!("tcp {address}")));
            // The request is read first: closing with unread bytes would reset the connection.
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\noutside\n"));
        }
    });
}

/// Sends every datagram back.
fn serve_echo(address: IpAddr, port: u16, visits: &Sender<String>) {
    let socket = UdpSocket::bind((address, port)).unwrap();
    let visits = visits.clone();
    thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            drop(visits.send(format!("udp {address}")));
            drop(socket.send_to(&bytes[..length], from));
        }
    });
}
