//! What the kernel tells the machine of its devices.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// Hears every event from now on.
    pub(crate) fn listen() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let ours = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol).unwrap();
        bind(ours.as_raw_fd(), &NetlinkAddr::new(0, 1)).unwrap();
        Self(ours)
    }

    /// Whether one with the word came until now; the kernel delivers them before the write returns that made them.
    pub(crate) fn hear(&self, word: &str) -> bool {
        let mut event = vec![0; 64 << 10];
        loop {
            match recv(self.0.as_raw_fd(), &mut event, MsgFlags::empty()) {
                Ok(length) => {
                    if event[..length].windows(word.len()).any(|window| window == word.as_bytes()) {
                        return true;
                    }
                }
                // Of a burst some may be lost, none of which is ours.
                Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(errno) => panic!("cannot hear uevents: {errno}"),
            }
        }
    }
}
