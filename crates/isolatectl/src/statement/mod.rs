//! `isolatectl statement`: signed statements about isolated containers that were deleted, and what can be relied on of them
//! (docs/statement.md). The facts come from the shim ([`oci_isolate::statement`]).

mod chain;
mod document;
mod envelope;
mod job;
mod key;
mod sign;
mod verdict;
mod verify;

use std::path::PathBuf;

use anyhow::Result;

use super::exit::Exit;

pub use chain::{Head, next, read};
pub use document::{Stated, Statement};
pub use envelope::seal as envelope;
pub use job::{Data, JobContainer, JobFacts, JobName, TreeDigest};
pub use key::{PrivateKey, PublicKey};
pub(crate) use sign::unsigned;
pub use verdict::{JudgedContainers, doubts, job_doubts};

#[derive(Debug, clap::Subcommand)]
pub(super) enum StatementCommand {
    /// Signs what was written down of deleted containers, and adds it to the file that the settings name
    Sign {
        /// The private key of the host's operator: Ed25519, PKCS#8 in PEM, readable by its owner only
        #[arg(long)]
        key: PathBuf,
    },
    /// Checks statements, and says of which isolation held: status 0 of all, 1 not, 2 they cannot be relied on
    Verify(verify::VerifyArguments),
}

pub(super) fn statement(verb: &StatementCommand, json: bool) -> Result<Exit> {
    match verb {
        StatementCommand::Sign { key } => sign::sign(key, json),
        StatementCommand::Verify(arguments) => verify::verify(arguments, json),
    }
}
