//! What the engine of a Kubernetes pod writes about a container into its annotations, as far as the pod's author cannot
//! replace it.
//!
//! containerd's CRI plugin writes its annotations after those that `pod_annotations` and `container_annotations`
//! pass (`buildLinuxSpec` in container_create.go). CRI-O passes all annotations of a pod: of a container, it writes
//! its own after them (`SpecAddAnnotations` in internal/factory/container/container.go); of a sandbox before them,
//! but for a few (`runPodSandbox` in server/sandbox_run_linux.go).

use serde::Deserialize;

use super::{Annotation, only, shown};

/// An engine that makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodEngine {
    /// containerd, with its CRI plugin.
    Containerd,
    /// CRI-O.
    Crio,
}

/// What a container is in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PodRole {
    Sandbox,
    Container,
}

/// Of CRI-O: written into every sandbox after the pod's annotations, and into no container. A sandbox of which the pod
/// claims that it is a container is known by it.
const OF_A_SANDBOX: &str = "io.kubernetes.cri-o.HostnamePath";

/// CRI-O's name of a container (`ContainerMetadata` of the CRI). A name that is given twice is an error.
#[derive(Deserialize)]
struct Metadata {
    name: String,
}

impl PodEngine {
    /// The engine that has made the container, if it is of a pod. Each writes annotations of its own into all of its
    /// containers.
    ///
    /// # Errors
    /// There are annotations of both.
    pub(super) fn of(annotations: &[Annotation]) -> Result<Option<Self>, String> {
        let begins = |with: &str| annotations.iter().find(|annotation| annotation.name.starts_with(with));
        let of_crio = begins("io.kubernetes.cri-o.").or_else(|| begins(MANAGER));
        match (begins("io.kubernetes.cri."), of_crio) {
            (Some(one), Some(other)) => Err(format!(
                "{} is an annotation of containerd, {} of CRI-O or Podman: a pod sets one of them itself; drop it",
                shown(&one.name),
                shown(&other.name)
            )),
            (Some(_), None) => Ok(Some(Self::Containerd)),
            (None, Some(_)) => Ok((only(annotations, MANAGER)? == Some("cri-o")).then_some(Self::Crio)),
            (None, None) => Ok(None),
        }
    }

    /// What the container is; `None`: nothing of a pod.
    ///
    /// # Errors
    /// The pod's author has set it.
    pub(super) fn kind(self, annotations: &[Annotation]) -> Result<Option<PodRole>, String> {
        let key = match self {
            Self::Containerd => "io.kubernetes.cri.container-type",
            Self::Crio => "io.kubernetes.cri-o.ContainerType",
        };
        let kind = match only(annotations, key)? {
            Some("sandbox") => PodRole::Sandbox,
            Some("container") => PodRole::Container,
            _ => return Ok(None),
        };
        let is_sandbox = only(annotations, OF_A_SANDBOX)?.is_some();
        match (self, kind) {
            (Self::Crio, PodRole::Container) if is_sandbox => Err(format!(
                "{key} is \"container\" and there is {OF_A_SANDBOX}, which only a sandbox has; drop what the pod sets itself"
            )),
            (Self::Crio, PodRole::Sandbox) if !is_sandbox => Err(format!(
                "{key} is \"sandbox\" without {OF_A_SANDBOX}, which every sandbox has; drop what the pod sets itself"
            )),
            _ => Ok(Some(kind)),
        }
    }

    /// The name of a container.
    ///
    /// # Errors
    /// The engine has written none.
    pub(super) fn name(self, annotations: &[Annotation]) -> Result<String, String> {
        let key = match self {
            Self::Containerd => {
                return Ok(written(annotations, "io.kubernetes.cri.container-name")?.to_owned());
            }
            Self::Crio => "io.kubernetes.cri-o.Metadata",
        };
        let metadata: Option<Metadata> = serde_json::from_str(written(annotations, key)?).ok();
        let name = metadata.map(|metadata| metadata.name).filter(|name| !name.is_empty());
        name.ok_or_else(|| format!("{key} names no container"))
    }

    /// The id of the sandbox of a container.
    ///
    /// # Errors
    /// The engine has written none.
    pub(super) fn sandbox<'a>(self, annotations: &'a [Annotation]) -> Result<&'a str, String> {
        written(
            annotations,
            match self {
                Self::Containerd => "io.kubernetes.cri.sandbox-id",
                Self::Crio => "io.kubernetes.cri-o.SandboxID",
            },
        )
    }

    /// The image of a container.
    ///
    /// # Errors
    /// The engine has written none.
    pub(super) fn image<'a>(self, annotations: &'a [Annotation]) -> Result<&'a str, String> {
        written(
            annotations,
            match self {
                Self::Containerd => "io.kubernetes.cri.image-name",
                // One of the names that the image has on the node; `Image` is what was asked for, which kubelet makes an id.
                Self::Crio => "io.kubernetes.cri-o.ImageName",
            },
        )
    }
}

/// CRI-O and Podman write it; the value is the engine.
const MANAGER: &str = "io.container.manager";

fn written<'a>(annotations: &'a [Annotation], key: &str) -> Result<&'a str, String> {
    let value = only(annotations, key)?.filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("the engine has not written {key}"))
}
