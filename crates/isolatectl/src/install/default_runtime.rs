//! Compares the engine's default runtime with the one that the shim will run: if they differ, containers lose
//! what the old one provided, such as GPUs, without any message.

use std::path::{Path, PathBuf};

use anyhow::Result;

use oci_isolate::runtime::Runtime;
use oci_isolate::settings::DEFAULT_PATH;

/// The note to print, if any.
///
/// # Errors
/// The settings cannot be used.
pub(super) fn note(shim: &Path, engines: Option<&Path>) -> Result<Option<String>> {
    let Some(engines) = engines.filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
    let found = |wanted: &[PathBuf]| {
        let found = Runtime::find_for(shim, wanted, false).ok()?;
        std::fs::canonicalize(found.path()).ok()
    };
    let ours = found(&oci_isolate::bundle::load_settings(None)?.runtime);
    if ours.is_some() && ours == found(&[engines.to_owned()]) {
        return Ok(None);
    }
    let ours = ours.map_or_else(|| "no runtime that is there".into(), |path| path.display().to_string());
    let engines = engines.display();
    Ok(Some(format!(
        "the engine's default runs {engines}, and oci-isolate would run {ours}: to keep it, write runtime = \
         [\"{engines}\"] into {DEFAULT_PATH}"
    )))
}
