//! What fuzzing has to hold of keys (`fuzz/keys.rs`), of its seeds, and of these with pieces cut out and bytes changed.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[path = "../../../fuzz/keys.rs"]
mod keys;

use proptest::prelude::*;
use proptest::sample::Index;
use test_support::seeds::{seeds, with_other_byte};

#[test]
fn seeds_hold() {
    let all = seeds("keys");
    assert!(all.len() > 4);
    all.iter().for_each(|seed| keys::keys(seed));
}

proptest! {
    #[test]
    fn changed_seeds_hold(
        seed in prop::sample::select(seeds("keys")),
        at in any::<Index>(),
        length in 0usize..4,
        byte in prop::sample::select(b"/.\0\nAa".to_vec()),
    ) {
        let at = at.index(seed.len());
        let text = with_other_byte(seed, at, length, byte);
        keys::keys(&text);
    }
}
