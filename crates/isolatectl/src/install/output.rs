//! What `install` prints: the files that changed, and what is left to do.

use anyhow::Result;

use super::change::FileChange;
use super::{Engine, InstallArguments, sagemaker};
use crate::{print, print_json};

/// Prints what was done, or would be done, to the engine's file and to settings of ours that come with it.
pub(super) fn print_changes(
    arguments: &InstallArguments,
    engine: &FileChange,
    settings: Option<&FileChange>,
    notes: Vec<String>,
    json: bool,
) -> Result<()> {
    let then = match arguments.engine {
        // On SIGHUP dockerd keeps a default runtime that is no longer in its file, and with it the old
        // runtimes (measured with 20.10.24 and 28.5.2).
        Engine::Docker if engine.loses("\"default-runtime\"") => {
            "systemctl restart docker   (a reload would keep the default runtime)"
        }
        Engine::Docker => "systemctl reload docker",
        Engine::Containerd => "systemctl restart containerd   (containers keep running)",
        Engine::Podman => "nothing: the next podman run reads it",
        Engine::Crio => "systemctl restart crio   (containers keep running)",
    };
    let sdk = (arguments.sagemaker && !arguments.uninstall).then_some(sagemaker::SDK);
    let changes = engine.changes() || settings.is_some_and(FileChange::changes);
    let diff = settings.map(FileChange::diff).unwrap_or_default() + &engine.diff();
    if json {
        return print_json(&serde_json::json!({
            "file": engine.file,
            "settings": settings.map(|settings| &settings.file),
            "changes": changes,
            "done": changes && !arguments.dry_run,
            "diff": diff,
            "then": engine.changes().then_some(then),
            "note": (!notes.is_empty()).then(|| notes.join("; ")),
            "sdk": sdk,
        }));
    }
    if changes && arguments.dry_run {
        // Nothing else, since the output is for patch(1).
        return print(&diff);
    }
    let mut said = String::new();
    if let Some(settings) = settings {
        // Uninstalling leaves what the operator has written.
        let is_kept = arguments.uninstall && !settings.changes() && settings.after.is_some();
        said += &if is_kept {
            format!("kept     {}: it was changed\n", settings.file.display())
        } else {
            line(settings)
        };
    }
    said += &line(engine);
    if engine.changes() {
        said += &format!("then     {then}\n");
    }
    said.extend(notes.iter().map(|note| format!("note     {note}\n")));
    said.extend(
        sdk.map(|lines| format!("write into ~/.sagemaker/config.yaml of those who run the SDK:\n{lines}")),
    );
    print(&said)
}

fn line(change: &FileChange) -> String {
    let file = change.file.display();
    match (change.changes(), change.after.is_some()) {
        (false, _) => format!("no change: {file} is as it should be\n"),
        (true, true) => format!("changed  {file}\n"),
        (true, false) => format!("removed  {file}\n"),
    }
}
