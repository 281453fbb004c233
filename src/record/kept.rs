//! The network namespace of a container that counts attempts, kept by a mount beside its record: it can be read between
//! the end of the container's last process and `delete`.
//!
//! The mount is removed before the record. The file below it is deleted, so the kernel detaches the mount in every other mount
//! namespace too, which had it by propagation or as a copy (`detach_mounts` in fs/namespace.c).

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Slot;
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

    /// Removes the mount, if there is one.
    pub(super) fn let_go(&self) -> Result<()> {
        let at = self.mount_point();
        let removed = match std::fs::remove_file(&at) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                umount2(&at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                    .with_context(|| format!("cannot unmount {}", at.display()))?;
                std::fs::remove_file(&at)
            }
            removed => removed,
        };
        removed.with_context(|| format!("cannot remove {}", at.display()))
    }
}
