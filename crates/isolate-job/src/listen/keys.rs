//! The access keys that may call: the file that `[listen] keys` names. A secret is in no error and in no debug output.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

/// The secret of a key.
#[derive(Clone, Deserialize)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Secrets by access key id.
#[derive(Debug)]
pub(super) struct Keys(BTreeMap<String, Secret>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Key {
    access_key_id: String,
    secret_access_key: Secret,
}

/// The most bytes of the file.
const MOST: i64 = 1 << 20;

/// A secret of AWS has 40 characters; one that can be guessed is refused.
const LEAST_OF_SECRET: usize = 16;

impl Keys {
    /// Reads the file, which has to be the caller's own and closed to others.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let at = || format!("cannot read the access keys in {}", path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        ensure!(
            opened.as_ref().err() != Some(&Errno::NOENT),
            "{} does not exist; write a [[key]] with access-key-id and secret-access-key into it, with mode 0600",
            path.display()
        );
        let file = File::from(opened.with_context(at)?);
        let found = rustix::fs::fstat(&file).with_context(at)?;
        let own = rustix::process::geteuid().as_raw();
        let name = path.display();
        ensure!(
            rustix::fs::FileType::from_raw_mode(found.st_mode).is_file(),
            "{name} is not a regular file; give a file of access keys"
        );
        ensure!(
            found.st_uid == own,
            "{name} belongs to user {}; it has to belong to user {own}: chown {own} {name}",
            found.st_uid
        );
        ensure!(
            found.st_mode & 0o077 == 0,
            "{name} is open to other users (mode {:o}); chmod 600 {name}",
            found.st_mode & 0o7777
        );
        ensure!(found.st_size <= MOST, "{name} has more than {MOST} bytes; remove keys that are not used");
        let text = std::io::read_to_string(file).with_context(at)?;
        Self::read(&text).with_context(at)
    }

    /// Reads the text of the file.
    pub(super) fn read(text: &str) -> Result<Self> {
        // The parser's own error quotes the line, which may have a secret.
        let written: Written = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            anyhow::anyhow!("line {line}: expected [[key]] with access-key-id and secret-access-key")
        })?;
        ensure!(!written.key.is_empty(), "there is no [[key]]; add one");
        let mut keys = BTreeMap::new();
        for Key { access_key_id: id, secret_access_key: secret } in written.key {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            ensure!(
                (1..=128).contains(&id.len()) && id.chars().all(is_word),
                "access-key-id {id:?} is not 1 to 128 letters and digits"
            );
            if secret.0.len() < LEAST_OF_SECRET {
                bail!(
                    "the secret-access-key of {id} has fewer than {LEAST_OF_SECRET} characters; give a random one"
                );
            }
            ensure!(
                keys.insert(id.clone(), secret).is_none(),
                "access-key-id {id} is given twice; remove one"
            );
        }
        Ok(Self(keys))
    }

    pub(super) fn secret(&self, access_key_id: &str) -> Option<&Secret> {
        self.0.get(access_key_id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const KEYS: &str = "[[key]]\naccess-key-id = 'AKIA1'\nsecret-access-key = 'open-sesame-open-sesame'\n";

    #[test]
    fn no_error_has_a_secret() {
        for (text, expected) in [
            ("", "line 1: expected [[key]]"),
            ("[[key]]\naccess-key-id = 'AKIA1'\nsecret-access-key = open-sesame-open-sesame\n", "line 3"),
            (
                "[[key]]\naccess-key-id = 'AKIA1'\nsecret-access-key = 'sesame'\n",
                "the secret-access-key of AKIA1 has fewer",
            ),
            (
                "[[key]]\naccess-key-id = 'A-1'\nsecret-access-key = 'open-sesame-open-sesame'\n",
                "is not 1 to 128",
            ),
            (&format!("{KEYS}role = 'open-sesame'\n"), "expected [[key]]"),
            (&format!("{KEYS}{KEYS}"), "AKIA1 is given twice"),
        ] {
            let error = format!("{:#}", Keys::read(text).unwrap_err());
            assert!(error.contains(expected) && !error.contains("sesame"), "{text}: {error}");
        }
        assert!(!format!("{:?}", Keys::read(KEYS).unwrap()).contains("sesame"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        fs::write(&path, KEYS).unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = Keys::open(&path);
            assert_eq!(found.is_ok(), is_read, "{mode:o}");
            assert!(found.is_ok() || format!("{:#}", found.unwrap_err()).contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Not the keys of its first bytes.
        let large = directory.path().join("large.toml");
        fs::write(&large, format!("{KEYS}#{}", " ".repeat(1 << 20))).unwrap();
        fs::set_permissions(&large, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(format!("{:#}", Keys::open(&large).unwrap_err()).contains("has more than 1048576 bytes"));
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(Keys::open(&link).is_err());
        let missing = Keys::open(&directory.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("does not exist; write a [[key]]"), "{missing}");
        assert!(format!("{:#}", Keys::open(directory.path()).unwrap_err()).contains("is not a regular file"));
    }
}
