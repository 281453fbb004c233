//! A container that is not isolated may not join a namespace of one that is. It has a network: in a shared pid namespace
//! that is reached by ptrace(2) or `/proc/PID/root`, in a shared network namespace by a relay.
//!
//! It costs one system call where there is no isolated container, and otherwise what [`config::joined`] and the records cost.

use std::path::Path;

use anyhow::{Result, bail};

use super::Call;
use crate::config;
use crate::peers;
use crate::prepare::Bundle;
use crate::record::{Inode, Place};
use crate::settings::Consent;

/// By which the kernel has them in `/proc/PID/ns`. What is not here says names or clocks only.
const KINDS: [(&str, &str); 5] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("mount", "mnt"), ("user", "user")];

/// Checks the configuration of a container that is not isolated.
///
/// # Errors
/// It names such a namespace.
pub(super) fn check(call: &Call, bundle: &Bundle) -> Result<()> {
    if call.settings.joiners == Consent::Allow || !Place::is_any() {
        return Ok(());
    }
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|meta| Inode::from(&meta));
    let named = |(word, path): (String, String)| {
        let (word, file) = KINDS.iter().find(|(known, _)| *known == word)?;
        // Runtimes stand in the bundle.
        let it = inode(&bundle.path.join(path))?;
        // The machine's own is no isolated container's.
        (inode(&Path::new("/proc/self/ns").join(file)) != Some(it)).then_some((*word, *file, it))
    };
    let named: Vec<_> = config::joined(&bundle.config.bytes).into_iter().filter_map(named).collect();
    if named.is_empty() {
        return Ok(());
    }
    for place in Place::all()? {
        let Some(pid) = peers::init_of(&place) else { continue };
        let has = |file: &str, it| inode(Path::new(&format!("/proc/{pid}/ns/{file}"))) == Some(it);
        if let Some((word, ..)) = named.iter().find(|(_, file, it)| has(file, *it)) {
            bail!(
                "it would join the {word} namespace of isolated container {}; give it the annotation as well, or set \
                 joiners = \"allow\"",
                place.id().display()
            );
        }
    }
    Ok(())
}
