//! What a container is asked for, as a runtime's configuration: containerd's clients write it themselves, from containerd's default.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::stat::{major, minor};
use oci_isolate::policy::SWITCH;
use serde_json::{Value, json};

use super::engine::Request;
use super::way::Ask;

/// What of a configuration is the same for all.
#[derive(Debug)]
pub(super) struct Frame<'f> {
    /// containerd's default.
    pub(super) default: &'f Value,
    pub(super) root: &'f Path,
    /// What starts this program there.
    pub(super) program: &'f [String],
    /// The container that answers, by its process here.
    pub(super) peer: Option<&'f str>,
}

/// The configuration of a container with a name.
///
/// # Errors
/// A device is not there, or the default is not what it is taken for.
pub(super) fn spec(frame: &Frame<'_>, name: &str, request: &Request<'_>) -> Result<Value> {
    let mut spec = frame.default.clone();
    let mut words: Vec<&str> = frame.program.iter().map(String::as_str).collect();
    words.push(super::PROBE);
    words.extend(request.words);
    // Others use it, too; what a container writes is in its /tmp.
    spec["root"] = json!({ "path": frame.root, "readonly": true });
    list(&mut spec, "/mounts")?.push(json!({
        "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"],
    }));
    spec["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    if request.isolated {
        spec["annotations"][SWITCH] = json!("true");
    }
    for ask in request.asks {
        match ask {
            // Else an option of the client. As containerd does it for pods.
            Ask::Network => spec["linux"]["sysctl"]["net.ipv4.ping_group_range"] = json!("0 2147483647"),
            // By default there is no profile. A network could not be connected; and of a container that ctr does not wait for, it
            // never takes the network down again.
            Ask::NoProfile | Ask::Connectable => (),
            Ask::HostNetwork => namespace(&mut spec, "network", None)?,
            Ask::NetworkOfPeer => join(&mut spec, "network", "net", frame)?,
            Ask::HostPid => namespace(&mut spec, "pid", None)?,
            Ask::PidOfPeer => join(&mut spec, "pid", "pid", frame)?,
            Ask::HostIpc => {
                namespace(&mut spec, "ipc", None)?;
                list(&mut spec, "/mounts")?.retain(|mount| mount["destination"] != "/dev/shm");
                bind(&mut spec, Path::new("/dev/shm"), "/dev/shm")?;
            }
            Ask::Capability(name) => {
                for set in ["bounding", "effective", "permitted"] {
                    let all = list(&mut spec, &format!("/process/capabilities/{set}"))?;
                    let name = json!(format!("CAP_{name}"));
                    if !all.contains(&name) {
                        all.push(name);
                    }
                }
            }
            Ask::Device(path) => device(&mut spec, path)?,
            Ask::AllDisks => allow(&mut spec, json!({ "allow": true, "type": "b", "access": "rwm" }))?,
            Ask::Mount(source, at) => bind(&mut spec, source, at)?,
            Ask::Unmasked => {
                spec["linux"]["maskedPaths"] = json!([]);
                spec["linux"]["readonlyPaths"] = json!([]);
                for mount in list(&mut spec, "/mounts")? {
                    if mount["destination"] == "/sys" {
                        mount["options"]
                            .as_array_mut()
                            .context("no options")?
                            .retain(|option| option != "ro");
                    }
                }
            }
            // An added process has the environment of the first.
            Ask::Variable(name, value) | Ask::VariableOfExec(name, value) => {
                list(&mut spec, "/process/env")?.push(json!(format!("{name}={value}")));
            }
            Ask::Argument(text) => words.push(text),
        }
    }
    spec["process"]["args"] = json!(words);
    Ok(spec)
}

/// A list, which is left out if it is empty.
fn list<'s>(spec: &'s mut Value, pointer: &str) -> Result<&'s mut Vec<Value>> {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    let parent = spec.pointer_mut(parent).and_then(Value::as_object_mut);
    let found = parent.map(|parent| parent.entry(name).or_insert_with(|| json!([])));
    let found = found.and_then(Value::as_array_mut);
    found.with_context(|| format!("containerd's default configuration has no list {pointer}"))
}

/// Another namespace of a kind, or the host's.
fn namespace(spec: &mut Value, kind: &str, path: Option<String>) -> Result<()> {
    let all = list(spec, "/linux/namespaces")?;
    all.retain(|namespace| namespace["type"] != kind);
    if let Some(path) = path {
        all.push(json!({ "type": kind, "path": path }));
    }
    Ok(())
}

fn join(spec: &mut Value, kind: &str, file: &str, frame: &Frame<'_>) -> Result<()> {
    let pid = frame.peer.context("the container that answers does not run")?;
    namespace(spec, kind, Some(format!("/proc/{pid}/ns/{file}")))
}

fn bind(spec: &mut Value, source: &Path, at: &str) -> Result<()> {
    list(spec, "/mounts")?.push(json!({
        "destination": at, "type": "bind", "source": source, "options": ["rbind", "ro", "rprivate"],
    }));
    Ok(())
}

fn device(spec: &mut Value, path: &str) -> Result<()> {
    let found = fs::metadata(path).with_context(|| format!("cannot look at {path}"))?;
    ensure!(found.file_type().is_char_device(), "{path} is no character device");
    let number = json!({ "type": "c", "major": major(found.rdev()), "minor": minor(found.rdev()) });
    let mut node = number.clone();
    node["path"] = json!(path);
    list(spec, "/linux/devices")?.push(node);
    let mut rule = number;
    (rule["allow"], rule["access"]) = (json!(true), json!("rwm"));
    allow(spec, rule)
}

fn allow(spec: &mut Value, rule: Value) -> Result<()> {
    list(spec, "/linux/resources/devices")?.push(rule);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn made(asks: &[Ask], isolated: bool) -> Result<Value> {
        let default = json!({
            "process": {"capabilities": {"bounding": [], "effective": [], "permitted": ["CAP_NET_RAW"]}},
            "mounts": [{"destination": "/dev/shm"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}], "resources": {"devices": []}},
        });
        let program = ["/isolatectl".to_owned()];
        let frame = Frame { default: &default, root: Path::new("/r"), program: &program, peer: Some("7") };
        let request = Request { name: "x", isolated, asks, words: &["try", "{}"] };
        spec(&frame, "all-x", &request)
    }

    #[test]
    fn the_only_difference_by_isolation_is_the_annotation() {
        let asks = [Ask::Variable("A", "b".into()), Ask::Argument("c".into())];
        let (open, mut isolated) = (made(&asks, false).unwrap(), made(&asks, true).unwrap());
        assert_eq!(open["annotations"], Value::Null);
        assert_eq!(isolated.as_object_mut().unwrap().remove("annotations"), Some(json!({ SWITCH: "true" })));
        assert_eq!(open, isolated);
        assert_eq!(open["process"]["args"], json!(["/isolatectl", "prove-probe", "try", "{}", "c"]));
        assert_eq!(open["process"]["env"], json!(["A=b"]));
    }

    #[test]
    fn namespaces_are_the_hosts_or_the_peers() {
        let names = |asks: &[Ask]| made(asks, false).unwrap()["linux"]["namespaces"].clone();
        assert_eq!(names(&[Ask::HostPid, Ask::HostNetwork, Ask::HostIpc]), json!([]));
        let joined = names(&[Ask::PidOfPeer, Ask::NetworkOfPeer]);
        assert_eq!(joined[1], json!({"type": "pid", "path": "/proc/7/ns/pid"}));
        assert_eq!(joined[2], json!({"type": "network", "path": "/proc/7/ns/net"}));
    }

    #[test]
    fn capabilities_are_added_once_and_what_is_not_there_is_an_error() {
        let spec = made(&[Ask::Capability("NET_RAW")], false).unwrap();
        for set in ["bounding", "effective", "permitted"] {
            assert_eq!(spec["process"]["capabilities"][set], json!(["CAP_NET_RAW"]));
        }
        assert!(made(&[Ask::Device("/nonexistent")], false).is_err());
        assert!(made(&[Ask::Unmasked], false).unwrap()["linux"]["maskedPaths"] == json!([]));
    }
}
