//! Where credentials are: in the process that was started by the user and in its transfers, and nowhere else.

use std::fs;

use crate::site::{CANARIES, Site, asked};

/// Every process of the host whose environment or command line has a credential, by its command line.
fn holders(site: &Site) -> Vec<String> {
    let mut found = Vec::new();
    for (_, value) in CANARIES {
        let script = format!(
            "for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || {{ tr '\\0' '\\n' <$p/environ; tr '\\0' '\\n' <$p/cmdline; }} 2>/dev/null | grep -qF -e '{value}' && \
             tr '\\0' ' ' <$p/cmdline && echo; done; true"
        );
        found.extend(
            site.host()
                .sh(&script)
                .must()
                .lines()
                .filter(|line| !line.contains("for p in"))
                .map(str::to_owned),
        );
    }
    found.sort();
    found.dedup();
    found
}

fn credentials(site: &Site) {
    fs::write(site.path("s3/slow"), "2").unwrap();
    let script = "tr '\\0' '\\n' </proc/1/environ >/opt/ml/model/environ; echo ready; while ! [ -e /opt/ml/model/go ]; do sleep 0.1; done; exit 6";
    site.detach(&asked("canary", script));
    site.until("canary", &["Downloading"]);
    let during = holders(site);
    assert!(during.iter().any(|line| line.contains("stage in")), "the search finds nothing: {during:?}");
    site.until_logged("canary", "algo-1", "ready");
    let while_it_runs = holders(site);
    for line in during.iter().chain(&while_it_runs) {
        assert!(line.contains(" resume --session ") || line.contains(" stage "), "{line}");
    }
    // The supervisor is another process, and runs.
    site.host().sh("pgrep -f '[s]upervise canary'").must();
    // Another user's process cannot read it, and it leaves no core.
    let pid = site.host().sh("pgrep -f '[r]esume --session canary'").must();
    let limits = site.host().sh(&format!("grep 'core file' /proc/{pid}/limits")).must();
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{limits}");
    let traced = site.host().sh(&format!("setpriv --reuid 59998 --clear-groups cat /proc/{pid}/environ"));
    assert!(!traced.well(), "{traced}");

    let name = "isolate-canary-algo-1";
    let inspected = site.engine(&["inspect", name]).must();
    let state = site.host().at("jobs");
    let files = |words: &str| {
        site.host()
            .sh(&format!(
                "grep -rlF -e {} {state} /run/oci-isolate {words} 2>/dev/null || true",
                CANARIES.map(|(_, value)| value).join(" -e ")
            ))
            .must()
    };
    for (variable, value) in CANARIES {
        assert!(!inspected.contains(value), "{variable} is in what {name} is inspected as");
    }
    let engine = match &site.engine {
        crate::site::Engine::Docker(docker) => {
            format!("{} {}", docker.host.at("data"), docker.host.at("exec"))
        }
        crate::site::Engine::Podman(podman) => podman.host.at("home"),
    };
    assert_eq!(files(&engine), "");
    fs::write(site.path("jobs/canary/algo-1/opt-ml/model/go"), "").unwrap();
    site.until("canary", &["Failed"]);
    site.until_left("canary");
    assert_eq!(files(""), "");
    let environ = site.archive("canary", "model");
    assert!(
        environ.contains("TRAINING_JOB_NAME=canary") && !environ.to_lowercase().contains("canary/secret"),
        "{environ}"
    );
}

#[test]
fn docker_28_credentials_are_in_the_users_own_process_and_its_transfers_only() {
    credentials(&Site::docker());
}

#[test]
fn podman_5_credentials_are_in_the_users_own_process_and_its_transfers_only() {
    credentials(&Site::podman());
}
