//! What fuzzing has to hold of keys (`fuzz/keys.rs`), of its seeds, and of these with pieces cut out and bytes changed.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[path = "../../../fuzz/keys.rs"]
mod keys;

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;

fn seeds() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/keys");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn seeds_hold() {
    let all = seeds();
    assert!(all.len() > 4);
    all.iter().for_each(|seed| keys::keys(seed));
}

proptest! {
    #[test]
    fn changed_seeds_hold(
        seed in prop::sample::select(seeds()),
        at in any::<Index>(),
        length in 0usize..4,
        byte in prop::sample::select(b"/.\0\nAa".to_vec()),
    ) {
        let mut text = seed;
        let at = at.index(text.len());
        text.drain(at..(at + length).min(text.len()));
        text.insert(at, byte);
        keys::keys(&text);
    }
}
