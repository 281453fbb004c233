//! What is done to the files of a sealed container, and that `verify` names it: devices, masks, mounts.

use std::os::unix::net::UnixListener;

use serde_json::json;

use super::sealed::Sealed;
use test_support::recorded::spec::put;

/// The sabotage from inside the mount namespace, by busybox.
#[track_caller]
fn within(sealed: &Sealed, script: &str, says: &[&str]) {
    let says: Vec<_> = says.iter().map(|says| says.replace("PID", &sealed.pid("web").to_string())).collect();
    let says: Vec<_> = says.iter().map(String::as_str).collect();
    sealed.sabotaged(&format!("nsenter -t $P -m -p busybox sh -ec '{script}'"), &says);
}

#[test]
fn a_node_of_a_device_is_named_wherever_in_dev_it_is() {
    within(
        &Sealed::new(),
        "mkdir -p /dev/some/where; busybox mknod /dev/some/where/mem c 1 1; busybox mknod /dev/disk b 7 0
        busybox mknod /dev/mine c 1 3",
        &[
            "devices: /dev/disk of process PID is block device 7:0 (driver unknown)",
            "devices: /dev/some/where/mem of process PID is character device 1:1 (driver mem)",
        ],
    );
}

#[test]
fn a_device_that_was_mounted_is_named_wherever_it_is() {
    within(
        &Sealed::new(),
        "busybox mknod /dev/n c 1 1; touch /dev/shm/there; busybox mount -o bind /dev/n /dev/shm/there; rm /dev/n",
        &["devices: /dev/shm/there of process PID is character device 1:1 (driver mem)"],
    );
}

/// What a control group of version 2 allows is in a BPF program: there the sabotage has no file to write to.
#[test]
fn a_device_that_its_control_group_allows_is_named() {
    let sealed = Sealed::new();
    let group = format!("/sys/fs/cgroup/devices{}/web", sealed.group());
    assert!(
        std::path::Path::new(&group).exists(),
        "this machine has no device control groups of version 1, so this cannot be shown here; to leave it out: \
         hack/test ctl -- --skip a_device_that_its_control_group_allows_is_named"
    );
    sealed.sabotaged(
        &format!("echo 'b 7:* rw' >{group}/devices.allow"),
        &["device-access: b 7:* rw is allowed (driver unknown)"],
    );
}

#[test]
fn a_descriptor_that_is_a_device_is_named() {
    Sealed::new().intruded(
        "exec 3</dev/net/tun; eval \"$JOIN\"; exec nsenter -t $P -n -m /bin/sleep 1000",
        "descriptors: descriptor 3 of process PID is character device 10:200 (driver misc/tun)",
    );
}

#[test]
fn a_mask_that_was_taken_away_is_named() {
    within(
        &Sealed::new(),
        "busybox umount /proc/timer_list",
        &["masked-paths: /proc/timer_list of process PID is not masked"],
    );
}

#[test]
fn a_path_that_was_made_writable_is_named() {
    within(
        &Sealed::new(),
        "busybox mount -o remount,bind,rw /proc/sys; busybox mount -o remount,rw /sys",
        &[
            "masked-paths: /proc/sys of process PID is writable",
            "masked-paths: /sys of process PID is sysfs and writable",
        ],
    );
}

#[test]
fn credentials_whose_mask_was_taken_away_are_named() {
    let sealed = Sealed::empty();
    sealed.sh("mkdir -p $D/bundle/rootfs/root/.aws; echo key >$D/bundle/rootfs/root/.aws/credentials").must();
    // The way to the file is a link that leads elsewhere on the host; what is masked is the path without links.
    sealed.sh("mv $D/bundle/rootfs/root $D/bundle/rootfs/home-of-root; ln -s /home-of-root $D/bundle/rootfs/root").must();
    sealed.start("web", |_| {});
    within(
        &sealed,
        "busybox umount /home-of-root/.aws",
        &["credential-files: /home-of-root/.aws of process PID is not masked"],
    );
}

/// A rule that the settings waive was not promised.
#[test]
fn what_was_waived_is_not_named() {
    let sealed = Sealed::empty();
    sealed.host.write(
        "config.toml",
        "runtime = [\"runc\"]\n[rules]\nmasked-paths = \"allow\"\ndevices = \"allow\"\ndevice-access = \"allow\"
mount-sockets = \"allow\"",
    );
    let _listener = UnixListener::bind(sealed.host.at("bundle/socket")).unwrap();
    let source = sealed.host.at("bundle/socket");
    sealed.start("web", |config| {
        put(config, "/linux/maskedPaths", json!([]));
        put(config, "/linux/readonlyPaths", json!([]));
        let socket = json!({"destination": "/dev/socket", "source": source, "options": ["bind"]});
        config["mounts"].as_array_mut().unwrap().push(socket);
        put(
            config,
            "/linux/devices",
            json!([{"type": "c", "path": "/dev/mem", "major": 1, "minor": 1, "fileMode": 384}]),
        );
    });
    sealed.holds(&["web"]);
}
