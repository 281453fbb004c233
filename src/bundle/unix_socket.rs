//! Whether a process is bound to a socket file.

use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::path_fd::PathFd;

/// Whether a process is bound to a socket, in any network namespace: connecting a datagram socket to it is
/// refused if none is, and goes unnoticed by its owner otherwise (connect(2); unix(7)).
pub(super) fn is_bound(path: &Path) -> bool {
    let Ok(ours) = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) else {
        return true;
    };
    // Addresses are limited in length, paths are not.
    let (opened, link);
    let path = match path.as_os_str().as_bytes().len() {
        ..=100 => path,
        _ => {
            let Ok(found) = PathFd::of_ours(path) else { return true };
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
    fn a_socket_with_a_long_path_below_a_descriptor_is_distinguished_from_a_leftover() {
        let dir = tempfile::tempdir().unwrap();
        let opened = PathFd::plain(dir.path()).unwrap();
        let name = "a".repeat(99);
        drop(std::os::unix::net::UnixDatagram::bind(dir.path().join("s")).unwrap());
        std::fs::rename(dir.path().join("s"), dir.path().join(&name)).unwrap();
        assert!(!is_bound(&opened.link().join(&name)));
        let _ours = std::os::unix::net::UnixDatagram::bind(dir.path().join("t")).unwrap();
        std::fs::rename(dir.path().join("t"), dir.path().join(&name)).unwrap();
        assert!(is_bound(&opened.link().join(&name)));
    }

    #[test]
    fn a_socket_is_bound_while_a_process_has_it_and_a_leftover_afterwards() {
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
