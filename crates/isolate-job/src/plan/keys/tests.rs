//! Any list of keys gives files below the channel, or errors that name keys; no clash is missed.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;
use crate::plan::manifest;

fn objects(keys: &[&str]) -> Vec<Object> {
    keys.iter().map(|key| Object { key: (*key).to_owned(), size: u64::from(!key.ends_with('/')) }).collect()
}

fn paths(prefix: &str, keys: &[&str]) -> Vec<String> {
    let files = from_prefix(prefix, objects(keys), Case::Kept).unwrap();
    files.files.into_iter().map(|file| file.path).collect()
}

#[track_caller]
fn assert_bad(prefix: &str, keys: &[&str], expected: &[(&str, Why)]) {
    let bad = from_prefix(prefix, objects(keys), Case::Kept).unwrap_err();
    let bad: Vec<_> = bad.into_iter().map(|bad| (bad.key, bad.why)).collect();
    let expected: Vec<_> = expected.iter().map(|(key, why)| ((*key).to_owned(), why.clone())).collect();
    assert_eq!(bad, expected);
}

#[test]
fn a_prefix_is_the_beginning_of_keys() {
    assert_eq!(paths("d/train", &["d/train/a", "d/train/b/c"]), ["a", "b/c"]);
    assert_eq!(paths("d/train/", &["d/train/a", "d/train/b/c"]), ["a", "b/c"]);
    assert_eq!(paths("d/train", &["d/train-01/x", "d/train.csv"]), ["train-01/x", "train.csv"]);
    assert_eq!(paths("d/train.csv", &["d/train.csv"]), ["train.csv"]);
    assert_eq!(paths("", &["a", "b/c"]), ["a", "b/c"]);
    assert_eq!(paths("tr", &["train/a"]), ["train/a"]);
}

#[test]
fn empty_objects_with_a_slash_are_directories() {
    let keys = ["d/", "d/a/", "d/a/x", "d/b/c/"];
    let files = from_prefix("d/", objects(&keys), Case::Kept).unwrap();
    assert_eq!(files.files.len(), 1);
    assert_eq!(files.directories, ["a", "b/c"]);
    // The one of the prefix itself, written either way.
    assert_eq!(from_prefix("d", objects(&["d/", "d/x"]), Case::Kept).unwrap().directories, [""; 0]);
}

#[test]
fn each_hostile_key_is_an_error_that_names_it() {
    let long = format!("d/{}", "n".repeat(256));
    let longer = format!("d/{}", "n/".repeat(600)) + "x";
    for (key, why) in [
        ("d/../../etc/passwd", Why::Dots),
        ("d/a/..", Why::Dots),
        ("d/a/../", Why::Dots),
        ("d/./a", Why::Dots),
        ("d//etc/passwd", Why::Absolute),
        ("d/a//b", Why::EmptySegment),
        ("d/a//", Why::EmptySegment),
        ("d/a\0b", Why::Nul),
        ("e/a", Why::Outside),
        (long.as_str(), Why::TooLong),
        (longer.as_str(), Why::TooLong),
    ] {
        assert_bad("d/", &["d/ok", key], &[(key, why)]);
    }
    let content = vec![Object { key: "d/a/".to_owned(), size: 1 }];
    assert_eq!(from_prefix("d/", content, Case::Kept).unwrap_err()[0].why, Why::DirectoryWithContent);
    let content = vec![Object { key: "d/".to_owned(), size: 1 }];
    assert_eq!(from_prefix("d/", content, Case::Kept).unwrap_err()[0].why, Why::EmptySegment);
}

#[test]
fn clashes_are_errors_that_name_both() {
    assert_bad("d/", &["d/a", "d/a/b"], &[("d/a/b", Why::FileAndDirectory("d/a".to_owned()))]);
    assert_bad("d/", &["d/a/b", "d/a"], &[("d/a", Why::FileAndDirectory("d/a/b".to_owned()))]);
    assert_bad("d/", &["d/a", "d/a/"], &[("d/a/", Why::FileAndDirectory("d/a".to_owned()))]);
    assert_bad("d/x", &["d/x/xa", "d/xa"], &[("d/xa", Why::SameFile("d/x/xa".to_owned()))]);
    let bad = BadKey { key: "d/a".to_owned(), why: Why::FileAndDirectory("d/a/b".to_owned()) };
    let said = "key \"d/a\" is a file, and \"d/a/b\" has it as a directory; rename the object or choose another prefix";
    assert_eq!(bad.to_string(), said);
}

#[test]
fn case_counts_where_the_file_system_says_so() {
    for keys in [["d/README", "d/readme"], ["d/A/x", "d/a/y"], ["d/Ä", "d/ä"]] {
        assert!(from_prefix("d/", objects(&keys), Case::Kept).is_ok());
        let bad = from_prefix("d/", objects(&keys), Case::Ignored).unwrap_err();
        assert_eq!(bad[0].why, Why::CaseOnly(keys[0].to_owned()));
    }
}

#[test]
fn a_manifest_says_the_paths() {
    let text = br#"[{"prefix": "s3://data/some/pre"}, "fix/a", "b", "b"]"#;
    let files = from_manifest(&manifest(text).unwrap(), &[1, 2, 2], Case::Kept).unwrap();
    let file = |key: &str, path: &str, size| PlannedFile { key: key.to_owned(), path: path.to_owned(), size };
    assert_eq!(files.files, [file("some/prefix/a", "fix/a", 1), file("some/preb", "b", 2)]);
    let text = br#"[{"prefix": "s3://data/p/"}, "../a", "b/", "/c", "ok"]"#;
    let bad = from_manifest(&manifest(text).unwrap(), &[1; 4], Case::Kept).unwrap_err();
    let bad: Vec<_> = bad.into_iter().map(|bad| bad.why).collect();
    assert_eq!(bad, [Why::Dots, Why::DirectoryInManifest, Why::Absolute]);
}

#[test]
fn a_hundred_thousand_keys_are_as_many_files() {
    let keys =
        (0..100_000).map(|n| Object { key: format!("d/{}/{}/{n}", n % 7, n % 1000), size: 1 }).collect();
    assert_eq!(from_prefix("d", keys, Case::Ignored).unwrap().files.len(), 100_000);
}

/// Keys of pieces that mean something.
fn keys() -> impl Strategy<Value = Vec<String>> {
    let piece =
        prop::sample::select(vec!["a", "b", "A", "/", "/", "..", ".", "\0", "ä", "é", "\u{202e}", " ", "-"]);
    let key = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    prop::collection::vec(key, 0..12)
}

proptest! {
    #[test]
    fn any_keys_give_files_of_their_own_below_the_channel(keys in keys(), prefix in "[ab/]{0,3}", ignores in any::<bool>()) {
        let case = if ignores { Case::Ignored } else { Case::Kept };
        let all: Vec<_> = keys.iter().map(|key| Object { key: format!("{prefix}{key}"), size: 1 }).collect();
        match from_prefix(&prefix, all.clone(), case) {
            Ok(files) => {
                let fold = |path: &str| if ignores { path.to_lowercase() } else { path.to_owned() };
                let mut directories = HashSet::new();
                let mut names = HashSet::new();
                for file in &files.files {
                    prop_assert!(!file.path.contains('\0'));
                    let segments: Vec<_> = file.path.split('/').collect();
                    prop_assert!(segments.iter().all(|segment| !matches!(*segment, "" | "." | "..")));
                    prop_assert!(file.key.ends_with(&file.path), "the path is the end of the key");
                    prop_assert!(names.insert(fold(&file.path)), "no two are one file");
                    directories.extend(file.path.match_indices('/').map(|(slash, _)| fold(&file.path[..slash])));
                }
                prop_assert!(names.is_disjoint(&directories), "no file is a directory");
                // None is lost: what was listed twice is there once.
                let distinct: BTreeSet<_> = all.iter().map(|object| &object.key).collect();
                let planned: BTreeSet<_> = files.files.iter().map(|file| &file.key).collect();
                prop_assert_eq!(distinct, planned);
            }
            Err(bad) => prop_assert!(bad.iter().all(|bad| all.iter().any(|object| object.key == bad.key))),
        }
    }

    /// Good keys are not refused.
    #[test]
    fn plain_keys_are_files(names in prop::collection::btree_set("[a-z]{1,3}", 1..20)) {
        let all = names.iter().map(|name| Object { key: format!("d/{name}/{name}.x"), size: 1 }).collect();
        prop_assert_eq!(from_prefix("d", all, Case::Kept).unwrap().files.len(), names.len());
    }

    #[test]
    fn shards_partition_what_is_sharded(count in 0usize..50, containers in 1usize..9) {
        let shards: Vec<_> = (0..containers).map(|container| shard(0..count, container, containers)).collect();
        let mut all = shards.concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        let sizes = shards.iter().map(Vec::len);
        prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
    }
}
