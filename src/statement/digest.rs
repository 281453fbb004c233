//! SHA-256 of files that were used a while ago.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use nix::libc::O_NONBLOCK;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Time;

/// The digest of a file, or why it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// In hexadecimal.
    Sha256(String),
    /// Why it is not known.
    Unknown(String),
}

impl Digest {
    /// The digest of a file as it was at a time: it has not been changed or replaced since.
    #[must_use]
    pub fn of_unchanged(path: &Path, since: Time) -> Self {
        match unchanged(path, since.system()) {
            Ok(digest) => Self::Sha256(digest),
            Err(why) => Self::Unknown(format!("{why:#}")),
        }
    }
}

fn unchanged(path: &Path, since: SystemTime) -> Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let mut file = file.context("it cannot be opened")?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer).context("it cannot be read")?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    // After reading. Only setting the clock can set this time to another.
    let meta = file.metadata().context("it cannot be inspected")?;
    if !meta.is_file() {
        bail!("it is not a regular file");
    }
    let changed = Duration::new(meta.ctime().try_into()?, meta.ctime_nsec().try_into()?);
    if SystemTime::UNIX_EPOCH + changed > since {
        bail!("it was changed or replaced after it was used");
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_since_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let before = Time::now();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&path, "abc").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_unchanged(&path, Time::now()), Digest::Sha256(abc.into()));
        let after = "it was changed or replaced after it was used";
        assert_eq!(Digest::of_unchanged(&path, before), Digest::Unknown(after.into()));
        let read = Time::now();
        std::thread::sleep(Duration::from_millis(20));
        // With the same bytes, and a time of modification that was put back.
        std::fs::write(&path, "abc").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(Digest::of_unchanged(&path, read), Digest::Unknown(after.into()));
        for (path, words) in
            [(dir.path().to_owned(), "it cannot be read: "), (dir.path().join("b"), "it cannot be opened: ")]
        {
            let Digest::Unknown(why) = Digest::of_unchanged(&path, Time::now()) else { panic!("{path:?}") };
            assert!(why.starts_with(words), "{why}");
        }
    }
}
