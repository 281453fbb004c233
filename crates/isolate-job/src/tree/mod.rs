//! Files below a directory, and nowhere else. Names come from keys, archives and containers and are untrusted: none can escape, and
//! an invalid one is an error that names it. A staged directory appears in one step.

mod content;
mod digest;
mod dir;
mod fifo;
mod merge;
mod pack;
mod quota;
mod same;
mod stage;
mod unpack;
mod used;
mod walk;
mod writeback;

use std::{fmt, io};

pub use digest::digest;
pub(crate) use digest::hexadecimal;
pub use dir::Dir;
pub use fifo::Fifo;
pub use merge::merge;
pub use pack::{Packed, Tell, pack};
pub use quota::Quota;
pub use stage::{Stage, StagedFile};
pub use unpack::unpack;
pub use used::used;
pub use walk::{Entry, Kind, Skipped, Version, walk};

/// What went wrong, with a name.
#[derive(Debug)]
pub struct Error {
    /// The file, as it was called below the directory.
    pub name: String,
    /// What went wrong with it.
    pub cause: Cause,
}

/// What went wrong.
#[derive(Debug)]
pub enum Cause {
    /// Something that the data's owner has to change.
    Refused(String),
    /// More data than the quota allows, and what its user can do.
    Full(String),
    /// The system's error.
    System(io::Error),
}

impl Error {
    /// Something that the data's owner has to change.
    pub(crate) fn refused(name: &str, why: impl Into<String>) -> Self {
        Self { name: name.to_owned(), cause: Cause::Refused(why.into()) }
    }

    fn of(name: &str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::system(name, errno.into())
    }

    /// The system's error, about this file.
    pub(crate) fn system(name: &str, error: io::Error) -> Self {
        // Writers report an exhausted quota as an I/O error, as they do a full disk. The file system's own quotas have a number.
        let cause = match error.kind() {
            io::ErrorKind::QuotaExceeded if error.raw_os_error().is_none() => Cause::Full(error.to_string()),
            _ => Cause::System(error),
        };
        Self { name: name.to_owned(), cause }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if !self.name.is_empty() {
            write!(formatter, "{:?}: ", self.name)?;
        }
        match &self.cause {
            Cause::Refused(why) | Cause::Full(why) => formatter.write_str(why),
            Cause::System(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
