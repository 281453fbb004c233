//! Calls that the shim does not handle: another verb, help, or one that the runtime rejects itself. They are
//! passed on unchanged, unless they are about an isolated container and their effect is unknown. How such a
//! call's words are parsed is unknown too, so every word may be the id.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, bail};

use super::existing_container;
use crate::invocation::{self, Dialect, Reach, Why};
use crate::record::Store;
use crate::runtime;
use crate::settings::Settings;

/// Checks whether such a call may be passed on.
///
/// # Errors
/// It is not on the list of harmless verbs, and one of its words is the id of an isolated container.
pub(super) fn check(settings: &Settings, dialect: Dialect, args: &[OsString], why: &Why) -> Result<()> {
    let reach = invocation::reach(dialect, args);
    if reach == Reach::Harmless {
        return Ok(());
    }
    let root = invocation::globals(dialect, args).root;
    let root = runtime::state_root(dialect, root.as_deref().map(Path::new))?;
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).flat_map(ids).collect();
    for word in &words {
        existing_container::check_unrecorded(settings, dialect, &root, word)?;
    }
    if reach == Reach::Refused
        && let Some(slot) =
            Store::ours().slots()?.iter().find(|slot| words.iter().any(|word| slot.id() == *word))
    {
        bail!(
            "container {} is isolated, and what this call does to it is not known ({why}); delete it and create it \
             again, or do it in a container that is not isolated",
            slot.id().display()
        );
    }
    Ok(())
}

/// The parts of a word that may be an id: the word itself, the part after `=`, and the last component of a
/// path.
fn ids(word: &str) -> impl Iterator<Item = &str> {
    let value = word.split_once('=').map(|(_, value)| value);
    let parts = [Some(word), value, word.rsplit_once('/').map(|(_, last)| last)];
    parts.into_iter().flatten().filter(|id| !matches!(*id, "" | "." | ".."))
}
