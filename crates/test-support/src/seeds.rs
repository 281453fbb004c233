//! The seeds of fuzzing (`fuzz/seeds`), for the tests that hold them to the same properties.

use std::fs;

use crate::project;

/// The files of `fuzz/seeds/TARGET`, in the order of their names.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = project().join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target}");
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A text in which up to `length` bytes are replaced by one other.
#[must_use]
pub fn with_other_byte(mut text: Vec<u8>, at: usize, length: usize, byte: u8) -> Vec<u8> {
    text.drain(at..(at + length).min(text.len()));
    text.insert(at, byte);
    text
}
