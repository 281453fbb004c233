//! Bounded reads and atomic replacement. A reader of a file that is replaced here sees the old bytes or the new ones,
//! whatever happens to us in between.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// The largest `config.json` or process file that is read, in bytes. Larger ones are refused: the largest seen in the
/// wild are well below one megabyte.
pub const DOCUMENT_LIMIT: u64 = 128 << 20;

/// The largest settings file or record, in bytes.
pub const SMALL_LIMIT: u64 = 4 << 20;

/// Between the name of a file and what tells who is about to replace it.
const MARK: &str = ".oci-isolate-";

/// Whoever holds the lock.
const NEW: &str = "new";

/// A file that was read: its bytes, and what is needed to replace it.
#[derive(Debug)]
pub struct Snapshot {
    /// Its content.
    pub bytes: Vec<u8>,
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

fn snapshot(file: &File, path: &Path, limit: u64) -> Result<Snapshot> {
    let shown = path.display();
    let meta = file.metadata().with_context(|| format!("cannot read {shown}"))?;
    if !meta.is_file() {
        bail!("cannot read {shown}: not a regular file");
    }
    if meta.len() > limit {
        bail!("cannot read {shown}: {} bytes, at most {limit} are read", meta.len());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len())? + 1);
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > limit {
        bail!("cannot read {shown}: it grew past {limit} bytes while it was read");
    }
    let owner = (meta.uid(), meta.gid());
    Ok(Snapshot { bytes, path: path.to_owned(), mode: meta.mode() & 0o7777, owner })
}

impl Snapshot {
    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts new bytes in the file's place, with its mode and owner.
    ///
    /// # Errors
    /// The file is a symbolic link (which the rename would replace by a file), or its directory cannot be written.
    /// The old file is then as it was.
    pub fn replace(&self, bytes: &[u8]) -> Result<()> {
        let shown = self.path.display();
        if std::fs::symlink_metadata(&self.path)
            .with_context(|| format!("cannot replace {shown}"))?
            .is_symlink()
        {
            bail!("cannot replace {shown}: it is a symbolic link");
        }
        // A bundle on a disk (Podman's, or a user's own) has to survive a power cut; on tmpfs it is free.
        write_new(
            &self.path,
            &beside(&self.path, process::id()),
            bytes,
            self.mode,
            Some(self.owner),
            File::sync_data,
        )
    }

    /// Whether the file still holds what was read.
    #[must_use]
    pub fn is_current(&self) -> bool {
        read(&self.path, self.bytes.len() as u64).is_ok_and(|now| now.bytes == self.bytes)
    }

    /// Writes what was read to another file, with the same mode and owner, in place of what is there.
    ///
    /// # Errors
    /// The other directory cannot be written.
    pub fn copy(&self, to: &Path) -> Result<()> {
        write_new(to, &beside(to, process::id()), &self.bytes, self.mode, Some(self.owner), File::sync_data)
    }
}

/// Writes a file of ours in one step: it is there with these bytes or, after an error, as it was before. It need not
/// outlive the machine's next start. Nobody else may write it meanwhile, which takes a lock; what somebody left beside it
/// who was killed is replaced.
///
/// # Errors
/// Its directory cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_new(path, &unfinished(path), bytes, mode, None, |_| Ok(()))
}

/// What [`write()`] leaves beside a file when it is killed.
#[must_use]
pub fn unfinished(path: &Path) -> PathBuf {
    beside(path, NEW)
}

/// Removes a file, if there is one.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a file that must not be there yet, in one step; it outlives a power cut.
///
/// # Errors
/// It is there, or its directory cannot be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = beside(path, process::id());
    let file = write_temporary(&temporary, bytes, mode, None);
    // A rename would replace what somebody else has made meanwhile.
    let made = file.and_then(|file| file.sync_all()).and_then(|()| std::fs::hard_link(&temporary, path));
    let _ = std::fs::remove_file(&temporary);
    made.with_context(|| format!("cannot create {}", path.display()))
}

/// Removes what this process, which was killed, may have left beside a file that it was about to replace. One that cannot be
/// removed stays: it is in nobody's way.
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
        // The rename did not happen, so the name is ours or not there.
        let _ = std::fs::remove_file(temporary);
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(())
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> std::io::Result<File> {
    let open =
        || OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW).open(path);
    let mut file = match open() {
        // Left by somebody who was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(path).and_then(|()| open())
        }
        made => made,
    }?;
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (uid, gid) {
            fchown(&file, Some(uid), Some(gid))?;
        }
    }
    // After the owner: chown clears set-id bits, and nobody else may read the bytes before.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// With a process id the name is ours: whoever has the id now is us, whoever had it is gone.
fn beside(path: &Path, who: impl Display) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!("{MARK}{who}"));
    path.with_file_name(name)
}
