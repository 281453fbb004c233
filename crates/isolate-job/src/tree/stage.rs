//! A directory under construction. It has a temporary name until all of its files are complete.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::dir::split;
use super::same::same;
use super::writeback::WriteBack;
use super::{Dir, Error, Quota};

/// A directory under construction.
#[derive(Debug)]
pub struct Stage<'q> {
    parent: Dir,
    name: String,
    /// Becomes the directory.
    files: Dir,
    quota: &'q Quota,
    writeback: WriteBack,
}

impl<'q> Stage<'q> {
    /// Begins with an empty directory; what an earlier attempt left is removed.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(parent: Dir, name: &str, quota: &'q Quota) -> Result<Self, Error> {
        let partial = partial(name);
        parent.remove(&partial)?;
        let made = parent.make(&format!("{partial}/files"));
        let begun = made.and_then(|(files, _)| WriteBack::begin(&files).map(|writeback| (files, writeback)));
        let (files, writeback) = begun.inspect_err(|_| drop(parent.remove(&partial)))?;
        Ok(Self { parent, name: name.to_owned(), files, quota, writeback })
    }

    /// A new file of this size.
    ///
    /// # Errors
    /// The quota is exhausted, the path is invalid, a file of its name exists or a parent is a file; the system's.
    pub fn file(&self, path: &str, size: u64) -> Result<StagedFile<'_>, Error> {
        let (above, _) = split(path)?;
        let room = Quota::of_file(size);
        self.quota.bytes(room).map_err(|error| Error::system(path, error))?;
        let file = self.create(path, above).inspect_err(|_| self.quota.give_back(room))?;
        Ok(StagedFile { stage: self, path: path.to_owned(), file, size, is_complete: false })
    }

    fn create(&self, path: &str, above: &str) -> Result<File, Error> {
        let open = || self.files.beneath(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, FILE);
        let opened = match open() {
            // The first of its directory.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make(above)?;
                open()
            }
            done => done,
        };
        let file = opened.map_err(|errno| match errno {
            Errno::EXIST => Error::refused(path, "already exists"),
            errno => Error::of(path)(errno),
        })?;
        // Independent of the umask: the container may run as another user.
        rustix::fs::fchmod(&file, FILE).map_err(Error::of(path))?;
        Ok(file.into())
    }

    /// Checks the quota for this many bytes before the first is written.
    ///
    /// # Errors
    /// The quota has less left.
    pub fn fits(&self, bytes: u64) -> Result<(), Error> {
        self.quota.has(bytes).map_err(|error| Error::system("", error))
    }

    /// A directory and its parents.
    ///
    /// # Errors
    /// The quota is exhausted, or a parent is a file.
    pub fn directory(&self, path: &str) -> Result<(), Error> {
        split(path)?;
        self.make(path).map(drop)
    }

    fn make(&self, path: &str) -> Result<Dir, Error> {
        let (directory, made) = self.files.make(path)?;
        self.quota.entries(made).map_err(|error| Error::system(path, error))?;
        Ok(directory)
    }

    /// Unpacks an archive into it.
    ///
    /// # Errors
    /// See [`super::unpack()`].
    pub fn unpack(&self, archive: impl Read) -> Result<(), Error> {
        super::unpack(archive, &self.files, self.quota)
    }

    /// Writes the complete directory to the disk and gives it its name. Under that name may be an empty directory, or the same files: an
    /// earlier attempt was interrupted after this step.
    ///
    /// # Errors
    /// The name has other content; the system's.
    pub fn publish(self) -> Result<(), Error> {
        let error = Error::of(&self.name);
        rustix::fs::syncfs(self.files.descriptor()).map_err(&error)?;
        let partial = partial(&self.name);
        // A directory replaces an empty one, in one step.
        let from = format!("{partial}/files");
        let parent = self.parent.descriptor();
        match rustix::fs::renameat(parent, from.as_str(), parent, self.name.as_str()) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if same(&self.files, &self.parent.sub(&self.name)?)? => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Err(Error::refused(
                    &self.name,
                    "already exists and is not empty, and has other files; remove it",
                ));
            }
            done => done.map_err(&error)?,
        }
        self.parent.remove(&partial)
    }
}

impl Drop for Stage<'_> {
    /// Removes what was not published; what cannot be removed now is removed by the next attempt.
    fn drop(&mut self) {
        let _ = self.parent.remove(partial(&self.name));
    }
}

/// The name until it is complete. No channel can have it: names of channels have no tilde.
pub(super) fn partial(name: &str) -> String {
    format!("{name}~partial")
}

const FILE: Mode = Mode::from_raw_mode(0o644);

/// A file that is being written, possibly by several threads.
#[derive(Debug)]
pub struct StagedFile<'s> {
    stage: &'s Stage<'s>,
    path: String,
    file: File,
    size: u64,
    is_complete: bool,
}

impl StagedFile<'_> {
    /// Writes a part.
    ///
    /// # Errors
    /// The part ends beyond the announced size; the system's.
    pub fn write_at(&self, content: &[u8], offset: u64) -> Result<(), Error> {
        let end = offset.checked_add(content.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(Error::refused(
                &self.path,
                format!("has more than the {} bytes it was said to have", self.size),
            ));
        }
        self.file.write_all_at(content, offset).map_err(|error| Error::system(&self.path, error))?;
        self.stage.writeback.arrived(content.len() as u64);
        Ok(())
    }

    /// Completes the file. Its size is checked; whether every byte was written is up to the caller.
    ///
    /// # Errors
    /// It is shorter than announced; the system's.
    pub fn finish(mut self) -> Result<(), Error> {
        let system = |error| Error::system(&self.path, error);
        let length = self.file.metadata().map_err(system)?.len();
        if length != self.size {
            let why = format!("has {length} of the {} bytes it was said to have", self.size);
            return Err(Error::refused(&self.path, why));
        }
        self.is_complete = true;
        Ok(())
    }

    fn remove(&self) -> Result<(), Error> {
        let (above, name) = split(&self.path)?;
        let removed = rustix::fs::unlinkat(self.stage.files.sub(above)?.descriptor(), name, AtFlags::empty());
        removed.map_err(Error::of(&self.path))
    }
}

impl Drop for StagedFile<'_> {
    /// An incomplete file is removed, and its share of the quota is returned.
    fn drop(&mut self) {
        if !self.is_complete {
            // If it fails, the file is removed with the directory.
            let _ = self.remove();
            self.stage.quota.give_back(Quota::of_file(self.size));
        }
    }
}

/// Copies exactly this many bytes.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write, size: u64) -> io::Result<()> {
    let copied = io::copy(&mut from.take(size), to)?;
    if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
