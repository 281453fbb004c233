//! The content of a file that may be sparse. Holes are zeros, and are not read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Exactly as many bytes as the file had when it was inspected.
#[derive(Debug)]
pub struct Content {
    file: File,
    at: u64,
    size: u64,
    /// Where the hole at `at` ends, and where the data after it ends.
    hole_end: u64,
    data_end: u64,
}

impl Content {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self { file, at: 0, size, hole_end: 0, data_end: 0 }
    }

    /// Finds the next hole and the data after it.
    fn look(&mut self) -> io::Result<()> {
        self.hole_end = match seek(&self.file, SeekFrom::Data(self.at)) {
            Ok(data) => data.min(self.size),
            // A hole to the end, or the end itself.
            Err(Errno::NXIO) => self.size,
            Err(errno) => return Err(errno.into()),
        };
        self.data_end = match seek(&self.file, SeekFrom::Hole(self.hole_end)) {
            Ok(hole) => hole.min(self.size),
            Err(Errno::NXIO) => self.size,
            Err(errno) => return Err(errno.into()),
        };
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.size || buffer.is_empty() {
            return Ok(0);
        }
        if self.at >= self.data_end {
            // A file that was truncated meanwhile is filled up with zeros.
            if self.file.metadata()?.len() < self.size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "became shorter while it was read"));
            }
            self.look()?;
        }
        let most = |end: u64, at: u64| buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let count = if self.at < self.hole_end {
            let count = most(self.hole_end, self.at);
            buffer[..count].fill(0);
            count
        } else {
            let count = most(self.data_end, self.at);
            match self.file.read_at(&mut buffer[..count], self.at)? {
                0 => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "became shorter while it was read",
                    ));
                }
                count => count,
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}
