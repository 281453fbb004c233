//! Credential files, values and hooks: found wherever a home is.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use oci_isolate::rules::credentials::paths::{self, Masked};
use serde_json::{Value, json};

use test_support::bench::{Bench, isolated, mount, refused};
use test_support::command::Finished;
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::shim;

/// A file with this in it is a credential; put together here, so that no scanner takes this file for a leak.
fn key() -> String {
    format!("[default]\naws_access_key_id = AKIA{}\n", "IOSFODNN7EXAMPLE")
}

/// Prints every file among these that has something in it.
const LOOK: &str = "for f in \"$@\"; do [ -f \"$f\" ] && [ -s \"$f\" ] && echo \"$f\"; done; true";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A container that looks for files.
fn looking_for(bench: &Bench, paths: &[String]) -> Value {
    let mut spec = bench.spec("");
    let words = ["sh", "-c", LOOK, "sh"].map(str::to_owned);
    spec["process"]["args"] = json!([&words[..], paths].concat());
    spec
}

fn found(said: &Finished) -> BTreeSet<String> {
    said.out.lines().map(str::to_owned).collect()
}

/// Of `paths`, all are there with the bare runtime, and behind the shim those of `stays`.
fn only_these_stay(kind: Kind, bench: &Bench, spec: &Value, paths: &[String], stays: &[String]) {
    let mut findings = Findings::default();
    let set = |paths: &[String]| paths.iter().cloned().collect::<BTreeSet<_>>();
    let open = bench.open(spec);
    let missing: Vec<_> = set(paths).difference(&found(&open)).cloned().collect();
    findings
        .claim(missing.is_empty(), format!("{kind:?}: {missing:?} are not there without the shim: {open}"));
    let closed = bench.closed(spec);
    let left: Vec<_> = found(&closed).symmetric_difference(&set(stays)).cloned().collect();
    findings.claim(
        closed.well() && left.is_empty(),
        format!("{kind:?}: other than meant: {left:?} {}", closed.err),
    );
    findings.settle();
}

#[test]
fn a_home_is_masked_wherever_it_is_and_by_whatever_links_it_is_reached() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let rootfs = bench.host.dir().join("rootfs");
        let host = bench.dir("machine");
        let credentials = |home: &str| format!("{home}/.aws/credentials");
        let mut paths = Vec::new();

        // Many homes, and HOME is the last of them.
        let mut homes: Vec<String> = (0..70).map(|n| format!("/home/ml{n:02}")).collect();
        homes.push("/home/zoe".into());
        // Homes of servers' accounts, where programs are, and of the last line of a long passwd.
        homes.extend(
            ["/usr/share/es", "/etc/joe", "/var/cache/jack", "/usr/sbin", "/opt/last"].map(str::to_owned),
        );
        for home in &homes {
            write(&rootfs, &credentials(home), &key());
        }
        paths.extend(homes.iter().map(|home| credentials(home)));
        let mut passwd = String::from("root:x:0:0::/root:/bin/sh\nes:x:1000:0::/usr/share/es:/bin/sh\n");
        passwd += "joe:x:1:1::/etc/joe:/x\njack:x:2:2::/var/cache/jack:/x\nbin:x:3:3::/usr/sbin:/x\n";
        passwd += "ann:x:4:4::/users/ann:/x\nbob:x:5:5::/linked/bob:/x\ncopied:x:7:7::/copied:/x\n";
        passwd += &"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n".repeat(6000);
        passwd += "last:x:6:6::/opt/last:/x\n";
        assert!(passwd.len() > 256 << 10);
        write(&rootfs, "/etc/passwd", &passwd);

        // By a link into a volume, whose own link is absolute in the container.
        symlink("/data/home", rootfs.join("users")).unwrap();
        write(&host, "data/home/ann/.config/rclone/rclone.conf", &key());
        write(&host, "data/secrets/ann", &key());
        symlink("/data/secrets/ann", host.join("data/home/ann/.s3cfg")).unwrap();
        paths.extend(["/users/ann/.s3cfg", "/data/home/ann/.s3cfg", "/data/secrets/ann"].map(str::to_owned));
        for parent in ["/users", "/data/home"] {
            paths.push(format!("{parent}/ann/.config/rclone/rclone.conf"));
        }
        // A volume that is mounted by a link.
        symlink("../srv/./real", rootfs.join("linked")).unwrap();
        std::fs::create_dir_all(rootfs.join("srv/real")).unwrap();
        write(&host, "linked/bob/.aws/credentials", &key());
        paths.extend(["/linked/bob", "/srv/real/bob", "/dev/bob"].map(credentials));

        // A cluster's homes; a volume with homes of users that the image does not know of, also read-only.
        for n in 0..90 {
            write(&host, &format!("cluster/home/user{n}/.aws/credentials"), &key());
            paths.push(credentials(&format!("/mnt/user{n}")));
        }
        for home in ["team/eve", "home/eve", "eve"] {
            write(&host, &format!("volume/{home}/.aws/credentials"), &key());
            paths.extend(["/volume", "/readonly"].map(|at| credentials(&format!("{at}/{home}"))));
        }
        // A directory that the runtime makes, with a file mounted in it, and an overlay.
        write(&host, "one", &key());
        paths.push("/root/.aws/config".into());
        write(&host, "lower/.aws/credentials", &key());
        paths.push(credentials("/layers"));
        // What is below a tmpfs is copied into it.
        write(&rootfs, "/copied/.aws/credentials", &key());
        paths.push(credentials("/copied"));

        let stays = ["/volume/team/eve/notes", "/data/file", "/home/zoe/.bashrc"].map(str::to_owned);
        write(&host, "volume/team/eve/notes", "notes");
        write(&host, "data/file", "data");
        write(&rootfs, "/home/zoe/.bashrc", "alias");
        paths.extend(stays.clone());

        let mut spec = looking_for(&bench, &paths);
        spec["process"]["env"] = json!(["PATH=/bin", "HOME=/home/zoe"]);
        mount(&mut spec, &host.join("data"), "/data", &["rbind", "rprivate"]);
        mount(&mut spec, &host.join("linked"), "/linked", &["rbind", "rprivate"]);
        mount(&mut spec, &host.join("linked/bob"), "/dev/bob", &["rbind", "rprivate"]);
        mount(&mut spec, &host.join("cluster/home"), "/mnt", &["rbind", "rprivate"]);
        mount(&mut spec, &host.join("volume"), "/volume", &["rbind", "rprivate"]);
        mount(&mut spec, &host.join("volume"), "/readonly", &["rbind", "rprivate", "ro"]);
        mount(&mut spec, &host.join("one"), "/root/.aws/config", &["rbind", "ro"]);
        let lower = format!("lowerdir={0}/lower:{0}/cluster", host.display());
        spec["mounts"].as_array_mut().unwrap().extend([
            json!({"destination": "/layers", "type": "overlay", "source": "overlay", "options": ["ro", lower]}),
            json!({"destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
        ]);
        only_these_stay(kind, &bench, &spec, &paths, &stays);
    }
}

#[test]
fn a_home_that_is_not_absolute_is_refused_at_create_and_at_exec() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        write(&bench.host.dir().join("rootfs"), "/data/joe/.aws/credentials", &key());
        let mut spec = bench.spec("cd /; cat \"$HOME/.aws/credentials\"");
        spec["process"]["env"] = json!(["PATH=/bin", "HOME=data/joe"]);
        assert!(bench.open(&spec).out.contains("aws_access_key_id"), "{kind:?}");
        let why = "credential-files: HOME is not an absolute path; write it as the path of a directory, or set [rules] credential-files = \"allow\"";
        refused(&bench.closed(&spec), why).unwrap();
        let allowed = format!("runtime = [{:?}]\n[rules]\ncredential-files = \"allow\"\n", kind.runtime());
        assert!(bench.closed_with(&allowed, &spec).out.contains("aws_access_key_id"), "{kind:?}");

        // The same by a link that every process has.
        spec["process"]["cwd"] = json!("/data/joe");
        spec["process"]["env"][1] = json!("HOME=/proc/self/cwd");
        spec["process"]["args"][2] = json!("read line <\"$HOME/.aws/credentials\"; echo \"$line\"");
        assert!(bench.open(&spec).out.contains("[default]"), "{kind:?}");
        refused(&bench.closed(&spec), "credential-files: HOME leads through /proc").unwrap();

        let spec = bench.spec("trap exit TERM; echo up >/up; while :; do sleep 0.1; done");
        std::fs::remove_file(bench.host.dir().join("rootfs/up")).ok();
        let root = bench.host.at("state");
        let script = format!(
            "\"$@\" >/dev/null 2>&1 & for n in $(seq 300); do [ -e {up} ] && break; sleep 0.05; done
             code=0; \"$1\" --root {root} exec --env HOME=data/joe one /bin/sh -c 'cat /\"$HOME\"/.aws/credentials' || code=$?
             \"$1\" --root {root} kill one KILL; wait; exit $code",
            up = bench.host.at("rootfs/up"),
        );
        let open = bench.run_script(&script, kind.runtime(), &spec, &[]);
        assert!(open.out.contains("aws_access_key_id"), "{kind:?}: {open}");
        std::fs::remove_file(bench.host.dir().join("rootfs/up")).unwrap();
        refused(&bench.run_script(&script, &shim(), &isolated(&spec), &[]), why).unwrap();
    }
}

#[test]
fn more_homes_than_can_be_looked_into_are_refused() {
    let bench = Bench::new();
    let rootfs = bench.host.dir().join("rootfs");
    let users =
        |count: usize| (0..count).map(|n| format!("u{n}:x:{n}:{n}::/srv/u{n}:/bin/sh\n")).collect::<String>();
    let spec = bench.spec("echo started");
    write(&rootfs, "/etc/passwd", &users(10_000));
    assert!(bench.closed(&spec).out.contains("started"));
    write(&rootfs, "/etc/passwd", &users(17_000));
    let why =
        "credential-files: there are more than 16384 homes to search; mount fewer of them, or set [rules]";
    refused(&bench.closed(&spec), why).unwrap();
    write(&rootfs, "/etc/passwd", &"x".repeat(5 << 20));
    refused(&bench.closed(&spec), "credential-files: /etc/passwd of the image is larger than 4 MiB").unwrap();
}

/// A text that makes a place be masked, and one that does not.
fn texts(masked: Masked) -> (String, Option<&'static str>) {
    let (leads, other) = match masked {
        Masked::Always => return ("a credential".into(), None),
        Masked::Ecr => ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ghcr.io"),
        Masked::CodeArtifact => {
            ("https://d-1.d.codeartifact.eu-west-1.amazonaws.com/x", "https://pypi.org/simple")
        }
        Masked::Eks => ("https://X.gr7.eu-west-1.eks.amazonaws.com", "https://10.0.0.1:6443"),
        Masked::S3a => ("fs.s3a.secret.key x", "fs.s3a.endpoint x"),
        Masked::Credential => return (key(), Some("nothing of the kind")),
    };
    (leads.into(), Some(other))
}

#[test]
fn files_of_every_tool_are_masked_and_those_with_other_uses_only_when_they_lead_to_aws() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let rootfs = bench.host.dir().join("rootfs");
        write(&rootfs, "/etc/passwd", "root:x:0:0::/root:/bin/sh\na:x:1:1::/opt/a:/bin/sh\n");
        let (mut paths, mut stays) = (Vec::new(), Vec::new());
        for place in paths::IN_HOMES {
            let (leads, other) = texts(place.masked);
            write(&rootfs, &format!("/root/{}", place.path), &leads);
            paths.push(format!("/root/{}", place.path));
            if let Some(other) = other {
                write(&rootfs, &format!("/opt/a/{}", place.path), other);
                stays.push(format!("/opt/a/{}", place.path));
            }
        }
        for place in paths::ABSOLUTE {
            write(&rootfs, place.path, &texts(place.masked).0);
            paths.push(place.path.to_owned());
        }
        let mut env = vec!["PATH=/bin".to_owned(), "XDG_CONFIG_HOME=/xdg/config".to_owned()];
        for (name, inside, masked) in paths::NAMED {
            env.push(format!("{name}=/named/{name}"));
            let files = if inside.is_empty() {
                vec![format!("/named/{name}")]
            } else {
                inside.iter().map(|file| format!("/named/{name}/{file}")).collect()
            };
            for file in files {
                write(&rootfs, &file, &texts(masked).0);
                paths.push(file);
            }
        }
        write(&rootfs, "/xdg/config/rclone/rclone.conf", "a credential");
        paths.push("/xdg/config/rclone/rclone.conf".into());
        // Secrets: of Docker one by one, of systemd in a directory.
        let host = bench.dir("secrets");
        write(&host, "aws-secret-access-key", "x");
        write(&host, "job.json", &format!("{{\"aws\": \"AKIA{}\"}}", "IOSFODNN7EXAMPLE"));
        write(&host, "db_password", "hunter2");
        env.push("CREDENTIALS_DIRECTORY=/run/credentials/job".into());
        for directory in ["/run/secrets", "/run/credentials/job"] {
            paths.extend(["aws-secret-access-key", "job.json"].map(|name| format!("{directory}/{name}")));
            stays.push(format!("{directory}/db_password"));
        }
        // A Secret of Kubernetes, with its links, wherever it is mounted; a host's file of a tool, under another name.
        let secret = bench.dir("secret");
        write(&secret, "..2026/AWS_SECRET_ACCESS_KEY", "x");
        write(&secret, "..2026/credentials", &key());
        write(&secret, "..2026/config", "log = debug");
        symlink("..2026", secret.join("..data")).unwrap();
        for name in ["AWS_SECRET_ACCESS_KEY", "credentials", "config"] {
            symlink(format!("..data/{name}"), secret.join(name)).unwrap();
        }
        paths.extend(["/etc/job/AWS_SECRET_ACCESS_KEY", "/etc/job/credentials"].map(str::to_owned));
        stays.push("/etc/job/config".into());
        write(&host, "home/.s3cfg", "a credential");
        paths.push("/etc/s3.conf".into());
        paths.extend(stays.clone());

        let mut spec = looking_for(&bench, &paths);
        spec["process"]["env"] = json!(env);
        mount(&mut spec, &secret, "/etc/job", &["rbind", "ro"]);
        mount(&mut spec, &host.join("home/.s3cfg"), "/etc/s3.conf", &["rbind", "ro"]);
        for name in ["aws-secret-access-key", "job.json", "db_password"] {
            mount(&mut spec, &host.join(name), &format!("/run/secrets/{name}"), &["rbind", "ro"]);
        }
        mount(&mut spec, &host, "/run/credentials/job", &["rbind", "ro"]);
        only_these_stay(kind, &bench, &spec, &paths, &stays);
    }
}

/// Values that are a credential, under names that say nothing.
fn values() -> Vec<(&'static str, String)> {
    let secret = ["wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYEXAMPLEKEY"].concat();
    let answer = format!(r#"{{"Credentials":{{"SecretAccessKey":"{secret}","SessionToken":"x"}}}}"#);
    let encoded = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    vec![
        ("JOB_JSON", format!(r#"{{"aws_secret_access_key": "{secret}"}}"#)),
        ("JOB_FILE", encoded(&key())),
        ("JOB_ANSWER", encoded(&answer)),
        ("JOB_STS", answer),
        ("JOB_NEXT", "https://x/?next=https%3A%2F%2Fb%2Fk%3FX-Amz-Signature%3D1".into()),
        ("SPARK_CONF", format!("spark.hadoop.fs.s3a.secret.key={secret}")),
        ("TF_VAR_secret_key", secret),
        ("JOB_URL", "https://d.cloudfront.net/x?Policy=a&Signature=b&Key-Pair-Id=K1".into()),
        ("JOB_CLUSTER", "{server: https://X.eks.amazonaws.com, client-key-data: x}".into()),
    ]
}

#[test]
fn values_and_the_environment_of_hooks_inside_hold_no_credential() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut findings = Findings::default();
        let values = values();
        let mut env = vec!["PATH=/bin".to_owned(), "KEPT=1".to_owned()];
        env.extend(values.iter().map(|(name, value)| format!("{name}={value}")));
        let mut spec = bench.spec("env; cat /started /created");
        spec["process"]["env"] = json!(env);
        let of_hook = json!(["PATH=/bin", "HOOK_KEPT=1", "AWS_SECRET_ACCESS_KEY=of-a-hook"]);
        // It takes the state, whose writer fails otherwise if it comes late.
        let hook = |to: String| json!({"path": "/bin/sh", "args": ["sh", "-c", format!("env >{to}; while read -r _; do :; done")], "env": of_hook});
        // One is a program of the machine, from before the root file system is entered; one of the container.
        spec["hooks"] = json!({
            "createContainer": [hook(bench.host.at("rootfs/created"))],
            "startContainer": [hook("/started".into())],
        });
        let names = |said: &Finished| -> Vec<String> {
            let name = |line: &str| line.split_once('=').map(|(name, _)| name.to_owned());
            said.out.lines().filter_map(name).collect()
        };
        let count = |said: &Finished, name: &str| names(said).iter().filter(|found| *found == name).count();

        let open = bench.open(&spec);
        for (name, _) in &values {
            findings.claim(
                count(&open, name) == 1,
                format!("{kind:?}: {name} is not there without the shim: {open}"),
            );
        }
        let of_hooks = |said: &Finished| (count(said, "HOOK_KEPT"), count(said, "AWS_SECRET_ACCESS_KEY"));
        findings.claim(of_hooks(&open) == (2, 2), format!("{kind:?}: hooks without the shim: {open}"));
        let closed = bench.closed(&spec);
        for (name, _) in &values {
            findings.claim(count(&closed, name) == 0, format!("{kind:?}: {name} is there"));
        }
        findings.claim(of_hooks(&closed) == (2, 0), format!("{kind:?}: hooks: {closed}"));
        findings.claim(count(&closed, "KEPT") == 1, format!("{kind:?}: {closed}"));
        findings.settle();

        let id = format!("AKIA{}", "IOSFODNN7EXAMPLE");
        spec["hooks"]["startContainer"][0]["args"][2] = json!(format!("echo {id} >/started"));
        let said = bench.closed(&spec);
        refused(&said, "credential-args: argument 2 of startContainer hook 0 holds an access key id")
            .unwrap();
        assert!(!said.err.contains(&id), "{said}");
    }
}

#[test]
fn a_presigned_url_among_the_arguments_is_refused_with_the_setting_that_lets_it_through() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let url = "https://b.s3.amazonaws.com/k?X-Amz-Signature=1";
        let mut spec = bench.spec("");
        spec["process"]["args"] = json!(["echo", url]);
        assert!(bench.open(&spec).out.contains(url), "{kind:?}");
        let why = "credential-args: argument 1 holds a presigned URL; the container has no network, so the URL would not \
                   work; pass data by a mount, or set [rules] credential-args = \"allow\"";
        refused(&bench.closed(&spec), why).unwrap();
        let allowed = format!("runtime = [{:?}]\n[rules]\ncredential-args = \"allow\"\n", kind.runtime());
        assert!(bench.closed_with(&allowed, &spec).out.contains(url), "{kind:?}");
    }
}
