//! What has to hold of statements, whatever the bytes. The fuzz target `statement` and `crates/isolatectl/tests/corpus.rs`
//! call it.

use isolatectl::statement::{Head, PrivateKey, Statement, doubts, next, read};
use oci_isolate::statement::{Facts, Tried};

/// The key that has signed the seeds.
pub(crate) fn key() -> PrivateKey {
    PrivateKey::from_secret(&[7; 32]).unwrap()
}

/// The statements of a file, if it can be relied on.
pub(crate) fn accepted(file: &[u8], key: &PrivateKey) -> Option<Vec<(Statement, Head)>> {
    let mut found = Vec::new();
    let take = |statement: Statement, head: &Head| found.push((statement, head.clone()));
    read(file, key.public(), None, take).ok().map(|_| found)
}

/// Bytes as a file of statements, and as facts to be signed.
pub(crate) fn statement(data: &[u8]) {
    let key = key();
    if let Some(found) = accepted(data, &key) {
        // Signatures of Ed25519 have no randomness: the file is the only one with these facts.
        let mut head = None;
        let mut again = String::new();
        for (statement, this) in found {
            again += &next(statement.facts, head.as_ref(), &key).unwrap();
            head = Some(this);
        }
        assert!(again.as_bytes() == data, "two files with the same facts");
    }
    let Ok(facts) = serde_json::from_slice::<Facts>(data) else { return };
    let line = next(facts.clone(), None, &key).unwrap();
    let found = accepted(line.as_bytes(), &key).expect("what was signed is accepted");
    assert_eq!((found.len(), found[0].1.sequence, &found[0].0.facts), (1, 1, &facts));
    if doubts(&facts, &[]).is_empty() {
        assert!(facts.waived.is_empty() && facts.openings.is_empty());
        assert!(!facts.verified.is_empty() && facts.verified.iter().all(|look| look.broken.is_empty()));
        match &facts.attempts {
            Tried::Lost(_) => panic!("attempts were lost, and it held"),
            Tried::NotCounted(_) => {}
            Tried::Counted(counted) => {
                assert!(
                    counted.missing.is_empty() && (counted.not_kept.out, counted.not_kept.r#in) == (0, 0)
                );
            }
        }
    }
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % line.len();
    let mut changed = line.into_bytes();
    changed[at] ^= 1;
    assert!(accepted(&changed, &key).is_none(), "byte {at} was changed and is not missed");
}
