//! What has to hold of statements, whatever the bytes. The fuzz target `statement` and `crates/isolatectl/tests/corpus.rs`
//! call it.

use std::collections::BTreeSet;

use isolatectl::statement::{
    Head, JobFacts, JudgedContainers, PrivateKey, Stated, Statement, TreeDigest, doubts, job_doubts, next,
    read,
};
use oci_isolate::statement::{Digest, Facts, Tried};

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
            again += &next(statement.stated, head.as_ref(), &key).unwrap();
            head = Some(this);
        }
        assert!(again.as_bytes() == data, "two files with the same facts");
    }
    if let Ok(facts) = serde_json::from_slice::<JobFacts>(data) {
        signed(facts.clone().into(), data, &key);
        job(&facts);
    }
    let Ok(facts) = serde_json::from_slice::<Facts>(data) else { return };
    signed(facts.clone().into(), data, &key);
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
}

/// What is signed is accepted, and nothing that differs from it.
fn signed(stated: Stated, data: &[u8], key: &PrivateKey) {
    let line = next(stated.clone(), None, key).unwrap();
    let found = accepted(line.as_bytes(), key).expect("what was signed is accepted");
    assert_eq!((found.len(), found[0].1.sequence, &found[0].0.stated), (1, 1, &stated));
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % line.len();
    let mut changed = line.into_bytes();
    changed[at] ^= 1;
    assert!(accepted(&changed, key).is_none(), "byte {at} was changed and is not missed");
}

/// A job holds only by its containers' statements.
fn job(facts: &JobFacts) {
    assert!(!job_doubts(facts, &JudgedContainers::default(), &[]).is_empty());
    let judged = |held| {
        let mut judged = JudgedContainers::default();
        let ids: BTreeSet<_> = facts.containers.iter().map(|container| &container.id).collect();
        ids.into_iter().for_each(|id| judged.add(id, 1, held));
        judged
    };
    assert!(!job_doubts(facts, &judged(false), &[]).is_empty());
    if job_doubts(facts, &judged(true), &[]).is_empty() {
        assert!(!facts.containers.is_empty() && matches!(facts.request, Digest::Sha256(_)));
        assert!(facts.data().all(|(_, data)| matches!(data.digest, TreeDigest::DirHash1(_))));
    }
}
