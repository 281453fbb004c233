//! A statement: facts about one container as an in-toto Statement v1 (<https://in-toto.io/Statement/v1>). It has no member
//! for whether isolation held: who reads it computes that. Pure.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use oci_isolate::statement::{Digest, Facts, Period, hexadecimal};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The project has no public address (RFC 6761, `.invalid`).
const PREDICATE: &str = "https://oci-isolate.invalid/sealed-run/v0.1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InTotoStatement {
    #[serde(rename = "_type")]
    of: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Statement,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256Digest,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256Digest {
    sha256: String,
}

/// What is stated, and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement {
    /// The number of the line: 1 for the first of a file.
    pub sequence: u64,
    /// The SHA-256 of the line before, with its end.
    pub previous: Option<String>,
    /// The times in which nothing was verified.
    pub not_looked_at: Vec<Period>,
    /// The facts.
    pub facts: Facts,
}

impl Statement {
    /// A statement with this place.
    pub(super) fn new(sequence: u64, previous: Option<String>, facts: Facts) -> Self {
        Self { sequence, previous, not_looked_at: gaps(&facts), facts }
    }

    pub(super) fn write(&self) -> Result<Vec<u8>> {
        let document = InTotoStatement {
            of: STATEMENT.to_owned(),
            subject: subject(&self.facts)?,
            predicate_type: PREDICATE.to_owned(),
            predicate: self.clone(),
        };
        Ok(serde_json::to_vec(&document)?)
    }

    /// Reads only what [`Statement::write`] writes: no other order, no duplicate names, no unknown members.
    pub(super) fn read(payload: &[u8]) -> Result<Self> {
        let document: InTotoStatement =
            serde_json::from_slice(payload).context("not a statement of this version")?;
        if serde_json::to_vec(&document)? != payload {
            bail!("not written as isolatectl writes a statement");
        }
        let InTotoStatement { of, subject: named, predicate_type, predicate } = document;
        if of != STATEMENT || predicate_type != PREDICATE {
            bail!("not a statement of type {PREDICATE}");
        }
        if named != subject(&predicate.facts)? || predicate.not_looked_at != gaps(&predicate.facts) {
            bail!("its subject or its gaps are not those of its facts");
        }
        Ok(predicate)
    }
}

/// What the statement is about: the image, if the engine gives its digest, and the configuration. Without either there is
/// only the digest of the facts, since a subject has to have one.
fn subject(facts: &Facts) -> Result<Vec<Subject>> {
    let of = |name: &str, sha256: &str| Subject {
        name: name.to_owned(),
        digest: Sha256Digest { sha256: sha256.to_owned() },
    };
    let image = facts.image.as_ref().and_then(|image| match (&image.sha256, &image.id) {
        (Some(manifest), _) => Some(of(&image.name, manifest)),
        (None, Some(id)) => Some(of(&format!("{} (image id)", image.name), id)),
        (None, None) => None,
    });
    let config = match &facts.config {
        Digest::Sha256(digest) => Some(of("config.json", digest)),
        Digest::Unknown(_) => None,
    };
    let mut all: Vec<Subject> = image.into_iter().chain(config).collect();
    if all.is_empty() {
        all.push(of("facts", &hexadecimal(&Sha256::digest(serde_json::to_vec(facts)?))));
    }
    Ok(all)
}

/// The intervals between looks: the container was verified when it was sealed, and each time that is stated.
fn gaps(facts: &Facts) -> Vec<Period> {
    let times = facts.verified.iter().map(|look| look.time).chain([facts.sealed.to]);
    let mut from = facts.sealed.from;
    times.map(|to| Period { from: std::mem::replace(&mut from, to), to }).collect()
}
