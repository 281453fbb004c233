//! The files that containerd reads besides its own: those that `imports` names, by a path or by a star and a
//! suffix.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use toml_edit::DocumentMut;

use super::tables::{read, strings};

/// containerd's own file.
pub(crate) const FILE: &str = "/etc/containerd/config.toml";

/// containerd's own file, if another one beside it is edited.
pub(super) fn own_file_of(file: &Path) -> Result<Option<DocumentMut>> {
    let own = Path::new(FILE);
    let beside = own.parent().is_some_and(|directory| file != own && file.starts_with(directory));
    if beside && own.exists() { read(own).map(Some) } else { Ok(None) }
}

/// A file beside containerd's own that it does not import has no effect.
pub(super) fn check_imported(file: &Path, own: Option<&DocumentMut>) -> Result<()> {
    let Some(own) = own else { return Ok(()) };
    let patterns = patterns(Path::new("/"), Path::new(FILE), own);
    if patterns.iter().any(|pattern| is_of(file, pattern)) {
        return Ok(());
    }
    bail!("{FILE} does not import it; name it in `imports` there first")
}

/// The files below `root` that a file imports: containerd's own rules, of which only `*.SUFFIX` is supported
/// here.
pub(crate) fn imports(
    root: &Path,
    main: &Path,
    document: &DocumentMut,
) -> Result<Vec<(PathBuf, DocumentMut)>> {
    let mut found = Vec::new();
    for path in patterns(root, main, document) {
        let files = match suffix(&path) {
            Some(suffix) => listed(path.parent().unwrap_or(Path::new("/")), suffix),
            None => vec![path],
        };
        for file in files {
            let document = read(&file)?;
            found.push((file, document));
        }
    }
    // The last one wins.
    found.reverse();
    Ok(found)
}

/// What a file imports, as paths below `root`.
fn patterns(root: &Path, main: &Path, document: &DocumentMut) -> Vec<PathBuf> {
    let path = |pattern: String| match pattern.strip_prefix('/') {
        Some(absolute) => root.join(absolute),
        None => main.parent().unwrap_or(root).join(&pattern),
    };
    strings(document.get("imports")).into_iter().map(path).collect()
}

fn is_of(file: &Path, pattern: &Path) -> bool {
    match suffix(pattern) {
        Some(suffix) => {
            file.parent() == pattern.parent() && file.to_str().is_some_and(|file| file.ends_with(suffix))
        }
        None => file == pattern,
    }
}

/// The required end of a name, if the pattern is a star and a suffix.
fn suffix(pattern: &Path) -> Option<&str> {
    pattern.file_name()?.to_str()?.strip_prefix('*').filter(|suffix| !suffix.contains(['*', '?', '[']))
}

pub(crate) fn listed(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(suffix))).collect();
    files.sort();
    files
}

/// A file of ours in a directory that is imported.
pub(super) fn drop_in(main: &Path, document: &DocumentMut, name: &str) -> Option<PathBuf> {
    let mut patterns = patterns(Path::new("/"), main, document).into_iter();
    let pattern = patterns.find(|path| suffix(path) == Some(".toml"))?;
    Some(pattern.with_file_name(format!("{name}.toml")))
}
