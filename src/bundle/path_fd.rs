//! Opens paths safely: magic links of procfs are not followed, or a directory is the root of everything below
//! it (openat2(2)). Descriptors are O_PATH unless something is read: opening a FIFO or a device has no
//! effect.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::FsFlags;
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, openat, openat2};

use crate::proc;
use crate::rules::mounts::FileSystem;

/// How much of a directory is read by one call, in bytes; most are smaller.
const DIRECTORY: usize = 8 << 10;

/// An open file.
pub struct PathFd(OwnedFd);

impl PathFd {
    /// The file at a path of the host. A magic link of procfs is ELOOP: its target has no path.
    pub(super) fn plain(path: &Path) -> nix::Result<Self> {
        match resolved(CWD, path, OFlag::O_PATH, ResolveFlags::NO_MAGICLINKS) {
            // Linux before 5.6.
            Err(Errno::ENOSYS) => open(path, OFlag::O_PATH),
            result => result,
        }
    }

    /// The file at a path that may begin with [`PathFd::link`].
    pub(super) fn of_ours(path: &Path) -> nix::Result<Self> {
        open(path, OFlag::O_PATH)
    }

    /// The root directory of a process on the host.
    pub fn root_of(process: &proc::Dir) -> nix::Result<Self> {
        open(&process.join("root"), OFlag::O_PATH)
    }

    /// The file at a path in this directory, as found by a process with this root.
    pub fn within(&self, path: impl AsRef<Path>, flags: OFlag) -> nix::Result<Self> {
        let path = path.as_ref().strip_prefix("/").unwrap_or(path.as_ref());
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        resolved(&self.0, path, flags, ResolveFlags::IN_ROOT)
    }

    /// The same for a path without links; with one it is ELOOP. A link itself can be opened with O_PATH and
    /// O_NOFOLLOW.
    pub(super) fn without_links(&self, path: &str, flags: OFlag) -> nix::Result<Self> {
        let path = path.trim_start_matches('/');
        let path = Path::new(if path.is_empty() { "." } else { path });
        resolved(&self.0, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
    }

    /// A directory below this one, for reading its entries. Links are followed, as they are by `open`.
    pub(super) fn directory(&self, path: &Path) -> nix::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.0, path, flags, Mode::empty()).map(Self).map_err(errno)
    }

    /// The target of a link that was opened itself.
    pub(super) fn target(&self) -> nix::Result<String> {
        let target = nix::fcntl::readlinkat(Some(self.0.as_raw_fd()), c"")?;
        target.into_string().map_err(|_| Errno::EILSEQ)
    }

    /// The same file, opened for more than O_PATH.
    pub(super) fn reopened(&self, flags: OFlag) -> nix::Result<Self> {
        open(&self.link(), flags)
    }

    /// What kind of file it is (fstat(2)).
    pub fn stat(&self) -> nix::Result<FileStat> {
        fstat(self.0.as_raw_fd())
    }

    /// The file of this name in this directory; links are not followed.
    pub fn stat_of(&self, name: &(impl NixPath + ?Sized)) -> nix::Result<FileStat> {
        fstatat(Some(self.0.as_raw_fd()), name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// The type of an entry of this directory; if the file system did not report it, and it is gone meanwhile, it stays
    /// [`FileType::Unknown`].
    pub(super) fn kind_of(&self, name: &CStr, reported: FileType) -> FileType {
        match reported {
            FileType::Unknown => {
                self.stat_of(name).map_or(reported, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            reported => reported,
        }
    }

    /// Its path in the kernel.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(self.link())
    }

    pub(super) fn file_system(&self) -> nix::Result<FileSystem> {
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "32 bits on some machines")]
        fstatfs(&self.0).map(|found| FileSystem::of_magic(found.filesystem_type().0 as i64))
    }

    /// Whether it is mounted read-only.
    pub fn is_readonly(&self) -> nix::Result<bool> {
        fstatfs(&self.0).map(|found| found.flags().contains(FsFlags::ST_RDONLY))
    }

    /// The beginning of a regular file.
    pub(super) fn read(&self, limit: usize) -> nix::Result<Vec<u8>> {
        let mut bytes = vec![0; limit];
        let mut filled = 0;
        while filled < limit {
            match nix::unistd::read(self.0.as_raw_fd(), &mut bytes[filled..])? {
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

    /// The same, each with its type.
    pub(super) fn entries(self, limit: usize) -> nix::Result<Vec<(CString, FileType)>> {
        let mut found = Vec::new();
        let all = self.each_entry(|name, kind| {
            found.push((name.to_owned(), kind));
            found.len() < limit
        });
        all.map(|_| found)
    }

    /// Calls `visit` with each name in this directory and its type, [`FileType::Unknown`] if the file system does not
    /// report it, until `visit` is false; whether that was all.
    pub(super) fn each_entry(&self, mut visit: impl FnMut(&CStr, FileType) -> bool) -> nix::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); DIRECTORY];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") && !visit(name, entry.file_type()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A path to this very file.
    pub(super) fn link(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

fn open(path: &Path, flags: OFlag) -> nix::Result<PathFd> {
    openat(CWD, path, to_rustix(flags), Mode::empty()).map(PathFd).map_err(errno)
}

fn resolved(at: impl AsFd, path: &Path, flags: OFlag, how: ResolveFlags) -> nix::Result<PathFd> {
    openat2(at, path, to_rustix(flags), Mode::empty(), how).map(PathFd).map_err(errno)
}

fn to_rustix(flags: OFlag) -> OFlags {
    OFlags::from_bits_retain((flags | OFlag::O_CLOEXEC).bits().cast_unsigned())
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
