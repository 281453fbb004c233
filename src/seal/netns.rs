//! Network namespaces as files: opens one safely, identifies it, runs work inside.
//!
//! The calling thread is in the network namespace that it was in whenever a function returns: one that cannot come back
//! ends the process. Must not change anything in a namespace.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs, statfs};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
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
/// It cannot be determined: `/proc/thread-self/ns/net` cannot be read, the namespace cannot be entered, `/proc/sys`
/// is missing.
pub fn is_host(netns: BorrowedFd<'_>) -> Result<bool> {
    Ok(is_own(netns)? || inside(netns, here_is_initial)?)
}

/// Whether this is the network namespace of the calling process.
pub(super) fn is_own(netns: BorrowedFd<'_>) -> Result<bool> {
    let own = Netns::at(OWN).with_context(|| format!("cannot read {OWN}"))?;
    Ok(Netns::of(netns)? == own)
}

/// Whether the calling thread is in the machine's own network namespace.
///
/// Comparing with `/proc/1/ns/net` would need ptrace rights over process 1 (namespaces(7)), which root with
/// fewer capabilities and rootless users lack, and in a pid namespace process 1 is another process. The
/// sysctls tell it: `/proc/sys/net` shows those of the thread that reads, and `netdev_max_backlog` is one that only the
/// initial network namespace has (`net_core_table` in net/core/sysctl_net_core.c).
pub(super) fn here_is_initial() -> Result<bool> {
    let has = |setting: &Path| {
        setting.try_exists().with_context(|| format!("cannot inspect {}", setting.display()))
    };
    if has(&Path::new(CORE).join("netdev_max_backlog"))? {
        return Ok(true);
    }
    // That it is missing means something only where a sysctl is seen that each network namespace has. `somaxconn` is one in
    // the same directory. Before Linux 6.3 the namespace of a user namespace does not show it: then `ip_forward` is one, if
    // nothing is mounted over what would show the others.
    if has(&Path::new(CORE).join("somaxconn"))? || (has(Path::new(FORWARD))? && nothing_is_hidden()?) {
        return Ok(false);
    }
    bail!(
        "cannot tell whether this is the host's network namespace: {CORE}/somaxconn and {FORWARD} are missing, or something is \
         mounted over them; mount /proc"
    )
}

/// Whether `/proc/sys/net` is of procfs, and no other mount, also not of procfs, hides what would be seen below it.
fn nothing_is_hidden() -> Result<bool> {
    let of_proc = statfs(SYSCTLS).with_context(|| format!("cannot inspect {SYSCTLS}"))?;
    let Some(mount) = mount_of(SYSCTLS)? else { return Ok(false) };
    // A directory that is not there is hidden by none.
    let same = |path| Ok::<_, anyhow::Error>(mount_of(path)?.is_none_or(|its| its == mount));
    Ok(of_proc.filesystem_type() == PROC_SUPER_MAGIC && same(CORE)? && same(FORWARD)?)
}

/// The number of the mount that shows a path; `None`: it is not there.
fn mount_of(path: &str) -> Result<Option<u64>> {
    let found = match statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        found => found.with_context(|| format!("cannot inspect {path}"))?,
    };
    if !StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        bail!("cannot tell whether something is mounted over {path}: this kernel is older than Linux 5.8");
    }
    Ok(Some(found.stx_mnt_id))
}

/// Runs `work` inside the network namespace, and comes back.
///
/// A caller that may enter its own namespace, which changes nothing, may come back to it. Any other (one that has joined a
/// user namespace) sends a thread, which ends with the work; that takes 60 to 100 microseconds more.
///
/// Waits without a deadline: what runs here are system calls that the kernel answers within the call
/// ([`crate::netlink`]).
pub(super) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let own = File::open(OWN).with_context(|| format!("cannot open {OWN}"))?;
    if setns(&own, CloneFlags::CLONE_NEWNET).is_err() {
        return on_a_thread(netns, work);
    }
    let _back = ComesBack(own);
    enter(netns)?;
    work()
}

fn on_a_thread<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("seal".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || enter(netns).and_then(|()| work()));
        let thread = thread.context("cannot start a thread")?;
        thread.join().unwrap_or_else(|_| bail!("cannot seal the network namespace: the thread panicked"))
    })
}

fn enter(netns: BorrowedFd<'_>) -> Result<()> {
    setns(netns, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")
}

/// The calling thread is in its own namespace again, also after a panic, or there is no process any more.
struct ComesBack(File);

impl Drop for ComesBack {
    fn drop(&mut self) {
        if setns(&self.0, CloneFlags::CLONE_NEWNET).is_err() {
            std::process::abort();
        }
    }
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

/// Of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";
/// Of the thread that reads.
const SYSCTLS: &str = "/proc/sys/net";
/// It has sysctls of the initial network namespace only, and `somaxconn` (`netns_core_table`).
const CORE: &str = "/proc/sys/net/core";
/// Each network namespace has it (`devinet_init_net` in net/ipv4/devinet.c).
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// linux/magic.h
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);
const STACK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, so that a failure concerns no other test.
    #[test]
    fn the_caller_is_back_after_work_an_error_and_a_panic() {
        let run = || {
            let own = Netns::at(OWN).unwrap();
            let made = std::thread::spawn(|| {
                nix::sched::unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
                File::open(OWN).unwrap()
            });
            let other = made.join().unwrap();
            for on_a_thread in [false, true] {
                let enter = |work: fn() -> Result<Netns>| match on_a_thread {
                    false => inside(other.as_fd(), work),
                    true => super::on_a_thread(other.as_fd(), work),
                };
                let seen = enter(|| Ok(Netns::at(OWN)?)).unwrap();
                assert_eq!(seen, Netns::of(other.as_fd()).unwrap());
                assert_ne!(seen, own);
                assert!(enter(|| bail!("no")).is_err());
                let panics = std::panic::AssertUnwindSafe(|| enter(|| panic!("it is the test's own")));
                assert!(std::panic::catch_unwind(panics).map_or(true, |done| done.is_err()));
                assert_eq!(Netns::at(OWN).unwrap(), own);
            }
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap());
    }
}
