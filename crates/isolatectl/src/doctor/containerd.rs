//! containerd: whether a handler of the CRI plugin is ours, and whether annotations of pods reach it. Without
//! `pod_annotations` the shim sees none, and a pod that asks for isolation starts open.

use std::path::Path;

use anyhow::{Result, bail};
use toml_edit::DocumentMut;

use super::running::RunningContainerd;
use super::{Finding, cni, is_shim, unusable};
use crate::install::containerd::{config_version, disabled, plugin, way_of};
use crate::install::imports::{FILE, imports, listed};
use crate::install::tables::{at, read, strings};
use crate::program_version;
use oci_isolate::policy::{self, ANNOTATIONS, SWITCH};
use oci_isolate::settings::{Mode, Settings};

pub(super) fn check(root: &Path, shim: &Path, settings: &Settings) -> Vec<Finding> {
    // With another root, the files are not of a containerd of this host.
    let running = (root == Path::new("/")).then(RunningContainerd::find).flatten();
    let file = running.as_ref().and_then(|running| running.config.clone());
    let file = file.unwrap_or_else(|| root.join(&FILE[1..]));
    let version = running.as_ref().and_then(RunningContainerd::version);
    let version = version.or_else(|| program_version::query(Path::new("containerd")));
    if version.is_none() && !file.exists() {
        return vec![Finding::ok("containerd", "not there")];
    }
    let major = version.as_deref().and_then(program_version::major);
    let forged =
        version.as_deref().filter(|version| !settings.platform.is_empty() && lets_forge_names(version));
    let what = "update it to 2.1.9, 2.2.5 or 2.3.2: a pod can give an image another's name there, and settings have [[platform]]";
    let forged = forged.map(|version| Finding::fail("containerd-images", version, what));
    let mut found =
        vec![Finding::ok("containerd", version.clone().unwrap_or_else(|| "no program of that name".into()))];
    found.extend(forged);
    let findings = read(&file).and_then(|main| match disabled(&main) {
        Some(why) => Ok(vec![Finding::ok(CHECK, format!("{}: {why}, so no pods run here", file.display()))]),
        None => {
            let unread = running.as_ref().and_then(|running| unread(running, root, &file, &main));
            let judged = judge(root, &file, main, major, shim, settings)?;
            Ok(judged.into_iter().chain(unread).collect())
        }
    });
    found.extend(findings.unwrap_or_else(|error| {
        let what = "correct it: whether pods would be isolated cannot be told";
        vec![Finding::fail(CHECK, format!("{error:#}"), what)]
    }));
    found
}

/// Whether what is judged is not what containerd has read.
fn unread(running: &RunningContainerd, root: &Path, file: &Path, main: &DocumentMut) -> Option<Finding> {
    let imported = imports(root, file, main).unwrap_or_default().into_iter().map(|(file, _)| file);
    let changed = [file.to_owned()].into_iter().chain(imported).find(|file| running.is_older_than(file))?;
    let says = format!(
        "{} was changed after containerd (process {}) was started, so annotations may not reach the shim yet",
        changed.display(),
        running.pid()
    );
    Some(Finding::warn(CHECK, says, "restart containerd; containers go on running"))
}

fn judge(
    root: &Path,
    file: &Path,
    main: DocumentMut,
    major: Option<u32>,
    shim: &Path,
    settings: &Settings,
) -> Result<Vec<Finding>> {
    let ours = handlers(root, file, main, major, shim)?;
    if !ours.is_empty() {
        return Ok(ours.iter().map(|handler| judged(handler, settings)).chain(cni::check(root)).collect());
    }
    let shown = file.display();
    // The default import of `containerd config default` of 2.2 and later; a file without `imports` imports
    // nothing.
    for other in listed(&root.join("etc/containerd/conf.d"), ".toml") {
        if !ours_in(&[read(&other)?], 3, shim).is_empty() {
            let says = format!("{} has oci-isolate, and {shown} does not import it", other.display());
            let what = format!("add imports = [\"/etc/containerd/conf.d/*.toml\"] to {shown}");
            return Ok(vec![Finding::fail(CHECK, says, what)]);
        }
    }
    let says = format!("no handler of {shown} is oci-isolate");
    Ok(vec![Finding::warn(CHECK, says, "isolatectl install containerd")])
}

/// A handler that is the shim.
struct ShimHandler {
    name: String,
    binary: String,
    pod_annotations: Vec<String>,
}

fn judged(handler: &ShimHandler, settings: &Settings) -> Finding {
    let (name, what) = (&handler.name, "isolatectl install containerd, with --name where it has another");
    if let Some(why) = unusable(Path::new(&handler.binary)) {
        return Finding::fail(CHECK, format!("handler {name}: {why}"), what);
    }
    let arrives = |annotation: &str| handler.pod_annotations.iter().any(|glob| passes(glob, annotation));
    let switches = [SWITCH].into_iter().chain(settings.annotations.iter().map(String::as_str));
    let missing: Vec<_> = switches.filter(|switch| !arrives(switch)).collect();
    let unheard: Vec<_> = ANNOTATIONS.into_iter().filter(|annotation| !arrives(annotation)).collect();
    if settings.mode == Mode::Annotation && !missing.is_empty() {
        let says = format!(
            "handler {name} has no pod_annotations that match {}: pods that ask for isolation would start open",
            missing.join(", ")
        );
        return Finding::fail(CHECK, says, what);
    }
    if !unheard.is_empty() {
        let says = format!(
            "handler {name} has no pod_annotations that match {}: they have no effect",
            unheard.join(", ")
        );
        return Finding::warn(CHECK, says, what);
    }
    Finding::ok(CHECK, format!("handler {name} is {}, and annotations reach it", handler.binary))
}

/// containerd's matching (path.Match), of which only stars are supported: they do not match a slash.
fn passes(glob: &str, annotation: &str) -> bool {
    let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (globs, names) = (parts(glob), parts(annotation));
    globs.len() == names.len() && globs.iter().zip(&names).all(|(glob, name)| policy::glob(glob, name))
}

fn handlers(
    root: &Path,
    file: &Path,
    main: DocumentMut,
    major: Option<u32>,
    shim: &Path,
) -> Result<Vec<ShimHandler>> {
    let version = match config_version(&main) {
        _ if main.is_empty() => return Ok(vec![]),
        Some(version @ 2..=4) => version,
        other => bail!(
            "cannot understand {}: its version is {}, and 2, 3 and 4 are known",
            file.display(),
            other.unwrap_or(1)
        ),
    };
    let mut whole: Vec<DocumentMut> =
        imports(root, file, &main)?.into_iter().map(|(_, document)| document).chain([main]).collect();
    if version == 2 && major.is_none_or(|major| major < 2) {
        // containerd 1.x takes the whole section from the last file that has one (measured with 1.6.20).
        whole.retain(|document| at(document, &["plugins", plugin(2)]).is_some());
        whole.truncate(1);
    }
    Ok(ours_in(&whole, version, shim))
}

/// Handlers that are the shim; earlier files take precedence.
fn ours_in(whole: &[DocumentMut], version: i64, shim: &Path) -> Vec<ShimHandler> {
    let find = |keys: &[&str]| {
        whole.iter().find_map(|document| {
            at(document, &[&way_of(document, version)[..], &["runtimes"], keys].concat())
        })
    };
    let tables = whole.iter().filter_map(|document| {
        at(document, &[&way_of(document, version)[..], &["runtimes"]].concat())?.as_table_like()
    });
    let mut names: Vec<&str> = tables.flat_map(|table| table.iter().map(|(name, _)| name)).collect();
    names.sort_unstable();
    names.dedup();
    let ours = |name: &str| {
        let binary = find(&[name, "options", "BinaryName"])?.as_str()?;
        is_shim(Path::new(binary), shim).then(|| ShimHandler {
            name: name.to_owned(),
            binary: binary.to_owned(),
            pod_annotations: strings(find(&[name, "pod_annotations"])),
        })
    };
    names.into_iter().filter_map(ours).collect()
}

/// Whether a container that is restored from a checkpoint image can name the image that it brings (`CRImportCheckpoint`):
/// 2.1.0 to 2.1.8, 2.2.0 to 2.2.4, 2.3.0 and 2.3.1.
fn lets_forge_names(version: &str) -> bool {
    version.split_whitespace().any(|word| {
        let numbers = word.strip_prefix('v').unwrap_or(word).splitn(3, '.').map(|number| {
            let digits = number.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|digits| digits.parse::<u32>().ok())
        });
        match numbers.collect::<Option<Vec<_>>>().as_deref() {
            Some([2, 1, patch]) => *patch <= 8,
            Some([2, 2, patch]) => *patch <= 4,
            Some([2, 3, patch]) => *patch <= 1,
            _ => false,
        }
    })
}

const CHECK: &str = "containerd-config";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_which_a_pod_names_an_image_are_known() {
        for (version, yes) in [
            ("containerd github.com/containerd/containerd/v2 v2.1.0 1234", true),
            ("containerd github.com/containerd/containerd/v2 2.1.8~ds1 2.1.8~ds1-1", true),
            ("containerd github.com/containerd/containerd/v2 v2.1.9 1234", false),
            ("containerd x v2.2.4 1", true),
            ("containerd x v2.2.5 1", false),
            ("containerd x v2.3.0-rc.1 1", true),
            ("containerd x v2.3.2 1", false),
            ("containerd x v2.0.9 1", false),
            ("containerd x 1.6.20~ds1 1", false),
            ("nothing", false),
        ] {
            assert_eq!(lets_forge_names(version), yes, "{version}");
        }
    }
}
