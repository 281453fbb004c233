//! Containers that were created isolated, by the runtime's own state, and have no record: calls that start or
//! enter them have nothing to rely on. And those that are observed, which have none either. They are searched for where runtimes and engines keep their
//! containers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::id_of;
use oci_isolate::invocation::Dialect;
use oci_isolate::policy::{Decision, decide, glob, requires_by_environment};
use oci_isolate::proc::{Inode, ProcessId};
use oci_isolate::record::{Sandbox, Slot, Store};
use oci_isolate::runtime::RuntimeState;
use oci_isolate::settings::{Mode, Settings};

/// A container that runs and has no record.
pub(super) struct Unrecorded {
    pub(super) id: String,
    /// The runtime's root.
    pub(super) root: PathBuf,
    pub(super) pid: Option<u32>,
    /// It asked to be observed, and is not isolated.
    pub(super) is_observed: bool,
    pub(super) why: String,
}

/// The default roots of runtimes, and their users; `*` matches any characters of one name.
const ROOTS: [(&str, &str); 11] = [
    ("/run/runc", "runc, CRI-O, Podman with runc"),
    ("/run/crun", "crun, CRI-O, Podman with crun"),
    ("/run/youki", "youki"),
    ("/run/crio/*", "handlers of CRI-O as isolatectl installs them"),
    ("/run/containerd/runc/*", "containerd: k8s.io, default and other namespaces"),
    ("/run/docker/runtime-*/*", "Docker: moby"),
    ("/run/user/*/runc", "runc and Podman without root"),
    ("/run/user/*/crun", "crun and Podman without root"),
    ("/run/user/*/youki", "youki without root"),
    ("/run/user/*/containerd/runc/*", "containerd without root"),
    ("/run/user/*/docker/runtime-*/*", "Docker without root"),
];

/// All of them, as far as accessible.
///
/// # Errors
/// Records cannot be listed.
pub(super) fn find_all(settings: &Settings) -> Result<Vec<Unrecorded>> {
    // Containers isolated by the settings alone may be older than the settings.
    let settings = Settings { mode: Mode::Annotation, ..settings.clone() };
    let recorded = Store::ours().slots()?;
    let known = recorded.iter().map(|slot| slot.root().to_owned());
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = runtime_dir.iter().flat_map(|dir| ["runc", "crun", "youki"].map(|name| dir.join(name)));
    let roots = known.chain(ROOTS.iter().flat_map(|(pattern, _)| matching(pattern))).chain(own);
    let roots: BTreeSet<PathBuf> = roots.filter_map(|root| std::fs::canonicalize(root).ok()).collect();
    // A record may have the same root by another path (a bind mount).
    let recorded: BTreeSet<_> =
        recorded.iter().filter_map(|slot| Some((Inode::of(slot.root()).ok()?, id_of(slot)))).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for root in roots {
        let Some(number) = Inode::of(&root).ok().filter(|number| seen.insert(*number)) else { continue };
        for id in names(&root) {
            if !recorded.contains(&(number, id.clone())) {
                found.extend(inspect(&settings, &root, id));
            }
        }
    }
    Ok(found)
}

fn inspect(settings: &Settings, root: &Path, id: String) -> Option<Unrecorded> {
    let slot = Slot::of(root, &id)?;
    // The file names differ, so any dialect finds it.
    let kept = RuntimeState::read(Dialect::Runc, &root.join(&id)).transpose()?;
    let judged = kept.and_then(|kept| {
        let environment = if requires_by_environment(settings) { kept.environment()? } else { Vec::new() };
        let why = match decide(settings, &kept.annotations()?, &environment) {
            Decision::PassThrough(_) => return Ok(None),
            Decision::Observe(observed) => (true, format!("observed, not isolated ({})", observed.why)),
            Decision::Platform(container) => {
                let sandbox = Sandbox::of(root, &container);
                match sandbox.and_then(|sandbox| sandbox.check_created(&container, &id)) {
                    Ok(()) => return Ok(None),
                    Err(why) => {
                        (false, format!("it has no record, claims to be the platform's, and {why:#}"))
                    }
                }
            }
            Decision::Isolate(policy) => {
                (false, format!("it was created isolated ({}) and has no record", policy.why))
            }
            Decision::Refuse(why) => (false, format!("it has no record, and would be refused: {why}")),
        };
        let init = kept.init()?;
        let start = init.start.map_or_else(|| ProcessId::of(init.pid).map(|process| process.start), Ok);
        // A process that has ended does nothing any more.
        let lives = start.is_ok_and(|start| ProcessId { pid: init.pid, start }.runs());
        Ok(lives.then_some((Some(init.pid), why)))
    });
    let (pid, (is_observed, why)) = match judged {
        Ok(judged) => judged?,
        Err(error) => {
            (None, (false, format!("it has no record, and what the runtime keeps is unclear: {error:#}")))
        }
    };
    // A container's record is written before it is created and removed after it is deleted.
    (!slot.is_there()).then(|| Unrecorded { id, root: root.to_owned(), pid, is_observed, why })
}

/// The directories that match a pattern.
fn matching(pattern: &str) -> Vec<PathBuf> {
    pattern.split('/').skip(1).fold(vec![PathBuf::from("/")], |above, part| {
        let below = |above: PathBuf| -> Vec<PathBuf> {
            match part.contains('*') {
                false => vec![above.join(part)],
                true => {
                    let names = names(&above).into_iter().filter(|name| glob(part, name));
                    names.map(|name| above.join(name)).collect()
                }
            }
        };
        above.into_iter().flat_map(below).collect()
    })
}

/// The directories in a directory; none if that does not exist or is not accessible.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        directories.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
    names.sort();
    names
}
