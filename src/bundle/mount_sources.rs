//! Inspects the sources of mounts and the root file system. Reads only.

use std::path::Path;

use anyhow::Result;

use super::prober::Prober;
use super::root_fs::RootFs;
use crate::config::View;
use crate::rules::mounts;
use crate::rules::{MountSource, MountSources};

/// Inspects the sources of all mounts, those of bind mounts relative to the bundle, and the root file system.
pub(super) fn probe(view: &View, bundle: &Path, root: &RootFs) -> Result<(MountSources, MountSource)> {
    let mut prober = Prober::new(root);
    let mut found = MountSources::new();
    for mount in view.mounts.iter().flatten() {
        // Of an overlay's layers only the type counts: sockets in an overlay are inodes of its own.
        let searched = mounts::is_bind(mount);
        for written in mounts::sources(mount) {
            if !found.contains_key(&*written) {
                let source = prober.probe(&bundle.join(&*written), searched)?;
                found.insert(written.into_owned(), source);
            }
        }
    }
    let root = prober.root(view, bundle)?;
    Ok((found, root))
}
