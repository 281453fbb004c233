//! Opens paths safely: magic links of procfs are not followed, or a directory is the root of everything below
//! it (openat2(2)). Descriptors are O_PATH unless something is read: opening a FIFO or a device has no
//! effect.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::statfs;
use nix::sys::statvfs::FsFlags;

use crate::proc;
use crate::rules::mounts::FileSystem;

/// An open file, closed on drop.
pub struct PathFd(RawFd);

impl Drop for PathFd {
    fn drop(&mut self) {
        let _ = nix::unistd::close(self.0);
    }
}

impl PathFd {
    /// The file at a path of the host. A magic link of procfs is ELOOP: its target has no path.
    pub(super) fn plain(path: &Path) -> nix::Result<Self> {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
        let how = how.resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(nix::libc::AT_FDCWD, path, how) {
            // Linux before 5.6.
            Err(Errno::ENOSYS) => open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()),
            result => result,
        }
        .map(Self)
    }

    /// The file at a path that may begin with [`PathFd::link`].
    pub(super) fn of_ours(path: &Path) -> nix::Result<Self> {
        open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// The root directory of a process on the host.
    pub fn root_of(process: &proc::Dir) -> nix::Result<Self> {
        open(&process.join("root"), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// The file at a path in this directory, as found by a process with this root.
    pub fn within(&self, path: impl AsRef<Path>, flags: OFlag) -> nix::Result<Self> {
        let path = path.as_ref().strip_prefix("/").unwrap_or(path.as_ref());
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(self.0, path, how).map(Self)
    }

    /// The same for a path without links; with one it is ELOOP. A link itself can be opened with O_PATH and
    /// O_NOFOLLOW.
    pub(super) fn without_links(&self, path: &str, flags: OFlag) -> nix::Result<Self> {
        let path = path.trim_start_matches('/');
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC);
        let how = how.resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(self.0, if path.is_empty() { "." } else { path }, how).map(Self)
    }

    /// The target of a link that was opened itself.
    pub(super) fn target(&self) -> nix::Result<String> {
        let target = nix::fcntl::readlinkat(Some(self.0), c"")?;
        target.into_string().map_err(|_| Errno::EILSEQ)
    }

    /// The same file, opened for more than O_PATH.
    pub(super) fn reopened(&self, flags: OFlag) -> nix::Result<Self> {
        open(self.link().as_path(), flags | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// What kind of file it is (fstat(2)).
    pub fn stat(&self) -> nix::Result<FileStat> {
        fstat(self.0)
    }

    /// The file of this name in this directory; links are not followed.
    pub fn stat_of(&self, name: &(impl NixPath + ?Sized)) -> nix::Result<FileStat> {
        fstatat(Some(self.0), name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Its path in the kernel.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(self.link())
    }

    pub(super) fn file_system(&self) -> nix::Result<FileSystem> {
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "32 bits on some machines")]
        statfs(self.link().as_path()).map(|found| FileSystem::of_magic(found.filesystem_type().0 as i64))
    }

    /// Whether it is mounted read-only.
    pub fn is_readonly(&self) -> nix::Result<bool> {
        statfs(self.link().as_path()).map(|found| found.flags().contains(FsFlags::ST_RDONLY))
    }

    /// The beginning of a regular file.
    pub(super) fn read(&self, limit: usize) -> nix::Result<Vec<u8>> {
        let mut bytes = vec![0; limit];
        let mut filled = 0;
        while filled < limit {
            match nix::unistd::read(self.0, &mut bytes[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Whether it is of a kind (inode(7), "The file type and mode").
    pub(super) fn is(&self, kind: SFlag) -> nix::Result<bool> {
        Ok(self.stat()?.st_mode & SFlag::S_IFMT.bits() == kind.bits())
    }

    /// The beginning of a regular file, which need not be open for reading; anything else is EINVAL.
    pub(super) fn read_text(&self, limit: usize) -> nix::Result<String> {
        if !self.is(SFlag::S_IFREG)? {
            return Err(Errno::EINVAL);
        }
        let opened = self.reopened(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        Ok(String::from_utf8_lossy(&opened.read(limit)?).into_owned())
    }

    /// Names in this directory, which must be open for reading; at most `limit`.
    pub fn names(self, limit: usize) -> nix::Result<Vec<CString>> {
        Ok(self.entries(limit)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The same, each with its type if the file system reports it.
    pub(super) fn entries(self, limit: usize) -> nix::Result<Vec<(CString, Option<Type>)>> {
        let mut dir = Dir::from_fd(self.0)?;
        // Now closed by the directory.
        std::mem::forget(self);
        let entries = dir.iter().flatten().map(|entry| (entry.file_name().to_owned(), entry.file_type()));
        Ok(entries.filter(|(name, _)| !matches!(name.to_bytes(), b"." | b"..")).take(limit).collect())
    }

    /// A path to this very file.
    pub(super) fn link(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0))
    }
}
