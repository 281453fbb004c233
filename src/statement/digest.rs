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
use crate::file_version::FileVersion;

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
    /// The digest of a file as it was used: it is the same, and has not been changed since.
    #[must_use]
    pub fn of_unchanged(path: &Path, used: &FileVersion) -> Self {
        match unchanged(path, used, None) {
            Ok(digest) => Self::Sha256(digest),
            Err(why) => Self::Unknown(format!("{why:#}")),
        }
    }

    /// The same of a file that got its name after that, and was used before a time.
    #[must_use]
    pub fn of_unchanged_since(path: &Path, used: &FileVersion, since: Time) -> Self {
        match unchanged(path, used, Some(since.system())) {
            Ok(digest) => Self::Sha256(digest),
            Err(why) => Self::Unknown(format!("{why:#}")),
        }
    }
}

fn unchanged(path: &Path, used: &FileVersion, since: Option<SystemTime>) -> Result<String> {
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
    // After reading.
    let meta = file.metadata().context("it cannot be inspected")?;
    if !meta.is_file() {
        bail!("it is not a regular file");
    }
    let changed = Duration::new(meta.ctime().try_into()?, meta.ctime_nsec().try_into()?);
    if !used.is_still((&meta).into()) || since.is_some_and(|since| SystemTime::UNIX_EPOCH + changed > since) {
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

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn version(path: &Path) -> FileVersion {
        (&std::fs::metadata(path).unwrap()).into()
    }

    fn changed() -> Digest {
        Digest::Unknown("it was changed or replaced after it was used".into())
    }

    #[test]
    fn a_file_that_was_changed_since_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let used = version(&path);
        assert_eq!(Digest::of_unchanged(&path, &used), Digest::Sha256(ABC.into()));
        std::thread::sleep(Duration::from_millis(20));
        // With the same bytes, and a time of modification that was put back.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "abc").unwrap();
        std::fs::File::open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(Digest::of_unchanged(&path, &used), changed());
        let gone = dir.path().join("b");
        for (path, words) in [(dir.path(), "it cannot be read: "), (&gone, "it cannot be opened: ")] {
            let Digest::Unknown(why) = Digest::of_unchanged(path, &used) else { panic!("{path:?}") };
            assert!(why.starts_with(words), "{why}");
        }
    }

    /// Neither a link nor a directory that is switched changes the file that is behind it then.
    #[test]
    fn another_file_behind_the_path_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, link] = ["old", "new", "link"].map(|name| dir.path().join(name));
        std::fs::write(&new, "abd").unwrap();
        std::fs::write(&old, "abc").unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let used = version(&link);
        assert_eq!(Digest::of_unchanged(&link, &used), Digest::Sha256(ABC.into()));
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&new, &link).unwrap();
        assert_eq!(Digest::of_unchanged(&link, &used), changed());
        assert_eq!(Digest::of_unchanged_since(&link, &used, Time::now()), changed());
    }

    #[test]
    fn a_file_that_got_its_name_later_may_be_changed_until_it_was_used() {
        let dir = tempfile::tempdir().unwrap();
        let [draft, path] = ["draft", "config.json"].map(|name| dir.path().join(name));
        std::fs::write(&draft, "abc").unwrap();
        let used = FileVersion::from(&std::fs::metadata(&draft).unwrap()).unnamed();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(&draft, &path).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let since = Time::now();
        assert_eq!(Digest::of_unchanged_since(&path, &used, since), Digest::Sha256(ABC.into()));
        // Its bytes are not what was used, even if the clock was set back.
        std::fs::write(&path, "abd").unwrap();
        let later = (SystemTime::now() + Duration::from_secs(60)).into();
        assert_eq!(Digest::of_unchanged_since(&path, &used, later), changed());
    }
}
