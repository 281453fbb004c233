//! The keys of a set: all of one length, sorted, in one piece of memory.

use std::fmt;

/// Sorted keys of the same length, each once.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// In bytes, at least 1.
    width: usize,
    bytes: Vec<u8>,
}

impl Keys {
    /// None, of that length.
    pub fn none(width: usize) -> Self {
        Self { width: width.max(1), bytes: Vec::new() }
    }

    /// In any order; one of another length is left out.
    pub fn new<K: AsRef<[u8]>>(width: usize, keys: impl IntoIterator<Item = K>) -> Self {
        let mut all = Self::none(width);
        keys.into_iter().for_each(|key| all.push(key.as_ref()));
        all.sort();
        all
    }

    /// Adds one behind all others; until [`Self::sort`] it has to be the greatest. One of another length is left out.
    pub(crate) fn push(&mut self, key: &[u8]) {
        if self.fits(key) {
            self.bytes.extend_from_slice(key);
        }
    }

    /// The length of each.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether it has the length of these.
    pub(crate) fn fits(&self, key: &[u8]) -> bool {
        key.len() == self.width
    }

    pub(crate) fn sort(&mut self) {
        match self.width {
            4 => sort::<4>(&mut self.bytes),
            16 => sort::<16>(&mut self.bytes),
            width => {
                let mut keys: Vec<_> = self.bytes.chunks_exact(width).collect();
                keys.sort_unstable();
                keys.dedup();
                self.bytes = keys.concat();
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.width)
    }

    /// Whether this is one of them.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.place(key).is_ok()
    }

    /// The first one behind this key.
    pub(crate) fn after(&self, key: &[u8]) -> Option<&[u8]> {
        let place = match self.place(key) {
            Ok(place) => place + 1,
            Err(place) => place,
        };
        self.bytes.chunks_exact(self.width).nth(place)
    }

    /// Those that the others do not have.
    pub(crate) fn without(&self, others: &Self) -> Self {
        let mut rest = others.iter().peekable();
        let mut left = Self::none(self.width);
        for key in self.iter() {
            while rest.next_if(|other| *other < key).is_some() {}
            if rest.peek() != Some(&key) {
                left.push(key);
            }
        }
        left
    }

    fn place(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.bytes[middle * self.width..(middle + 1) * self.width].cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn sort<const WIDTH: usize>(bytes: &mut Vec<u8>) {
    let keys = bytes.as_chunks_mut::<WIDTH>().0;
    if keys.is_sorted_by(|a, b| a < b) {
        return;
    }
    keys.sort_unstable();
    let mut keys = keys.to_vec();
    keys.dedup();
    *bytes = keys.as_flattened().to_vec();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_each_is_there_once() {
        for width in [1_usize, 4, 16, 24] {
            let key = |n: u8| vec![n; width];
            let keys = Keys::new(width, [key(3), key(1), key(3), key(2), vec![9; width + 1]]);
            assert_eq!(keys.iter().collect::<Vec<_>>(), [key(1), key(2), key(3)]);
            assert!(keys.contains(&key(2)) && !keys.contains(&key(4)) && !keys.contains(&[]));
            assert_eq!((keys.after(&key(2)), keys.after(&key(3))), (Some(&key(3)[..]), None));
            let others = Keys::new(width, [key(0), key(2), key(4)]);
            assert_eq!(keys.without(&others), Keys::new(width, [key(1), key(3)]));
            assert_eq!((keys.len(), Keys::none(width).len()), (3, 0));
        }
    }
}
