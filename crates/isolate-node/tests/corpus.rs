//! What fuzzing has to hold of pods (`fuzz/pod.rs`), of its seeds, and of these with pieces cut out and bytes changed.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[path = "../../../fuzz/pod.rs"]
mod pod;

use proptest::prelude::*;
use proptest::sample::Index;
use test_support::seeds::{seeds, with_other_byte};

#[test]
fn seeds_hold() {
    let all = seeds("pod");
    assert!(all.len() > 4);
    all.iter().for_each(|seed| pod::pod(seed));
}

proptest! {
    #[test]
    fn changed_seeds_hold(
        seed in prop::sample::select(seeds("pod")),
        at in any::<Index>(),
        length in 0usize..4,
        byte in prop::sample::select(b"\"a0.:-,".to_vec()),
    ) {
        let at = at.index(seed.len());
        let text = with_other_byte(seed, at, length, byte);
        pod::pod(&text);
    }

    /// A word of the pod becomes another one, so that the text stays a pod.
    #[test]
    fn seeds_with_other_words_hold(
        seed in prop::sample::select(seeds("pod")),
        at in any::<Index>(),
        new in prop::sample::select(vec!["", "true", "True", "false", "train-7", "x/y", "10.88.2.5", "localhost", "Never"]),
    ) {
        let text = String::from_utf8(seed).unwrap();
        let mut words: Vec<_> = text.split('"').collect();
        let at = at.index(words.len() / 2) * 2 + 1;
        words[at] = new;
        pod::pod(words.join("\"").as_bytes());
    }
}
