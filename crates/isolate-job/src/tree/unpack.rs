//! Extracts an untrusted tar.gz. Every name is validated: an entry that escapes the directory, or is not a file, directory or
//! link, is refused by name. The quota bounds content, number of entries and the archive's own headers (the `tar` crate's iterator
//! would read long-name headers into memory whole).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::dir::split;
use super::stage::copy;
use super::{Dir, Error, Quota};

/// The most bytes of a header that extends the next one.
const MOST_OF_HEADER: u64 = 1 << 20;

/// The most bytes behind the end of the archive: writers fill a record.
const MOST_BEHIND: u64 = 16 << 20;

/// As long a path may be, in archives that are made and so in those that are read.
const MOST_OF_PATH: usize = 1024;

const BLOCK: usize = 512;

/// Unpacks an archive. Where it fails, what was unpacked so far remains.
///
/// # Errors
/// A broken archive, a name or an entry that is refused, more than the quota, the system's.
pub fn unpack(archive: impl Read, into: &Dir, quota: &Quota) -> Result<(), Error> {
    let mut archive = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, archive));
    let mut next = Extended::default();
    while let Some(header) = header(&mut archive)? {
        let room = quota.entries(1);
        room.map_err(|error| Error::system(&lossy(&header.path_bytes()), error))?;
        let size = header.entry_size().map_err(broken)?;
        match header.entry_type() {
            EntryType::GNULongName => next.path = Some(ended(text(&mut archive, size)?)),
            EntryType::GNULongLink => next.link = Some(ended(text(&mut archive, size)?)),
            EntryType::XHeader => next.pax(&text(&mut archive, size)?)?,
            EntryType::XGlobalHeader => drop(text(&mut archive, size)?),
            kind => {
                let extended = std::mem::take(&mut next);
                let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
                let link = extended.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
                let mut entry = Entry {
                    name: lossy(&path),
                    kind,
                    mode: header.mode().map_err(broken)? & 0o777,
                    mtime: header.mtime().map_err(broken)?,
                    size: extended.size.unwrap_or(size),
                    link: link.unwrap_or_default(),
                };
                if std::str::from_utf8(&path).is_err() {
                    return Err(Error::refused(&entry.name, "is not UTF-8"));
                }
                // Before POSIX, a slash at the end was what made a directory.
                if entry.kind == EntryType::Regular && entry.size == 0 && entry.name.ends_with('/') {
                    entry.kind = EntryType::Directory;
                }
                if !matches!(entry.kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse)
                    && entry.size > 0
                {
                    return Err(entry.refused("has content but is not a regular file"));
                }
                entry.unpack(&mut archive, into, quota)?;
            }
        }
    }
    // To the end, where the checksum is.
    let behind = io::copy(&mut (&mut archive).take(MOST_BEHIND + 1), &mut io::sink()).map_err(broken)?;
    if behind > MOST_BEHIND {
        return Err(Error::refused("", "the archive has data after its end"));
    }
    Ok(())
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn broken(error: io::Error) -> Error {
    Error::refused("", format!("the archive is broken: {error}"))
}

/// The next header; none at the end.
fn header(archive: &mut impl Read) -> Result<Option<Header>, Error> {
    let mut header = Header::new_old();
    let bytes = header.as_mut_bytes();
    archive.read_exact(bytes).map_err(broken)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The sum of all bytes, those of the sum taken for spaces.
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
    if header.cksum().map_err(broken)? != sum - own + 8 * u32::from(b' ') {
        return Err(broken(io::Error::other("a header's checksum is wrong")));
    }
    Ok(Some(header))
}

/// The content of a header that extends the next one.
fn text(archive: &mut impl Read, size: u64) -> Result<Vec<u8>, Error> {
    if size > MOST_OF_HEADER {
        return Err(broken(io::Error::other("a header is too long")));
    }
    let mut text = Vec::new();
    copy(archive, &mut text, size).map_err(broken)?;
    pad(archive, size)?;
    Ok(text)
}

/// GNU's long names end with a NUL.
fn ended(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}

/// What fills the last block.
fn pad(archive: &mut impl Read, size: u64) -> Result<(), Error> {
    let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
    archive.read_exact(&mut [0; BLOCK][..rest]).map_err(broken)
}

/// What headers before an entry say of it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extended {
    /// Records `LENGTH KEY=VALUE\n` (POSIX, pax, "pax Extended Header").
    fn pax(&mut self, text: &[u8]) -> Result<(), Error> {
        let bad = || broken(io::Error::other("a pax header is not a list of records"));
        let mut rest = text;
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length =
                std::str::from_utf8(&rest[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
            let length = length.filter(|length| (space + 2..=rest.len()).contains(length)).ok_or_else(bad)?;
            let record = rest[space + 1..length].strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                    self.size = Some(size.ok_or_else(bad)?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err(Error::refused("", SPARSE)),
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

const SPARSE: &str = "the archive has GNU sparse files; create it without --sparse";

struct Entry {
    /// As it is written in the archive.
    name: String,
    kind: EntryType,
    mode: u32,
    mtime: u64,
    size: u64,
    link: Vec<u8>,
}

impl Entry {
    fn unpack(&self, archive: &mut impl Read, into: &Dir, quota: &Quota) -> Result<(), Error> {
        let Some(path) = path(&self.name)? else {
            // The directory itself.
            return if self.kind == EntryType::Directory { Ok(()) } else { Err(self.refused("has no name")) };
        };
        let (above, name) = split(path)?;
        if self.kind == EntryType::Directory {
            let (directory, made) = into.make(path)?;
            quota.entries(made).map_err(|error| Error::system(path, error))?;
            // Later entries have to be created in it.
            let mode = Mode::from_raw_mode(self.mode | 0o700);
            return rustix::fs::fchmod(directory.descriptor(), mode).map_err(Error::of(path));
        }
        let (above_dir, made) = into.make(above)?;
        quota.entries(made).map_err(|error| Error::system(path, error))?;
        match self.kind {
            EntryType::Regular | EntryType::Continuous => self.file(archive, &above_dir, name, quota),
            EntryType::Symlink => {
                let target = self.target(above)?;
                let done = rustix::fs::symlinkat(target, above_dir.descriptor(), name);
                done.map_err(|errno| self.at(errno))
            }
            EntryType::Link => {
                let first = std::str::from_utf8(&self.link)
                    .map_err(|_| self.refused("is a link that leaves the directory"))?;
                let first = self::path(first)
                    .ok()
                    .flatten()
                    .ok_or_else(|| self.refused("is a link that leaves the directory"))?;
                let (first_above, first) = split(first)?;
                let missing = |_| self.refused("is a hard link to a file that does not precede it");
                let first_above = into.sub_or_errno(first_above).map_err(missing)?;
                if first_above.look(first).map_err(missing)?.kind() != FileType::RegularFile {
                    return Err(self.refused("is a hard link to something other than a file"));
                }
                let (from, to) = (first_above.descriptor(), above_dir.descriptor());
                rustix::fs::linkat(from, first, to, name, AtFlags::empty()).map_err(|errno| self.at(errno))
            }
            EntryType::GNUSparse => Err(self.refused(SPARSE)),
            EntryType::Char | EntryType::Block => Err(self.refused("is a device node")),
            EntryType::Fifo => Err(self.refused("is a FIFO")),
            _ => Err(self.refused("is of an unknown type")),
        }
    }

    fn refused(&self, why: &str) -> Error {
        Error::refused(&self.name, why)
    }

    fn at(&self, errno: Errno) -> Error {
        match errno {
            Errno::EXIST => self.refused("is in the archive twice"),
            errno => Error::of(&self.name)(errno),
        }
    }

    fn file(&self, archive: &mut impl Read, above: &Dir, name: &str, quota: &Quota) -> Result<(), Error> {
        quota.bytes(self.size).map_err(|error| Error::system(&self.name, error))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(self.mode | 0o600);
        let mut file: File = above.beneath(name, flags, mode).map_err(|errno| self.at(errno))?.into();
        copy(archive, &mut file, self.size).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                broken(error)
            }
            _ => Error::system(&self.name, error),
        })?;
        pad(archive, self.size)?;
        // Independent of the umask; without setuid and the like.
        rustix::fs::fchmod(&file, mode).map_err(Error::of(&self.name))?;
        let mtime = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.mtime));
        let _ = mtime.map(|mtime| file.set_modified(mtime));
        Ok(())
    }

    /// Where a symbolic link leads, if that is beneath the directory: up first, no further than there is, and then down. After
    /// a name, `..` would lead wherever that name does, which may be a link.
    fn target(&self, above: &str) -> Result<&str, Error> {
        let out = || self.refused("is a link that leaves the directory");
        let target = std::str::from_utf8(&self.link)
            .map_err(|_| self.refused("is a link whose target is not UTF-8"))?;
        if target.is_empty() || target.starts_with('/') || target.contains('\0') {
            return Err(out());
        }
        let depth = above.split('/').filter(|segment| *segment != ".").count();
        let mut segments = target.split('/').filter(|segment| !matches!(*segment, "" | ".")).peekable();
        let mut up = 0;
        while segments.next_if_eq(&"..").is_some() {
            up += 1;
        }
        if up > depth || segments.any(|segment| segment == "..") { Err(out()) } else { Ok(target) }
    }
}

/// The path of an entry; none for the directory itself.
fn path(name: &str) -> Result<Option<&str>, Error> {
    let mut path = name;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    if name.starts_with('/') || path.starts_with('/') {
        return Err(Error::refused(name, "is an absolute path"));
    }
    if path.is_empty() || path == "." {
        return Ok(None);
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(Error::refused(name, "leaves the directory"));
    }
    split(path).map_err(|_| Error::refused(name, "is not a valid path"))?;
    if path.len() > MOST_OF_PATH || path.split('/').any(|segment| segment.len() > 255) {
        return Err(Error::refused(
            &path.chars().take(64).collect::<String>(),
            "is the beginning of a name that is too long",
        ));
    }
    Ok(Some(path))
}
