//! Moments at which something is killed.

use std::time::Duration;

/// The same moments in every run: milliseconds after the job was accepted. `OCI_ISOLATE_MOMENTS` is how many of each kind, in place of
/// `count`; `OCI_ISOLATE_SEED` gives others.
pub(crate) fn moments(seed: u64, count: usize, most: u64) -> Vec<Duration> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = number("OCI_ISOLATE_MOMENTS").map_or(count, |count| usize::try_from(count).unwrap());
    let seed = number("OCI_ISOLATE_SEED").unwrap_or(seed);
    eprintln!("OCI_ISOLATE_SEED={seed} OCI_ISOLATE_MOMENTS={count}");
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((state >> 33) % most)
    };
    (0..count).map(next).collect()
}
