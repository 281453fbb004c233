//! Whether the users of a container are the machine's: what is promised of a user namespace is not true where the
//! machine's root is in it.

use anyhow::{Context, Result};

use super::read;
use crate::proc::Dir;

/// A line of a map: the first id inside, the first outside as the reader's namespace counts, and how many.
type Line = [u64; 3];

/// The maps of a process in which the machine's root is, as `uid_map maps 0 to 0`. Ids are followed as far as our own
/// namespace says.
pub(super) fn of_machine(process: &Dir) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for map in ["uid_map", "gid_map"] {
        let ours = lines(&read(&Dir::ours().join(map))?);
        let theirs = lines(&read(&process.join(map))?);
        let (ours, theirs) = ours.zip(theirs).with_context(|| format!("cannot understand {map}"))?;
        let roots = roots(&ours);
        let mapped = theirs.iter().flat_map(|line| roots.iter().filter_map(|root| inside(*line, *root)));
        found.extend(mapped.map(|inside| format!("{map} has it as {inside}")));
    }
    Ok(found)
}

/// The ids of a namespace that are root in the one around it.
fn roots(lines: &[Line]) -> Vec<u64> {
    lines.iter().filter(|[_, outside, size]| *outside == 0 && *size > 0).map(|[inside, ..]| *inside).collect()
}

/// What an id outside is inside.
fn inside([inside, outside, size]: Line, id: u64) -> Option<u64> {
    id.checked_sub(outside).filter(|offset| *offset < size).map(|offset| inside + offset)
}

fn lines(text: &str) -> Option<Vec<Line>> {
    let line = |line: &str| {
        let numbers: Option<Vec<u64>> = line.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_wherever_a_map_has_them() {
        let of = |text| roots(&lines(text).unwrap());
        assert_eq!(of("         0          0 4294967295\n"), [0]);
        // Of a rootless engine: the caller is no root.
        assert_eq!(of("0 1000 1\n1 100000 65536\n"), [0; 0]);
        assert_eq!(of("0 1000 1\n5 0 1\n6 7 0\n"), [5]);
        assert_eq!(inside([10, 0, 5], 0), Some(10));
        assert_eq!(inside([0, 100_000, 65536], 0), None);
        assert_eq!(inside([0, 3, 2], 4), Some(1));
        assert_eq!(inside([0, 3, 2], 5), None);
        assert!(lines("0 0\n").is_none() && lines("0 x 1\n").is_none());
    }
}
