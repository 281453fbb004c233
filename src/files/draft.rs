//! A new content of a file: written, read back and judged before it takes the file's place. What was judged is what the
//! file holds, and a large text need not be in memory twice.

use std::borrow::Borrow;
use std::ffi::CStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::AtFlags;
use nix::libc::{EOPNOTSUPP, O_TMPFILE};
use nix::sys::memfd::{MemFdCreateFlag, memfd_create};
use nix::unistd::linkat;

use super::{Snapshot, adopt, beside, open_temporary, read_sized};
use crate::file_version::FileVersion;

/// Pieces of a text are collected up to this size.
const BUFFER: usize = 64 << 10;

/// A file that can take another one's place. It has no name before, so that nothing is left of it if this process is
/// killed.
#[derive(Debug)]
pub struct Draft {
    file: File,
    /// Its name beside the other, where the file system has no files without a name (NFS, overlay before Linux 6.1).
    named: Option<Named>,
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
}

impl Snapshot {
    /// Makes an empty file that can take this one's place.
    ///
    /// # Errors
    /// The file is a symbolic link (which the rename would replace by a file), or its directory cannot be written.
    pub fn draft(&self) -> Result<Draft> {
        let Self { path, mode, owner, .. } = self;
        let shown = path.display();
        let meta = std::fs::symlink_metadata(path).with_context(|| format!("cannot replace {shown}"))?;
        if meta.is_symlink() {
            bail!("cannot replace {shown}: it is a symbolic link");
        }
        let (file, named) = unnamed_or_named(path).with_context(|| format!("cannot write {shown}"))?;
        Ok(Draft { file, named, path: path.clone(), mode: *mode, owner: *owner })
    }
}

impl Draft {
    /// What it is when it has taken the file's place, if nothing more is written.
    ///
    /// # Errors
    /// It cannot be inspected.
    pub fn version(&self) -> Result<FileVersion> {
        let meta = self.file.metadata();
        meta.map(|meta| FileVersion::from(&meta).unnamed())
            .with_context(|| format!("cannot inspect what is to be {}", self.path.display()))
    }

    /// Replaces the file, whose mode and owner it gets.
    ///
    /// # Errors
    /// The directory cannot be written. The file is then unchanged.
    pub fn put_in_place(self) -> Result<()> {
        let Self { file, named, path, mode, owner } = self;
        let place = || {
            // A bundle on disk (Podman's, or a user's own) has to survive a power cut; on tmpfs syncing is free.
            adopt(&file, mode, Some(owner))?;
            file.sync_data()?;
            named.map_or_else(|| Named::link(&file, &path), Ok)?.rename(&path)
        };
        place().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Borrow<File> for Draft {
    fn borrow(&self) -> &File {
        &self.file
    }
}

fn unnamed_or_named(path: &Path) -> io::Result<(File, Option<Named>)> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unnamed =
        OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(O_TMPFILE).open(directory);
    match unnamed {
        Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => {
            let at = beside(path, std::process::id());
            Ok((open_temporary(&at)?, Some(Named(at))))
        }
        made => Ok((made?, None)),
    }
}

/// The name of a draft, which is removed if the draft does not take the other file's place.
#[derive(Debug)]
struct Named(PathBuf);

impl Named {
    /// Gives the file a name beside the path.
    fn link(file: &File, path: &Path) -> io::Result<Self> {
        let at = beside(path, std::process::id());
        let opened = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let link = || linkat(None, &opened, None, &at, AtFlags::AT_SYMLINK_FOLLOW).map_err(io::Error::from);
        match link() {
            // Left by a killed process.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                std::fs::remove_file(&at).and_then(|()| link())?;
            }
            made => made?,
        }
        Ok(Self(at))
    }

    fn rename(self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, path)?;
        // There is none of that name any more.
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file in memory, which ends with its last descriptor; `name` is shown in /proc.
///
/// # Errors
/// The kernel has no memory for it.
pub fn in_memory(name: &CStr) -> Result<File> {
    let made = memfd_create(name, MemFdCreateFlag::MFD_CLOEXEC).context("cannot make a file in memory")?;
    Ok(File::from(made))
}

/// Writes a text that comes in pieces into an empty file; returns its length.
///
/// # Errors
/// The file cannot be written, or the text has an error of its own.
pub fn write_text<E>(file: &File, write: impl FnOnce(&mut dyn fmt::Write) -> Result<(), E>) -> Result<usize>
where
    anyhow::Error: From<E>,
{
    let mut text = TextWriter { file: BufWriter::with_capacity(BUFFER, file), length: 0, failed: Ok(()) };
    let written = write(&mut text);
    // The cause, if the text could not be written.
    text.failed?;
    written?;
    text.file.flush()?;
    Ok(text.length)
}

/// Reads a text back that was just written.
///
/// # Errors
/// It cannot be read, or has another length.
pub fn read_back(mut file: &File, length: usize) -> Result<Vec<u8>> {
    file.rewind()?;
    let bytes = read_sized(file, length, length as u64)?;
    if bytes.len() != length {
        bail!("it was changed while it was judged");
    }
    Ok(bytes)
}

struct TextWriter<'f> {
    file: BufWriter<&'f File>,
    length: usize,
    failed: io::Result<()>,
}

impl fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.length += piece.len();
        self.failed = self.file.write_all(piece.as_bytes());
        if self.failed.is_ok() { Ok(()) } else { Err(fmt::Error) }
    }
}
