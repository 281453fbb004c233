//! OCI bundles for programs that take a config.json: runc itself, and `ctr run --config`.

use serde_json::{Value, json};

use crate::CREDENTIALS;
use crate::host::EngineHost;
use crate::image;

/// Creates the image's root file system on the host, with the files that an engine would add.
pub fn rootfs(host: &EngineHost) -> String {
    let root = host.dir().join("rootfs");
    image::rootfs(&root);
    let resolver = format!("nameserver {}\n", crate::world::RESOLVER);
    std::fs::write(root.join("etc/resolv.conf"), resolver).unwrap();
    std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 throwaway\n").unwrap();
    host.at("rootfs")
}

/// runc's own example of a config.json, made to run `args` with credentials in the environment.
pub fn spec(host: &EngineHost, args: &[&str]) -> Value {
    let dir = host.at("example");
    let text = host.sh(&format!("rm -rf {dir}; mkdir {dir}; cd {dir}; runc spec; cat config.json")).must();
    let mut spec: Value = serde_json::from_str(&text).unwrap();
    spec["root"] = json!({ "path": host.at("rootfs") });
    spec["hostname"] = json!("throwaway");
    let process = &mut spec["process"];
    process["terminal"] = json!(false);
    process["args"] = json!(args);
    let path = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
    process["env"] = json!([&path[..], &CREDENTIALS[..]].concat());
    // The capabilities that engines grant by default; runc's example has fewer, and ping needs the last.
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] =
            json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"]);
    }
    spec
}
