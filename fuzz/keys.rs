//! What has to hold of the keys of a bucket, whoever chose them. The fuzz target `keys` and `crates/isolate-job/tests/keys.rs` call it.

use std::collections::{HashMap, HashSet};

use isolate_job::plan::{Case, Files, Object, from_manifest, from_prefix, manifest};
use serde_json::json;

/// The prefix in the first line, then a key in each line that is appended to it: refused, or every file is below the directory and is that
/// of one key, and none is lost. Keys that end with a slash have content if it is their second one.
pub(crate) fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let prefix = lines.next().unwrap_or_default();
    let keys: Vec<_> = lines.collect();
    for case in [Case::Kept, Case::Ignored] {
        let all: Vec<_> = keys.iter().map(|key| object(format!("{prefix}{key}"))).collect();
        match from_prefix(prefix, all.clone(), case) {
            Ok(files) => below_and_apart(&files, &all, case),
            Err(bad) => {
                assert!(bad.iter().all(|bad| all.iter().any(|object| object.key == bad.key)));
                assert!(bad.iter().all(|bad| bad.to_string().contains("; rename the object")));
            }
        }
        let document = json!([json!({ "prefix": format!("s3://bucket/{prefix}") })]);
        let mut document = document.as_array().cloned().unwrap_or_default();
        document.extend(keys.iter().map(|key| json!(key)));
        let Ok(named) = manifest(json!(document).to_string().as_bytes()) else { continue };
        let all: Vec<_> =
            named.entries.iter().map(|entry| object(format!("{}{entry}", named.prefix.key))).collect();
        let sizes: Vec<_> = all.iter().map(|object| object.size).collect();
        if let Ok(files) = from_manifest(&named, &sizes, case) {
            below_and_apart(&files, &all, case);
        }
    }
}

fn object(key: String) -> Object {
    let size = u64::from(!key.ends_with('/') || key.ends_with("//"));
    Object { key, size }
}

/// By the kernel's own rules for paths: it ends at a NUL, takes any number of slashes for one, and a name of two dots for the parent.
fn below_and_apart(files: &Files, all: &[Object], case: Case) {
    let fold = |path: &str| if case == Case::Ignored { path.to_lowercase() } else { path.to_owned() };
    let mut by_path = HashMap::new();
    let mut directories: HashSet<_> = files.directories.iter().map(|path| fold(path)).collect();
    let paths = files.files.iter().map(|file| &file.path).chain(&files.directories);
    for path in paths {
        assert!(!path.contains('\0') && !path.starts_with('/'), "{path:?}");
        for name in path.split('/') {
            assert!(!matches!(name, "" | "." | ".."), "{path:?} is not the path of a file below");
            assert!(name.len() <= 255, "{path:?}");
        }
        directories.extend(path.match_indices('/').map(|(slash, _)| fold(&path[..slash])));
    }
    for file in &files.files {
        assert!(file.key.ends_with(&file.path), "{:?} is not the end of {:?}", file.path, file.key);
        let other = by_path.insert(fold(&file.path), &file.key);
        assert!(other.is_none(), "{:?} and {other:?} are one file", file.key);
        assert!(!directories.contains(&fold(&file.path)), "{:?} is a file and a directory", file.path);
    }
    let planned: HashSet<_> = files.files.iter().map(|file| file.key.as_str()).collect();
    let lost = all.iter().find(|object| object.size > 0 && !planned.contains(object.key.as_str()));
    assert!(lost.is_none(), "{lost:?} is in no file");
}
