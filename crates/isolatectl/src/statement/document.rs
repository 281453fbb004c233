//! A statement: facts about one container, or about a job, as an in-toto Statement v1 (<https://in-toto.io/Statement/v1>). It has no member
//! for whether isolation held: who reads it computes that. Pure.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use oci_isolate::statement::{Digest, Facts, Period, Time, hexadecimal};

use super::job::{JobFacts, TreeDigest};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The type about a container. The project has no public address (RFC 6761, `.invalid`).
const RUN: &str = "https://oci-isolate.invalid/sealed-run/v0.1";

/// The type about a job.
const JOB: &str = "https://oci-isolate.invalid/isolated-job/v0.1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InTotoStatement<P> {
    #[serde(rename = "_type")]
    of: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: P,
}

/// What any statement says of its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    predicate_type: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

/// Of in-toto's digests the two that are here.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SubjectDigest {
    Sha256(String),
    DirHash1(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RunPredicate {
    sequence: u64,
    previous: Option<String>,
    not_looked_at: Vec<Period>,
    facts: Facts,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JobPredicate {
    sequence: u64,
    previous: Option<String>,
    facts: JobFacts,
}

/// What is stated, and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The number of the line: 1 for the first of a file.
    pub sequence: u64,
    /// The SHA-256 of the line before, with its end.
    pub previous: Option<String>,
    /// The facts.
    pub stated: Stated,
}

/// What can be stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Stated {
    /// Facts about a container.
    Run(Box<Facts>),
    /// Facts about a job.
    Job(JobFacts),
}

impl Stated {
    /// What tells it from all others.
    #[must_use]
    pub fn run(&self) -> &str {
        match self {
            Self::Run(facts) => &facts.run,
            Self::Job(facts) => &facts.run,
        }
    }

    /// When it ended.
    pub(super) fn end(&self) -> Time {
        match self {
            Self::Run(facts) => facts.sealed.to,
            Self::Job(facts) => facts.ran.to,
        }
    }
}

impl From<Facts> for Stated {
    fn from(facts: Facts) -> Self {
        Self::Run(Box::new(facts))
    }
}

impl From<JobFacts> for Stated {
    fn from(facts: JobFacts) -> Self {
        Self::Job(facts)
    }
}

impl Statement {
    pub(super) fn write(&self) -> Result<Vec<u8>> {
        let (sequence, previous) = (self.sequence, self.previous.clone());
        let subject = subject(&self.stated)?;
        match self.stated.clone() {
            Stated::Run(facts) => {
                let not_looked_at = gaps(&facts);
                text(subject, RUN, RunPredicate { sequence, previous, not_looked_at, facts: *facts })
            }
            Stated::Job(facts) => text(subject, JOB, JobPredicate { sequence, previous, facts }),
        }
    }

    /// Reads only what [`Statement::write`] writes: no other order, no duplicate names, no unknown members.
    pub(super) fn read(payload: &[u8]) -> Result<Self> {
        let typed: Typed = serde_json::from_slice(payload).context("not a statement of this version")?;
        let (named, statement, same_gaps) = match &*typed.predicate_type {
            RUN => {
                let (named, read) = predicate::<RunPredicate>(payload)?;
                let RunPredicate { sequence, previous, not_looked_at, facts } = read;
                let same_gaps = not_looked_at == gaps(&facts);
                (named, Self { sequence, previous, stated: facts.into() }, same_gaps)
            }
            JOB => {
                let (named, JobPredicate { sequence, previous, facts }) = predicate(payload)?;
                (named, Self { sequence, previous, stated: facts.into() }, true)
            }
            _ => bail!("not a statement of type {RUN} or {JOB}"),
        };
        if named != subject(&statement.stated)? || !same_gaps {
            bail!("its subject or its gaps are not those of its facts");
        }
        Ok(statement)
    }
}

fn text(subject: Vec<Subject>, predicate_type: &str, predicate: impl Serialize) -> Result<Vec<u8>> {
    let (of, predicate_type) = (STATEMENT.to_owned(), predicate_type.to_owned());
    Ok(serde_json::to_vec(&InTotoStatement { of, subject, predicate_type, predicate })?)
}

/// The subject and the predicate of a payload.
fn predicate<P: Serialize + DeserializeOwned>(payload: &[u8]) -> Result<(Vec<Subject>, P)> {
    let document: InTotoStatement<P> =
        serde_json::from_slice(payload).context("not a statement of this version")?;
    if serde_json::to_vec(&document)? != payload {
        bail!("not written as isolatectl writes a statement");
    }
    if document.of != STATEMENT {
        bail!("not a statement of type {STATEMENT}");
    }
    Ok((document.subject, document.predicate))
}

/// What the statement is about. Without anything of which a digest is known there is only that of the facts, since a subject has to
/// have one.
fn subject(stated: &Stated) -> Result<Vec<Subject>> {
    let mut all = match stated {
        Stated::Run(facts) => of_run(facts),
        Stated::Job(facts) => of_job(facts),
    };
    if all.is_empty() {
        all.push(of("facts", &hexadecimal(&Sha256::digest(serde_json::to_vec(stated)?))));
    }
    Ok(all)
}

/// The image, if the engine gives its digest, and the configuration.
fn of_run(facts: &Facts) -> Vec<Subject> {
    let image = facts.image.as_ref().and_then(|image| match (&image.sha256, &image.id) {
        (Some(manifest), _) => Some(of(&image.name, manifest)),
        (None, Some(id)) => Some(of(&format!("{} (image id)", image.name), id)),
        (None, None) => None,
    });
    image.into_iter().chain(of_file("config.json", &facts.config)).collect()
}

/// The data that went in and came out, and the request.
fn of_job(facts: &JobFacts) -> Vec<Subject> {
    let data = facts.data().filter_map(|(way, data)| match &data.digest {
        TreeDigest::DirHash1(digest) => Some(Subject {
            name: format!("{way} {}:{}", data.host, data.directory.display()),
            digest: SubjectDigest::DirHash1(digest.clone()),
        }),
        TreeDigest::Unknown(_) => None,
    });
    data.chain(of_file("request.json", &facts.request)).collect()
}

fn of_file(name: &str, digest: &Digest) -> Option<Subject> {
    match digest {
        Digest::Sha256(digest) => Some(of(name, digest)),
        Digest::Unknown(_) => None,
    }
}

fn of(name: &str, sha256: &str) -> Subject {
    Subject { name: name.to_owned(), digest: SubjectDigest::Sha256(sha256.to_owned()) }
}

/// The intervals between looks: the container was verified when it was sealed, and each time that is stated.
pub(super) fn gaps(facts: &Facts) -> Vec<Period> {
    let times = facts.verified.iter().map(|look| look.time).chain([facts.sealed.to]);
    let mut from = facts.sealed.from;
    times.map(|to| Period { from: std::mem::replace(&mut from, to), to }).collect()
}
