//! Docker: whether annotations reach a runtime, and whether daemon.json has ours.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Finding, is_shim, unusable};
use crate::install::docker::FILE;
use crate::program_version;
use oci_isolate::bundle::load_settings;
use oci_isolate::files;
use oci_isolate::settings::{Mode, Settings};

/// The first version with `docker run --annotation` (docs/engines.md).
const ANNOTATIONS: u32 = 24;

pub(super) fn check(root: &Path, shim: &Path, settings: &Settings) -> Vec<Finding> {
    let file = root.join(&FILE[1..]);
    let version =
        ["dockerd", "docker"].into_iter().find_map(|program| program_version::query(Path::new(program)));
    if version.is_none() && !file.exists() {
        return vec![Finding::ok("docker", "not there")];
    }
    let runtimes = runtimes(&file, root, shim);
    let always = settings.mode == Mode::Always
        || runtimes.as_ref().is_ok_and(|ours| !ours.is_empty() && ours.iter().all(|ours| ours.always));
    let mut found = vec![match version.as_deref().map(|said| (said, program_version::major(said))) {
        None => Finding::ok("docker", "no program of that name reports its version"),
        Some((said, Some(major))) if major < ANNOTATIONS && !always => Finding::warn(
            "docker",
            format!("{said}: annotations do not reach a runtime before version {ANNOTATIONS}"),
            "isolatectl install docker --always, which isolates every container of that runtime",
        ),
        Some((said, _)) => Finding::ok("docker", said),
    }];
    let shown = file.display();
    match runtimes {
        Err(why) => found.push(Finding::fail(
            "docker-config",
            format!("cannot understand {shown}: {why}"),
            "correct it: dockerd does not start with it",
        )),
        Ok(ours) if ours.is_empty() => found.push(Finding::warn(
            "docker-config",
            format!("no runtime of {shown} is oci-isolate"),
            "isolatectl install docker",
        )),
        Ok(ours) => found.extend(ours.into_iter().map(|ours| {
            let says = format!("runtime {} of {shown} is {}", ours.name, ours.path.display());
            match (unusable(&ours.path), ours.settings) {
                (Some(why), _) => Finding::fail(
                    "docker-config",
                    format!("runtime {} of {shown}: {why}", ours.name),
                    "isolatectl install docker",
                ),
                (None, Some(Err(why))) => Finding::fail(
                    "docker-config",
                    format!("{says}, and no container of it starts: {why}"),
                    "correct it (oci-isolate.toml(5)); if it is gone, isolatectl install docker --sagemaker writes its own again",
                ),
                (None, Some(Ok(settings))) => {
                    Finding::ok("docker-config", format!("{says} with the settings {}", settings.display()))
                }
                (None, None) => Finding::ok("docker-config", says),
            }
        })),
    }
    found
}

/// A runtime that is the shim.
struct ShimRuntime {
    name: String,
    path: PathBuf,
    /// Whether it isolates every container.
    always: bool,
    /// The settings that it has instead of the host's, or why they cannot be used.
    settings: Option<Result<PathBuf, String>>,
}

fn runtimes(file: &Path, root: &Path, shim: &Path) -> Result<Vec<ShimRuntime>, String> {
    if !file.exists() {
        return Ok(vec![]);
    }
    let read = files::read(file, files::SMALL_LIMIT).map_err(|error| format!("{error:#}"))?;
    if read.bytes.trim_ascii().is_empty() {
        return Ok(vec![]);
    }
    let document: Value = serde_json::from_slice(&read.bytes).map_err(|error| error.to_string())?;
    let ours = |(name, runtime): (&String, &Value)| {
        // Docker 23 has runtimes of containerd's, with options.
        let path = runtime.get("path").or(runtime.pointer("/options/BinaryName"))?.as_str()?;
        if !is_shim(Path::new(path), shim) {
            return None;
        }
        let arguments = runtime.get("runtimeArgs").and_then(Value::as_array).into_iter().flatten();
        let arguments: Vec<&str> = arguments.filter_map(Value::as_str).collect();
        let named = arguments.iter().rev().find_map(|argument| argument.strip_prefix("--isolate-config="));
        let loaded =
            named.map(|named| (named, load_settings(Some(&root.join(named.trim_start_matches('/'))))));
        let always = arguments.contains(&"--isolate=always")
            || loaded.as_ref().is_some_and(|(_, loaded)| {
                loaded.as_ref().is_ok_and(|settings| settings.mode == Mode::Always)
            });
        let settings = loaded.map(|(named, loaded)| match loaded {
            Ok(_) => Ok(named.into()),
            Err(error) => Err(format!("{error:#}")),
        });
        Some(ShimRuntime { name: name.clone(), path: path.into(), always, settings })
    };
    let runtimes = document.get("runtimes").and_then(Value::as_object);
    Ok(runtimes.into_iter().flatten().filter_map(ours).collect())
}
