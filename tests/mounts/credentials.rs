//! `credential-mounts`, `credential-files`, `credential-args`.

use serde_json::json;

use test_support::bench::{Bench, mount, refused};
use test_support::findings::Findings;
use test_support::host::Kind;

/// A file with this in it is a credential; put together here, so that no scanner takes this file for a leak.
fn key() -> String {
    format!("[default]\naws_access_key_id = AKIA{}\n", "IOSFODNN7EXAMPLE")
}

/// Prints every file among these that says something.
const LOOK: &str = "for f in \"$@\"; do [ -f \"$f\" ] && [ -s \"$f\" ] && echo \"$f\"; done; true";

const PLANTED: [&str; 20] = [
    "/root/.aws/credentials",
    "/root/.aws/sso/cache/token.json",
    "/.aws/config",
    "/home/ml/.aws/credentials",
    "/home/other/.s3cfg",
    "/srv/app/.boto",
    "/var/jenkins_home/.config/rclone/rclone.conf",
    "/var/jenkins_home/.mc/config.json",
    "/etc/boto.cfg",
    "/etc/passwd-s3fs",
    "/work/creds",
    "/opt/aws/config",
    "/data/.aws/credentials",
    "/hosts/alice/.aws/credentials",
    "/root/.docker/config.json",
    "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    "/run/secrets/kubernetes.io/serviceaccount/token",
    "/elsewhere/token",
    "/creds/credentials",
    "/srv/app/.ecr/cache.json",
];

const STAYS: [&str; 5] =
    ["/home/ml/.docker/config.json", "/root/.config/app", "/data/file", "/home/ml/notes", "/srv/app/code"];

fn planted(bench: &Bench) -> serde_json::Value {
    let rootfs = bench.host.dir().join("rootfs");
    let write = |root: &std::path::Path, path: &str, text: &str| {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mounted = ["/data/", "/hosts/", "/var/run/", "/run/", "/elsewhere/", "/creds/"];
    for path in PLANTED.iter().chain(&STAYS).filter(|path| !mounted.iter().any(|m| path.starts_with(m))) {
        write(&rootfs, path, &key());
    }
    write(
        &rootfs,
        "/root/.docker/config.json",
        r#"{"auths":{"1.dkr.ecr.eu-west-1.amazonaws.com":{"auth":"x"}}}"#,
    );
    write(&rootfs, "/home/ml/.docker/config.json", r#"{"auths":{"ghcr.io":{"auth":"x"}}}"#);
    let passwd = "root:x:0:0::/root:/bin/sh\nbin:x:2:2::/bin:/x\njenkins:x:9:9::/var/jenkins_home:/x\n";
    write(&rootfs, "/etc/passwd", passwd);

    let volumes = bench.dir("var-lib-kubelet/pods/1/volumes/kubernetes.io~projected");
    for path in ["aws-iam-token/token", "kube-api-access-x/token", "custom/token"] {
        write(&volumes, path, "a token");
    }
    let host = bench.dir("host");
    for path in ["data/.aws/credentials", "data/file", "alice/.aws/credentials"] {
        write(&host, path, &key());
    }
    // A user's home directory on the host.
    bench
        .host
        .sh(&format!(
            "mkdir -p /run/copied/home; mount -t tmpfs home /home; cp -r {0}/alice /home",
            host.display()
        ))
        .must();

    let mut spec = bench.spec("");
    let args: Vec<&str> = ["sh", "-c", LOOK, "sh"].into_iter().chain(PLANTED).chain(STAYS).collect();
    spec["process"]["args"] = json!(args);
    spec["process"]["cwd"] = json!("/srv/app");
    spec["process"]["env"] = json!([
        "PATH=/bin",
        "HOME=/srv/app",
        "AWS_SHARED_CREDENTIALS_FILE=/work/creds",
        "AWS_CONFIG_FILE=/opt/aws/config",
        "AWS_WEB_IDENTITY_TOKEN_FILE=/elsewhere/token",
        "AWS_LOGIN_CACHE_DIRECTORY=/srv",
    ]);
    mount(&mut spec, &host.join("data"), "/data", &["rbind", "rprivate"]);
    mount(&mut spec, "/home".as_ref(), "/hosts", &["rbind", "ro"]);
    mount(&mut spec, &host.join("alice/.aws"), "/creds", &["rbind", "ro"]);
    let token = volumes.join("aws-iam-token");
    mount(&mut spec, &token, "/var/run/secrets/eks.amazonaws.com/serviceaccount", &["rbind", "ro"]);
    let access = volumes.join("kube-api-access-x");
    mount(&mut spec, &access, "/run/secrets/kubernetes.io/serviceaccount", &["rbind", "ro"]);
    mount(&mut spec, &volumes.join("custom"), "/elsewhere", &["rbind", "ro"]);
    spec
}

fn every_channel(kind: Kind, runtime: &str) {
    let bench = Bench::of(kind);
    let mut findings = Findings::default();
    let spec = planted(&bench);
    let found =
        |said: &test_support::command::Finished| said.out.lines().map(str::to_owned).collect::<Vec<_>>();
    let open = bench.run(runtime.as_ref(), &spec, &[]);
    let all: Vec<_> = PLANTED.iter().chain(&STAYS).map(|path| (*path).to_owned()).collect();
    findings.claim(found(&open) == all, format!("not all of it is there without the shim: {open}"));
    let closed = bench.closed(&spec);
    findings.claim(found(&closed) == STAYS, format!("not only the rest is left: {closed}"));
    findings.settle();
}

#[test]
fn no_planted_credential_is_left_with_runc() {
    every_channel(Kind::Machine, "/usr/sbin/runc");
}

#[test]
fn no_planted_credential_is_left_with_crun() {
    every_channel(Kind::MachineForCrun, "/usr/bin/crun");
}

#[test]
fn a_link_in_the_image_does_not_lead_the_search_out_of_it() {
    let bench = Bench::new();
    let rootfs = bench.host.dir().join("rootfs");
    let secret = bench.host.write("outside", "dkr.ecr of the host");
    std::fs::create_dir_all(rootfs.join("root/.docker")).unwrap();
    std::os::unix::fs::symlink(&secret, rootfs.join("root/.docker/config.json")).unwrap();
    std::os::unix::fs::symlink("/data/home", rootfs.join("home")).unwrap();
    std::fs::create_dir_all(rootfs.join("data/home/ml/.aws")).unwrap();
    std::fs::write(rootfs.join("data/home/ml/.aws/credentials"), key()).unwrap();
    // A FIFO in the place of a file must not hold up the runtime.
    bench.host.sh(&format!("mkfifo {0}/root/.dockercfg", rootfs.display())).must();
    let said = bench.closed(
        &bench.spec("cat /data/home/ml/.aws/credentials /home/ml/.aws/credentials; ls -a /root/.docker"),
    );
    assert!(said.err.contains("No such file") && said.out.contains("config.json"), "{said}");
    assert!(!said.out.contains("aws_access"), "{said}");
}

#[test]
fn a_credential_among_the_arguments_is_refused_and_not_repeated() {
    let bench = Bench::new();
    let key = format!("AKIA{}", "IOSFODNN7EXAMPLE");
    let mut spec = bench.spec("");
    spec["process"]["args"] = json!(["echo", "--key", key]);
    assert!(bench.open(&spec).out.contains(&key));
    let said = bench.closed(&spec);
    refused(&said, "credential-args: argument 2 holds an access key id").unwrap();
    assert!(!said.err.contains(&key), "{said}");

    // exec, by command line and by process file.
    let spec = bench.spec("sleep 60");
    let exec = |process: &str, words: &str| {
        format!(
            "\"$@\" >/dev/null 2>&1 & for n in $(seq 100); do \"$1\" --root {0} state one 2>/dev/null | grep -q running && break; sleep 0.05; done
             {process} \"$1\" --root {0} exec {words}; code=$?; \"$1\" --root {0} kill one KILL; wait; exit $code",
            bench.host.at("state")
        )
        .replace("; code=$?", " && code=0 || code=$?")
    };
    let run = |script: &str| {
        bench.run_script(script, &test_support::shim(), &test_support::bench::isolated(&spec), &[])
    };
    assert!(run(&exec("", "one echo hello")).out.contains("hello"));
    let said = run(&exec("", &format!("one echo {key}")));
    refused(&said, "argument 1 holds an access key id").unwrap();
    let process = json!({"cwd": "/", "args": ["echo", "x", "y", key], "user": {"uid": 0, "gid": 0}});
    let file = bench.host.write("process.json", &process.to_string());
    refused(&run(&exec("", &format!("--process {file} one"))), "argument 3 holds an access key id").unwrap();
}
