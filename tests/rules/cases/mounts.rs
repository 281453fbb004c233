//! Mounts. What is behind their sources is told by [`host`].

use std::os::unix::ffi::OsStrExt;

use oci_isolate::rules::mounts::{FileKind, FileSystem};
use oci_isolate::rules::{HostFacts, MountSource};
use serde_json::{Value, json};

use super::{Cases, directory, source, sources};

/// The sources of these cases.
fn host() -> HostFacts {
    let on =
        |name: &str, source: MountSource| MountSource { file_system: FileSystem::of_name(name), ..source };
    let with_socket =
        MountSource { sockets: vec!["run.sock".into(), "a/b.sock".into()], ..directory("/srv/app") };
    let with_fifo = MountSource { fifos: vec!["pipe".into()], ..directory("/srv/pipes") };
    let many = (0..65).map(|number| format!("{number}.sock").into()).collect();
    let named = vec![std::ffi::OsStr::from_bytes(b"\xff.sock").into()];
    let layers = |layer: MountSource| MountSource { layers: vec![layer], ..on("overlay", directory("/vol")) };
    let with_nsfs = MountSource {
        below: vec![("/srv/ns/net".into(), FileSystem::of_name("nsfs"))],
        ..directory("/srv/ns")
    };
    let with_disk = MountSource {
        below: vec![("/srv/disks/a".into(), FileSystem::of_name("ext4"))],
        ..directory("/srv/disks")
    };
    HostFacts {
        sources: sources([
            ("/srv/data", directory("/srv/data")),
            ("/srv/huge", MountSource { searched: false, ..directory("/srv/huge") }),
            ("/srv/disks", with_disk),
            ("/srv/file", source("/srv/file", FileKind::File)),
            ("/nfs", on("nfs4", directory("/nfs"))),
            ("/nfs/file", on("nfs4", source("/nfs/file", FileKind::File))),
            ("/srv/app", with_socket),
            ("/srv/pipes", with_fifo),
            ("/srv/many", MountSource { sockets: many, ..directory("/srv/many") }),
            ("/srv/named", MountSource { sockets: named, ..directory("/srv/named") }),
            ("/tmp/nvidia-mps", MountSource { fifos: vec!["log".into()], ..directory("/tmp/nvidia-mps") }),
            ("/run/nvidia-persistenced/socket", source("/run/nvidia-persistenced/socket", FileKind::Socket)),
            ("/weka", on("0x77656b61", directory("/weka"))),
            ("/vol", layers(on("ext4", MountSource { system: Some("/var/lib"), ..directory("/var/lib") }))),
            ("/odd", layers(source("l/X", FileKind::Inaccessible("its path is relative".into())))),
            ("/dev/hugepages", on("hugetlbfs", directory("/dev/hugepages"))),
            ("/dev/pts/0", source("/dev/pts/0", FileKind::Character(136, 0))),
            ("/dev/console", source("/dev/console", FileKind::Character(5, 1))),
            ("/dev/shm/job", directory("/dev/shm/job")),
            ("/srv/fusectl", on("fusectl", directory("/sys/fs/fuse/connections"))),
            ("/srv/ns", with_nsfs),
            ("/var/run/docker.sock", source("/run/docker.sock", FileKind::Socket)),
            ("/srv/fifo", source("/srv/fifo", FileKind::Fifo)),
            ("/srv/odd", source("", FileKind::Inaccessible("permission denied".into()))),
            ("/host", MountSource { system: Some("/"), ..directory("/host") }),
            ("/dev/null", source("/dev/null", FileKind::Character(1, 3))),
            ("/dev/vsock", source("/dev/vsock", FileKind::Character(10, 258))),
            ("/dev/sda", source("/dev/sda", FileKind::Block(8, 0))),
            ("/dev/mapper", directory("/dev/mapper")),
            ("/proc/1/ns", on("proc", directory("/proc/1/ns"))),
            ("/img/rootfs/a", MountSource { in_rootfs: true, ..directory("/img/rootfs/a") }),
            ("/var/lib/docker/overlay2", directory("/var/lib/docker/overlay2")),
        ]),
        empty: Some("/empty".into()),
        empty_file: Some("/empty-file".into()),
        ..HostFacts::default()
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
    let cases = [
        options(),
        sockets(),
        system(),
        unknown_fs(),
        network_fs(),
        readonly_overlay(),
        propagation(),
        pod_files(),
        data_channels(),
    ];
    cases.into_iter().map(|cases| Cases { host: host(), ..cases }).collect()
}

/// A document with one mount, of another type than bind.
fn of(kind: &str, options: Value) -> Value {
    mounts(json!([{"destination": "/x", "type": kind, "source": kind, "options": options}]))
}

fn options() -> Cases {
    let labelled = r#"context="a:b:c:s0:c1"#;
    let unknown = "is not known for the";
    let allow = "drop it, or set [rules] mount-options = \"allow\"";
    let refused = |document, why: &str| (document, &*format!("{why}; {allow}").leak());
    Cases {
        rule: "mount-options",
        noted: vec![
            (of("tmpfs", json!(["nosuid", "mode=1777", r#"context="a:b:c:s0:c1,c2""#])), vec![]),
            (of("overlay", json!(["lowerdir=/a:/b", labelled, "c2\"", "private"])), vec![]),
            (json!({"linux": {"mountLabel": "a:b:c:s0:c1,c2"}}), vec![]),
            (with("/srv/data"), vec![]),
        ],
        refused: vec![
            refused(
                of("tmpfs", json!(["ro", "remount"])),
                &format!("option \"remount\" {unknown} tmpfs mount at /x"),
            ),
            refused(
                of("overlay", json!(["index=off,lowerdir=/"])),
                &format!("option \"index\" with this value {unknown} overlay mount at /x"),
            ),
            // An option of its own, whatever stands around it.
            refused(
                of("overlay", json!([labelled, "remount", "c2\""])),
                &format!("option \"context\" with this value {unknown} overlay mount at /x"),
            ),
            refused(
                mounts(json!([{"destination": "/x", "type": "bind"}])),
                "the bind mount at /x has no source",
            ),
            refused(
                mounts(
                    json!([{"destination": "/x", "type": "none", "source": "a/../b", "options": ["rbind"]}]),
                ),
                "the source a/../b of /x leads through ..",
            ),
            refused(
                mounts(json!([{"destination": "/a/../x", "type": "tmpfs"}])),
                "the destination /a/../x leads through ..",
            ),
            refused(
                mounts(json!([{"destination": "/x", "type": "tmpfs", "uidMappings": []}])),
                "ids are mapped for /x, which is not a bind mount",
            ),
            refused(
                json!({"linux": {"mountLabel": "a:b:c\",lowerdir=/,x=\""}}),
                "linux.mountLabel is not an SELinux label",
            ),
        ],
        broken: vec![(
            of("cgroup2", json!(["rrw"])),
            "option \"rrw\" is not known for the cgroup2 mount at /x; drop it, or set [rules] mount-options = \
             \"allow\"",
        )],
        ..Cases::default()
    }
}

fn cover(place: &str) -> Value {
    json!({
        "destination": place, "type": "bind", "source": "/empty-file",
        "options": ["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"],
    })
}

fn sockets() -> Cases {
    let mut readonly = bind("/srv/pipes");
    readonly["options"] = json!(["ro", "idmap"]);
    let mut overlaid = bind("/srv/app");
    overlaid["options"] = json!(["rbind", "ro"]);
    Cases {
        rule: "mount-sockets",
        golden: vec![
            (
                mounts(json!([bind("/srv/file"), bind("/srv/fifo"), bind("/srv/data"), bind("/srv/named")])),
                mounts(json!([bind("/srv/file"), bind("/srv/data")])),
                "removed a mount: the source /srv/fifo of /x is a FIFO; drop -v /srv/fifo",
            ),
            // Right behind the directory, so that what is mounted over it later is not looked into.
            (
                mounts(json!([bind("/srv/app"), bind("/srv/data"), overlaid])),
                mounts(json!([
                    bind("/srv/app"),
                    cover("/x/run.sock"),
                    cover("/x/a/b.sock"),
                    bind("/srv/data"),
                    overlaid
                ])),
                "covered /x/run.sock, /x/a/b.sock",
            ),
            (
                mounts(json!([bind("/srv/pipes"), readonly])),
                mounts(json!([bind("/srv/pipes"), readonly, cover("/x/pipe")])),
                "covered /x/pipe",
            ),
            (
                mounts(json!([bind("/run/nvidia-persistenced/socket"), bind("/tmp/nvidia-mps")])),
                mounts(json!([])),
                "removed a mount: the source /run/nvidia-persistenced/socket of /x leads to NVIDIA's persistence \
                 daemon",
            ),
        ],
        broken: vec![
            (with("/srv/app"), "/x/run.sock is not covered"),
            (mounts(json!([bind("/srv/app"), cover("/x/run.sock")])), "/x/a/b.sock is not covered"),
            (
                mounts(json!([
                    bind("/srv/app"),
                    bind("/srv/data"),
                    cover("/x/run.sock"),
                    cover("/x/a/b.sock")
                ])),
                "/x/run.sock is not covered",
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
                "the source /srv/odd of /x cannot be looked at: permission denied; drop -v /srv/odd",
            ),
            (
                with("/srv/many"),
                "the source /srv/many of /x holds sockets, 65 of them up to here, of which 64 can be covered; \
                 drop -v /srv/many",
            ),
            (
                with("/srv/named"),
                "the source /srv/named of /x holds the socket \u{fffd}.sock, whose name is not UTF-8; \
                 drop -v /srv/named",
            ),
        ],
        ..Cases::default()
    }
}

fn unknown_fs() -> Cases {
    let why = "the source /weka of /x lies on a file system that is not known, 0x77656b61 at /weka; drop it, or set \
               [rules] mount-unknown-fs = \"allow\"";
    let layer = "a layer of /x lies on a file system that is not known, 0x77656b61 at /weka; drop it, or set \
                 [rules] mount-unknown-fs = \"allow\"";
    Cases {
        rule: "mount-unknown-fs",
        golden: vec![(
            mounts(json!([bind("/srv/data"), bind("/weka")])),
            with("/srv/data"),
            &*format!("removed a mount: {why}").leak(),
        )],
        broken: vec![(with("/weka"), why), (of("overlay", json!(["lowerdir=/srv/data:/weka"])), layer)],
        refused: vec![(with("/weka"), why)],
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
                bind("/dev/hugepages"),
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
                bind("/dev/hugepages"),
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
            (with("/dev/pts/0"), "the source /dev/pts/0 of /x is the device c 136:0; drop -v /dev/pts/0"),
            (with("/dev/console"), "the source /dev/console of /x is the device c 5:1; drop -v /dev/console"),
            (
                with("/srv/fusectl"),
                "the source /srv/fusectl (which is /sys/fs/fuse/connections) of /x lies on the kernel's fusectl; \
                 drop -v /srv/fusectl",
            ),
            (
                with("/vol"),
                "the source /vol of /x is an overlay with the layer /var/lib, which is the system's /var/lib; \
                 drop -v /vol",
            ),
            (
                with("/odd"),
                "the source /odd (which is /vol) of /x is an overlay with the layer l/X: its path is relative; \
                 drop -v /odd",
            ),
            (
                mounts(
                    json!([{"destination": "/o", "type": "overlay", "options": ["index=off,lowerdir=/host:/e"]}]),
                ),
                "the layer /host of /o is the system's /; drop it",
            ),
            (
                with("/dev/shm/job"),
                "the source /dev/shm/job of /x lies in the system's /dev; drop -v /dev/shm/job and use \
                 --shm-size=8g, in Kubernetes an emptyDir with medium: Memory at /dev/shm",
            ),
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
        refused: vec![
            (with("/nfs"), "the source /nfs of /x lies on nfs4, which is not this machine's"),
            (
                of("overlay", json!(["lowerdir=/srv/data:/nfs"])),
                "a layer of /x lies on nfs4, which is not this machine's",
            ),
        ],
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
    let private = |mut document: Value| {
        document["linux"]["rootfsPropagation"] = json!("rprivate");
        document
    };
    Cases {
        rule: "mount-propagation",
        golden: vec![
            (root("rshared"), root("rprivate"), "removed the propagation rshared of the root file system"),
            (json!({"linux": {}}), root("rprivate"), "made the root file system private"),
            (root("private"), root("rprivate"), "made the root file system private"),
            (
                bound(json!(["rslave", "ro"])),
                private(bound(json!(["ro", "rprivate"]))),
                "removed the propagation rslave of /x",
            ),
            (with("/srv/data"), private(bound(json!(["rprivate"]))), "made /x private"),
        ],
        broken: vec![
            (root("slave"), "the root file system's propagation is \"slave\""),
            (bound(json!(["private", "shared"])), "the propagation of /x is \"shared\""),
            (private(with("/srv/data")), "/x is not private"),
            (with("/srv/data"), "the root file system is not private"),
        ],
        refused: vec![
            (root("rslave"), "the root file system's propagation is \"rslave\""),
            (bound(json!(["rshared"])), "the propagation of /x is \"rshared\""),
        ],
        ..Cases::default()
    }
}

fn pod_files() -> Cases {
    let hosts = |options: Value| {
        mounts(json!([
            {"destination": "/etc/hosts", "type": "bind", "source": "/srv/hosts", "options": options},
            {"destination": "/etc/hosts.d", "type": "bind", "source": "/srv/d", "options": ["rw"]},
            {"destination": "/etc/hostname", "type": "tmpfs", "source": "t"},
        ]))
    };
    let made = "made /etc/hosts read-only";
    Cases {
        rule: "pod-files",
        golden: vec![
            (hosts(json!(["rbind", "rw"])), hosts(json!(["rbind", "rw", "ro"])), made),
            (hosts(json!(["rbind"])), hosts(json!(["rbind", "ro"])), made),
            (hosts(json!(["ro", "rw"])), hosts(json!(["ro", "rw", "ro"])), made),
        ],
        broken: vec![(hosts(json!(["rw"])), "/etc/hosts is writable, and platform containers read it")],
        noted: vec![(hosts(json!(["rw", "ro"])), vec![]), (hosts(json!(["rro"])), vec![])],
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
                    bind("/srv/pipes"),
                    readonly("/srv/disks")
                ])),
                vec![
                    "/x is a data channel: /srv/data is shared and writable",
                    "/x is a data channel: /srv/huge is shared and writable (too large to be searched for sockets)",
                    "/x is a data channel: /nfs/file lies on nfs4",
                    "/x is a data channel: /srv/pipes is shared and writable, with the FIFO pipe",
                    "/ro is a data channel: /srv/disks stays a bind mount, since there are mounts below it",
                ],
            ),
            // What becomes an overlay is none, nor is a single file of the machine.
            (mounts(json!([readonly("/srv/data"), bind("/srv/file")])), vec![]),
        ],
        ..Cases::default()
    }
}
