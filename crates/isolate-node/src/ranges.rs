//! Which addresses a pod may have: those of the cluster's ranges of pods, and those of its node. Pure.
//!
//! The API server takes the addresses of a pod from the kubelet of its node, which may report any. Without ranges only
//! the settings of the nodes limit them (`[peers] within`).

use std::collections::BTreeMap;

use ipnet::IpNet;
use kube::core::{NotUsed, Object};
use serde::Deserialize;

use crate::pod::Candidate;

/// A Node as the API has it.
pub type Node = Object<NodeSpec, NotUsed>;

/// `spec` of a Node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

/// What limits the addresses of pods.
#[derive(Debug, Default)]
pub struct Ranges {
    /// Of all pods; empty: any.
    pub pods: Vec<IpNet>,
    /// Of the pods of each node that is known, if they are limited to that.
    pub nodes: Option<BTreeMap<String, Vec<IpNet>>>,
}

/// What ranges have to say of a pod's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of them are in range.
    Within,
    /// The ranges of its node are not known yet.
    Unknown,
    /// One of them is not, for this reason.
    Outside(&'static str),
}

impl Ranges {
    /// Whether all addresses of a pod are in range. One that is not refuses the pod.
    #[must_use]
    pub fn judge(&self, pod: &Candidate) -> Verdict {
        let all_in = |ranges: &[IpNet]| {
            pod.addresses.iter().all(|address| ranges.iter().any(|range| range.contains(address)))
        };
        if !self.pods.is_empty() && !all_in(&self.pods) {
            return Verdict::Outside("pod-cidrs");
        }
        match self.nodes.as_ref().map(|nodes| nodes.get(&pod.node)) {
            Some(None) => Verdict::Unknown,
            Some(Some(ranges)) if !all_in(ranges) => Verdict::Outside("node-ranges"),
            _ => Verdict::Within,
        }
    }
}

/// The ranges of a node's pods. None if one of them cannot be understood: then no address is in range.
#[must_use]
pub fn of_node(node: &Node) -> Vec<IpNet> {
    let ranges: Result<Vec<IpNet>, _> = node.spec.pod_cidrs.iter().map(|range| range.parse()).collect();
    ranges.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::tests::{candidate, member};

    #[test]
    fn every_address_of_a_pod_has_to_be_in_the_ranges_of_pods_and_of_its_node() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let pods = of(&["10.88.0.0/16", "fd00::/8"]);
        let nodes = |known: &[(&str, &[&str])]| {
            Some(known.iter().map(|(node, ranges)| ((*node).to_owned(), of(ranges))).collect())
        };
        // 10.88.2.5 and fd00::5 on node2.
        let both: &[&str] = &["10.88.2.0/24", "fd00::/64"];
        for (pods, nodes, verdict) in [
            (vec![], None, Verdict::Within),
            (pods.clone(), None, Verdict::Within),
            (of(&["10.88.0.0/16"]), None, Verdict::Outside("pod-cidrs")),
            (of(&["10.89.0.0/16", "fd00::/8"]), None, Verdict::Outside("pod-cidrs")),
            (pods.clone(), nodes(&[]), Verdict::Unknown),
            (vec![], nodes(&[("node2", both)]), Verdict::Within),
            (pods.clone(), nodes(&[("node1", both)]), Verdict::Unknown),
            (pods.clone(), nodes(&[("node2", &["10.88.2.0/24"])]), Verdict::Outside("node-ranges")),
            (pods, nodes(&[("node2", &["10.88.1.0/24", "fd00::/64"])]), Verdict::Outside("node-ranges")),
            (vec![], nodes(&[("node2", &[])]), Verdict::Outside("node-ranges")),
        ] {
            let ranges = Ranges { pods, nodes };
            assert_eq!(ranges.judge(&candidate(&member()).unwrap()), verdict, "{ranges:?}");
        }
    }

    #[test]
    fn a_node_without_ranges_or_with_one_that_is_none_has_no_address() {
        for (spec, number) in [
            (json!({"podCIDR": "10.88.2.0/24", "podCIDRs": ["10.88.2.0/24", "fd00::/64"]}), 2),
            (json!({}), 0),
            (json!({"podCIDRs": ["10.88.2.0/24", "everything"]}), 0),
        ] {
            let node =
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node2"}, "spec": spec});
            assert_eq!(of_node(&serde_json::from_value(node).unwrap()).len(), number, "{spec}");
        }
    }
}
