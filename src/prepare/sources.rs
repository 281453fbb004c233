//! Looks at what is behind the sources of mounts, and at the root file system. Reads only.

use std::path::Path;

use anyhow::Result;

use super::prober::Prober;
use super::root::Root;
use crate::config::View;
use crate::rules::mounts;
use crate::rules::{MountSource, MountSources};

/// Looks at the sources of all mounts, those of bind mounts relative to the bundle, and at the root file system.
pub(super) fn look(view: &View, bundle: &Path, root: &Root) -> Result<(MountSources, MountSource)> {
    let mut prober = Prober::new(root);
    let mut found = MountSources::new();
    for mount in view.mounts.iter().flatten() {
        // Of an overlay's layers only what they are counts: sockets in an overlay are inodes of its own.
        let searched = mounts::is_bind(mount);
        for written in mounts::sources(mount) {
            if !found.contains_key(&*written) {
                let source = prober.look(&bundle.join(&*written), searched)?;
                found.insert(written.into_owned(), source);
            }
        }
    }
    let root = prober.root(view, bundle)?;
    Ok((found, root))
}
