//! The program of a throw-away container: tries [`Deed`]s and prints one JSON document, waits, or is the peer that they lead to.
//! It ends by itself, also if nothing is left of who started it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, VsockAddr,
    sockopt,
};
use nix::sys::{socket, stat, time};
use nix::unistd;

use super::deed::{Deed, Reply, SocketKind};
use super::serve::serve;
use crate::print_json;

/// For one answer of the network.
const PATIENCE: Duration = Duration::from_millis(1500);

/// For all deeds of a container.
const DEADLINE: Duration = Duration::from_secs(6);

/// The longest life of a container that something is executed in, longer than all calls for it.
const LIFE: Duration = Duration::from_secs(300);

/// The most that is read of an answer.
const LIMIT: u64 = 64 << 10;

/// `nobody`, in most systems.
pub(super) const NOBODY: u32 = 65534;

#[derive(Debug, clap::Args)]
pub(crate) struct ProbeArguments {
    #[command(subcommand)]
    part: ProbePart,
}

#[derive(Debug, clap::Subcommand)]
enum ProbePart {
    /// Tries what a JSON document has, by name
    Try {
        /// The document
        deeds: String,
        /// Not read
        rest: Vec<String>,
    },
    /// Answers with a word
    Serve {
        /// The word
        word: String,
        /// How long, in seconds
        seconds: u64,
    },
    /// Waits
    Wait,
}

pub(super) fn probe(arguments: &ProbeArguments) -> Result<()> {
    match &arguments.part {
        ProbePart::Try { deeds, .. } => {
            let deeds: BTreeMap<String, Deed> =
                serde_json::from_str(deeds).context("cannot read the deeds")?;
            print_json(&attempt_all(deeds))
        }
        ProbePart::Serve { word, seconds } => serve(word, Duration::from_secs(*seconds)),
        ProbePart::Wait => {
            thread::sleep(LIFE);
            Ok(())
        }
    }
}

/// All at once, so that one that hangs costs the others nothing; at the end what changes the whole process.
fn attempt_all(deeds: BTreeMap<String, Deed>) -> BTreeMap<String, Reply> {
    let (last, first): (Vec<_>, Vec<_>) =
        deeds.into_iter().partition(|(_, deed)| matches!(deed, Deed::ReadAsNobody(_)));
    let (tell, hear) = mpsc::channel();
    let mut answers = BTreeMap::new();
    for (name, deed) in first {
        answers.insert(name.clone(), Reply::Late);
        let tell = tell.clone();
        // One that is still running when the program ends is of no interest.
        thread::spawn(move || {
            let _ = tell.send((name, attempt(&deed)));
        });
    }
    drop(tell);
    let end = Instant::now() + DEADLINE;
    while let Ok((name, answer)) = hear.recv_timeout(end.saturating_duration_since(Instant::now())) {
        answers.insert(name, answer);
    }
    answers.extend(last.into_iter().map(|(name, deed)| (name, attempt(&deed))));
    answers
}

fn attempt(deed: &Deed) -> Reply {
    let reply = match deed {
        Deed::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE).map(|stream| {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            reached(stream)
        }),
        Deed::Udp(address) => {
            udp(*address, b"?").map(|bytes| Reply::Reached(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Deed::Ping(address) => ping(*address),
        Deed::Connect(address) => TcpStream::connect_timeout(address, PATIENCE).map(done),
        Deed::Resolve(server, name) => resolve(*server, name),
        Deed::AbstractSocket(name) => unix::SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address).map(reached_unix)),
        Deed::UnixSocket(path) => UnixStream::connect(path).map(reached_unix),
        Deed::Vsock(port) => vsock(*port),
        Deed::Socket(family) => open_socket(*family),
        Deed::Read(path) => read(path),
        Deed::ReadAsNobody(path) => read_as_nobody(path),
        Deed::Open(path) => File::open(path).map(done),
        Deed::OpenForWriting(path) => File::options().write(true).open(path).map(done),
        Deed::OpenDisk(number) => open_disk(*number),
        Deed::MountProc => mount_proc(),
        Deed::Variable(name) => {
            std::env::var(name).map(Reply::Read).map_err(|error| io::Error::other(format!("{name}: {error}")))
        }
        Deed::Argument(name) => argument(name),
        Deed::Unverified => Ok(Reply::Untried("it was not looked at from the host".into())),
    };
    reply.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Reply::Late,
        _ => Reply::Shut(error.to_string()),
    })
}

fn done<T>(_: T) -> Reply {
    Reply::Done(String::new())
}

/// Once something has come, the end need not come.
fn text_of(mut from: impl Read) -> io::Result<String> {
    let mut bytes = vec![0; LIMIT as usize];
    let read = from.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..read]).trim_end().to_owned())
}

fn read(path: &Path) -> io::Result<Reply> {
    File::open(path).and_then(text_of).map(Reply::Read)
}

/// That there is a connection shows enough, also if nothing comes by it.
fn reached(stream: impl Read) -> Reply {
    Reply::Reached(text_of(stream).unwrap_or_default())
}

fn reached_unix(stream: UnixStream) -> Reply {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    reached(stream)
}

fn udp(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address)?;
    socket.send(request)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    Ok(answer[..length].to_owned())
}

/// By the kernel's own socket for that, which fills in identifier and checksum.
fn ping(address: IpAddr) -> io::Result<Reply> {
    let (family, protocol, request) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0, 0, 0, 0, 0, 1]),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0, 0, 0, 1]),
    };
    let socket = socket::socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    socket::setsockopt(&socket, sockopt::ReceiveTimeout, &time::TimeVal::new(1, 500_000))?;
    let to = SockaddrStorage::from(SocketAddr::new(address, 0));
    socket::sendto(socket.as_raw_fd(), &request, &to, MsgFlags::empty())?;
    let mut answer = [0; 64];
    unistd::read(socket.as_raw_fd(), &mut answer)?;
    Ok(done(answer))
}

/// The question for an address, with nothing that a server could not answer by itself.
fn resolve(server: SocketAddr, name: &str) -> io::Result<Reply> {
    let mut request = vec![0x4f, 0x49, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        request.push(u8::try_from(label.len()).map_err(io::Error::other)?);
        request.extend(label.as_bytes());
    }
    request.extend([0, 0, 1, 0, 1]);
    let answer = udp(server, &request)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", server.ip())))?;
    // At least one answer, to what was asked.
    let is_known = answer.len() > 8 && answer[..2] == request[..2] && answer[6..8] != [0, 0];
    Ok(if is_known { done(answer) } else { Reply::Reached(String::new()) })
}

fn vsock(port: u32) -> io::Result<Reply> {
    let socket = socket::socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // VMADDR_CID_ANY
    match socket::bind(socket.as_raw_fd(), &VsockAddr::new(u32::MAX, port)) {
        Err(Errno::EADDRINUSE) => Ok(done(socket)),
        Err(error) => Err(error.into()),
        Ok(()) => Err(io::Error::other("the port of the host is not taken")),
    }
}

fn open_socket(family: SocketKind) -> io::Result<Reply> {
    let open = |family, kind, protocol| socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol);
    let socket = match family {
        SocketKind::Packet => open(AddressFamily::Packet, SockType::Raw, Some(SockProtocol::EthAll))?,
        SocketKind::Alg => open(AddressFamily::Alg, SockType::SeqPacket, None)?,
        SocketKind::Audit => open(AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkAudit))?,
        SocketKind::Uevents => {
            let socket =
                open(AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkKObjectUEvent))?;
            // The kernel's own group.
            socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
            socket
        }
    };
    Ok(done(socket))
}

/// The kernel lets a process look into one of the same user that has no more capabilities.
fn read_as_nobody(path: &Path) -> io::Result<Reply> {
    unistd::setgroups(&[])?;
    unistd::setgid(unistd::Gid::from_raw(NOBODY))?;
    unistd::setuid(unistd::Uid::from_raw(NOBODY))?;
    read(path)
}

fn open_disk(number: u64) -> io::Result<Reply> {
    let node = Path::new("/tmp/disk");
    stat::mknod(node, stat::SFlag::S_IFBLK, stat::Mode::from_bits_truncate(0o600), number)?;
    File::open(node).map(done)
}

fn mount_proc() -> io::Result<Reply> {
    let proc = PathBuf::from("/tmp/proc");
    fs::create_dir_all(&proc)?;
    nix::mount::mount(Some("proc"), &proc, Some("proc"), MsFlags::empty(), None::<&str>)?;
    File::options().write(true).open(proc.join("sys/kernel/core_pattern")).map(done)
}

fn argument(name: &str) -> io::Result<Reply> {
    let value =
        std::env::args().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
    value.map(Reply::Read).ok_or_else(|| io::Error::other(format!("no argument {name}=")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_is_the_other_side_whatever_it_sends() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = |text: &'static [u8], stays: bool| {
            thread::scope(|scope| {
                let tried = scope.spawn(|| attempt(&Deed::Tcp(address)));
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(text).unwrap();
                let silent = stays.then_some(stream);
                let reply = tried.join().unwrap();
                drop(silent);
                reply
            })
        };
        assert_eq!(serve(b"word", false), Reply::Reached("word".into()));
        assert_eq!(serve(b"", false), Reply::Reached(String::new()), "it closed the connection");
        assert_eq!(serve(b"", true), Reply::Reached(String::new()), "it sent nothing in time");
        drop(listener);
        assert!(matches!(attempt(&Deed::Tcp(address)), Reply::Shut(_)));
    }

    /// The host puts in what it has found. If it finds nothing, this is left, which must not count as closed.
    #[test]
    fn what_the_host_looks_at_is_not_closed_by_the_probe() {
        assert!(matches!(attempt(&Deed::Unverified), Reply::Untried(_)));
    }

    #[test]
    fn no_answer_in_time_is_not_a_refusal() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = silent.local_addr().unwrap();
        assert_eq!(attempt(&Deed::Udp(address)), Reply::Late);
        drop(silent);
        assert!(matches!(attempt(&Deed::Udp(address)), Reply::Shut(_)));
    }

    #[test]
    fn any_answer_of_a_name_server_is_the_other_side() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap();
        let answers = |code: u8, count: u8| {
            thread::scope(|scope| {
                let tried = scope.spawn(|| attempt(&Deed::Resolve(address, "peer".into())));
                let mut request = [0; 64];
                let (length, from) = server.recv_from(&mut request).unwrap();
                (request[2], request[3], request[7]) = (0x80, code, count);
                server.send_to(&request[..length], from).unwrap();
                tried.join().unwrap()
            })
        };
        assert_eq!(answers(0, 1), Reply::Done(String::new()));
        for refused in [2, 3] {
            assert_eq!(answers(refused, 0), Reply::Reached(String::new()), "SERVFAIL, NXDOMAIN");
        }
        drop(server);
        let Reply::Shut(why) = attempt(&Deed::Resolve(address, "peer".into())) else { panic!("no server") };
        assert!(why.starts_with("127.0.0.1: "), "{why}");
    }
}
