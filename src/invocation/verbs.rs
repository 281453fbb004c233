//! The other verbs of the runtimes, as data: the effect that each can have on an isolated container. A verb
//! that is not listed is refused for isolated containers, so a new version of a runtime costs a line here.
//!
//! Taken from the sources: runc v1.1.0 to v1.5.1, crun 1.0 to 1.29, youki 0.1 to 0.7. Must not contain
//! anything about the arguments of these verbs: they do not matter.

use super::Dialect;

/// What a verb can do to an isolated container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It cannot change anything that was promised at `create`.
    Harmless,
    /// Harmless as long as there is a record; a container without one must be created again.
    Recorded,
    /// It changes what was promised, or may: refused.
    Refused,
}

/// A verb: its word, the runtimes that have it, what it can do, and why.
pub(super) struct KnownVerb(
    pub(super) &'static str,
    pub(super) &'static [Dialect],
    pub(super) Reach,
    pub(super) &'static str,
);

use Dialect::{Crun, Runc, Youki};
use Reach::{Harmless, Recorded, Refused};

const ALL: &[Dialect] = &[Runc, Crun, Youki];

/// Everything; docs/rules.md has the same rows.
pub(super) const VERBS: &[KnownVerb] = &[
    KnownVerb("state", ALL, Harmless, "prints"),
    KnownVerb("list", ALL, Harmless, "prints"),
    KnownVerb("ps", ALL, Harmless, "prints"),
    KnownVerb("events", ALL, Harmless, "prints"),
    KnownVerb("features", ALL, Harmless, "prints"),
    KnownVerb("info", &[Youki], Harmless, "prints"),
    KnownVerb("completion", &[Youki], Harmless, "prints"),
    KnownVerb("help", ALL, Harmless, "prints"),
    KnownVerb("h", &[Runc], Harmless, "prints"),
    KnownVerb("spec", ALL, Harmless, "writes an example of a config.json"),
    KnownVerb(
        "init",
        &[Runc],
        Harmless,
        "is the runtime's own; it does nothing without the pipe of a runtime",
    ),
    KnownVerb("kill", ALL, Harmless, "signals"),
    KnownVerb("pause", ALL, Harmless, "stops processes"),
    KnownVerb("resume", ALL, Harmless, "resumes processes"),
    KnownVerb("checkpoint", &[Runc, Crun], Harmless, "writes an image on the host; restore is refused"),
    KnownVerb("checkpointt", &[Youki], Harmless, "writes an image on the host; youki has no restore"),
    KnownVerb("update", ALL, Recorded, "sets limits; the list of devices is left out by all of them"),
    KnownVerb("mounts", &[Crun], Refused, "mounts into a running container"),
];

/// What the verb of this runtime can do, and why.
pub(super) fn reach(dialect: Dialect, word: &[u8]) -> (Reach, &'static str) {
    let is_it = |KnownVerb(verb, of, ..): &&KnownVerb| verb.as_bytes() == word && of.contains(&dialect);
    VERBS.iter().find(is_it).map_or((Refused, "is not known"), |KnownVerb(.., reach, why)| (*reach, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_that_is_in_no_table_is_refused() {
        for word in [&b"mounts"[..], b"", b"State", b"state ", b"exec2", b"\xff"] {
            assert_eq!(reach(Crun, word).0, Refused, "{word:?}");
        }
        assert_eq!((reach(Youki, b"info").0, reach(Crun, b"info").0), (Harmless, Refused));
    }

    #[test]
    fn every_verb_stands_in_the_pages_with_its_reason() {
        let rules = include_str!("../../docs/rules.md");
        for KnownVerb(word, of, reach, why) in VERBS {
            let of: Vec<_> = of.iter().map(|dialect| dialect.name()).collect();
            let answer = format!("{reach:?}").to_lowercase();
            let row = format!("| `{word}` | {} | {answer} | {why} |", of.join(", "));
            assert!(rules.lines().any(|line| line == row), "docs/rules.md lacks {row}");
        }
    }
}
