//! The digest of all files of a directory: in-toto's `dirHash1`, which is "h1:" of Go's modules in hexadecimal. It is the SHA-256 of what
//! `sha256sum` prints of the files, sorted by their paths.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::content::Content;
use super::walk::{Kind, walk};
use super::{Dir, Error, Quota};

/// The digest. Directories without files are not in it, nor what is never transferred (FIFOs, sockets, devices).
///
/// # Errors
/// The walk's; a symbolic link, of which this digest knows nothing; a name that `sha256sum` does not print as it is; more than `most`
/// bytes, holes among them; `is_ended`, which is asked again and again.
pub fn digest(directory: &Dir, most: u64, is_ended: &dyn Fn() -> bool) -> Result<String, Error> {
    let (mut files, quota) = (BTreeMap::new(), Quota::new(most));
    walk(directory, &mut |entry| {
        let size = if let Kind::File(size, _) = entry.kind { size } else { 0 };
        if quota.bytes(Quota::of_file(size)).is_err() {
            return Err(Error::refused(&entry.path, "is more than the volume may hold (VolumeSizeInGB)"));
        }
        match entry.kind {
            Kind::Directory | Kind::Skipped(_) => {}
            Kind::Link(_) => {
                return Err(Error::refused(&entry.path, "is a symbolic link, which has no digest"));
            }
            Kind::File(..) if entry.path.contains(['\\', '\n', '\r']) => {
                return Err(Error::refused(
                    &entry.path,
                    "has a backslash, line feed or carriage return in its name",
                ));
            }
            Kind::File(_, content) => {
                let hash =
                    of_content(content, is_ended).map_err(|error| Error::system(&entry.path, error))?;
                files.insert(entry.path, hash);
            }
        }
        Ok(())
    })?;
    let mut all = Sha256::new();
    for (path, hash) in files {
        all.update(format!("{hash}  {path}\n"));
    }
    Ok(hexadecimal(&all.finalize()))
}

fn of_content(mut content: Content, is_ended: &dyn Fn() -> bool) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        if is_ended() {
            return Err(io::Error::other("was being read when the job was to be stopped"));
        }
        match content.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn it_is_what_sha256sum_says_of_the_sorted_files() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir_all(root.join("a/empty")).unwrap();
        // By its path `a.b` is before `a/x`, and by the names of directories after it.
        for (name, text) in [("a/x", "1"), ("a.b", "22"), ("z", ""), ("a/ü y", "3")] {
            fs::write(root.join(name), text).unwrap();
        }
        let by_tools =
            "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum";
        let said = Command::new("bash").args(["-c", by_tools]).current_dir(root).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let open = || Dir::open(root).unwrap();
        let digest = |directory: &Dir| digest(directory, 1 << 20, &|| false);
        let before = digest(&open()).unwrap();
        assert_eq!(said, format!("{before}  -\n"));
        // Bytes, a name and another file each make a difference.
        fs::write(root.join("z"), "0").unwrap();
        let changed = digest(&open()).unwrap();
        fs::rename(root.join("z"), root.join("y")).unwrap();
        let renamed = digest(&open()).unwrap();
        fs::write(root.join("a/empty/new"), "").unwrap();
        let all = [before, changed, renamed, digest(&open()).unwrap()];
        assert_eq!(std::collections::BTreeSet::from(all).len(), 4);
    }

    #[test]
    fn what_the_digest_does_not_cover_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let why = || digest(&Dir::open(place.path()).unwrap(), 1 << 20, &|| false).unwrap_err().to_string();
        symlink("/etc/passwd", place.path().join("link")).unwrap();
        assert_eq!(why(), "\"link\": is a symbolic link, which has no digest");
        fs::remove_file(place.path().join("link")).unwrap();
        // sha256sum writes these otherwise, and Go's modules do not know them.
        for name in ["a\nb", "a\rb", "a\\b"] {
            fs::write(place.path().join(name), "").unwrap();
            let expected = format!("{name:?}: has a backslash, line feed or carriage return in its name");
            assert_eq!(why(), expected);
            fs::remove_file(place.path().join(name)).unwrap();
        }
    }

    #[test]
    fn what_is_too_large_or_no_longer_asked_for_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let open = || Dir::open(place.path()).unwrap();
        let file = fs::File::create(place.path().join("holes")).unwrap();
        file.set_len(2 << 20).unwrap();
        let why = digest(&open(), 1 << 20, &|| panic!("it is read")).unwrap_err().to_string();
        assert_eq!(why, "\"holes\": is more than the volume may hold (VolumeSizeInGB)");
        // Asked once before each of its parts.
        let asked = std::cell::Cell::new(0);
        let is_ended = || asked.replace(asked.get() + 1) == 1;
        let why = digest(&open(), 3 << 20, &is_ended).unwrap_err().to_string();
        assert_eq!(why, "\"holes\": was being read when the job was to be stopped");
        assert_eq!(asked.get(), 2);
        // Many empty files are much, too.
        file.set_len(0).unwrap();
        (0..4).for_each(|name| drop(fs::File::create(place.path().join(name.to_string())).unwrap()));
        assert!(digest(&open(), 5 << 12, &|| false).is_ok());
        assert!(digest(&open(), 4 << 12, &|| false).is_err());
    }
}
