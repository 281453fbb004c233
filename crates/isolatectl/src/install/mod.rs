//! `isolatectl install`: registers the shim in each engine's own configuration file.
//!
//! Each engine's module knows how to add the runtime to a text and how to remove it ([`ConfigEdit`]);
//! `change` writes the files. Nothing is restarted, and the settings of oci-isolate are not changed.

mod change;
pub(super) mod containerd;
pub(super) mod crio;
mod default_runtime;
pub(super) mod docker;
pub(super) mod imports;
mod json;
pub(super) mod podman;
pub(super) mod podman_files;
pub(super) mod tables;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::unistd::{AccessFlags, access};

use super::exit::Exit;
use super::{print, print_json};
use change::FileChange;

/// The runtime's name in the engine unless `--name` sets another.
pub(super) const NAME: &str = "oci-isolate";

/// The annotations of oci-isolate, as a glob of containerd's `pod_annotations`.
pub(super) const ANNOTATIONS: &str = "io.oci-isolate.*";

/// An engine whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
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
}

/// The runtime as it is registered in the engine.
struct Registration {
    name: String,
    path: PathBuf,
    default: bool,
    always: bool,
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
    let wanted = wanted(arguments)?;
    let edited = edited(arguments, &wanted)?;
    let _lock = if arguments.dry_run { None } else { change::lock(&edited.file)? };
    let change = if arguments.uninstall {
        FileChange::out_of(&edited, &wanted)
    } else {
        FileChange::into(&edited, &wanted)
    };
    let change = change.with_context(|| format!("cannot {} {}", verb(arguments), edited.file.display()))?;
    if !arguments.dry_run {
        change.carry_out()?;
    }
    let note = if arguments.uninstall {
        None
    } else {
        default_runtime::note(&wanted.path, edited.default_runtime.as_deref())?
    };
    say(arguments, &change, note, json)?;
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

fn wanted(arguments: &InstallArguments) -> Result<Registration> {
    let name = arguments.name.clone();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!("cannot name a runtime {name:?}: use letters, digits, '-', '_' and '.'");
    }
    if matches!(name.as_str(), "runc" | "crun") {
        bail!("cannot name the runtime {name}: that is the real one's name; choose another --name");
    }
    if arguments.always && arguments.engine != Engine::Docker {
        bail!(
            "cannot install with --always: only Docker hands arguments to a runtime; set mode = \"always\" \
               in the settings instead"
        );
    }
    let path =
        if arguments.uninstall { NAME.into() } else { runtime_path(arguments.runtime_path.as_deref())? };
    let switches =
        if arguments.uninstall { vec![] } else { oci_isolate::bundle::load_settings(None)?.annotations };
    Ok(Registration { name, path, default: arguments.default, always: arguments.always, switches })
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

fn say(arguments: &InstallArguments, change: &FileChange, note: Option<String>, json: bool) -> Result<()> {
    let then = match arguments.engine {
        // On SIGHUP dockerd keeps a default runtime that is no longer in its file, and with it the old
        // runtimes (measured with 20.10.24 and 28.5.2).
        Engine::Docker if change.loses("\"default-runtime\"") => {
            "systemctl restart docker   (a reload would keep the default runtime)"
        }
        Engine::Docker => "systemctl reload docker",
        Engine::Containerd => "systemctl restart containerd   (containers keep running)",
        Engine::Podman => "nothing: the next podman run reads it",
        Engine::Crio => "systemctl restart crio   (containers keep running)",
    };
    let changes = change.changes();
    if json {
        return print_json(&serde_json::json!({
            "file": change.file,
            "changes": changes,
            "done": changes && !arguments.dry_run,
            "diff": change.diff(),
            "then": changes.then_some(then),
            "note": note,
        }));
    }
    let file = change.file.display();
    let said = match (changes, arguments.dry_run, change.after.is_some()) {
        (false, ..) => format!("no change: {file} is as it should be\n"),
        // Nothing else, since the output is for patch(1).
        (true, true, _) => return print(&change.diff()),
        (true, false, true) => format!("changed  {file}\nthen     {then}\n"),
        (true, false, false) => format!("removed  {file}\nthen     {then}\n"),
    };
    print(&note.into_iter().fold(said, |said, note| format!("{said}note     {note}\n")))
}

/// A position in a text as line and column.
fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}
