//! The pod of a container, by the annotations that CRI engines write into `config.json`. Pure.

use anyhow::{Result, bail};

use crate::config::View;
use crate::record::Pod;

/// In which annotations containerd and CRI-O have a pod's name. As for its namespace, all that are there must agree.
const NAME: [&str; 2] = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];

/// The same for its uid.
const UID: [&str; 2] = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];

/// The pod; `None`: the container is in none.
///
/// # Errors
/// The annotations contradict each other.
pub(super) fn of(view: &View) -> Result<Option<Pod>> {
    let Some(name) = only(view, NAME)? else { return Ok(None) };
    Ok(Some(Pod { name, uid: only(view, UID)? }))
}

fn only(view: &View, keys: [&str; 2]) -> Result<Option<String>> {
    let annotations = view.annotations.iter().flatten();
    let found: Vec<_> = annotations.filter(|(key, _)| keys.contains(&&***key)).collect();
    if let [(one, first), (other, second)] = found[..]
        && first != second
    {
        bail!(
            "annotation {} is {:?}, {} {:?}; a pod has one name and one uid, drop what it sets itself",
            &**one,
            &**first,
            &**other,
            &**second
        );
    }
    Ok(found.first().map(|(_, value)| (***value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(annotations: &str) -> Result<Option<Pod>> {
        let text = format!("{{\"annotations\": {annotations}}}");
        of(&serde_json::from_str(&text)?)
    }

    #[test]
    fn a_pod_is_what_the_engine_names() {
        let of = |name: &str, uid: Option<&str>| Some(Pod { name: name.into(), uid: uid.map(Into::into) });
        assert_eq!(pod("{}").unwrap(), None);
        assert_eq!(pod(r#"{"io.kubernetes.cri.sandbox-name": "a"}"#).unwrap(), of("a", None));
        let containerd = r#"{"io.kubernetes.cri.sandbox-name": "a", "io.kubernetes.cri.sandbox-uid": "u"}"#;
        assert_eq!(pod(containerd).unwrap(), of("a", Some("u")));
        let crio = r#"{"io.kubernetes.pod.name": "a", "io.kubernetes.pod.uid": "u"}"#;
        assert_eq!(pod(crio).unwrap(), of("a", Some("u")));
        let two = r#"{"io.kubernetes.pod.name": "a", "io.kubernetes.cri.sandbox-name": "b"}"#;
        let why = pod(two).unwrap_err().to_string();
        assert!(why.contains("a pod has one name and one uid"), "{why}");
    }
}
