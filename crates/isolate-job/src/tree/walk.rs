//! Walks a directory that a container wrote, sorted by name. Only regular files and directories are opened, and the file that
//! was inspected is the file that is read, even if its name is replaced meanwhile.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::SystemTime;

use rustix::fs::FileType;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::dir::Seen;
use super::{Dir, Error};

/// A file or directory that was found.
#[derive(Debug)]
pub struct Entry {
    /// Its path below the directory.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Identifies the file and its version.
    pub version: Version,
    /// Device and inode, for a file that has several names.
    pub several: Option<(u64, u64)>,
    /// What it is.
    pub kind: Kind,
}

/// Differs after a file was written or replaced: size, inode, and the time of the last change, which programs cannot set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version(i64, u64, i64, i64);

impl Version {
    /// Whether a later change will have a different time. Clocks of file systems tick a hundred times a second.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_secs()).is_ok_and(|now| now > self.2 + 1)
    }
}

/// What was found.
#[derive(Debug)]
pub enum Kind {
    /// A directory; its content comes next.
    Directory,
    /// A file, and its size and content.
    File(u64, Content),
    /// A symbolic link, and its target.
    Link(OsString),
    /// What is not transferred.
    Skipped(Skipped),
}

/// What is not transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are plain")]
pub enum Skipped {
    Fifo,
    Socket,
    Device,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device node",
        })
    }
}

/// The longest key of S3, in bytes.
const MOST_OF_PATH: usize = 1024;

/// Shows everything beneath the directory.
///
/// # Errors
/// A name that is not UTF-8 or too long, a mount, the system's, and the visitor's own.
pub fn walk(directory: &Dir, visit: &mut dyn FnMut(Entry) -> Result<(), Error>) -> Result<(), Error> {
    below(directory, "", visit)
}

fn below(
    directory: &Dir,
    above: &str,
    visit: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    for name in directory.names().map_err(Error::of(above))? {
        let name = name.into_string().map_err(|name| {
            let shown = format!("{above}{}", name.to_string_lossy());
            Error::refused(&shown, "is not UTF-8; rename it")
        })?;
        let path = format!("{above}{name}");
        if path.len() > MOST_OF_PATH {
            let shown: String = path.chars().take(64).collect();
            return Err(Error::refused(
                &shown,
                format!("is the beginning of a path of more than {MOST_OF_PATH} bytes; shorten it"),
            ));
        }
        let seen = match directory.look(&name) {
            Ok(seen) => seen,
            // Removed since it was listed.
            Err(Errno::NOENT) => continue,
            Err(Errno::XDEV) => return Err(Error::refused(&path, "is a mount point")),
            Err(errno) => return Err(Error::of(&path)(errno)),
        };
        let is_directory = seen.kind() == FileType::Directory;
        visit(entry(seen, &path)?)?;
        if is_directory {
            let directory = directory.sub(&name)?;
            below(&directory, &format!("{path}/"), visit)?;
        }
    }
    Ok(())
}

fn entry(seen: Seen, path: &str) -> Result<Entry, Error> {
    let stat = &seen.stat;
    let kind = match seen.kind() {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => {
            let file = seen.read().map_err(|error| Error::system(path, error))?;
            let size = stat.st_size.unsigned_abs();
            Kind::File(size, Content::new(file, size))
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&seen.descriptor, "", Vec::new()).map_err(Error::of(path))?;
            Kind::Link(OsString::from_vec(target.into_bytes()))
        }
        FileType::Fifo => Kind::Skipped(Skipped::Fifo),
        FileType::Socket => Kind::Skipped(Skipped::Socket),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            Kind::Skipped(Skipped::Device)
        }
    };
    let several = (stat.st_nlink > 1 && matches!(kind, Kind::File(..))).then_some((stat.st_dev, stat.st_ino));
    let mtime = u64::try_from(stat.st_mtime).unwrap_or_default();
    let version = Version(stat.st_size, stat.st_ino, stat.st_ctime, stat.st_ctime_nsec as i64);
    Ok(Entry { version, path: path.to_owned(), mode: stat.st_mode & 0o777, mtime, several, kind })
}
