//! Compares the engine's default runtime with the one that the shim will run: if they differ, containers lose
//! what the old one provided, such as GPUs, without any message.

use std::path::{Path, PathBuf};

use oci_isolate::runtime::Runtime;

/// The note to print, if any; `wanted` are the runtimes of the settings in this file.
pub(super) fn note(shim: &Path, engines: Option<&Path>, wanted: &[PathBuf], file: &str) -> Option<String> {
    let engines = engines.filter(|path| !path.as_os_str().is_empty())?;
    let found = |wanted: &[PathBuf]| {
        let found = Runtime::find_for(shim, wanted, false).ok()?;
        std::fs::canonicalize(found.path()).ok()
    };
    let ours = found(wanted);
    if ours.is_some() && ours == found(&[engines.to_owned()]) {
        return None;
    }
    let ours = ours.map_or_else(|| "no runtime that is there".into(), |path| path.display().to_string());
    let engines = engines.display();
    Some(format!(
        "the engine's default runs {engines}, and oci-isolate would run {ours}: to keep it, write runtime = \
         [\"{engines}\"] into {file}"
    ))
}
