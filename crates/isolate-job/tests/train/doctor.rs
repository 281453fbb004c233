//! `isolate-job doctor` and `isolatectl doctor` name what would keep jobs from running, and change nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::site::{Engine, Site};

/// The findings about jobs, by `isolatectl doctor`; those of `isolate-job doctor` are the same.
fn findings(site: &Site) -> Vec<Value> {
    let (host, config) = (site.host(), site.host().at("job.toml"));
    host.sh(&format!("mkdir -p /etc/oci-isolate; cp {config} /etc/oci-isolate/job.toml")).must();
    let by = |program: &str| {
        let Engine::Docker(docker) = &site.engine else { panic!("not Docker") };
        let mut command = docker.client(&host.at(&format!("bin/{program}")));
        let said = test_support::command::say(command.args(["--json", "doctor"]));
        let found: Vec<Value> =
            serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
        let jobs = found.into_iter().filter(|one| one["check"].as_str().unwrap().starts_with("job"));
        (said.status, jobs.collect::<Vec<_>>())
    };
    let (status, own) = by("isolate-job");
    assert_eq!(status == Some(1), own.iter().any(|one| one["state"] == "fail"), "{own:?}");
    assert_eq!(by("isolatectl").1, own);
    own
}

/// What is not well: the check, the state, and what was found.
fn complaints(site: &Site) -> Vec<String> {
    let text = |one: &Value, member: &str| one[member].as_str().unwrap().to_owned();
    let all = findings(site);
    let complaints = all.iter().filter(|one| one["state"] != "ok");
    complaints
        .map(|one| format!("{} {} {}", text(one, "check"), text(one, "state"), text(one, "says")))
        .collect()
}

#[test]
fn doctor_names_what_keeps_jobs_from_running_and_changes_nothing() {
    const SHIM: &str = "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\n";
    let site = Site::docker();
    let host = site.host();
    let with = |own: &str| {
        site.settings(own);
        complaints(&site)
    };
    #[track_caller]
    fn only(complaints: &[String], beginning: &str, words: &str) {
        let [one] = complaints else { panic!("{complaints:?}") };
        assert!(one.starts_with(beginning) && one.contains(words), "{one}");
    }

    assert_eq!(with(SHIM), [""; 0]);
    assert!(!site.path("jobs").exists());
    let engine = findings(&site).into_iter().find(|one| one["check"] == "job-engine").unwrap();
    assert!(engine["says"].as_str().unwrap().contains("; its runtime shim is /"), "{engine}");

    let bare = SHIM.replace("shim", "bare");
    only(&with(&bare), "job-engine fail ", "is not oci-isolate");
    only(&with(&SHIM.replace("shim", "none")), "job-engine fail ", "knows no runtime \"none\"");
    let nothing = "engine-path = \"/nonexistent\"\n";
    only(&with(nothing), "job-engine fail ", "Docker is not installed: there is no program /nonexistent;");

    // Other users' access to the data of jobs.
    fs::create_dir(site.path("jobs")).unwrap();
    for (mode, is_well) in [(0o700, true), (0o750, false), (0o701, false)] {
        fs::set_permissions(site.path("jobs"), fs::Permissions::from_mode(mode)).unwrap();
        let found = with(SHIM);
        assert_eq!(found.is_empty(), is_well, "{mode:o}: {found:?}");
        assert!(is_well || found[0].starts_with("job-state fail "), "{found:?}");
    }
    fs::set_permissions(site.path("jobs"), fs::Permissions::from_mode(0o700)).unwrap();

    // Networks of subnets.
    let subnet = format!("{SHIM}[vpc.subnet-1]\nnetns = \"/run/netns/vpc-a\"\n");
    only(&with(&subnet), "job-vpc fail ", "subnet-1: cannot open /run/netns/vpc-a");
    host.sh("ip netns add vpc-a").must();
    only(&with(&subnet), "job-vpc fail ", "has no interface");
    host.sh("ip link add name subnet0 type veth peer name subnet1 netns vpc-a").must();
    only(&with(&subnet), "job-vpc fail ", "has no interface that is up");
    host.sh("ip -n vpc-a link set subnet1 up").must();
    let before = host.sh("ip -o link; cat /etc/resolv.conf").must();
    assert_eq!(with(&subnet), [""; 0]);
    assert_eq!(host.sh("ip -o link; cat /etc/resolv.conf").must(), before);

    // The keys of the API.
    let keys =
        host.write("keys.toml", "[[key]]\naccess-key-id = 'A'\nsecret-access-key = 'canary of the tests'\n");
    let listen = format!("{SHIM}[listen]\nkeys = {keys:?}\n");
    only(&with(&listen), "job-keys fail ", "chmod 600");
    fs::set_permissions(site.path("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(with(&listen), [""; 0]);
    host.write("keys.toml", "[[key]]\naccess-key-id = 'A'\nsecret-access-key = 'canary\n");
    let found = with(&listen);
    only(&found, "job-keys fail ", "line 3");
    assert!(!found[0].contains("canary"), "{found:?}");

    // The unit, on a host with systemd.
    host.sh("mkdir -p /run/systemd/system").must();
    only(&with(SHIM), "job-units warn ", "isolate-job-resume.service is not");
    let unit = include_str!("../../../../dist/systemd/isolate-job-resume.service");
    let unit = host.write("isolate-job-resume.service", unit);
    host.sh(&format!("cp {unit} /etc/systemd/system/")).must();
    only(&with(SHIM), "job-units warn ", "isolate-job-resume.service is disabled");
    host.sh("systemctl --root=/ enable isolate-job-resume.service").must();
    assert_eq!(with(SHIM), [""; 0]);

    // The rest is checked by the defaults, whose runtime this Docker has not.
    let found = with("paralel = 3");
    assert!(
        found[0].starts_with("job-settings fail ") && found[0].contains("unknown field `paralel`"),
        "{found:?}"
    );
    let Engine::Docker(docker) = &site.engine else { panic!("not Docker") };
    docker.crash();
    only(&with(SHIM), "job-engine fail ", "");
}
