//! Network namespaces as files: opens one safely, identifies it, runs work inside.
//!
//! Must not change the network namespace of the calling thread: work inside one runs on a thread of its own,
//! which ends with it. Must not change anything in a namespace.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};

/// The identity of a namespace for as long as it exists (namespaces(7), "The /proc/pid/ns/ directory").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// Device of nsfs.
    pub dev: u64,
    /// Inode in nsfs; reused once the namespace is gone.
    pub ino: u64,
}

impl Netns {
    /// The identity of an open namespace file.
    ///
    /// # Errors
    /// fstat(2) fails.
    pub fn of(netns: BorrowedFd<'_>) -> Result<Self> {
        let stat = nix::sys::stat::fstat(netns.as_raw_fd()).context("cannot stat the network namespace")?;
        Ok(Self { dev: stat.st_dev, ino: stat.st_ino })
    }

    fn at(path: &str) -> io::Result<Self> {
        std::fs::metadata(path).map(|meta| Self { dev: meta.dev(), ino: meta.ino() })
    }
}

/// Opens a namespace file (`/run/netns/x`, `/proc/PID/ns/net`) or, given `/proc/PID`, the network namespace
/// of it.
///
/// The file is examined before it is opened for reading, so a FIFO or a device in its place does nothing.
/// Safe code cannot ask a bind-mounted namespace for its type; setns(2) refuses one of another type when it
/// is entered.
///
/// # Errors
/// It cannot be opened, is not a namespace, or is known to be of another type.
pub fn netns_of(path: &Path) -> Result<File> {
    let found = open(path, OFlag::O_PATH)
        .with_context(|| format!("cannot open network namespace {}", path.display()))?;
    let found = match found.metadata() {
        Ok(meta) if meta.is_dir() => return netns_of(&path.join("ns/net")),
        _ => found,
    };
    let kind = fstatfs(&found).with_context(|| format!("cannot inspect {}", path.display()))?;
    let through = format!("/proc/self/fd/{}", found.as_raw_fd());
    let name = std::fs::read_link(&through).unwrap_or_default();
    let other_type =
        name.to_str().is_some_and(|n| n.ends_with(']') && n.contains(":[") && !n.starts_with("net:["));
    if kind.filesystem_type() != NSFS_MAGIC || other_type {
        bail!("cannot use {} as a network namespace: it is not one", path.display());
    }
    open(Path::new(&through), OFlag::empty())
        .with_context(|| format!("cannot open network namespace {}", path.display()))
}

/// Whether this is the network namespace of the caller, or the machine's own.
///
/// # Errors
/// It cannot be determined: `/proc/self/ns/net` cannot be read, the namespace cannot be entered, `/proc/sys`
/// is missing.
pub fn is_host(netns: BorrowedFd<'_>) -> Result<bool> {
    Ok(is_own(netns)? || inside(netns, here_is_initial)?)
}

/// Whether this is the network namespace of the calling process.
pub(super) fn is_own(netns: BorrowedFd<'_>) -> Result<bool> {
    let own = Netns::at("/proc/self/ns/net").context("cannot read /proc/self/ns/net")?;
    Ok(Netns::of(netns)? == own)
}

/// Whether the calling thread is in the machine's own network namespace.
///
/// Comparing with `/proc/1/ns/net` would need ptrace rights over process 1 (namespaces(7)), which root with
/// fewer capabilities and rootless users lack, and in a pid namespace process 1 is another process. The
/// sysctls tell it: `netdev_max_backlog` is one that only the initial network namespace has, `somaxconn` one
/// that each has (`net_core_table` and `netns_core_table` in net/core/sysctl_net_core.c), and `/proc/sys/net`
/// shows those of the thread that reads.
pub(super) fn here_is_initial() -> Result<bool> {
    let core = Path::new("/proc/sys/net/core");
    let has = |setting: &str| core.join(setting).try_exists();
    if !has("somaxconn").context("cannot inspect /proc/sys/net/core")? {
        bail!(
            "cannot tell whether this is the host's network namespace: /proc/sys/net/core/somaxconn is missing"
        );
    }
    has("netdev_max_backlog").context("cannot inspect /proc/sys/net/core")
}

/// Runs `work` inside the network namespace, on a thread of its own, and waits for it.
///
/// Waits without a deadline: what runs here are system calls that the kernel answers within the call
/// ([`crate::netlink`]).
pub(super) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let enter = || -> Result<T> {
        setns(netns, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("seal".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, enter).context("cannot start a thread")?;
        thread.join().unwrap_or_else(|_| bail!("cannot seal the network namespace: the thread panicked"))
    })
}

/// Joins the user namespace of a process (`/proc/PID`), which gives a rootless caller the right to seal its
/// network namespace.
///
/// For a child process that is still single-threaded: it cannot be undone (setns(2), `CLONE_NEWUSER`). Does
/// nothing in a process that is in that user namespace already.
///
/// # Errors
/// The namespace cannot be opened or entered.
pub fn join_user_namespace(process: &Path) -> Result<()> {
    let path = process.join("ns/user");
    let user = open(&path, OFlag::empty()).with_context(|| format!("cannot open {}", path.display()))?;
    let theirs = Netns::of(user.as_fd())?;
    if theirs == Netns::at("/proc/self/ns/user").context("cannot read /proc/self/ns/user")? {
        return Ok(());
    }
    setns(&user, CloneFlags::CLONE_NEWUSER)
        .with_context(|| format!("cannot enter user namespace {}", path.display()))
}

fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((flags | OFlag::O_CLOEXEC).bits()).open(path)
}

/// linux/magic.h
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);
const STACK: usize = 256 << 10;
