//! FIFOs that a container reads. The container may put anything in the place of a FIFO at any moment: one is opened by the descriptor of
//! what was made and never by its name, so that nothing else is written to, and another file of its name is an error.

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat, openat, unlinkat};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;

use super::dir::Seen;
use super::{Dir, Error};

/// A FIFO.
#[derive(Debug)]
pub struct Fifo {
    name: String,
    seen: Seen,
}

/// The program may run as any user; it reads.
const MODE: u32 = 0o644;

/// As much as the kernel holds by default for anybody (/proc/sys/fs/pipe-max-size).
const CAPACITY: usize = 1 << 20;

impl Dir {
    /// Makes a FIFO directly in this directory.
    ///
    /// # Errors
    /// Something has its name; the system's.
    pub fn fifo(&self, name: &str) -> Result<Fifo, Error> {
        let mode = Mode::from_raw_mode(MODE);
        let made = mknodat(self.descriptor(), name, FileType::Fifo, mode, 0);
        made.map_err(|errno| match errno {
            Errno::EXIST => Error::refused(name, "exists; its place is for a FIFO of Pipe mode"),
            errno => Error::of(name)(errno),
        })?;
        let seen = self.seen(name)?;
        // Independent of the umask.
        let permissions = fs::set_permissions(path(&seen), Permissions::from_mode(MODE));
        permissions.map_err(|error| Error::system(name, error))?;
        Ok(Fifo { name: name.to_owned(), seen })
    }

    /// Makes one anew that an earlier attempt may have made.
    ///
    /// # Errors
    /// Something else has its name; the system's.
    pub fn fifo_again(&self, name: &str) -> Result<Fifo, Error> {
        match self.look(name) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::of(name)(errno)),
            Ok(_) => {
                self.seen(name)?;
                self.remove_fifo(name)?;
            }
        }
        self.fifo(name)
    }

    /// Removes one, or whatever has its name by now.
    ///
    /// # Errors
    /// It is a directory; the system's.
    pub fn remove_fifo(&self, name: &str) -> Result<(), Error> {
        match unlinkat(self.descriptor(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::of(name)(errno)),
        }
    }

    /// Opens one for writing; nothing as long as no program reads it.
    ///
    /// # Errors
    /// It was removed, or replaced by something else; the system's.
    pub fn open_fifo(&self, fifo: &Fifo) -> Result<Option<File>, Error> {
        let found = self.seen(&fifo.name)?.stat;
        let made = fifo.seen.stat;
        if (found.st_dev, found.st_ino) != (made.st_dev, made.st_ino) {
            return Err(Error::refused(
                &fifo.name,
                "was replaced by another FIFO while it was waited for a reader",
            ));
        }
        match found.st_nlink {
            1 => {}
            // Since its name was looked up.
            0 => return Err(Error::refused(&fifo.name, "was removed while it was waited for a reader")),
            // By another name it could be that of another epoch.
            _ => return Err(Error::refused(&fifo.name, "has another name, too (a hard link)")),
        }
        let of = Error::of(&fifo.name);
        let opened = match openat(CWD, path(&fifo.seen), FLAGS, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(of(errno)),
        };
        // From here on a writer waits for its reader.
        fcntl_setfl(&opened, OFlags::empty()).map_err(of)?;
        // It is faster; a user may have no more of such pipes.
        let _ = fcntl_setpipe_size(&opened, CAPACITY);
        Ok(Some(opened.into()))
    }

    /// What there is of this name, if it is a FIFO.
    fn seen(&self, name: &str) -> Result<Seen, Error> {
        let no = |what: &str| Error::refused(name, format!("{what}; its place is for a FIFO of Pipe mode"));
        let seen = self.look(name).map_err(|errno| match errno {
            Errno::NOENT => no("was removed"),
            errno => Error::of(name)(errno),
        })?;
        match seen.kind() {
            FileType::Fifo => Ok(seen),
            FileType::Symlink => Err(no("is a symbolic link")),
            FileType::Directory => Err(no("is a directory")),
            FileType::RegularFile => Err(no("is a regular file")),
            FileType::Socket => Err(no("is a socket")),
            _ => Err(no("is a device node")),
        }
    }
}

/// Without a reader it does not open, and so does not wait.
const FLAGS: OFlags = OFlags::WRONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// By which exactly what was looked at is opened.
fn path(seen: &Seen) -> String {
    format!("/proc/self/fd/{}", seen.descriptor.as_raw_fd())
}
