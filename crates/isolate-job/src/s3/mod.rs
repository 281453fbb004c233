//! Amazon S3 as the transfer process needs it: list, read, write. All of the network, the SDK and its runtime is in here; the
//! functions block. Keys are taken literally, and content is read only while the object is the one that was listed.

mod connect;
mod error;
mod fetch;
mod list;
mod reading;
mod requests;
mod trust;
mod upload;

use std::ops::Range;

use aws_sdk_s3::Client;
use tokio::runtime::Handle;

pub use connect::{Connection, Session, verifiable};
pub use error::Error;
pub use fetch::Piece;
pub use reading::{Ahead, Reading};
pub use upload::{Upload, Uploads};

/// An object as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its version: another content has another one.
    pub etag: String,
}

impl Object {
    /// All of its content.
    #[must_use]
    pub fn whole(&self) -> Range<u64> {
        0..self.size
    }
}

/// Amazon S3 with the permissions of one step, in one bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    runtime: Handle,
    name: String,
    parallel: usize,
    part_size: usize,
}

impl Bucket {
    /// How a key is called in errors.
    #[must_use]
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }
}
