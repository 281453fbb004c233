//! Object keys to file paths. Keys are untrusted: a key that is not a valid and unique path below the channel's directory is
//! an error that names the key, and nothing is downloaded.

use std::collections::HashMap;
use std::fmt;

use super::manifest::Manifest;
use crate::request::MOST_OF_KEY;

/// An object as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A file to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// The object's key.
    pub key: String,
    /// Below the channel; segments that are names, with a slash between.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// The content of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// In the order in which they were listed.
    pub files: Vec<PlannedFile>,
    /// Directories for which there is an empty object, as AWS's console creates them.
    pub directories: Vec<String>,
}

/// Whether the file system distinguishes names by case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// It does.
    Kept,
    /// It does not.
    Ignored,
}

/// A key that cannot be a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKey {
    /// The key.
    pub key: String,
    /// Why it cannot.
    pub why: Why,
}

/// Why a key cannot be a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It does not begin with the prefix.
    Outside,
    /// A segment is `.` or `..`.
    Dots,
    /// It is an absolute path below the prefix.
    Absolute,
    /// There is nothing between two slashes.
    EmptySegment,
    /// It has a NUL.
    Nul,
    /// A segment has more than 255 bytes, or the key more than 1024.
    TooLong,
    /// It ends with a slash and has content.
    DirectoryWithContent,
    /// It ends with a slash in a manifest, which names objects.
    DirectoryInManifest,
    /// It is a file, and this other key has it as a directory.
    FileAndDirectory(String),
    /// This other key is the same file.
    SameFile(String),
    /// This other key differs in case only, which the file system does not tell apart.
    CaseOnly(String),
}

impl fmt::Display for BadKey {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let key = &self.key;
        match &self.why {
            Why::Outside => write!(formatter, "key {key:?} does not begin with the prefix"),
            Why::Dots => write!(formatter, "key {key:?} has a segment \".\" or \"..\""),
            Why::Absolute => write!(formatter, "key {key:?} is an absolute path below the prefix"),
            Why::EmptySegment => write!(formatter, "key {key:?} has an empty segment"),
            Why::Nul => write!(formatter, "key {key:?} has a NUL character"),
            Why::TooLong => {
                let most = format!("a name has at most {MOST_OF_NAME} bytes, a key {MOST_OF_KEY}");
                write!(formatter, "key {:?} is too long; {most}", key.chars().take(64).collect::<String>())
            }
            Why::DirectoryWithContent => write!(formatter, "key {key:?} ends with a slash and has content"),
            Why::DirectoryInManifest => write!(formatter, "key {key:?} of the manifest ends with a slash"),
            Why::FileAndDirectory(other) => {
                write!(formatter, "key {key:?} is a file, and {other:?} has it as a directory")
            }
            Why::SameFile(other) => write!(formatter, "keys {key:?} and {other:?} are the same file"),
            Why::CaseOnly(other) => {
                write!(
                    formatter,
                    "keys {key:?} and {other:?} differ in case only, and the file system ignores case"
                )
            }
        }?;
        formatter.write_str("; rename the object or choose another prefix")
    }
}

impl std::error::Error for BadKey {}

/// The most bytes of a name: NAME_MAX of Linux's usual file systems.
const MOST_OF_NAME: usize = 255;

/// The most invalid keys that are reported.
const MOST_SAID: usize = 20;

/// Files of the objects that were listed under a prefix.
///
/// A prefix is the beginning of keys, whatever follows. Keys below `PREFIX/` keep their path from there; if a prefix ends within a
/// name (`train` for `train-01/x`), the whole name is kept (`train-01/x`).
///
/// # Errors
/// The keys that cannot be files, the first 20 of them.
pub fn from_prefix(prefix: &str, objects: Vec<Object>, case: Case) -> Result<Files, Vec<BadKey>> {
    let mut arranged = Arranged::new(case);
    for object in objects {
        match below(prefix, &object.key) {
            Some(path) if path.is_empty() && object.size == 0 => {}
            Some(path) => {
                let path = path.to_owned();
                arranged.add(object, path);
            }
            None => arranged.refuse(object.key, Why::Outside),
        }
    }
    arranged.finish()
}

/// Files of the objects that a manifest names, each with its size; the paths are those of the manifest.
///
/// # Errors
/// The keys that cannot be files, the first 20 of them.
pub fn from_manifest(manifest: &Manifest, sizes: &[u64], case: Case) -> Result<Files, Vec<BadKey>> {
    let mut arranged = Arranged::new(case);
    for (entry, size) in manifest.entries.iter().zip(sizes) {
        let key = format!("{}{entry}", manifest.prefix.key);
        if entry.ends_with('/') {
            arranged.refuse(key, Why::DirectoryInManifest);
        } else {
            arranged.add(Object { key, size: *size }, entry.clone());
        }
    }
    arranged.finish()
}

/// The share of the n-th of several containers: every n-th file, in the order of the list.
pub fn shard<T>(items: impl IntoIterator<Item = T>, container: usize, containers: usize) -> Vec<T> {
    items.into_iter().skip(container).step_by(containers.max(1)).collect()
}

/// The path of a key below a prefix.
fn below<'k>(prefix: &str, key: &'k str) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix)?;
    if prefix.is_empty() || prefix.ends_with('/') {
        return Some(rest);
    }
    if let Some(rest) = rest.strip_prefix('/') {
        return Some(rest);
    }
    let name = prefix.rfind('/').map_or(0, |slash| slash + 1);
    Some(&key[name..])
}

struct Arranged {
    files: Files,
    bad: Vec<BadKey>,
    case: Case,
    /// By path; in lower case where the file system ignores case.
    taken: HashMap<String, Taken>,
}

struct Taken {
    is_file: bool,
    /// As it was written first.
    path: String,
    key: String,
}

impl Arranged {
    fn new(case: Case) -> Self {
        Self { files: Files::default(), bad: Vec::new(), case, taken: HashMap::new() }
    }

    fn refuse(&mut self, key: String, why: Why) {
        if self.bad.len() < MOST_SAID {
            self.bad.push(BadKey { key, why });
        }
    }

    fn add(&mut self, object: Object, path: String) {
        if let Some(why) = bad(&object, &path) {
            return self.refuse(object.key, why);
        }
        let (is_file, path) = match path.strip_suffix('/') {
            Some(directory) => (false, directory.to_owned()),
            None => (true, path),
        };
        for (slash, _) in path.match_indices('/') {
            if let Err(why) = self.take(&path[..slash], false, &object.key) {
                return self.refuse(object.key, why);
            }
        }
        match self.take(&path, is_file, &object.key) {
            Err(why) => self.refuse(object.key, why),
            Ok(false) if is_file => {}
            Ok(_) if is_file => {
                self.files.files.push(PlannedFile { key: object.key, path, size: object.size })
            }
            Ok(_) => self.files.directories.push(path),
        }
    }

    /// Whether the path is new.
    fn take(&mut self, path: &str, is_file: bool, key: &str) -> Result<bool, Why> {
        let folded = match self.case {
            Case::Kept => path.to_owned(),
            Case::Ignored => path.to_lowercase(),
        };
        let Some(taken) = self.taken.get(&folded) else {
            self.taken.insert(folded, Taken { is_file, path: path.to_owned(), key: key.to_owned() });
            return Ok(true);
        };
        let other = taken.key.clone();
        match (taken.is_file, is_file) {
            _ if taken.path != path => Err(Why::CaseOnly(other)),
            (true, true) if other == key => Ok(false),
            (true, true) => Err(Why::SameFile(other)),
            (false, false) => Ok(false),
            _ => Err(Why::FileAndDirectory(other)),
        }
    }

    fn finish(self) -> Result<Files, Vec<BadKey>> {
        if self.bad.is_empty() { Ok(self.files) } else { Err(self.bad) }
    }
}

/// Why a path is invalid on its own.
fn bad(object: &Object, path: &str) -> Option<Why> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    if path.contains('\0') {
        Some(Why::Nul)
    } else if path.starts_with('/') {
        Some(Why::Absolute)
    } else if inner.split('/').any(str::is_empty) {
        Some(Why::EmptySegment)
    } else if inner.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some(Why::Dots)
    } else if object.key.len() > MOST_OF_KEY || inner.split('/').any(|segment| segment.len() > MOST_OF_NAME) {
        Some(Why::TooLong)
    } else if path.ends_with('/') && object.size > 0 {
        Some(Why::DirectoryWithContent)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
