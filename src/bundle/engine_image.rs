//! The image of a container of Docker or Podman, from what they have written down: neither tells a runtime of it. Their files
//! are no interface of theirs, so whatever is not as expected is no image. Reads only.

use std::path::Path;

use serde::Deserialize;

use crate::files;
use crate::policy::Image;
use crate::record::Slot;

/// The most of their files that is read, in bytes: Podman has one for all of its containers.
const LIMIT: u64 = 32 << 20;

/// Docker's `config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerContainer {
    #[serde(rename = "ID")]
    id: String,
    image: String,
    config: DockerConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    image: String,
}

/// An item of `containers.json` of containers/storage.
#[derive(Deserialize)]
struct StoredContainer {
    id: String,
    image: String,
    metadata: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoredMetadata {
    image_name: String,
}

/// What of a `config.json` leads to Docker's directory of the container.
#[derive(Deserialize)]
struct Mounts {
    mounts: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    source: Option<String>,
}

/// The image, by its name and the digest of its configuration, while the engine still has the container.
#[must_use]
pub fn engine_image(slot: &Slot, bundle: &Path, config: &Path) -> Option<Image> {
    let id = slot.id().to_str()?;
    // Docker's namespace in containerd, the last part of its runtimes' root.
    if slot.root().ends_with("moby") { of_docker(id, config) } else { of_podman(id, bundle) }
}

/// Docker keeps `/etc/hosts` and others beside it, and mounts them.
fn of_docker(id: &str, config: &Path) -> Option<Image> {
    let Mounts { mounts } = read(config, files::DOCUMENT_LIMIT)?;
    let directories = mounts.iter().filter_map(|mount| Path::new(mount.source.as_deref()?).parent());
    let directory = directories.into_iter().find(|dir| dir.ends_with(Path::new("containers").join(id)))?;
    let found: DockerContainer = read(&directory.join("config.v2.json"), LIMIT)?;
    Image::by_id(found.config.image, found.image.strip_prefix("sha256:")?).filter(|_| found.id == id)
}

/// The bundle is `STORAGE/overlay-containers/ID/userdata`.
fn of_podman(id: &str, bundle: &Path) -> Option<Image> {
    if !bundle.ends_with(Path::new(id).join("userdata")) {
        return None;
    }
    let all: Vec<StoredContainer> = read(&bundle.ancestors().nth(2)?.join("containers.json"), LIMIT)?;
    let found = all.into_iter().find(|container| container.id == id)?;
    let StoredMetadata { image_name } = serde_json::from_str(&found.metadata).ok()?;
    Image::by_id(image_name, &found.image)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Option<T> {
    serde_json::from_slice(&files::read(path, limit).ok()?.bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_what_the_engine_has_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let (id, digest) = ("4f".repeat(32), "0f".repeat(32));
        let at = |name: String| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        let write = |name: String, text: serde_json::Value| fs::write(at(name), text.to_string()).unwrap();
        let image = Some(Image { name: "train:1".into(), sha256: None, id: Some(digest.clone()) });

        let kept = dir.path().join("docker/containers").join(&id);
        let mounts = json!([{"destination": "/proc", "type": "proc"}, {"source": kept.join("hosts"), "destination": "/etc/hosts"}]);
        write("bundle/config.json".into(), json!({"mounts": mounts}));
        let docker = Slot::of("/run/docker/runtime-runc/moby".as_ref(), &id).unwrap();
        let config = dir.path().join("bundle/config.json");
        let of_docker = || engine_image(&docker, &dir.path().join("bundle"), &config);
        assert_eq!(of_docker(), None);
        let of = |id: &str| json!({"ID": id, "Image": format!("sha256:{digest}"), "Config": {"Image": "train:1"}, "Name": "/a"});
        write(format!("docker/containers/{id}/config.v2.json"), of(&id));
        assert_eq!(of_docker(), image);
        write(format!("docker/containers/{id}/config.v2.json"), of("another"));
        assert_eq!(of_docker(), None);

        let bundle = dir.path().join("storage/overlay-containers").join(&id).join("userdata");
        let metadata = json!({"image-name": "train:1", "image-id": digest, "name": "a"}).to_string();
        let all = json!([{"id": "other", "image": "", "metadata": ""}, {"id": id, "image": digest, "metadata": metadata}]);
        write("storage/overlay-containers/containers.json".into(), all);
        let podman = Slot::of("/run/runc".as_ref(), &id).unwrap();
        assert_eq!(engine_image(&podman, &bundle, &config), image);
        assert_eq!(engine_image(&podman, &dir.path().join("bundle"), &config), None);
        assert_eq!(engine_image(&Slot::of("/run/runc".as_ref(), "other").unwrap(), &bundle, &config), None);
    }
}
