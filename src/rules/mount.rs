//! What a mount entry itself says: whether it is a bind mount, its options, and its destination as runtimes
//! clean it.

use crate::config::Mount;

/// Whether runtimes make it a bind mount: by an option, with any type, or by the type (crun).
#[must_use]
pub fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind") || has(mount, &["bind", "rbind"])
}

/// Its options.
pub(super) fn options<'m>(mount: &'m Mount) -> impl Iterator<Item = &'m str> {
    mount.options.iter().flatten().map(|option| &**option)
}

/// Whether one of these words is among its options.
pub(super) fn has(mount: &Mount, words: &[&str]) -> bool {
    options(mount).any(|option| words.contains(&option))
}

/// A path without empty components, `.` and `..`, as runtimes clean destinations.
#[must_use]
pub fn clean(path: &str) -> String {
    let mut kept = String::with_capacity(path.len() + 1);
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => kept.truncate(kept.rfind('/').unwrap_or(0)),
            name => {
                kept.push('/');
                kept.push_str(name);
            }
        }
    }
    if kept.is_empty() { "/".into() } else { kept }
}

/// Whether the path is `directory` or lies below it; both clean.
#[must_use]
pub fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_cleaned_as_runtimes_clean_them() {
        for (path, is) in
            [("/proc/", "/proc"), ("//a/./b/../c", "/a/c"), ("a", "/a"), ("/../..", "/"), ("", "/")]
        {
            assert_eq!(clean(path), is, "{path}");
        }
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a"));
    }
}
