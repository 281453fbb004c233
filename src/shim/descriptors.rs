//! What the caller passes besides documents: open descriptors and the variables that name them. A single
//! socket of the host gives access to the whole network of its namespace (docs/threats.md, `preserved-socket`: connect(AF_UNSPEC),
//! then connect() anywhere), and so does a namespace or a directory of the host. Files, pipes and terminals
//! are passed on.

use std::ffi::OsString;
use std::os::fd::RawFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getpeername, getsockname, getsockopt, sockopt,
};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::statfs;

use super::RuntimeCall;
use crate::invocation::{Dialect, Verb};
use crate::rules::mounts::{Class, FileSystem};

/// Ensures that an isolated container inherits only files, pipes and terminals of the host. Returns the
/// variables that the runtime must not have: it mounts the socket in NOTIFY_SOCKET.
///
/// # Errors
/// A descriptor that is passed on purpose is something else.
pub(super) fn guard(call: &RuntimeCall) -> Result<Vec<OsString>> {
    let invocation = call.invocation;
    let kept = match &invocation.preserve_fds {
        None => 0,
        Some(typed) => {
            let number = typed.to_str().and_then(|typed| typed.parse::<u16>().ok());
            number.with_context(|| format!("cannot read --preserve-fds {}", typed.display()))?
        }
    };
    let last_kept = 2 + RawFd::from(kept);
    for fd in 3..=last_kept {
        if let Some(what) = violation(fd)? {
            bail!(
                "descriptor {fd} of --preserve-fds is {what}; isolated containers inherit files, pipes and terminals only"
            );
        }
    }
    let listen =
        std::env::var("LISTEN_FDS").ok().and_then(|count| count.trim().parse::<u16>().ok()).unwrap_or(0);
    if let Some(fd) = (3..3 + RawFd::from(listen)).find(|fd| is_inherited(*fd)) {
        bail!(
            "LISTEN_FDS hands over descriptor {fd}; isolated containers cannot be activated by socket, unset it"
        );
    }
    // runc in the foreground copies through its own pipes.
    let copied = call.runtime.dialect() == Dialect::Runc
        && matches!(invocation.verb, Verb::Run | Verb::Restore | Verb::Exec)
        && !invocation.detach;
    for fd in (0..3).filter(|_| !copied) {
        if let Some(what) = stdio_violation(fd)? {
            bail!(
                "descriptor {fd} is {what}, which would be the container's; give it a file, a pipe or a terminal"
            );
        }
    }
    for fd in open_descriptors()?.into_iter().filter(|fd| *fd > last_kept) {
        match fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
            // The descriptor through which the list was read.
            Ok(_) | Err(Errno::EBADF) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("cannot keep descriptor {fd} to ourselves"));
            }
        }
    }
    Ok(["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"].map(OsString::from).into())
}

fn open_descriptors() -> Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd").context("cannot list our descriptors")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Whether it is open and survives an execve.
fn is_inherited(fd: RawFd) -> bool {
    fcntl(fd, FcntlArg::F_GETFD)
        .is_ok_and(|flags| !FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC))
}

/// What a descriptor is, if it must not be passed on; a closed one may be.
fn violation(fd: RawFd) -> Result<Option<&'static str>> {
    let stat = match fstat(fd) {
        Ok(stat) => stat,
        Err(Errno::EBADF) => return Ok(None),
        Err(errno) => return Err(errno).with_context(|| format!("cannot inspect descriptor {fd}")),
    };
    Ok(match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG if is_of_kernel(fd)? => Some("a namespace or another file of the kernel"),
        SFlag::S_IFREG | SFlag::S_IFIFO => None,
        SFlag::S_IFCHR if is_harmless(stat.st_rdev) || nix::unistd::isatty(fd).unwrap_or(false) => None,
        SFlag::S_IFSOCK => Some("a socket"),
        SFlag::S_IFDIR => Some("a directory"),
        SFlag::S_IFCHR | SFlag::S_IFBLK => Some("a device"),
        _ => Some("not a file (an event queue, io_uring, BPF, a process)"),
    })
}

/// null, zero, full, random, urandom.
fn is_harmless(device: u64) -> bool {
    nix::sys::stat::major(device) == 1 && matches!(nix::sys::stat::minor(device), 3 | 5 | 7 | 8 | 9)
}

fn is_of_kernel(fd: RawFd) -> Result<bool> {
    let found = statfs(format!("/proc/self/fd/{fd}").as_str());
    let found = found.with_context(|| format!("cannot inspect descriptor {fd}"))?;
    #[allow(clippy::unnecessary_cast, reason = "32 bits on some machines")]
    Ok(FileSystem::of_magic(found.filesystem_type().0 as i64).class == Class::System)
}

/// The same for stdin, stdout and stderr. A stream connected within the host is allowed: journald's, or a
/// parent's socketpair. Any other socket of the host can be reconnected.
fn stdio_violation(fd: RawFd) -> Result<Option<&'static str>> {
    let Some(what) = violation(fd)? else { return Ok(None) };
    if what != "a socket" {
        return Ok(Some(what));
    }
    let family = getsockname::<SockaddrStorage>(fd).ok().and_then(|address| address.family());
    let connected = getpeername::<SockaddrStorage>(fd).is_ok();
    let kind = match fd {
        0 => getsockopt(&std::io::stdin(), sockopt::SockType),
        1 => getsockopt(&std::io::stdout(), sockopt::SockType),
        _ => getsockopt(&std::io::stderr(), sockopt::SockType),
    };
    let stream = matches!(kind, Ok(SockType::Stream | SockType::SeqPacket));
    Ok(match (family, connected && stream) {
        (Some(AddressFamily::Unix), true) => None,
        (Some(AddressFamily::Unix), false) => Some("a unix socket that can be reconnected"),
        _ => Some("a network socket"),
    })
}
