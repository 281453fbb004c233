//! The directories of an overlay, parsed as the kernel parses them (Linux, fs/overlayfs/params.c): commas
//! separate options and colons the directories of `lowerdir`, unless escaped by a backslash.

/// The directories that the options of a mount name. A runtime passes them to the kernel joined by commas, so
/// that one may contain several; crun with fsconfig(2) splits them first, at every comma.
pub(super) fn of_options<'o>(options: impl Iterator<Item = &'o str>) -> Vec<String> {
    let joined = options.collect::<Vec<_>>().join(",");
    let mut all: Vec<String> = split(&joined, ',').into_iter().flat_map(of_option).collect();
    if joined.contains('\\') {
        all.extend(joined.split(',').flat_map(of_option));
    }
    all
}

/// The directories that one option names.
#[must_use]
pub fn of_option(option: &str) -> Vec<String> {
    let Some((name, value)) = option.split_once('=') else { return Vec::new() };
    let named = match name {
        "lowerdir" => split(value, ':'),
        "upperdir" | "workdir" | "lowerdir+" | "datadir+" => vec![value],
        _ => return Vec::new(),
    };
    let named = named.into_iter().filter(|directory| !directory.is_empty());
    // Whether a backslash escapes in an option of one directory depends on the kernel.
    let readings = |directory: &str| [directory.to_owned(), unescaped(directory)];
    let mut all: Vec<String> = named.flat_map(readings).collect();
    all.dedup();
    all
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let is_separator = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        is_separator
    })
    .collect()
}

fn unescaped(text: &str) -> String {
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_however_they_are_written() {
        let of = |options: &[&str]| of_options(options.iter().copied());
        assert_eq!(of(&["lowerdir=/a:/b", "ro", "upperdir=/c:d", "workdir=/w"]), ["/a", "/b", "/c:d", "/w"]);
        assert_eq!(of(&["index=off,lowerdir=/a:/b,upperdir=/c"]), ["/a", "/b", "/c"]);
        assert_eq!(of(&["lowerdir+=/a:b", "datadir+=/c"]), ["/a:b", "/c"]);
        assert_eq!(of(&["lowerdir=/a::/b"]), ["/a", "/b"]);
        assert_eq!(of_option(r"lowerdir=/a\:b:/c"), [r"/a\:b", "/a:b", "/c"]);
        // For the kernel the comma between the two belongs to the first, for crun it does not.
        assert_eq!(of(&[r"redirect_dir=on\", "lowerdir=/a"]), ["/a"]);
        assert!(of(&[r"lowerdir=/a\,b"]).contains(&"/a,b".to_owned()));
        assert_eq!(of(&["ro", "xlowerdir=/a", "lowerdir"]), <[&str; 0]>::default());
    }
}
