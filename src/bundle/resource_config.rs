//! Reads SageMaker's `resourceconfig.json` of a container that is to be created, if one of its mounts gives it. Reads
//! only. One that the image has is not the platform's, and is not read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::path_fd::PathFd;
use crate::config::View;
use crate::job;
use crate::rules::mounts::{clean, is_bind};

/// The name that the file gives the container; `None` if no mount gives the file.
///
/// # Errors
/// The file cannot be read, is reached through a link inside the mount, or is malformed.
pub(super) fn current_host(view: &View, bundle: &Path) -> Result<Option<String>> {
    let Some((source, below)) = source(view, bundle) else { return Ok(None) };
    let shown = || {
        let file = source.join(&below);
        format!("cannot take the container's name from {}; correct or remove it", file.display())
    };
    match read(&source, &below) {
        // The runtime reports a source that is missing.
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        text => {
            let text = text.with_context(shown)?;
            job::current_host(&text).map(Some).map_err(|why| anyhow!(why)).with_context(shown)
        }
    }
}

/// The source of the bind mount that has the file, and the file's path in it: of several mounts above the file the
/// last hides the others.
fn source(view: &View, bundle: &Path) -> Option<(PathBuf, PathBuf)> {
    view.mounts.iter().flatten().rev().find_map(|mount| {
        let below = Path::new(job::RESOURCE_CONFIG).strip_prefix(clean(&mount.destination)).ok()?;
        let source = mount.source.as_deref().filter(|_| is_bind(mount));
        Some(source.map(|source| (bundle.join(source), below.to_owned())))
    })?
}

/// The file, one byte more than its limit at most. No link in the mount is followed: the container could have made it.
fn read(source: &Path, below: &Path) -> nix::Result<Vec<u8>> {
    let source = PathFd::plain(source)?;
    let file = match below.to_str() {
        None | Some("") => source,
        Some(below) => source.without_links(below, OFlag::O_PATH)?,
    };
    // Opening a FIFO or a device could have an effect.
    if !file.is(SFlag::S_IFREG)? {
        return Err(Errno::EINVAL);
    }
    file.reopened(OFlag::O_RDONLY | OFlag::O_NONBLOCK)?.read(job::RESOURCE_CONFIG_LIMIT + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Document, Kind};

    /// The name by these mounts, relative to a directory that has the file at each of its usual places.
    fn name(dir: &Path, mounts: &Value) -> Result<Option<String>> {
        let text = json!({ "mounts": mounts }).to_string();
        let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
        current_host(&document.view().unwrap(), dir)
    }

    fn host(name: &str) -> String {
        json!({ "current_host": name, "hosts": [name] }).to_string()
    }

    fn bind(source: &str, destination: &str) -> Value {
        json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind"] })
    }

    #[test]
    fn the_file_is_found_through_each_mount_that_can_give_it_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        for host_name in ["algo-1", "algo-2"] {
            let config = dir.path().join(host_name).join("input/config");
            fs::create_dir_all(&config).unwrap();
            fs::write(config.join("resourceconfig.json"), host(host_name)).unwrap();
        }
        let file =
            bind("algo-1/input/config/resourceconfig.json", "/opt/ml/input/config/resourceconfig.json");
        let config = bind("algo-1/input/config", "/opt/ml/input/config/");
        let input = bind("algo-1/input", "/opt//ml/./input");
        let ml = bind("algo-2", "/opt/ml");
        let elsewhere = bind("algo-2/input", "/opt/ml/input-2");
        let hidden = json!({ "destination": "/opt/ml", "type": "tmpfs", "source": "tmpfs" });
        for (mounts, is) in [
            (json!([]), None),
            (json!([elsewhere]), None),
            (json!([file]), Some("algo-1")),
            (json!([config]), Some("algo-1")),
            (json!([input, elsewhere]), Some("algo-1")),
            (json!([ml]), Some("algo-2")),
            (json!([ml, input]), Some("algo-1")),
            (json!([input, ml]), Some("algo-2")),
            (json!([input, hidden]), None),
            (json!([hidden, input]), Some("algo-1")),
            (json!([bind("missing", "/opt/ml")]), None),
            (json!([bind("algo-1/input/config", "/opt/ml")]), None),
        ] {
            assert_eq!(name(dir.path(), &mounts).unwrap().as_deref(), is, "{mounts}");
        }
    }

    #[test]
    fn a_file_that_the_container_could_have_spoilt_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("input/config");
        fs::create_dir_all(&config).unwrap();
        let file = config.join("resourceconfig.json");
        let secret = dir.path().join("secret");
        fs::write(&secret, host("algo-9")).unwrap();
        let refusal = |mount: &Value| format!("{:#}", name(dir.path(), &json!([mount])).unwrap_err());
        let input = bind("input", "/opt/ml/input");

        for text in ["", "{", &host("s3.amazonaws.com"), &" ".repeat(job::RESOURCE_CONFIG_LIMIT + 1)] {
            fs::write(&file, text).unwrap();
            let why = refusal(&input);
            let file = file.display();
            assert!(
                why.starts_with(&format!(
                    "cannot take the container's name from {file}; correct or remove it: "
                )),
                "{why}"
            );
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refusal(&input).contains("EINVAL"), "{}", refusal(&input));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(refusal(&input).contains("EINVAL"), "{}", refusal(&input));
        fs::remove_dir(&file).unwrap();
        symlink(&secret, &file).unwrap();
        assert!(refusal(&input).contains("ELOOP"), "{}", refusal(&input));
        fs::remove_dir_all(&config).unwrap();
        symlink(dir.path(), &config).unwrap();
        fs::write(dir.path().join("resourceconfig.json"), host("algo-9")).unwrap();
        assert!(refusal(&input).contains("ELOOP"), "{}", refusal(&input));
    }
}
