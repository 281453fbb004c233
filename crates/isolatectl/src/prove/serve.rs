//! The peer: a throw-away container that answers everyone on its network with a word, for a time.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::ifaddrs;

use super::deed::PORT;
use crate::print_json;

/// Answers by TCP and UDP, after it has printed its addresses.
///
/// # Errors
/// It cannot listen.
pub(super) fn serve(word: &str, life: Duration) -> Result<()> {
    let any = |what: &dyn Fn(IpAddr) -> io::Result<()>| {
        // Without IPv6 there is only the other.
        what(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| what(Ipv4Addr::UNSPECIFIED.into()))
    };
    let answer = word.to_owned();
    any(&|address| {
        let listener = TcpListener::bind((address, PORT))?;
        let answer = answer.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(())
    })
    .context("cannot listen for TCP")?;
    any(&|address| {
        let socket = UdpSocket::bind((address, PORT))?;
        let answer = answer.clone();
        thread::spawn(move || {
            let mut request = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut request) {
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        });
        Ok(())
    })
    .context("cannot listen for UDP")?;
    print_json(&addresses()?)?;
    thread::sleep(life);
    Ok(())
}

/// Those by which others reach this container.
fn addresses() -> Result<Vec<IpAddr>> {
    let all = ifaddrs::getifaddrs().context("cannot list addresses")?;
    let addresses = all.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let is_local = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    };
    Ok(addresses.filter(|address| !is_local(address)).collect())
}
