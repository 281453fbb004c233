//! A netlink socket: sends requests, receives the replies, reports errors by number.
//!
//! Messages are encoded and decoded by `netlink-bindings`; this file only frames and carries them. It must
//! not wait: the kernel handles a request inside send(2) and queues the answer before that returns, and each
//! recv(2) of a dump queues the next part before it returns (netlink(7); `netlink_recvmsg` in
//! net/netlink/af_netlink.c). So it reads with `MSG_DONTWAIT`, and a missing answer is an error instead of a
//! hang.
//!
//! Why not `netlink-socket2` 0.3.5: it turns every error of socket(2) into EPERM, which would make "no
//! nf_tables" and "not allowed" one; it does not notice that a reply above 8 KiB was truncated, waits for
//! ever for a lost one, hides `NLM_F_DUMP_INTR`, and asks for one acknowledgement a message, which overruns
//! the receive buffer from some 270 messages on.

use std::os::fd::{AsRawFd, OwnedFd};

use netlink_bindings::builtin::Nlmsghdr;
use netlink_bindings::consts::{NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, setsockopt, socket, sockopt,
};
use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};

/// It belongs to the network namespace of the thread that opened it.
pub(crate) struct Socket {
    fd: OwnedFd,
    /// With room for an answer, of which only what answers have filled is ever touched.
    buffer: Vec<u8>,
    seq: u32,
}

impl Socket {
    /// A socket in the network namespace of the calling thread.
    pub(crate) fn open(protocol: SockProtocol) -> Result<Self, Errno> {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map(Self::from_fd)
    }

    /// Without the means to use it.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Over a socket whose other end gives the replies.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, buffer: Vec::with_capacity(RECEIVE), seq: 1 }
    }

    /// Sends one request, a dump or not, and collects what `keep` makes of each reply.
    ///
    /// A dump that the kernel marks as inconsistent is repeated; `EINTR` if it stays so.
    pub(crate) fn query<R: NetlinkRequest, T>(
        &mut self,
        request: &R,
        keep: impl Fn(R::ReplyType<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        self.fold(request, Vec::new, |kept, reply| kept.extend(keep(reply)))
    }

    /// The same, where `each` adds every reply to what `start` makes.
    pub(crate) fn fold<R: NetlinkRequest, T>(
        &mut self,
        request: &R,
        start: impl Fn() -> T,
        each: impl Fn(&mut T, R::ReplyType<'_>),
    ) -> Result<T, Errno> {
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::default();
            batch.add(request);
            let mut all = start();
            let last = self.transmit(&mut batch, 0)?;
            let torn = self.receive(last, last, |payload| each(&mut all, R::decode_reply(payload)));
            if !torn.map_err(|(_, errno)| errno)? {
                return Ok(all);
            }
        }
        Err(Errno::EINTR)
    }

    /// Sends a batch in one write. Only the message at `acknowledged` is answered on success.
    ///
    /// The error is that of the first message that failed, with its position in the batch.
    pub(crate) fn send(&mut self, mut batch: Batch, acknowledged: usize) -> Result<(), (usize, Errno)> {
        let first = self.seq;
        let last = self.transmit(&mut batch, acknowledged).map_err(|errno| (0, errno))?;
        self.receive(first, last, |_| ())
            .map_err(|(seq, errno)| (seq.wrapping_sub(first) as usize, errno))?;
        Ok(())
    }

    /// Returns the sequence number whose acknowledgement ends the exchange.
    fn transmit(&mut self, batch: &mut Batch, acknowledged: usize) -> Result<u32, Errno> {
        let first = self.seq;
        batch.number(first, acknowledged);
        self.seq = first.wrapping_add(batch.starts.len() as u32);
        let sent = match send(self.fd.as_raw_fd(), &batch.bytes, MsgFlags::empty()) {
            Err(Errno::EMSGSIZE) => self.transmit_large(&batch.bytes)?,
            sent => sent?,
        };
        if sent != batch.bytes.len() {
            return Err(Errno::EMSGSIZE);
        }
        Ok(first.wrapping_add(acknowledged as u32))
    }

    /// A batch is one datagram, and that has to fit into the socket's buffer (net.core.wmem_default, 208 KiB;
    /// the kernel doubles what it is given, and takes more than net.core.wmem_max only from CAP_NET_ADMIN of
    /// the host).
    fn transmit_large(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        if setsockopt(&self.fd, sockopt::SndBufForce, &bytes.len()).is_err() {
            setsockopt(&self.fd, sockopt::SndBuf, &bytes.len())?;
        }
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())
    }

    /// Receives until `last` is acknowledged; true if a dump was torn by a concurrent change.
    fn receive(&mut self, first: u32, last: u32, mut each: impl FnMut(&[u8])) -> Result<bool, (u32, Errno)> {
        let mut torn = false;
        loop {
            self.buffer.clear();
            let received =
                recv(&self.fd, spare_capacity(&mut self.buffer), RecvFlags::DONTWAIT | RecvFlags::TRUNC);
            // TRUNC: the true length, so a truncated reply is noticed, and an error.
            let (_, length) = received.map_err(|error| (first, Errno::from_raw(error.raw_os_error())))?;
            let mut rest = self.buffer.get(..length).ok_or((first, Errno::EMSGSIZE))?;
            while let Some((header, payload, next)) = split(rest) {
                rest = next;
                // Answers to an earlier exchange that ended in an error are still in the queue.
                if header.seq.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                torn |= header.flags & NLM_F_DUMP_INTR as u16 != 0;
                match header.r#type {
                    NLMSG_ERROR | NLMSG_DONE => match status(payload) {
                        Some(0) if header.seq == last => return Ok(torn),
                        Some(0) => (),
                        Some(code) => return Err((header.seq, Errno::from_raw(code.wrapping_neg()))),
                        None => return Err((header.seq, Errno::EBADMSG)),
                    },
                    NLMSG_NOOP => (),
                    NLMSG_OVERRUN => return Err((header.seq, Errno::ENOBUFS)),
                    _ => each(payload),
                }
            }
            if !rest.is_empty() {
                return Err((first, Errno::EBADMSG));
            }
        }
    }
}

/// Messages that are sent in one write.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    pub(crate) fn add<R: NetlinkRequest>(&mut self, request: &R) {
        let Protocol::Raw { request_type, .. } = request.protocol() else {
            unreachable!("no request of ours is generic netlink")
        };
        let payload = request.payload();
        self.starts.push(self.bytes.len());
        let mut header = Nlmsghdr::new();
        header.len = (Nlmsghdr::len() + payload.len()) as u32;
        header.r#type = request_type;
        header.flags = request.flags() | NLM_F_REQUEST as u16;
        self.bytes.extend_from_slice(header.as_slice());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    fn number(&mut self, first: u32, acknowledged: usize) {
        for (position, &start) in self.starts.iter().enumerate() {
            let header = &mut self.bytes[start..start + Nlmsghdr::len()];
            header[8..12].copy_from_slice(&first.wrapping_add(position as u32).to_ne_bytes());
            if position == acknowledged {
                let flags = u16::from_ne_bytes([header[6], header[7]]) | NLM_F_ACK as u16;
                header[6..8].copy_from_slice(&flags.to_ne_bytes());
            }
        }
    }
}

fn split(buffer: &[u8]) -> Option<(Nlmsghdr, &[u8], &[u8])> {
    let header = Nlmsghdr::new_from_slice(buffer.get(..Nlmsghdr::len())?)?;
    let payload = buffer.get(Nlmsghdr::len()..header.len as usize)?;
    let next = (header.len as usize).next_multiple_of(4).min(buffer.len());
    Some((header, payload, &buffer[next..]))
}

fn status(payload: &[u8]) -> Option<i32> {
    payload.first_chunk().map(|code| i32::from_ne_bytes(*code))
}

/// The kernel fills at most 32 KiB a datagram (`max_recvmsg_len` in net/netlink/af_netlink.c).
const RECEIVE: usize = 64 << 10;
const ATTEMPTS: usize = 16;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
