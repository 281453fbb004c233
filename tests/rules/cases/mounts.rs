//! Mounts. What is behind their sources is told by [`world`].

use oci_isolate::rules::mounts::{FileSystem, Node};
use oci_isolate::rules::{Source, World};
use serde_json::{Value, json};

use super::{Cases, directory, source, sources};

/// The sources of these cases.
fn world() -> World {
    let on = |name: &str, source: Source| Source { file_system: FileSystem::of_name(name), ..source };
    let with_socket = Source { socket: Some("/srv/app/run.sock".into()), ..directory("/srv/app") };
    let with_nsfs =
        Source { below: vec![("/srv/ns/net".into(), FileSystem::of_name("nsfs"))], ..directory("/srv/ns") };
    let with_disk = Source {
        below: vec![("/srv/disks/a".into(), FileSystem::of_name("ext4"))],
        ..directory("/srv/disks")
    };
    World {
        sources: sources([
            ("/srv/data", directory("/srv/data")),
            ("/srv/huge", Source { searched: false, ..directory("/srv/huge") }),
            ("/srv/disks", with_disk),
            ("/srv/file", source("/srv/file", Node::File)),
            ("/nfs", on("nfs4", directory("/nfs"))),
            ("/nfs/file", on("nfs4", source("/nfs/file", Node::File))),
            ("/srv/app", with_socket),
            ("/srv/ns", with_nsfs),
            ("/var/run/docker.sock", source("/run/docker.sock", Node::Socket)),
            ("/srv/fifo", source("/srv/fifo", Node::Fifo)),
            ("/srv/odd", source("", Node::Unclear("permission denied".into()))),
            ("/host", Source { system: Some("/"), ..directory("/host") }),
            ("/dev/null", source("/dev/null", Node::Character(1, 3))),
            ("/dev/vsock", source("/dev/vsock", Node::Character(10, 258))),
            ("/dev/sda", source("/dev/sda", Node::Block(8, 0))),
            ("/dev/mapper", directory("/dev/mapper")),
            ("/proc/1/ns", on("proc", directory("/proc/1/ns"))),
            ("/img/rootfs/a", Source { in_rootfs: true, ..directory("/img/rootfs/a") }),
            ("/var/lib/docker/overlay2", directory("/var/lib/docker/overlay2")),
        ]),
        empty: Some("/empty".into()),
        ..World::default()
    }
}

fn mounts(mounts: Value) -> Value {
    json!({"mounts": mounts})
}

fn bind(source: &str) -> Value {
    json!({"destination": "/x", "type": "bind", "source": source})
}

/// A document with one bind mount, at `/x`.
fn with(source: &str) -> Value {
    mounts(json!([bind(source)]))
}

pub(super) fn cases() -> Vec<Cases> {
    let cases = [sockets(), system(), network_fs(), readonly_overlay(), propagation(), data_channels()];
    cases.into_iter().map(|cases| Cases { world: world(), ..cases }).collect()
}

fn sockets() -> Cases {
    Cases {
        rule: "mount-sockets",
        golden: vec![(
            mounts(json!([bind("/srv/file"), bind("/srv/app"), bind("/srv/data"), bind("/srv/fifo")])),
            mounts(json!([bind("/srv/file"), bind("/srv/data")])),
            "removed a mount: the source /srv/app of /x holds the socket /srv/app/run.sock; drop -v /srv/app",
        )],
        broken: vec![
            (
                with("/srv/app"),
                "the source /srv/app of /x holds the socket /srv/app/run.sock; drop -v /srv/app",
            ),
            (with("/srv/fifo"), "the source /srv/fifo of /x is a FIFO; drop -v /srv/fifo"),
        ],
        refused: vec![
            (
                with("/var/run/docker.sock"),
                "the source /var/run/docker.sock (which is /run/docker.sock) of /x is a socket; \
                 drop -v /var/run/docker.sock",
            ),
            (
                with("/srv/odd"),
                "cannot tell what the source /srv/odd of /x is: permission denied; drop -v /srv/odd",
            ),
        ],
        ..Cases::default()
    }
}

fn system() -> Cases {
    let kind = |kind: &str| json!({"destination": format!("/{kind}"), "type": kind});
    let layers = |layer: &str| {
        let option = format!("lowerdir=/srv/data:{layer}");
        json!({"destination": "/o", "type": "overlay", "options": [option]})
    };
    Cases {
        rule: "mount-system",
        golden: vec![(
            mounts(json!([
                kind("proc"),
                kind("tmpfs"),
                kind("mqueue"),
                layers("/srv/file"),
                bind("/srv/data"),
                bind("/dev/null"),
                bind("/dev/vsock"),
                bind("/host"),
                layers("/host"),
                kind("sysfs"),
            ])),
            mounts(json!([
                kind("proc"),
                kind("tmpfs"),
                kind("mqueue"),
                layers("/srv/file"),
                bind("/srv/data"),
                bind("/dev/null"),
            ])),
            "removed a mount: the source /host of /x is the system's /; drop -v /host",
        )],
        broken: vec![
            (with("/dev/vsock"), "the source /dev/vsock of /x is the device c 10:258; drop -v /dev/vsock"),
            (with("/dev/sda"), "the source /dev/sda of /x is the device b 8:0; drop -v /dev/sda"),
            (
                with("/dev/mapper"),
                "the source /dev/mapper of /x lies in the system's /dev; drop -v /dev/mapper",
            ),
            (with("/proc/1/ns"), "the source /proc/1/ns of /x lies on the kernel's proc; drop -v /proc/1/ns"),
            (
                with("/img/rootfs/a"),
                "the source /img/rootfs/a of /x lies in the container's own root file system, \
                 where earlier mounts change what it is; drop -v /img/rootfs/a",
            ),
            (
                mounts(json!([kind("nfs")])),
                "/nfs is a file system of type \"nfs\", which is not the container's own; drop it",
            ),
            (mounts(json!([layers("/a\\:b")])), "the layers of /o cannot be read with certainty; drop it"),
        ],
        refused: vec![
            (with("/host"), "the source /host of /x is the system's /; drop -v /host"),
            (
                with("/srv/ns"),
                "the source /srv/ns of /x brings /srv/ns/net along, which is the kernel's nsfs; drop -v /srv/ns",
            ),
            (
                with("/var/lib/docker/overlay2"),
                "the source /var/lib/docker/overlay2 of /x is state of the engine in /var/lib/docker; \
                 drop -v /var/lib/docker/overlay2",
            ),
            (
                mounts(json!([{"destination": "/p/", "type": "proc"}])),
                "/p/ is a proc outside of /proc, where nothing covers it; drop it",
            ),
            (mounts(json!([layers("/host")])), "the layer /host of /o is the system's /; drop it"),
        ],
        ..Cases::default()
    }
}

fn network_fs() -> Cases {
    Cases {
        rule: "mount-network-fs",
        golden: vec![(
            mounts(json!([bind("/nfs"), bind("/srv/data")])),
            with("/srv/data"),
            "removed a mount: the source /nfs of /x lies on nfs4, which is not this machine's",
        )],
        broken: vec![(
            with("/nfs/file"),
            "the source /nfs/file of /x lies on nfs4, which is not this machine's",
        )],
        refused: vec![(with("/nfs"), "the source /nfs of /x lies on nfs4, which is not this machine's")],
        ..Cases::default()
    }
}

fn readonly_overlay() -> Cases {
    let bound = |source: &str, options: Value| {
        let mut mount = bind(source);
        mount["destination"] = json!("/d");
        mount["options"] = options;
        mount
    };
    let stay = json!([
        bound("/srv/data", json!(["ro", "rw"])),
        bound("/srv/file", json!(["ro"])),
        bound("/srv/disks", json!(["rbind", "ro"])),
        bound("/nfs", json!(["ro"])),
        bound("/srv/data", json!(["ro", "idmap"])),
    ]);
    let and = |last: Value| {
        let mut list = stay.clone();
        list.as_array_mut().unwrap().push(last);
        mounts(list)
    };
    Cases {
        rule: "mount-readonly-overlay",
        golden: vec![(
            and(bound("/srv/data", json!(["rbind", "nosuid", "rprivate", "ro"]))),
            and(json!({
                "destination": "/d", "type": "overlay", "source": "overlay",
                "options": ["nosuid", "ro", "lowerdir=/srv/data:/empty"],
            })),
            "/d is a read-only overlay in place of a bind mount",
        )],
        broken: vec![(
            mounts(json!([bound("/srv/disks", json!(["bind", "ro"]))])),
            "/d is a read-only bind mount",
        )],
        ..Cases::default()
    }
}

fn propagation() -> Cases {
    let root = |propagation: &str| json!({"linux": {"rootfsPropagation": propagation}});
    let bound = |options: Value| {
        mounts(json!([{"destination": "/x", "type": "bind", "source": "/srv/data", "options": options}]))
    };
    Cases {
        rule: "mount-propagation",
        golden: vec![
            (
                root("rshared"),
                json!({"linux": {}}),
                "removed the propagation rshared of the root file system",
            ),
            (
                bound(json!(["rslave", "ro"])),
                bound(json!(["ro", "rprivate"])),
                "removed the propagation rslave of /x",
            ),
            (with("/srv/data"), bound(json!(["rprivate"])), "made /x private"),
        ],
        broken: vec![
            (root("slave"), "the root file system's propagation is \"slave\""),
            (bound(json!(["private", "shared"])), "the propagation of /x is \"shared\""),
            (with("/srv/data"), "/x is not private"),
        ],
        refused: vec![
            (root("rslave"), "the root file system's propagation is \"rslave\""),
            (bound(json!(["rshared"])), "the propagation of /x is \"rshared\""),
        ],
        ..Cases::default()
    }
}

fn data_channels() -> Cases {
    let readonly = |source: &str| json!({"destination": "/ro", "source": source, "options": ["rbind", "ro"]});
    Cases {
        rule: "data-channels",
        noted: vec![
            (
                mounts(json!([
                    bind("/srv/data"),
                    bind("/srv/huge"),
                    bind("/nfs/file"),
                    readonly("/srv/disks")
                ])),
                vec![
                    "/x is a data channel: /srv/data is shared and writable",
                    "/x is a data channel: /srv/huge is shared and writable (too large to be searched for sockets)",
                    "/x is a data channel: /nfs/file lies on nfs4",
                    "/ro is a data channel: /srv/disks stays a bind mount, since there are mounts below it",
                ],
            ),
            // What becomes an overlay is none, nor is a single file of the machine.
            (mounts(json!([readonly("/srv/data"), bind("/srv/file")])), vec![]),
        ],
        ..Cases::default()
    }
}
