//! A container that is not isolated must not join a namespace of one that is. It has a network, which the
//! other could use: in a shared pid namespace by ptrace(2) or `/proc/PID/root`, in a shared network namespace
//! by a relay.
//!
//! This costs one system call if there is no isolated container, and otherwise [`config::joined`] and reading
//! the records.

use anyhow::{Result, bail};

use super::RuntimeCall;
use crate::bundle::Bundle;
use crate::config;
use crate::proc::{Dir, Inode};
use crate::record::Store;
use crate::settings::Consent;

/// The kernel's names in `/proc/PID/ns`. The other kinds isolate names or clocks only.
const KINDS: [(&str, &str); 5] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("mount", "mnt"), ("user", "user")];

/// Checks the configuration of a container that is not isolated.
///
/// # Errors
/// It names such a namespace.
pub(super) fn check(call: &RuntimeCall, bundle: &Bundle) -> Result<()> {
    let store = Store::ours();
    if call.settings.joiners == Consent::Allow || !store.may_have_records() {
        return Ok(());
    }
    let named = |(word, path): (String, String)| {
        let (word, file) = KINDS.iter().find(|(known, _)| *known == word)?;
        // Runtimes run in the bundle's directory.
        let it = Inode::of(&bundle.path.join(path)).ok()?;
        // The host's own is no isolated container's.
        (Dir::ours().ns(file).ok() != Some(it)).then_some((*word, *file, it))
    };
    let named: Vec<_> = config::joined(&bundle.config.bytes).into_iter().filter_map(named).collect();
    if named.is_empty() {
        return Ok(());
    }
    for (slot, record) in store.iter()? {
        let init = match record {
            Ok(record) => record.init_dir(),
            Err(unread) => match slot.remains() {
                Some(remains) => remains.init_dir(),
                None if !slot.has_container() => None,
                None => bail!(
                    "it would join the {} namespace of another container, perhaps that of isolated container {}: {unread:#}; \
                     delete that one, or set joiners = \"allow\"",
                    named[0].0,
                    slot.id().display()
                ),
            },
        };
        let Some(init) = init else { continue };
        let has = |file: &str, it| init.ns(file).is_ok_and(|own| own == it);
        if let Some((word, ..)) = named.iter().find(|(_, file, it)| has(file, *it)) {
            bail!(
                "it would join the {word} namespace of isolated container {}; give it the annotation as well, or set \
                 joiners = \"allow\"",
                slot.id().display()
            );
        }
    }
    Ok(())
}
