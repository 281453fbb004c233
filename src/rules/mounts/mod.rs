//! Shared by the mount rules: which mounts are bind mounts, and what their sources are (`MountSource`,
//! examined by [`crate::bundle`]). A source that is missing, or was not examined, is ignored: the runtime
//! reports it itself.

pub(super) mod data_channels;
mod file_system;
mod gpu_daemons;
mod known_options;
mod layers;
pub(super) mod network_fs;
pub(super) mod options;
pub(super) mod overlay;
mod pinned;
mod pod;
pub(super) mod pod_files;
pub(super) mod propagation;
mod root;
pub(super) mod sockets;
pub(super) mod system;
pub(super) mod unknown_fs;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::mount::{has, options};
use super::{Rule, RuleContext, Violation, credentials};
use crate::config::{Edit, EditOp, Mount, Pointer, View};
use crate::settings::Answer;

pub use super::mount::{clean, is_bind, is_within};
pub use file_system::{Class, FileSystem};
pub use known_options::{KNOWN_OPTIONS, KnownOption, OptionValue};
pub use layers::of_option as layers_of;
pub use pinned::{Pinned, pinned};
pub use system::DIRECTORIES as SYSTEM_DIRECTORIES;

/// Mount sources, by the source as written.
pub type MountSources = BTreeMap<String, MountSource>;

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSource {
    /// Its path with all links resolved.
    pub real: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Its device and inode; `None` if not examined.
    pub identity: Option<(u64, u64)>,
    /// The file system that it lies on.
    pub file_system: FileSystem,
    /// The directory of [`SYSTEM_DIRECTORIES`] that it is, also under another path.
    pub system: Option<&'static str>,
    /// Whether it, or a layer, is the machine's `/home`, also under another path: its directories are homes.
    pub holds_homes: bool,
    /// Whether it lies in the container's own root file system, in which earlier mounts change what it is.
    pub in_rootfs: bool,
    /// What it contains that only the shim and the runtime may change; examined for the root file system
    /// only.
    pub holds: Option<&'static str>,
    /// Sockets in it to which a process is bound, by their path in it.
    pub sockets: Vec<PathBuf>,
    /// FIFOs in it, by their path in it.
    pub fifos: Vec<PathBuf>,
    /// Whether all of it was searched for them.
    pub searched: bool,
    /// Mounts below it, by mount point.
    pub below: Vec<(PathBuf, FileSystem)>,
    /// If it lies on an overlay of the host: the same path in each of the layers.
    pub layers: Vec<MountSource>,
}

impl MountSource {
    /// A source about which nothing else is known.
    #[must_use]
    pub fn new(real: impl Into<PathBuf>, kind: FileKind, file_system: FileSystem) -> Self {
        Self {
            real: real.into(),
            kind,
            identity: None,
            file_system,
            system: None,
            holds_homes: false,
            in_rootfs: false,
            holds: None,
            sockets: Vec::new(),
            fifos: Vec::new(),
            searched: true,
            below: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// Every file system that is visible through it, with its mount point.
    fn file_systems(&self) -> impl Iterator<Item = (&Path, &FileSystem)> {
        let below = self.below.iter().map(|(path, file_system)| (path.as_path(), file_system));
        self.own_file_systems().chain(below)
    }

    /// The one that it lies on, and those of its layers: an overlay shows nothing that is mounted below a layer.
    fn own_file_systems(&self) -> Box<dyn Iterator<Item = (&Path, &FileSystem)> + '_> {
        let own = std::iter::once((self.real.as_path(), &self.file_system));
        Box::new(own.chain(self.layers.iter().flat_map(Self::own_file_systems)))
    }
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "inode(7)'s names")]
pub enum FileKind {
    File,
    Directory,
    Socket,
    Fifo,
    Character(i64, i64),
    Block(i64, i64),
    /// Not there.
    Missing,
    /// It could not be examined, and why.
    Inaccessible(String),
}

/// The paths of the host that a mount leads to: the source of a bind mount, the directories of an overlay.
#[must_use]
pub fn sources<'m>(mount: &'m Mount) -> Vec<Cow<'m, str>> {
    if is_bind(mount) {
        return mount.source.iter().map(|source| Cow::Borrowed(&**source)).collect();
    }
    match mount.kind.as_deref() {
        Some("overlay") => layers::of_options(options(mount)).into_iter().map(Cow::Owned).collect(),
        _ => Vec::new(),
    }
}

/// Whether the image's files at the destination are copied into a mount that is made for the container.
#[must_use]
pub fn copies_up(mount: &Mount) -> bool {
    !is_bind(mount) && has(mount, &["tmpcopyup"])
}

/// Of `ro` and `rw` the last counts, and `rrw` cancels every `ro`.
fn is_readonly(mount: &Mount) -> bool {
    !has(mount, &["rrw"])
        && options(mount)
            .filter(|option| matches!(*option, "ro" | "rw" | "rro"))
            .last()
            .is_some_and(|o| o != "rw")
}

/// Whether a mount is kept, that is, not removed because it carries credentials. Checked last, for the few
/// mounts that violate another rule.
fn is_kept(view: &View, mount: &Mount, context: &RuleContext) -> bool {
    !credentials::mounts::is_removed(view, mount, context)
}

fn mounts<'v>(view: &'v View<'v>) -> impl Iterator<Item = (usize, &'v Mount<'v>)> {
    view.mounts.iter().flatten().enumerate()
}

/// The bind mounts among them, with their sources.
fn binds<'v>(
    view: &'v View<'v>,
    context: &'v RuleContext,
) -> impl Iterator<Item = (usize, &'v Mount<'v>, &'v MountSource)> {
    let source = |mount: &Mount| context.host.sources.get(&**mount.source.as_ref()?);
    mounts(view)
        .filter(|(_, mount)| is_bind(mount))
        .filter_map(move |(i, mount)| Some((i, mount, source(mount)?)))
}

/// The sources of the layers of an overlay mount.
fn layer_sources<'v>(mount: &'v Mount, context: &'v RuleContext) -> impl Iterator<Item = &'v MountSource> {
    let layers = if is_bind(mount) { Vec::new() } else { sources(mount) };
    layers.into_iter().filter_map(|layer| context.host.sources.get(&*layer))
}

fn mount_at(index: usize) -> Pointer {
    Pointer::to(&["mounts"]).item(index)
}

/// The source of a bind mount as the user wrote it, and where it leads: `/x (is /y)` at `/z`.
fn describe_source(mount: &Mount, source: &MountSource) -> String {
    let written = mount.source.as_deref().unwrap_or_default();
    let real = source.real.display().to_string();
    let is = if real == written || real.is_empty() { String::new() } else { format!(" (which is {real})") };
    format!("the source {written}{is} of {}", &*mount.destination)
}

/// Removes the mounts that violate the rule, or refuses the first.
fn plan_removal(
    rule: &Rule,
    found: Vec<(usize, String)>,
    context: &RuleContext,
) -> Result<Vec<Edit>, Violation> {
    if rule.answer(&context.policy) == Answer::Refuse {
        refuse_first(rule, &found)?;
    }
    Ok(removals(found))
}

fn removals(found: Vec<(usize, String)>) -> Vec<Edit> {
    let edit = |(index, why)| Edit {
        at: mount_at(index),
        op: EditOp::Remove,
        description: format!("removed a mount: {why}"),
    };
    found.into_iter().map(edit).collect()
}

fn refuse_first(rule: &Rule, found: &[(usize, String)]) -> Result<(), Violation> {
    match found.first() {
        None => Ok(()),
        Some((_, why)) => Err(Violation::of(rule, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_told_by_type_or_option_and_overlays_lead_to_their_directories() {
        let mount = |text| -> Mount<'static> { serde_json::from_str(text).unwrap() };
        assert!(is_bind(&mount(
            r#"{"destination":"/x","type":"none","source":"/s","options":["ro","rbind"]}"#
        )));
        assert!(is_bind(&mount(r#"{"destination":"/x","type":"bind","source":"/s"}"#)));
        let overlay = mount(
            r#"{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/a:/b","upperdir=/c"]}"#,
        );
        assert_eq!(sources(&overlay), ["/a", "/b", "/c"]);
        assert!(sources(&mount(r#"{"destination":"/x","type":"tmpfs","source":"tmpfs"}"#)).is_empty());
    }

    #[test]
    fn the_last_of_ro_and_rw_counts() {
        let ro = |options: &str| {
            let text = format!(r#"{{"destination":"/x","type":"bind","source":"/s","options":{options}}}"#);
            is_readonly(&serde_json::from_str(&text).unwrap())
        };
        assert!(ro(r#"["ro"]"#) && ro(r#"["rw","ro","nosuid"]"#) && ro(r#"["rro"]"#));
        assert!(!ro(r#"["ro","rrw"]"#));
        assert!(!ro("[]") && !ro("null") && !ro(r#"["ro","rw"]"#));
    }
}
