//! `mount-system` and `mount-network-fs`.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use serde_json::json;

use test_support::bench::{Bench, CorePattern, mount, refused};
use test_support::findings::Findings;

/// A disk of the machine; which one makes no difference.
fn disk() -> String {
    let devices = std::fs::read_dir("/dev").unwrap().map(Result::unwrap);
    let disks =
        devices.filter(|entry| entry.file_type().unwrap().is_block_device()).map(|entry| entry.path());
    disks.min().expect("this machine has no block device").to_str().unwrap().to_owned()
}

#[test]
fn the_machine_is_not_mounted_by_whatever_name() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    bench
        .host
        .sh(&format!(
            "mkdir -p /var/lib/docker/overlay2 /run/docker/runtime-runc/moby /run/runc/other /run/oci-isolate {0}/alias {0}/chroot/proc /mnt/nfs
             mount --bind /run {0}/alias; mount -t proc proc {0}/chroot/proc
             ip netns add outside; ln -s /proc/self/root {0}/root; ln -s /proc/1/root/run {0}/run1
             echo '/dev/log' >{0}/file",
            bench.host.dir().display()
        ))
        .must();
    let at = |name: &str| bench.host.at(name);
    for (source, words) in [
        ("/".to_owned(), "is the system's /;"),
        ("/run".to_owned(), "is the system's /run"),
        ("/var/run".to_owned(), "is the system's /run"),
        (at("alias"), "is the system's /run"),
        (at("root"), "links lead through /proc"),
        (at("run1"), "links lead through /proc"),
        ("/proc/1/root/run".to_owned(), "links lead through /proc"),
        ("/proc".to_owned(), "is the system's /proc"),
        ("/proc/sys".to_owned(), "lies on the kernel's proc"),
        ("/sys".to_owned(), "is the system's /sys"),
        ("/sys/kernel".to_owned(), "lies on the kernel's sysfs"),
        ("/dev".to_owned(), "is the system's /dev"),
        ("/dev/shm".to_owned(), "is the system's /dev/shm"),
        ("/run/netns".to_owned(), "is the system's /run/netns"),
        ("/run/netns/outside".to_owned(), "lies on the kernel's nsfs"),
        ("/var/lib/docker".to_owned(), "is the system's /var/lib/docker"),
        ("/var/lib/docker/overlay2".to_owned(), "is state of the engine"),
        ("/run/runc".to_owned(), "is the system's /run/runc"),
        ("/run/runc/other".to_owned(), "is state of the engine in /run/runc"),
        ("/run/docker/runtime-runc/moby".to_owned(), "is state of the engine in /run/docker/runtime-runc"),
        ("/run/oci-isolate".to_owned(), "is the system's /run/oci-isolate"),
        (at("chroot"), "brings"),
        (at("rootfs/etc"), "lies in the container's own root file system"),
        (disk(), "is the device b"),
        ("/dev/kmsg".to_owned(), "is the device c 1:11"),
    ] {
        let is_file = bench.host.sh(&format!("test -d {source}/")).status != Some(0);
        let destination = if is_file { "/in.file" } else { "/in" };
        let mut spec = bench.spec("grep \" /in\" /proc/mounts | wc -l");
        mount(&mut spec, source.as_ref(), destination, &["rbind"]);
        let open = bench.open(&spec);
        // The kernel binds nothing of another mount namespace.
        let elsewhere = source.starts_with("/proc/1") || source.ends_with("run1");
        findings.claim(
            elsewhere || open.well() && open.out != "0",
            format!("{source} is not open without the shim: {open}"),
        );
        findings.about(&source, refused(&bench.closed(&spec), words).err().into_iter().collect());
    }
    findings.settle();
}

#[test]
fn file_systems_of_the_kernel_are_mounted_where_they_are_covered_only() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    let script = "echo \"|/bin/x\" >/p/sys/kernel/core_pattern; cat /p/sys/kernel/core_pattern";
    let pattern = CorePattern::take();
    let mut spec = bench.spec(script);
    let other = json!({"destination": "/p", "type": "proc", "source": "proc"});
    spec["mounts"].as_array_mut().unwrap().push(other);
    let open = bench.open(&spec);
    pattern.put_back();
    findings.claim(open.out == "|/bin/x", format!("it is not open without the shim: {open}"));
    findings.about(
        "proc",
        refused(&bench.closed(&spec), "/p is a proc outside of /proc").err().into_iter().collect(),
    );
    for kind in ["debugfs", "bpf", "nfs", "none"] {
        let mut spec = bench.spec("true");
        let mount = json!({"destination": "/in", "type": kind, "source": "x", "options": ["rw"]});
        spec["mounts"].as_array_mut().unwrap().push(mount);
        let words = format!("is a file system of type {kind:?}");
        findings.about(kind, refused(&bench.closed(&spec), &words).err().into_iter().collect());
    }
    let mut spec = bench.spec("ls /in");
    let overlay = json!({"destination": "/in", "type": "overlay", "source": "overlay", "options": ["ro", "lowerdir=/run:/etc"]});
    spec["mounts"].as_array_mut().unwrap().push(overlay);
    findings
        .about("overlay", refused(&bench.closed(&spec), "the layer /run of /in").err().into_iter().collect());
    findings.settle();
}

#[test]
fn the_machines_root_is_not_a_containers() {
    let bench = Bench::new();
    let mut spec = bench.spec("ls /run");
    spec["root"]["path"] = json!("/");
    refused(&bench.closed(&spec), "the root file system / is the system's /").unwrap();
}

#[test]
fn what_engines_mount_goes_through() {
    let bench = Bench::new();
    let kubelet = "/var/lib/kubelet/pods/8a5f/";
    let sandbox = "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/c0ffee/shm";
    let docker = "/var/lib/docker/containers/c0ffee";
    let podman = "/run/containers/storage/overlay-containers/c0ffee/userdata";
    bench
        .host
        .sh(&format!(
            "mkdir -p {kubelet}volumes/kubernetes.io~empty-dir/v {kubelet}volumes/kubernetes.io~secret/s {kubelet}containers/c
             mkdir -p {sandbox} {docker} {podman} /var/lib/docker/volumes/v/_data
             mount -t tmpfs shm {sandbox}; mount -t tmpfs s {kubelet}volumes/kubernetes.io~secret/s
             touch {kubelet}etc-hosts {kubelet}containers/c/log {docker}/resolv.conf {docker}/hosts {podman}/.containerenv"
        ))
        .must();
    let mut spec = bench.spec("grep -c -E ' (/v|/s|/dev/shm|/etc/hosts|/etc/resolv.conf|/log|/volume|/null|/dev/fuse|/run/.containerenv) ' /proc/mounts");
    let rootfs = bench.host.dir().join("rootfs");
    for file in ["log", "null", "etc/hosts"] {
        std::fs::write(rootfs.join(file), "").unwrap();
    }
    // runc's example has a tmpfs of its own there.
    spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/shm");
    let at = |rest: &str| format!("{kubelet}{rest}");
    for (source, destination, options) in [
        (at("volumes/kubernetes.io~empty-dir/v"), "/v", &["rbind", "rprivate", "rw"][..]),
        (at("volumes/kubernetes.io~secret/s"), "/s", &["rbind", "rprivate", "ro"]),
        (at("etc-hosts"), "/etc/hosts", &["rbind", "rprivate", "rw"]),
        (at("containers/c/log"), "/log", &["rbind", "rprivate", "rw"]),
        (sandbox.to_owned(), "/dev/shm", &["rbind", "rprivate", "rw"]),
        (format!("{docker}/resolv.conf"), "/etc/resolv.conf", &["rbind", "rprivate"]),
        ("/var/lib/docker/volumes/v/_data".to_owned(), "/volume", &["rbind", "rprivate"]),
        (format!("{podman}/.containerenv"), "/run/.containerenv", &["bind", "rprivate"]),
        ("/dev/null".to_owned(), "/null", &["bind"]),
    ] {
        mount(&mut spec, source.as_ref(), destination, options);
    }
    let said = bench.closed(&spec);
    assert_eq!(said.out, "9", "{said}");
}

#[test]
fn a_file_system_that_a_program_serves_is_left_and_can_be_refused() {
    let bench = Bench::new();
    if !Path::new("/dev/fuse").exists() || !Path::new("/usr/bin/fuse-overlayfs").exists() {
        panic!("there is no /dev/fuse or no fuse-overlayfs; run hack/engines");
    }
    let dir = bench.host.dir().display().to_string();
    let served = format!(
        "mkdir -p {dir}/low {dir}/up {dir}/work {dir}/served; echo inside >{dir}/low/f
         fuse-overlayfs -o lowerdir={dir}/low,upperdir={dir}/up,workdir={dir}/work {dir}/served"
    );
    bench.host.sh(&served).must();
    let mut spec = bench.spec("cat /in/f");
    mount(&mut spec, format!("{dir}/served").as_ref(), "/in", &["rbind", "ro"]);
    assert_eq!(bench.open(&spec).out, "inside");
    assert_eq!(bench.closed(&spec).out, "inside");
    let said = bench.closed_with("[rules]\nmount-network-fs = \"refuse\"\n", &spec);
    refused(&said, "lies on fuse, which is not this machine's").unwrap();
}
