//! Moves the content of one directory into another one of the same file system. Nothing is replaced.

use rustix::io::Errno;

use super::{Dir, Error};

/// Moves everything; directories of the same name are merged. May be repeated after a crash.
///
/// # Errors
/// A name is in both, and not a directory in both; the system's.
pub fn merge(from: &Dir, to: &Dir) -> Result<(), Error> {
    below(from, to, "")
}

fn below(from: &Dir, to: &Dir, above: &str) -> Result<(), Error> {
    for name in from.names().map_err(Error::of(above))? {
        let path = format!("{above}{}", name.to_string_lossy());
        match from.rename(&name, to, &name) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let both = from.sub_or_errno(&name).and_then(|from| Ok((from, to.sub_or_errno(&name)?)));
                let (from, to) = both.map_err(|_| {
                    Error::refused(&path, "was written by two containers; give each a name of its own")
                })?;
                below(&from, &to, &format!("{path}/"))?;
            }
            Err(errno) => return Err(Error::of(&path)(errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_two_directories_have_is_one_tree_and_nothing_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        for (path, text) in [("a/x/1", "1"), ("a/y", "y"), ("b/x/2", "2"), ("b/x/d/3", "3"), ("b/z", "z")] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc", at("b/link")).unwrap();
        let open = |name: &str| Dir::open(&at(name)).unwrap();
        merge(&open("b"), &open("a")).unwrap();
        for (path, text) in [("a/x/1", "1"), ("a/x/2", "2"), ("a/x/d/3", "3"), ("a/y", "y"), ("a/z", "z")] {
            assert_eq!(fs::read_to_string(at(path)).unwrap(), text);
        }
        assert_eq!(fs::read_link(at("a/link")).unwrap().to_str(), Some("/etc"));
        merge(&open("b"), &open("a")).unwrap();

        // The same name twice: a file and a file, a directory and a link to one.
        for (other, name) in [("c", "y"), ("d", "x"), ("e", "link")] {
            fs::create_dir(at(other)).unwrap();
            match name {
                "x" => std::os::unix::fs::symlink(at("a/x"), at("d/x")).unwrap(),
                "link" => fs::create_dir(at("e/link")).unwrap(),
                name => fs::write(at(other).join(name), "other").unwrap(),
            }
            let error = merge(&open(other), &open("a")).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{name:?}: was written by two containers; give each a name of its own")
            );
            assert!(at(other).join(name).symlink_metadata().is_ok());
        }
        assert_eq!(fs::read_to_string(at("a/y")).unwrap(), "y");
    }
}
