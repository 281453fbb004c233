//! The network of pods: whether it hides a pod's address from pods of other nodes. Peers are known by their address, so
//! a job over several nodes would not connect.

use std::path::Path;

use serde_json::Value;

use super::Finding;
use crate::install::imports::listed;
use oci_isolate::files;

/// containerd's and CRI-O's directory of networks, below the root of the configuration.
const DIRECTORY: &str = "etc/cni/net.d";

/// The network that pods get: engines take the first file by name.
pub(super) fn check(root: &Path) -> Option<Finding> {
    let directory = root.join(DIRECTORY);
    let files = [".conf", ".conflist", ".json"].map(|suffix| listed(&directory, suffix));
    let file = files.into_iter().flatten().min()?;
    let shown = file.display();
    let read = files::read(&file, files::SMALL_LIMIT).map_err(|error| format!("{error:#}"));
    let network = read.and_then(|text| {
        serde_json::from_slice(&text.bytes).map_err(|error| format!("cannot understand {shown}: {error}"))
    });
    Some(match network {
        Err(why) => {
            Finding::warn(CHECK, why, "correct it: whether pods of other nodes can be peers cannot be told")
        }
        Ok(network) if masquerades(&network) => Finding::warn(
            CHECK,
            format!("{shown} masquerades (ipMasq), also what pods send to those of other nodes"),
            "peers and jobs over several nodes would not connect: masquerade outside of the cluster's ranges only",
        ),
        Ok(_) => Finding::ok(CHECK, format!("{shown} does not masquerade")),
    })
}

/// Whether the network, or a plugin of it, has `ipMasq` (the plugins bridge, ptp and ipvlan).
fn masquerades(network: &Value) -> bool {
    let plugins = network["plugins"].as_array().into_iter().flatten();
    plugins.chain([network]).any(|plugin| plugin["ipMasq"] == true)
}

const CHECK: &str = "cni";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_network_by_name_is_the_one_of_pods() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join(DIRECTORY);
        assert!(check(root.path()).is_none());
        std::fs::create_dir_all(&directory).unwrap();
        let says = |name: &str, text: &str| {
            std::fs::write(directory.join(name), text).unwrap();
            let finding = check(root.path()).unwrap();
            (format!("{:?}", finding.state), finding.says)
        };
        let (state, said) = says("20-pods.conflist", r#"{"plugins":[{"type":"bridge","ipMasq":true}]}"#);
        assert!(state == "Warn" && said.contains("20-pods.conflist masquerades (ipMasq)"), "{said}");
        assert_eq!(says("10-pods.conf", r#"{"type":"bridge","ipMasq":false}"#).0, "Ok");
        assert_eq!(says("05-pods.conf", r#"{"type":"bridge","ipMasq":true}"#).0, "Warn");
        let (state, said) = says("01-pods.json", "{");
        assert!(state == "Warn" && said.contains("01-pods.json"), "{said}");
        // No network.
        assert!(says("00-README", "text").1.contains("01-pods.json"));
    }
}
