//! The network namespace of a container that counts attempts, kept by a mount beside its record: it can be read between
//! the end of the container's last process and `delete`.
//!
//! The mount is removed before the record. The file below it is deleted, so the kernel detaches the mount in every other mount
//! namespace too, which had it by propagation or as a copy (`detach_mounts` in fs/namespace.c). In the caller's own mount namespace
//! it does not, and refuses to delete the file while any mount is on it, also where it is seen through a private copy of `/run`.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Slot;
use crate::diagnostics::{Log, report};
use crate::proc::{Inode, parse_mountinfo};
use crate::seal::OpenNetns;

impl Slot {
    fn mount_point(&self) -> PathBuf {
        self.record().with_extension("net")
    }

    /// Keeps the namespace until the record is removed. It is not kept where the caller may not mount: a rootless user outside
    /// of a mount namespace of his own.
    ///
    /// # Errors
    /// `cannot keep the network namespace at <path>: <cause>`.
    pub fn keep(&self, netns: &OpenNetns) -> Result<()> {
        let at = self.mount_point();
        let _lock = self.lock()?;
        // That of an earlier container of this id, which was not deleted.
        self.let_go()?;
        let shown = || format!("cannot keep the network namespace at {}", at.display());
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at).with_context(shown)?;
        let open = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
        match mount(Some(&*open), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>) {
            Err(Errno::EPERM | Errno::EACCES) => self.let_go(),
            done => done.with_context(shown),
        }
    }

    /// The namespace that is kept, if there is one.
    #[must_use]
    pub fn kept(&self) -> Option<OpenNetns> {
        OpenNetns::at(&self.mount_point()).ok()
    }

    /// Removes the mount. A failure is reported and changes nothing: the container is gone, and its engine would fail to delete it
    /// again and again.
    pub(super) fn let_go_or_report(&self) {
        if let Err(error) = self.let_go() {
            let why = "the network namespace of a deleted container is kept until the file is unmounted and removed";
            report(&Log::default(), &format!("{why}: {error:#}"));
        }
    }

    /// Removes the mount, if there is one, and copies of it.
    fn let_go(&self) -> Result<()> {
        let at = self.mount_point();
        // A file system that is read-only refuses to remove what is not there.
        if at.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let removed = match std::fs::remove_file(&at) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                let unmounted = unmount(&at);
                std::fs::remove_file(&at).map_err(|busy| unmounted.err().unwrap_or(busy.into()))
            }
            removed => removed.map_err(Error::from),
        };
        removed.with_context(|| format!("cannot remove {}", at.display()))
    }
}

/// Unmounts all that is mounted on a file in this mount namespace, by whichever path.
fn unmount(file: &Path) -> Result<()> {
    let directory = |path: &Path| path.parent().and_then(|directory| Inode::of(directory).ok());
    let (name, here) = (file.file_name(), directory(file));
    let list = std::fs::read("/proc/self/mountinfo").context("cannot list the mounts")?;
    let points = parse_mountinfo(&list).map(|mount| mount.point());
    let mut done = Ok(());
    for point in points.filter(|point| point.file_name() == name && directory(point) == here) {
        match umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It has gone with another one, by propagation.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => {
                done = Err(errno).with_context(|| format!("cannot unmount {}", point.display()));
            }
        }
    }
    done
}
