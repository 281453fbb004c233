//! A directory handle. The kernel resolves every name below it (openat2), without following symbolic links or entering mounts.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use super::Error;

/// A directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The mode of new directories.
const OPEN: Mode = Mode::from_raw_mode(0o755);

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens a directory by a trusted path; its last segment is no symbolic link.
    ///
    /// # Errors
    /// It does not exist, or is not a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// Opens a file or directory beneath.
    pub(super) fn beneath(
        &self,
        path: impl AsRef<OsStr>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        loop {
            match openat2(&self.0, path.as_ref(), flags | OFlags::CLOEXEC, mode, BENEATH) {
                // A name on the way was renamed meanwhile.
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
    }

    /// Opens a directory beneath.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or is behind a symbolic link.
    pub fn sub(&self, path: impl AsRef<OsStr>) -> Result<Self, Error> {
        let name = path.as_ref().to_string_lossy().into_owned();
        self.sub_or_errno(path).map_err(Error::of(&name))
    }

    pub(super) fn sub_or_errno(&self, path: impl AsRef<OsStr>) -> Result<Self, Errno> {
        self.beneath(path, DIRECTORY, Mode::empty()).map(Self)
    }

    /// Creates a directory beneath and its parents; returns how many were created.
    ///
    /// # Errors
    /// A name on the way is a file or a symbolic link.
    pub fn make(&self, path: &str) -> Result<(Self, u64), Error> {
        if let Ok(there) = self.sub_or_errno(path) {
            return Ok((there, 0));
        }
        let mut made = 0;
        let mut directory = self.sub(".")?;
        for segment in path.split('/') {
            let is_new = match rustix::fs::mkdirat(&directory.0, segment, OPEN) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(Error::of(path)(errno)),
            };
            directory = directory.sub_or_errno(segment).map_err(|errno| match errno {
                Errno::NOTDIR => Error::refused(path, "has a parent that is a file"),
                Errno::LOOP => Error::refused(path, "has a parent that is a symbolic link"),
                errno => Error::of(path)(errno),
            })?;
            if is_new {
                // Independent of the umask: the container may run as another user.
                rustix::fs::fchmod(&directory.0, OPEN).map_err(Error::of(path))?;
                made += 1;
            }
        }
        Ok((directory, made))
    }

    /// Inspects without opening (O_PATH): a FIFO does not block, a device is not touched, a symbolic link is not followed.
    pub(super) fn look(&self, name: impl AsRef<OsStr>) -> Result<Seen, Errno> {
        let descriptor = self.beneath(name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
        let stat = fstat(&descriptor)?;
        Ok(Seen { descriptor, stat })
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Result<Vec<std::ffi::OsString>, Errno> {
        use std::os::unix::ffi::OsStringExt;
        let own = self.beneath(".", DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(own)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(std::ffi::OsString::from_vec(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The first bytes of a regular file beneath, at most `most`; `None` if it does not exist or is something else, such as a link.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let seen = match self.look(path) {
            Ok(seen) if seen.kind() == FileType::RegularFile => seen,
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(errno) => return Err(Error::of(path)(errno)),
        };
        let mut bytes = Vec::new();
        let read = seen.read().and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map_err(|error| Error::system(path, error))?;
        Ok(Some(bytes))
    }

    /// Removes a file or directory beneath, with everything in it. It need not exist.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), Error> {
        let shown = name.as_ref().to_string_lossy().into_owned();
        self.remove_all(name.as_ref()).map_err(Error::of(&shown))
    }

    /// Does not recurse: a container can nest directories deeper than there are descriptors. The content of a subdirectory is moved up
    /// into the directory itself until it is empty.
    fn remove_all(&self, name: &OsStr) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        let top = self.sub_or_errno(name)?;
        let mut next = 0u64;
        loop {
            let names = top.names()?;
            if names.is_empty() {
                return rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR);
            }
            for name in names {
                if !top.unlink(&name)? {
                    let directory = top.sub_or_errno(&name)?;
                    for inner in directory.names()? {
                        if !directory.unlink(&inner)? {
                            top.move_up(&directory, &inner, &mut next)?;
                        }
                    }
                    rustix::fs::unlinkat(&top.0, &name, AtFlags::REMOVEDIR)?;
                }
            }
        }
    }

    /// Removes a name unless it is a directory; returns whether it is gone.
    fn unlink(&self, name: &OsStr) -> Result<bool, Errno> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::ISDIR | Errno::PERM) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn move_up(&self, from: &Self, name: &OsStr, next: &mut u64) -> Result<(), Errno> {
        loop {
            *next += 1;
            let to = format!("~{next}");
            match rustix::fs::renameat_with(&from.0, name, &self.0, to, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => return done,
            }
        }
    }

    /// Whether `a` and `A` are the same file on its file system.
    ///
    /// # Errors
    /// The system's.
    pub fn ignores_case(&self) -> Result<bool, Error> {
        const PROBE: &str = "~isolate-job-case";
        let error = Error::of(PROBE);
        rustix::fs::mkdirat(&self.0, PROBE, Mode::RWXU).map_err(&error)?;
        let ignores = self.look(PROBE.to_uppercase()).is_ok();
        rustix::fs::unlinkat(&self.0, PROBE, AtFlags::REMOVEDIR).map_err(&error)?;
        Ok(ignores)
    }

    /// Moves an entry of this directory to a name in another; nothing is replaced.
    pub(super) fn rename(
        &self,
        from: impl AsRef<OsStr>,
        to: &Self,
        name: impl AsRef<OsStr>,
    ) -> Result<(), Errno> {
        rustix::fs::renameat_with(&self.0, from.as_ref(), &to.0, name.as_ref(), RenameFlags::NOREPLACE)
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

/// A file that was inspected and not opened.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) descriptor: OwnedFd,
    pub(super) stat: rustix::fs::Stat,
}

impl Seen {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens the inspected file itself for reading, whatever has its name now.
    pub(super) fn read(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.descriptor.as_raw_fd()))
    }
}

/// The parent directory and the last segment of a path of plain names.
pub(super) fn split(path: &str) -> Result<(&str, &str), Error> {
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) || path.contains('\0') {
        return Err(Error::refused(path, "is not a path below the directory"));
    }
    Ok(path.rsplit_once('/').unwrap_or((".", path)))
}
