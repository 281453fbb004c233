//! A file of statements, line by line: each is signed, has the number after the one before, and the digest of that line. So
//! a line that was changed, added, left out or moved is an error, and so is a second one of the same run; only that the last ones are
//! missing cannot be seen.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use oci_isolate::statement::hexadecimal;

use super::document::{Stated, Statement};
use super::envelope;
use super::key::{PrivateKey, PublicKey};

/// The longest line, in bytes.
pub(super) const LIMIT: u64 = 64 << 20;

/// Where a chain has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the last statement.
    pub sequence: u64,
    /// The SHA-256 of its line.
    pub digest: String,
}

/// The line of a statement that goes on after `head`, or is the first.
///
/// # Errors
/// The facts have no text in JSON.
pub fn next(stated: impl Into<Stated>, head: Option<&Head>, key: &PrivateKey) -> Result<String> {
    let sequence = head.map_or(1, |head| head.sequence + 1);
    let previous = head.map(|head| head.digest.clone());
    let statement = Statement { sequence, previous, stated: stated.into() };
    envelope::seal(&statement.write()?, key)
}

/// A line, and the head that it makes.
pub(super) fn line(line: &[u8], key: &PublicKey) -> Result<(Statement, Head)> {
    let statement = Statement::read(&envelope::open(line, key)?)?;
    let head = Head { sequence: statement.sequence, digest: hexadecimal(&Sha256::digest(line)) };
    Ok((statement, head))
}

/// The runs of the statements in a file. What is none is passed over: [`read`] says of which file nothing can be relied on.
pub(super) fn runs(mut text: impl BufRead, key: &PublicKey, mut take: impl FnMut(&str)) -> io::Result<()> {
    let mut bytes = Vec::new();
    while text.by_ref().take(LIMIT).read_until(b'\n', &mut bytes)? > 0 {
        if let Ok((statement, _)) = line(&bytes, key) {
            take(statement.stated.run());
        }
        bytes.clear();
    }
    Ok(())
}

/// Reads a whole file, which begins a chain, or goes on after the line with the digest `after`.
///
/// # Errors
/// Nothing in it can be relied on; the message names the line.
pub fn read(
    mut text: impl BufRead,
    key: &PublicKey,
    after: Option<&str>,
    mut take: impl FnMut(Statement, &Head),
) -> Result<Head> {
    let mut head: Option<Head> = None;
    let mut runs = HashMap::new();
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let count = text.by_ref().take(LIMIT + 1).read_until(b'\n', &mut bytes).context("cannot read it")?;
        if count == 0 {
            break;
        }
        if count as u64 > LIMIT {
            bail!("line {number}: it has more than {LIMIT} bytes");
        }
        let (statement, this) = line(&bytes, key).with_context(|| format!("line {number}"))?;
        let place = (statement.sequence, statement.previous.as_deref());
        match (&head, after) {
            (Some(last), _) if place != (last.sequence + 1, Some(&*last.digest)) => bail!(
                "line {number}: it does not follow the line before: it is statement {}, and that is statement {}",
                statement.sequence,
                last.sequence
            ),
            (None, None) if place != (1, None) => bail!(
                "line {number}: it is statement {}, and the ones before are missing; name the line before by --after",
                statement.sequence
            ),
            (None, Some(after)) if place.1 != Some(after) => {
                bail!("line {number}: it does not follow the line that --after names")
            }
            _ => {}
        }
        // Nothing has two: what was stated again would be judged by either.
        if let Some(before) = runs.insert(statement.stated.run().to_owned(), number) {
            bail!("line {number}: it is of the same run as line {before}");
        }
        take(statement, &this);
        head = Some(this);
    }
    head.context("there is no statement in it")
}
