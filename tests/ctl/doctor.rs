//! `doctor` names what would keep containers from starting, or let them start open, and touches nothing.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::{isolatectl, shim};

/// A host with runc as the runtime, and no configuration of engines below `etc`.
fn host() -> RecorderHost {
    let host = RecorderHost::new();
    host.write("config.toml", "");
    host
}

/// The exit status and the findings of `doctor`.
#[track_caller]
fn doctor(host: &RecorderHost) -> (i32, Vec<Value>) {
    let run = |more: &[&str]| {
        say(host.command(isolatectl()).args(more).args(["doctor", "--config-root", &host.at("engines")]))
    };
    let (text, document) = (run(&[]), run(&["--json"]));
    assert_eq!((text.err.as_str(), document.err.as_str(), text.status), ("", "", document.status));
    let findings: Vec<Value> = serde_json::from_str(&document.out).unwrap();
    assert_eq!(text.out.lines().count(), findings.len(), "{}", text.out);
    for (line, finding) in text.out.lines().zip(&findings) {
        let word = match finding["state"].as_str().unwrap() {
            "ok" => "ok  ",
            "warn" => "warn",
            "fail" => "FAIL",
            other => panic!("{other}"),
        };
        let start = format!("{word}  {}: ", finding["check"].as_str().unwrap());
        assert!(line.starts_with(&start) && !line.contains('\x1b'), "{line}");
        assert_eq!(finding["do"].is_null(), word == "ok  ", "{line}");
    }
    (document.status, findings)
}

#[track_caller]
fn finding<'f>(findings: &'f [Value], check: &str) -> &'f Value {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
}

/// Asserts that this is the only thing that is wrong, and says what `doctor` says of it.
#[track_caller]
fn only_failure(host: &RecorderHost, check: &str) -> String {
    let (status, findings) = doctor(host);
    let failed: Vec<_> = findings.iter().filter(|finding| finding["state"] == "fail").collect();
    assert_eq!((status, failed.len()), (1, 1), "{findings:#?}");
    assert_eq!(failed[0]["check"], check);
    failed[0]["says"].as_str().unwrap().to_owned()
}

fn engine_file(host: &RecorderHost, name: &str, text: &str) {
    let path = host.at(&format!("engines/etc/{name}"));
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn handler(version: u8, more: &str) -> String {
    let plugin = if version == 2 { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" };
    let runtimes = format!("plugins.'{plugin}'.containerd.runtimes");
    format!(
        "version = {version}\n[{runtimes}.isolated]\nruntime_type = 'io.containerd.runc.v2'\n{more}\n\
         [{runtimes}.isolated.options]\nBinaryName = '{}'\n",
        shim().display()
    )
}

#[test]
fn doctor_finds_this_host_well_and_changes_nothing() {
    let host = host();
    let look = "ip -o link; ip -o addr; ip netns; nft list ruleset; find /run | sort";
    let before = host.sh(look).must();
    let (status, findings) = doctor(&host);
    assert_eq!(host.sh(look).must(), before);
    assert_eq!(status, 0, "{findings:#?}");
    for check in
        ["settings", "runtime", "state-directory", "kernel", "seal", "allow-list", "seccomp", "overlay"]
    {
        assert_eq!(finding(&findings, check)["state"], "ok", "{findings:#?}");
    }
    let libseccomp = finding(&findings, "libseccomp")["says"].as_str().unwrap();
    assert!(libseccomp.contains("runc has libseccomp 2."), "{libseccomp}");
    let runtime = finding(&findings, "runtime")["says"].as_str().unwrap();
    assert!(runtime.contains("runc version "), "{runtime}");
}

#[test]
fn doctor_without_rights_says_that_the_seal_was_not_tried() {
    let host = host();
    for right in ["--bounding-set=-sys_admin", "--bounding-set=-net_admin"] {
        let said = say(host.command("setpriv").arg(right).arg(isolatectl()).args(["--json", "doctor"]));
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let seal = finding(&findings, "seal");
        assert_eq!((said.status, &seal["state"]), (1, &json!("fail")), "{seal}");
        assert!(seal["says"].as_str().unwrap().starts_with("not tried: "), "{seal}");
    }
}

#[test]
fn doctor_names_settings_that_the_shim_refuses() {
    let host = host();
    let settings = host.write("config.toml", "moed = 1\n");
    let says = only_failure(&host, "settings");
    assert!(
        says.starts_with(&format!("cannot use the settings {settings}: line 1: unknown field")),
        "{says}"
    );
}

#[test]
fn doctor_names_a_runtime_that_is_missing_or_is_the_shim() {
    let host = host();
    for (runtime, why) in
        [(host.at("none"), "missing"), (shim().to_str().unwrap().to_owned(), "oci-isolate itself")]
    {
        host.write("config.toml", format!("runtime = [\"{runtime}\"]"));
        let says = only_failure(&host, "runtime");
        let expected = format!("no low-level runtime found; looked for {runtime} ({why})");
        assert_eq!(says, expected);
    }
}

#[test]
fn doctor_names_a_state_directory_that_others_can_write() {
    let host = host();
    host.sh("mkdir -m 0700 /run/oci-isolate").must();
    let (_, findings) = doctor(&host);
    let says = "/run/oci-isolate is of user 0, mode 0700";
    assert_eq!(finding(&findings, "state-directory")["says"], says);
    for wrong in ["chmod 0777 /run/oci-isolate", "chmod 0700 /run/oci-isolate; chown 1 /run/oci-isolate"] {
        host.sh(wrong).must();
        let says = only_failure(&host, "state-directory");
        assert!(says.starts_with("/run/oci-isolate is not a directory that we own"), "{says}");
    }
}

#[test]
fn doctor_names_a_handler_of_containerd_whose_pods_would_start_open() {
    let host = host();
    for version in [2, 3, 4] {
        for more in
            ["", "pod_annotations = ['com.example.*']", "container_annotations = ['io.oci-isolate.*']"]
        {
            engine_file(&host, "containerd/config.toml", &handler(version, more));
            let says = only_failure(&host, "containerd-config");
            assert!(says.contains("isolated has no pod_annotations that match io.oci-isolate."), "{says}");
        }
        engine_file(
            &host,
            "containerd/config.toml",
            &handler(version, "pod_annotations = ['io.oci-isolate.*']"),
        );
        let (status, findings) = doctor(&host);
        assert_eq!((status, &finding(&findings, "containerd-config")["state"]), (0, &json!("ok")));
    }
}

/// In a file that is imported, by an absolute path.
#[test]
fn doctor_reads_what_containerd_imports() {
    let host = host();
    engine_file(
        &host,
        "containerd/config.toml",
        "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n",
    );
    engine_file(&host, "containerd/conf.d/oci-isolate.toml", &handler(3, ""));
    only_failure(&host, "containerd-config");
    engine_file(&host, "containerd/conf.d/oci-isolate.toml", "version = ");
    let says = only_failure(&host, "containerd-config");
    assert!(says.contains("conf.d/oci-isolate.toml: line 1"), "{says}");
}

/// A drop-in that was copied to where the documentation says, beside a file that does not say so.
#[test]
fn doctor_names_a_file_with_a_handler_that_containerd_does_not_read() {
    let host = host();
    let good = handler(3, "pod_annotations = ['io.oci-isolate.*']");
    engine_file(&host, "containerd/config.toml", "version = 3\n");
    engine_file(&host, "containerd/conf.d/oci-isolate.toml", &good);
    let says = only_failure(&host, "containerd-config");
    assert!(says.ends_with("containerd/config.toml does not import it"), "{says}");
    for import in ["/etc/containerd/conf.d/*.toml", "conf.d/*.toml", "conf.d/oci-isolate.toml"] {
        engine_file(&host, "containerd/config.toml", &format!("version = 4\nimports = ['{import}']\n"));
        let (status, findings) = doctor(&host);
        assert_eq!(
            (status, &finding(&findings, "containerd-config")["state"]),
            (0, &json!("ok")),
            "{import}"
        );
    }
}

/// Root would run what another user chose, and judge the file that this user names.
#[test]
fn doctor_runs_the_program_of_a_containerd_only_if_root_has_chosen_it() {
    let host = host();
    let (program, ran) = (host.at("containerd"), host.at("ran"));
    let source = format!(
        "#include <stdio.h>\n#include <unistd.h>\nint main(int n, char **words) {{\n\
         if (n == 1) return pause();\nfclose(fopen(\"{ran}\", \"w\"));\nputs(\"containerd x v2.1.9 1\");\n}}\n"
    );
    let source = host.write("containerd.c", source);
    host.sh(&format!("gcc -o {program} {source}")).must();
    let start = |user: u32| {
        let start = format!("setpriv --reuid={user} --clear-groups {program} </dev/null >/dev/null 2>&1 &");
        host.sh(&format!("{start} until grep -q containerd /proc/$!/comm; do sleep 0.1; done")).must();
    };
    let is_run = || {
        let said = say(host.command(isolatectl()).args(["--json", "doctor", "--engine=containerd"]));
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let is_told = finding(&findings, "containerd")["says"] == "containerd x v2.1.9 1";
        assert_eq!(fs::exists(&ran).unwrap(), is_told, "{findings:#?}");
        is_told
    };
    start(65534);
    assert!(!is_run(), "of another user");
    start(0);
    for (change, back) in
        [("chown 65534", "chown 0"), ("chmod 0775", "chmod 0755"), ("chmod 4755", "chmod 0755")]
    {
        host.sh(&format!("{change} {program}")).must();
        assert!(!is_run(), "{change}");
        host.sh(&format!("{back} {program}")).must();
    }
    assert!(is_run(), "root's, behind another user's of a lower pid");
}

/// As it comes with Docker's own package of containerd, which has no version either.
#[test]
fn doctor_is_content_with_a_containerd_in_which_no_pods_run() {
    let host = host();
    for text in [
        "disabled_plugins = [\"cri\"]\n#root = \"/x\"\n",
        "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']\n",
    ] {
        engine_file(&host, "containerd/config.toml", text);
        let (status, findings) = doctor(&host);
        let found = finding(&findings, "containerd-config");
        assert_eq!((status, &found["state"]), (0, &json!("ok")), "{found}");
        assert!(found["says"].as_str().unwrap().ends_with("so no pods run here"), "{found}");
    }
}

#[test]
fn doctor_names_a_daemon_json_that_cannot_be_read_or_names_a_shim_that_is_gone() {
    let host = host();
    engine_file(&host, "docker/daemon.json", "{\"runtimes\": ");
    let says = only_failure(&host, "docker-config");
    assert!(says.starts_with("cannot understand ") && says.contains("daemon.json: "), "{says}");
    let runtime = |path: &str| json!({"runtimes": {"isolated": {"path": path}}}).to_string();
    engine_file(&host, "docker/daemon.json", &runtime("/nonexistent/oci-isolate"));
    let says = only_failure(&host, "docker-config");
    assert!(says.contains("runtime isolated") && says.contains("No such file"), "{says}");
    engine_file(&host, "docker/daemon.json", &runtime(shim().to_str().unwrap()));
    let (status, findings) = doctor(&host);
    assert_eq!((status, &finding(&findings, "docker-config")["state"]), (0, &json!("ok")));
}

#[test]
fn doctor_warns_of_a_docker_without_annotations_unless_all_is_isolated() {
    let host = host();
    let daemon = |version: &str| {
        let program = host.write("dockerd", format!("#!/bin/sh\necho 'Docker version {version}, build 1'\n"));
        host.sh(&format!("chmod 755 {program}")).must();
    };
    let state = |settings: &str| {
        host.write("config.toml", settings);
        let path = format!("{}:/usr/sbin:/usr/bin", host.at(""));
        let mut command = host.command(isolatectl());
        command.env("PATH", path).args(["--json", "doctor", "--config-root", &host.at("engines")]);
        let findings: Vec<Value> = serde_json::from_str(&say(&mut command).must()).unwrap();
        finding(&findings, "docker")["state"].clone()
    };
    daemon("20.10.24");
    assert_eq!(state(""), "warn");
    assert_eq!(state("mode = \"always\""), "ok");
    let runtime = json!({"path": shim(), "runtimeArgs": ["--isolate=always"]});
    engine_file(&host, "docker/daemon.json", &json!({"runtimes": {"isolated": runtime}}).to_string());
    assert_eq!(state(""), "ok");
    fs::remove_file(host.at("engines/etc/docker/daemon.json")).unwrap();
    daemon("24.0.0");
    assert_eq!(state(""), "ok");
}

#[test]
fn doctor_finds_the_shim_in_the_files_of_podman_and_cri_o() {
    let host = host();
    let podman = |lists: &str| {
        let text = format!("[engine]\n{lists}\n[engine.runtimes]\nisolated = ['{}']\n", shim().display());
        engine_file(&host, "containers/containers.conf.d/oci-isolate.conf", &text);
        finding(&doctor(&host).1, "podman")["state"].clone()
    };
    assert_eq!(podman(""), "warn");
    assert_eq!(podman("runtime_supports_json = ['runc', 'isolated']"), "ok");
    let crio = |path: &str| {
        let text = format!("[crio.runtime.runtimes.isolated]\nruntime_path = '{path}'\n");
        engine_file(&host, "crio/crio.conf.d/oci-isolate.conf", &text);
    };
    crio(shim().to_str().unwrap());
    assert_eq!(finding(&doctor(&host).1, "crio")["state"], "ok");
    crio("/nonexistent/oci-isolate");
    assert!(only_failure(&host, "crio").contains("No such file"));
}
