//! `isolatectl install`: registers the shim in each engine's own configuration file.
//!
//! Each engine's module knows how to add the runtime to a text and how to remove it ([`ConfigEdit`]);
//! `change` writes the files. Nothing is restarted, and settings of oci-isolate that are there are not changed.

mod change;
pub(super) mod containerd;
pub(super) mod crio;
mod default_runtime;
pub(super) mod docker;
pub(super) mod imports;
mod json;
mod output;
pub(super) mod podman;
pub(super) mod podman_files;
mod sagemaker;
pub(super) mod tables;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::unistd::{AccessFlags, access};

use super::exit::Exit;
use change::FileChange;
use oci_isolate::bundle::load_settings;
use oci_isolate::settings::{DEFAULT_PATH, Settings};

/// The runtime's name in the engine unless `--name` sets another.
pub(super) const NAME: &str = "oci-isolate";

/// The annotations of oci-isolate, as a glob of containerd's `pod_annotations`.
pub(super) const ANNOTATIONS: &str = "io.oci-isolate.*";

/// An engine whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// `runtimes` of /etc/docker/daemon.json
    Docker,
    /// A CRI handler in /etc/containerd/config.toml, or in a directory that it imports
    Containerd,
    /// /etc/containers/containers.conf.d/oci-isolate.conf
    Podman,
    /// /etc/crio/crio.conf.d/oci-isolate.conf
    Crio,
}

#[derive(Debug, clap::Args)]
pub(super) struct InstallArguments {
    /// The engine whose configuration is edited
    engine: Engine,
    /// Prints what would change as a unified diff, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Removes the runtime again; changes by others are kept
    #[arg(long)]
    uninstall: bool,
    /// Also makes it the engine's default runtime; --uninstall restores the previous default
    #[arg(long, conflicts_with = "uninstall")]
    default: bool,
    /// The shim, as an absolute path [default: oci-isolate beside this program]
    #[arg(long, value_name = "PATH", conflicts_with = "uninstall")]
    runtime_path: Option<PathBuf>,
    /// The runtime's name in the engine
    #[arg(long, default_value = NAME)]
    name: String,
    /// The engine's configuration file, if it is not the usual one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Isolates every container of this runtime, for Docker before 24, which has no annotations
    #[arg(long, conflicts_with = "uninstall")]
    always: bool,
    /// The runtime `sagemaker`, for SageMaker's SDK in local mode: isolates every container, with the settings in
    /// /etc/oci-isolate/sagemaker.toml
    #[arg(long, conflicts_with_all = ["always", "name"])]
    sagemaker: bool,
}

/// The runtime as it is registered in the engine.
struct Registration {
    name: String,
    path: PathBuf,
    default: bool,
    /// What Docker hands to the shim.
    flag: Option<&'static str>,
    /// Further annotations from the settings that switch isolation on.
    switches: Vec<String>,
}

type AddRuntime = dyn Fn(&str, &Registration) -> Result<String>;
/// From a text, a runtime's name, and the text before it was added.
type RemoveRuntime = dyn Fn(&str, &str, &str) -> Result<String>;

/// How to edit an engine's configuration file.
struct ConfigEdit {
    file: PathBuf,
    /// The text with the runtime in it.
    add: Box<AddRuntime>,
    /// The text without it, given the text before it was added.
    remove: Box<RemoveRuntime>,
    /// The engine's default runtime, if its configuration names one.
    default_runtime: Option<PathBuf>,
}

pub(super) fn install(arguments: &InstallArguments, json: bool) -> Result<Exit> {
    let (settings, settings_file) = match (arguments.uninstall, arguments.sagemaker) {
        (true, _) => (Settings::default(), DEFAULT_PATH),
        (false, true) => (sagemaker::settings()?, sagemaker::SETTINGS),
        (false, false) => (load_settings(None)?, DEFAULT_PATH),
    };
    let wanted = wanted(arguments, settings.annotations)?;
    let edited = edited(arguments, &wanted)?;
    let _lock = if arguments.dry_run { None } else { change::lock(&edited.file)? };
    let change = if arguments.uninstall {
        FileChange::out_of(&edited, &wanted)
    } else {
        FileChange::into(&edited, &wanted)
    };
    let change = change.with_context(|| format!("cannot {} {}", verb(arguments), edited.file.display()))?;
    let own = arguments.sagemaker.then(|| sagemaker::change(arguments.uninstall)).transpose()?;
    // The engine never names settings that are not there.
    let mut changes: Vec<&FileChange> = own.iter().chain([&change]).collect();
    if arguments.uninstall {
        changes.reverse();
    }
    if !arguments.dry_run {
        changes.iter().try_for_each(|change| change.carry_out())?;
    }
    let default = edited.default_runtime.as_deref().filter(|_| !arguments.uninstall);
    let note = default_runtime::note(&wanted.path, default, &settings.runtime, settings_file);
    let of_default =
        (matches!(arguments.engine, Engine::Crio) && arguments.default).then(|| crio::OF_DEFAULT.to_owned());
    let notes = note.into_iter().chain(of_default).collect();
    output::print_changes(arguments, &change, own.as_ref(), notes, json)?;
    Ok(Exit::Ok)
}

fn edited(arguments: &InstallArguments, wanted: &Registration) -> Result<ConfigEdit> {
    let config = arguments.config.as_deref();
    match arguments.engine {
        Engine::Docker => Ok(docker::edited(config, &wanted.name)),
        Engine::Containerd => containerd::edited(config, &wanted.name),
        Engine::Podman => podman::edited(config, &wanted.name),
        Engine::Crio => crio::edited(config, &wanted.name),
    }
}

fn wanted(arguments: &InstallArguments, switches: Vec<String>) -> Result<Registration> {
    let name = if arguments.sagemaker { sagemaker::RUNTIME.to_owned() } else { arguments.name.clone() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!("cannot name a runtime {name:?}: use letters, digits, '-', '_' and '.'");
    }
    if matches!(name.as_str(), "runc" | "crun") {
        bail!("cannot name the runtime {name}: that is the real one's name; choose another --name");
    }
    let flag = match (arguments.always, arguments.sagemaker) {
        (true, _) => Some("--isolate=always"),
        (_, true) => Some(sagemaker::FLAG),
        (false, false) => None,
    };
    if arguments.engine != Engine::Docker && arguments.always {
        bail!(
            "cannot install with --always: only Docker hands arguments to a runtime; set mode = \"always\" \
               in the settings instead"
        );
    }
    if arguments.engine != Engine::Docker && arguments.sagemaker {
        bail!("cannot install with --sagemaker: the SDK's local mode uses Docker; install docker");
    }
    let path =
        if arguments.uninstall { NAME.into() } else { runtime_path(arguments.runtime_path.as_deref())? };
    Ok(Registration { name, path, default: arguments.default, flag, switches })
}

/// The shim: an absolute path of a program, as engines want it.
fn runtime_path(given: Option<&Path>) -> Result<PathBuf> {
    let beside = || std::env::current_exe().map(|path| path.with_file_name(NAME));
    let path = given.map_or_else(beside, |path| Ok(path.to_owned())).context("cannot find this program")?;
    let shown = path.display();
    if !path.is_absolute() {
        bail!("cannot install {shown}: not an absolute path; give one with --runtime-path");
    }
    let meta = std::fs::metadata(&path)
        .with_context(|| format!("cannot install {shown}; name the shim with --runtime-path"))?;
    if !meta.is_file() || access(&path, AccessFlags::X_OK).is_err() {
        bail!("cannot install {shown}: not an executable file; name the shim with --runtime-path");
    }
    if path.to_str().is_none_or(|path| path.contains(char::is_whitespace) || path.contains(char::is_control))
    {
        // Docker writes it into a shell script unquoted if there are runtimeArgs.
        bail!("cannot install {shown:?}: engines want a path without spaces");
    }
    Ok(path)
}

fn verb(arguments: &InstallArguments) -> &'static str {
    if arguments.uninstall { "uninstall from" } else { "install into" }
}

/// A position in a text as line and column.
fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}
