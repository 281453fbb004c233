//! The image of a container, as far as its engine tells it in the annotations, or has written it down. Nothing is decided by it.

use serde::{Deserialize, Serialize};

use super::pod_engine::{PodEngine, PodRole};
use super::{Annotation, only};

/// An image by the engine's name of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The name.
    pub name: String,
    /// The SHA-256 of its manifest or index in hexadecimal, if the engine gives it.
    pub sha256: Option<String>,
    /// The SHA-256 of its configuration, if that is what the engine gives.
    pub id: Option<String>,
}

impl Image {
    /// The image of the container with these annotations and the engine that has written them; `None` without one, or
    /// if the pod has replaced what the engine writes.
    #[must_use]
    pub fn of(annotations: &[Annotation]) -> Option<(Self, PodEngine)> {
        let engine = PodEngine::of(annotations).ok()??;
        // CRI-O writes a pod's annotations over those of a sandbox.
        if engine.kind(annotations).ok()?? == PodRole::Sandbox {
            return None;
        }
        let name = engine.image(annotations).ok()?.to_owned();
        let by_digest = match engine {
            PodEngine::Containerd => None,
            // The name with the digest that was pulled, or the image's id.
            PodEngine::Crio => only(annotations, "io.kubernetes.cri-o.ImageRef").ok()?,
        };
        let sha256 = [by_digest, Some(&name)].into_iter().flatten().find_map(digest).map(str::to_owned);
        Some((Self { name, sha256, id: None }, engine))
    }

    /// An image by the digest of its configuration; `None` if it is no digest.
    #[must_use]
    pub fn by_id(name: String, id: &str) -> Option<Self> {
        is_digest(id).then(|| Self { name, sha256: None, id: Some(id.to_owned()) })
    }
}

/// The digest of a name that ends in one.
fn digest(name: &str) -> Option<&str> {
    name.rsplit_once("@sha256:").map(|(_, digest)| digest).filter(|digest| is_digest(digest))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pairs: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let notes: Vec<_> = pairs
            .iter()
            .map(|(name, value)| Annotation { name: (*name).into(), value: Some((*value).into()) })
            .collect();
        Image::of(&notes).map(|(image, _)| (image.name, image.sha256))
    }

    #[test]
    fn it_is_what_the_engine_writes() {
        let digest = "0f".repeat(32);
        let pinned = format!("r.example.com/a@sha256:{digest}");
        let of =
            |kind, name| [("io.kubernetes.cri.container-type", kind), ("io.kubernetes.cri.image-name", name)];
        assert_eq!(image(&of("container", "r/a:1")), Some(("r/a:1".into(), None)));
        assert_eq!(image(&of("container", &pinned)), Some((pinned.clone(), Some(digest.clone()))));
        assert_eq!(image(&of("container", "a@sha256:0F")), Some(("a@sha256:0F".into(), None)));
        assert_eq!(image(&of("sandbox", &pinned)), None);
        let crio = [
            ("io.container.manager", "cri-o"),
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.cri-o.ImageName", "r/a:1"),
            ("io.kubernetes.cri-o.ImageRef", &*pinned),
        ];
        assert_eq!(image(&crio), Some(("r/a:1".into(), Some(digest))));
        assert_eq!(image(&[crio[2]]), None);
        assert_eq!(image(&[]), None);
    }
}
