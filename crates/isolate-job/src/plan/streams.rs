//! Channels in Pipe mode: the order of an epoch, and what is read of buckets that an AugmentedManifestFile names.

use std::collections::BTreeMap;

use super::random::SplitMix;
use super::shard;
use crate::request::S3Uri;

/// Which of so many objects (or lines) an epoch has, in its order, for the n-th of so many containers. With a seed the whole list is
/// shuffled anew for every epoch before it is divided, so that a container gets others in each, as in SageMaker.
#[must_use]
pub fn epoch(count: usize, seed: Option<i64>, epoch: u64, container: usize, containers: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    if let Some(seed) = seed {
        // Seeds and epochs that are close give sequences that are not.
        let mut random = SplitMix(SplitMix(seed as u64).next() ^ SplitMix(!epoch).next());
        for last in (1..count).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
    }
    if containers > 1 { shard(order, container, containers) } else { order }
}

/// For each bucket the beginning that the keys in it have in common: a session policy has no space for all keys.
#[must_use]
pub fn prefixes<'u>(uris: impl IntoIterator<Item = &'u S3Uri>) -> Vec<S3Uri> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    for S3Uri { bucket, key } in uris {
        let common = all.entry(bucket).or_insert(key);
        let same = common.char_indices().zip(key.chars()).find(|((_, a), b)| a != b);
        let length = same.map_or(common.len().min(key.len()), |((at, _), _)| at);
        *common = &common[..length];
    }
    all.into_iter().map(|(bucket, key)| S3Uri { bucket: bucket.to_owned(), key: key.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_seed_the_order_is_that_of_the_list_in_every_epoch() {
        assert_eq!(epoch(4, None, 0, 0, 1), [0, 1, 2, 3]);
        assert_eq!(epoch(4, None, 9, 0, 1), [0, 1, 2, 3]);
        assert_eq!(epoch(5, None, 1, 1, 2), [1, 3]);
    }

    #[test]
    fn the_same_seed_gives_the_same_orders_in_every_version() {
        assert_eq!(epoch(8, Some(1), 0, 0, 1), SEED_1[0]);
        assert_eq!(epoch(8, Some(1), 1, 0, 1), SEED_1[1]);
        assert_eq!(epoch(0, Some(1), 1, 0, 1), [0; 0]);
    }

    const SEED_1: [[usize; 8]; 2] = [[2, 3, 1, 0, 7, 5, 6, 4], [1, 3, 2, 7, 6, 5, 4, 0]];

    #[test]
    fn with_a_seed_a_container_gets_others_in_each_epoch() {
        let of = |number| {
            let mut own = epoch(100, Some(-3), number, 0, 2);
            own.sort_unstable();
            own
        };
        assert!(of(0) != of(1) && of(1) != of(2));
    }

    #[test]
    fn prefixes_are_common_to_the_keys_of_a_bucket() {
        let uris = ["s3://data/é/a", "s3://other/", "s3://data/è/b", "s3://data/é/", "s3://third/x/y"];
        let uris = uris.map(|uri| S3Uri::read(uri).unwrap());
        let found: Vec<_> = prefixes(&uris).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["s3://data/", "s3://other/", "s3://third/x/y"]);
    }

    proptest! {
        #[test]
        fn containers_divide_every_epoch_among_them(
            count in 0..200usize, seed: Option<i64>, number: u64, containers in 1..8usize,
        ) {
            let parts = (0..containers).map(|container| epoch(count, seed, number, container, containers));
            let mut all: Vec<_> = parts.flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }

        #[test]
        fn every_key_begins_with_its_prefix(keys in proptest::collection::vec("[ab/é]{0,6}", 1..8)) {
            let uris: Vec<_> =
                keys.iter().map(|key| S3Uri { bucket: "data".to_owned(), key: key.clone() }).collect();
            let [prefix] = &prefixes(&uris)[..] else { panic!() };
            prop_assert!(keys.iter().all(|key| key.starts_with(&prefix.key)));
        }
    }
}
