//! What has to hold of a pod that the API server sends, whoever wrote it. The fuzz target `pod` and
//! `crates/isolate-node/tests/corpus.rs` call it.

use std::net::IpAddr;
use std::time::Duration;

use isolate_node::cluster::{Cluster, Report, Source};
use isolate_node::members::Change;
use isolate_node::pod::{Candidate, JOB, Pod, Scope, Standing};
use isolate_node::ranges::Ranges;
use serde_json::Value;

/// A pod in JSON: it is refused, or a member only if the JSON has all that makes one, and then it is in the document of a node
/// that has it, once and with those addresses.
pub(crate) fn pod(data: &[u8]) {
    let Ok(pod) = serde_json::from_slice::<Pod>(data) else { return };
    let classes = ["oci-isolate".to_owned()];
    let Some(found) = Candidate::of(&pod, &classes) else { return };
    // A name that is given twice is an error above, except where serde takes the last one, as this does.
    let Ok(raw) = serde_json::from_slice::<Value>(data) else { return };
    let is_member = found.standing == Standing::Member;
    if is_member {
        let (meta, spec, status) = (&raw["metadata"], &raw["spec"], &raw["status"]);
        let isolation = meta["annotations"]["io.oci-isolate.network-isolation"].as_str();
        assert!(isolation.is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true")));
        assert_eq!(meta["annotations"][JOB], meta["labels"][JOB]);
        assert_eq!(meta["labels"][JOB].as_str(), Some(&*found.scope.job));
        assert!(
            meta["deletionTimestamp"].is_null()
                && meta["annotations"]["kubernetes.io/config.mirror"].is_null()
        );
        assert_eq!(spec["runtimeClassName"].as_str(), Some("oci-isolate"));
        assert!(spec["hostNetwork"] != true && spec["nodeName"].is_string());
        let all = status["podIPs"].as_array().into_iter().flatten().map(|of| of["ip"].as_str()?.parse().ok());
        let all: Option<std::collections::BTreeSet<IpAddr>> = all.collect();
        assert!(all.is_some_and(|all| !all.is_empty() && all == found.addresses));
    }
    let mut cluster = Cluster::new("node1".into(), "cluster.local".into(), &[], Ranges::default());
    let now = Duration::from_secs(10);
    let scope = Scope { namespace: found.scope.namespace.clone(), job: found.scope.job.clone() };
    for source in [Source::Node(None), Source::Job(scope)] {
        for change in [Change::Begin, Change::Listed(found.uid.clone(), found.clone()), Change::Complete] {
            cluster.take(&source, Report::Pods(change), now);
        }
    }
    cluster.prune();
    let document = cluster.document(now).map(|document| serde_json::json!(document));
    let jobs = document.as_ref().and_then(|document| document["jobs"].as_object());
    let members = jobs.into_iter().flat_map(|jobs| jobs.values()).flat_map(|job| job["members"].as_array());
    let members: Vec<&Value> = members.flatten().collect();
    assert_eq!(members.len(), usize::from(is_member), "{document:?}");
    for member in members {
        assert_eq!(member["uid"].as_str(), Some(&*found.uid));
        assert!(member["names"].as_array().is_some_and(|names| names.len() <= 64));
    }
}
