//! CRI-O, of which no distribution that `hack/engines` could take it from has a package: `OCI_ISOLATE_CRIO` names a directory
//! with a `crio` and a `pinns` built by hand (docs/kubernetes.md).

use std::path::PathBuf;

use crate::node::{IMAGE, stay};
use test_support::host::EngineHost;
use test_support::shim;

/// Starts a daemon with these handlers beside runc, which is the default.
pub(crate) fn serve(host: &EngineHost, plugins: &str, handlers: &str) {
    let built = std::env::var_os("OCI_ISOLATE_CRIO")
        .expect("OCI_ISOLATE_CRIO names no directory with a crio and a pinns");
    let built = std::path::absolute(PathBuf::from(built)).unwrap();
    let file = host.write("crio.conf", &(config(host, plugins, &built.join("pinns")) + handlers));
    let storage = "--root $D/storage --runroot $D/runroot --storage-driver vfs";
    let script = format!(
        "D={}; mkdir -p /etc/crio/crio.conf.d; cp {file} /etc/crio/crio.conf; podman {storage} load -i $D/probe.tar",
        host.dir().display()
    );
    host.sh(&script).must();
    stay(host, built.join("crio").to_str().unwrap());
}

/// The shim as a handler.
pub(crate) fn handler(name: &str) -> String {
    format!(
        "[crio.runtime.runtimes.{name}]\nruntime_path = \"{}\"\nruntime_root = \"/run/crio/oci-isolate\"\nmonitor_path = \"/usr/bin/conmon\"\n",
        shim().display()
    )
}

/// From its next start on each pod has a sandbox of its own.
pub(crate) fn keep_sandboxes(host: &EngineHost) {
    let file = "/etc/crio/crio.conf.d/sandboxes.conf";
    host.sh(&format!("printf '[crio.runtime]\\ndrop_infra_ctr = false\\n' >{file}")).must();
}

fn config(host: &EngineHost, plugins: &str, pinns: &std::path::Path) -> String {
    let dir = host.dir().display();
    format!(
        r#"[crio]
root = "{dir}/storage"
runroot = "{dir}/runroot"
storage_driver = "vfs"
log_dir = "{dir}/crio-logs"
version_file = "{dir}/version"
version_file_persist = "{dir}/version-persist"
clean_shutdown_file = "{dir}/clean-shutdown"
[crio.api]
listen = "{dir}/containerd.sock"
stream_address = "127.0.0.1"
stream_port = "0"
[crio.image]
pause_image = "{IMAGE}"
pause_command = ""
[crio.network]
network_dir = "/etc/cni/net.d"
plugin_dirs = ["{plugins}"]
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = "{pinns}"
namespaces_dir = "{dir}/namespaces"
container_exits_dir = "{dir}/exits"
container_attach_socket_dir = "{dir}/attach"
# As containerd's, for the probe.
default_capabilities = ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL", "NET_RAW"]
[crio.runtime.runtimes.runc]
runtime_path = "/usr/sbin/runc"
monitor_path = "/usr/bin/conmon"
"#,
        pinns = pinns.display(),
    )
}
