//! Bounded reads and atomic replacement. A reader of a file that is replaced here sees either the old or the
//! new bytes, even if this process is killed.

mod descriptors;
mod draft;

use std::borrow::Borrow;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::file_version::FileVersion;

pub use descriptors::{is_out_of_descriptors, name_limit};
pub use draft::{Draft, in_memory, read_back, write_text};

/// The largest `config.json` or process file that is read, in bytes. Larger ones are refused: the largest seen in the
/// wild are well below one megabyte.
pub const DOCUMENT_LIMIT: u64 = 128 << 20;

/// The largest settings file, in bytes.
pub const SMALL_LIMIT: u64 = 4 << 20;

/// Separates a file's name from the identifier of its writer in the name of a temporary file.
const MARK: &str = ".oci-isolate-";

/// The writer identifier of a process that holds a lock, of which there is one at a time.
const NEW: &str = "new";

/// A file that was read: its bytes, and what is needed to replace it.
#[derive(Debug)]
pub struct Snapshot {
    /// Its content.
    pub bytes: Vec<u8>,
    /// As it was before it was read.
    pub version: FileVersion,
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
}

/// Reads a regular file of at most `limit` bytes. A FIFO or a device is an error and is not waited for; a symbolic
/// link is followed.
///
/// # Errors
/// It cannot be opened, is not a regular file, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Snapshot> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let file = file.with_context(|| format!("cannot read {}", path.display()))?;
    snapshot(&file, path, limit)
}

/// [`read()`] of a file that another user may replace: a symbolic link is an error, too.
///
/// # Errors
/// It is a link, cannot be opened, is not a regular file, or is larger.
pub fn read_no_link(path: &Path, limit: u64) -> Result<Snapshot> {
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path);
    let file = file.with_context(|| format!("cannot read {}", path.display()))?;
    snapshot(&file, path, limit)
}

fn snapshot(file: &File, path: &Path, limit: u64) -> Result<Snapshot> {
    let shown = path.display();
    let meta = file.metadata().with_context(|| format!("cannot read {shown}"))?;
    if !meta.is_file() {
        bail!("cannot read {shown}: not a regular file");
    }
    if meta.len() > limit {
        bail!("cannot read {shown}: {} bytes, at most {limit} are read", meta.len());
    }
    let size = usize::try_from(meta.len())?;
    let bytes = read_sized(file, size, limit).with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > limit {
        bail!("cannot read {shown}: it grew past {limit} bytes while it was read");
    }
    let owner = (meta.uid(), meta.gid());
    Ok(Snapshot { bytes, version: (&meta).into(), path: path.to_owned(), mode: meta.mode() & 0o7777, owner })
}

/// Reads a file that was `size` bytes long by one call: a regular file returns less than was asked for at its end only.
/// If it has grown, up to one byte more than `limit` is read.
fn read_sized(mut file: &File, size: usize, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; size + 1];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if filled == size {
            break;
        }
    }
    bytes.truncate(filled);
    // It has grown, or is a file of the kernel, whose size is not known before.
    if filled > size {
        file.take((limit + 1).saturating_sub(filled as u64)).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

impl Snapshot {
    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file's content, keeping its mode and owner.
    ///
    /// # Errors
    /// The file is a symbolic link (which the rename would replace by a file), or its directory cannot be
    /// written. The file is then unchanged.
    pub fn replace(&self, bytes: &[u8]) -> Result<()> {
        let draft = self.draft()?;
        let mut file: &File = draft.borrow();
        file.write_all(bytes).with_context(|| format!("cannot write {}", self.path.display()))?;
        draft.put_in_place()
    }

    /// Whether the file still holds what was read.
    #[must_use]
    pub fn is_current(&self) -> bool {
        read(&self.path, self.bytes.len() as u64).is_ok_and(|now| now.bytes == self.bytes)
    }

    /// Copies what was read to another file, replacing it, with the same mode and owner.
    ///
    /// # Errors
    /// The other directory cannot be written.
    pub fn copy(&self, to: &Path) -> Result<()> {
        write_new(to, &beside(to, process::id()), &self.bytes, self.mode, Some(self.owner), File::sync_data)
    }
}

/// Writes a file of ours atomically: afterwards it has these bytes or, after an error, its previous content.
/// It need not survive a reboot. The caller holds a lock that excludes other writers; a temporary file left
/// by a killed writer is replaced.
///
/// # Errors
/// Its directory cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_new(path, &unfinished(path), bytes, mode, None, |_| Ok(()))
}

/// The same, without a lock: it survives a power cut, and of several writers the last one wins.
///
/// # Errors
/// Its directory cannot be written.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_new(path, &beside(path, process::id()), bytes, mode, None, File::sync_all)
}

/// The temporary file that a killed [`write()`] leaves behind.
#[must_use]
pub fn unfinished(path: &Path) -> PathBuf {
    beside(path, NEW)
}

/// Removes a file, if there is one.
///
/// # Errors
/// It exists and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Creates a file atomically, which must not exist yet; it survives a power cut.
///
/// # Errors
/// It exists, or its directory is not writable.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = beside(path, process::id());
    let file = write_temporary(&temporary, bytes, mode, None);
    // A rename would replace a file that another process has created meanwhile.
    let made = file.and_then(|file| file.sync_all()).and_then(|()| std::fs::hard_link(&temporary, path));
    let _ = std::fs::remove_file(&temporary);
    made.with_context(|| format!("cannot create {}", path.display()))
}

/// Removes the temporary file that a killed process may have left beside a file that it was about to replace.
/// A failure is ignored: a leftover does no harm.
pub fn sweep(path: &Path, pid: u32) {
    let _ = std::fs::remove_file(beside(path, pid));
}

fn write_new(
    path: &Path,
    temporary: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
    settle: fn(&File) -> std::io::Result<()>,
) -> Result<()> {
    let file = write_temporary(temporary, bytes, mode, owner);
    let written = file.and_then(|file| settle(&file)).and_then(|()| std::fs::rename(temporary, path));
    if let Err(error) = written {
        // The rename did not happen, so the name is ours or does not exist.
        let _ = std::fs::remove_file(temporary);
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(())
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> std::io::Result<File> {
    let mut file = open_temporary(path)?;
    file.write_all(bytes)?;
    adopt(&file, mode, owner)?;
    Ok(file)
}

/// An empty file that only its owner can read.
fn open_temporary(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW);
    match options.open(path) {
        // Left by a killed process.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(path).and_then(|()| options.open(path))
        }
        made => made,
    }
}

/// Gives a file its final mode and owner, once its bytes are written.
fn adopt(file: &File, mode: u32, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    if let Some((uid, gid)) = owner {
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (uid, gid) {
            fchown(file, Some(uid), Some(gid))?;
        }
    }
    // After the owner: chown clears set-id bits, and the bytes must not be readable by others before.
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// A name with a process id cannot collide: no other live process has that id.
fn beside(path: &Path, who: impl Display) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!("{MARK}{who}"));
    path.with_file_name(name)
}
impl From<&std::fs::Metadata> for FileVersion {
    fn from(meta: &std::fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: Some((meta.ctime(), meta.ctime_nsec())),
        }
    }
}
