//! Asks the kernel whether a socket file is anybody's.

use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::open::Opened;

/// Whether somebody is bound to a socket, in whatever network namespace: a datagram socket that is connected to it is
/// refused when nobody is, and its owner does not notice when somebody is (connect(2); unix(7)).
pub(super) fn is_bound(path: &Path) -> bool {
    let Ok(ours) = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) else {
        return true;
    };
    // An address is short, a path may be long.
    let (opened, link);
    let path = match path.as_os_str().as_bytes().len() {
        ..=100 => path,
        _ => {
            let Ok(found) = Opened::plain(path) else { return true };
            opened = found;
            link = opened.link();
            &link
        }
    };
    let Ok(address) = UnixAddr::new(path) else { return true };
    !matches!(connect(ours.as_raw_fd(), &address), Err(Errno::ECONNREFUSED | Errno::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_bound_while_somebody_has_it_and_left_behind_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("a".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let path = dir.path().join("socket");
        let stream = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::os::unix::fs::symlink(&path, long.join("link")).unwrap();
        assert!(is_bound(&path));
        assert!(is_bound(&long.join("link")));
        drop(stream);
        assert!(!is_bound(&path));
        std::fs::remove_file(&path).unwrap();
        let datagram = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert!(is_bound(&path));
        drop(datagram);
        assert!(!is_bound(&path));
    }
}
