//! The host loses power and starts again: every process ends at once, what is on a tmpfs is gone, the network is new, and the kernel has another
//! boot id. Disks stay as they are.

use std::fs;

use crate::site::{Engine, Site, asked, transitions};

/// Leaves of the host what a reboot leaves.
fn power_off(site: &Site) {
    let host = site.host();
    // All but process 1 and the child without which it ends, in the throw-away host's own process namespace, at once. What was just being
    // started is there the next time.
    let script = "[ \"$(cat /proc/1/comm)\" = tini ]
         child=$(pgrep -o -P 1 -xf 'sleep infinity')
         for try in 1 2 3; do
             kill -KILL $(ls /proc | grep '^[0-9]*$' | grep -vx -e 1 -e $child -e $$) 2>/dev/null || true
             sleep 0.2
         done";
    host.sh(script).must();
    let dir = host.at("");
    let script = format!(
        "awk '{{print $5}}' /proc/self/mountinfo | grep -E '^({dir}(exec|data|home)/|/run/(docker|netns)/)' | sort -r | xargs -r umount -l
         find /run /dev/shm -mindepth 1 -maxdepth 1 ! -name copied ! -name tun -exec rm -rf {{}} +
         mkdir -p /run/lock /run/netns
         rm -rf {dir}exec {dir}home/state {dir}docker.pid {dir}docker.sock
         for link in $(ls /sys/class/net | grep -E '^(docker|br-|podman|veth)'); do ip link delete $link 2>/dev/null || true; done
         nft flush ruleset
         cat /proc/sys/kernel/random/uuid >{dir}boot_id
         mount --bind {dir}boot_id /proc/sys/kernel/random/boot_id"
    );
    host.sh(&script).must();
}

fn survives(site: &Site) {
    let release =
        |name: &str| fs::write(site.path(&format!("jobs/{name}/algo-1/opt-ml/model/go")), "").unwrap();
    let waits = "echo half >/opt/ml/model/weights; echo ready; until [ -e /opt/ml/model/go ]; do sleep 0.1; done; echo whole >/opt/ml/model/weights; rm /opt/ml/model/go";
    for name in ["runs", "uploads"] {
        site.detach(&asked(name, waits));
        site.until_logged(name, "algo-1", "ready");
    }
    let before = site.describe("runs");
    fs::write(site.path("s3/slow"), "100").unwrap();
    release("uploads");
    site.until("uploads", &["Uploading"]);
    site.detach(&asked("downloads", "cat /opt/ml/input/data/train/x.csv >/opt/ml/model/weights"));
    site.until("downloads", &["Downloading"]);

    power_off(site);
    fs::remove_file(site.path("s3/slow")).unwrap();
    if let Engine::Docker(docker) = &site.engine {
        docker.revive();
    }
    let listed = site.job(&["list"]);
    assert_eq!(listed.out.matches("interrupted in ").count(), 3, "{listed}");
    assert_eq!(site.job(&["resume", "--all"]).must(), "downloads\nruns\nuploads");

    let status = site.until("runs", &["Failed", "Completed"]);
    let why = "InternalServerError: the host was restarted while the containers ran; their results may be incomplete";
    assert_eq!(status["FailureReason"], why, "{status}");
    assert_eq!(transitions(&status), ["Starting", "Downloading", "Training", "Uploading", "Failed"]);
    assert_eq!(status["TrainingStartTime"], before["TrainingStartTime"]);
    assert_eq!(site.archive("runs", "model"), "half");

    for (name, content) in [("uploads", "whole"), ("downloads", "1,2,3")] {
        let status = site.until(name, &["Failed", "Completed"]);
        assert_eq!(status["TrainingJobStatus"], "Completed", "{status}");
        let expected = ["Starting", "Downloading", "Training", "Uploading", "Completed"];
        assert_eq!(transitions(&status), expected);
        assert_eq!(site.archive(name, "model"), content);
    }
    for name in ["runs", "uploads", "downloads"] {
        site.until_left(name);
        assert_eq!(site.left_over(name), [""; 0]);
    }
    assert_eq!(site.job(&["resume", "--all"]).must(), "");
}

#[test]
fn docker_28_jobs_survive_a_loss_of_power() {
    survives(&Site::docker());
}

#[test]
fn podman_5_jobs_survive_a_loss_of_power() {
    survives(&Site::podman());
}
