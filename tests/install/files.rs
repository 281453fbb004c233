//! What becomes of files: to the byte, and nothing at all where something is wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::{install, installed};

/// Files as people have them, by engine; the text that must be in them afterwards.
const FILES: [(&str, &str, &str); 16] = [
    ("docker", "", r#""oci-isolate": {"path": "#),
    ("docker", "{}", r#"{"runtimes": {"oci-isolate": {"path": "#),
    ("docker", "{ }\n", r#""oci-isolate": {"path": "#),
    ("docker", "{\n}\n", "\n    \"runtimes\": {\n        \"oci-isolate\": {\"path\": "),
    ("docker", "\t{\"runtimes\" :{ } ,\"x\":1.50e3}\r\n", "\"x\":1.50e3"),
    (
        "docker",
        "{\n\t\"debug\": true,\n\t\"runtimes\": {\n\t\t\"kata\": {\"runtimeType\": \"io.containerd.kata.v2\"}\n\t},\n\t\"x\": [1,  2]\n}\n",
        "\"io.containerd.kata.v2\"},\n\t\t\"oci-isolate\": {\"path\": ",
    ),
    ("containerd", "version = 2", "runtimes.runc]"),
    (
        "containerd",
        "# theirs\nversion = 3 # three\nroot = '/x'\n",
        "# theirs\nversion = 3 # three\nroot = '/x'\n",
    ),
    (
        "containerd",
        "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    x = 1 # one\n    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n      runtime_type = \"io.containerd.runc.v2\"\n      base_runtime_spec = \"/etc/spec.json\"\n      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n        SystemdCgroup = true\n        BinaryName = \"crun\"\n# the end\n",
        "SystemdCgroup = true\nBinaryName = \"/",
    ),
    (
        "containerd",
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'crun' # fast\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]\ncrun = { runtime_type = 'io.containerd.runc.v2', options = { BinaryName = '/usr/bin/crun', SystemdCgroup = true } }\n",
        "SystemdCgroup = true",
    ),
    ("podman", "", "runtime_supports_json = [\"crun\", \"runc\", "),
    (
        "podman",
        "[engine]\nruntime_supports_json = [\n  \"crun\", # theirs\n]\n",
        "\"crun\", \"oci-isolate\", # theirs",
    ),
    ("podman", "engine.runtime = \"crun\"\n", "oci-isolate = ["),
    ("podman", "[engine]\nruntimes = { mine = [\"/x\"] }\n", "mine = [\"/x\"]"),
    ("crio", "", "[crio.runtime.runtimes.oci-isolate]\nruntime_path = "),
    (
        "crio",
        "[crio.runtime.runtimes.crun]\nruntime_path = \"/usr/bin/crun\"\nmonitor_path = \"/usr/libexec/conmon\"\n",
        "runtime_type = \"oci\"\nmonitor_path = \"/usr/libexec/conmon\"\n",
    ),
];

#[test]
fn after_install_it_is_in_and_after_uninstall_every_byte_is_as_before() {
    for (engine, text, holds) in FILES {
        for default in [&[][..], &["--default"]] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("file");
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
            let dry = installed(engine, &file, &[default, &["--dry-run"]].concat());
            assert!(dry.starts_with("--- "), "{dry}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "a dry run changed something");
            installed(engine, &file, default);
            let now = fs::read_to_string(&file).unwrap();
            assert!(now.contains(holds), "{engine} {text:?} became\n{now}");
            assert_eq!(
                default.is_empty(),
                !now.contains("\"oci-isolate\"\n")
                    && !now.contains("= \"oci-isolate\"")
                    && !now.contains("runtime\": \"oci-isolate\""),
                "{now}"
            );
            assert!(installed(engine, &file, default).starts_with("no change"), "{now}");
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
            installed(engine, &file, &["--uninstall"]);
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "{engine}\n{now}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something stayed behind");
            assert!(installed(engine, &file, &["--uninstall"]).starts_with("no change"));
        }
    }
}

#[test]
fn a_file_that_install_made_goes_with_uninstall() {
    for engine in ["docker", "containerd", "podman", "crio"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/file");
        installed(engine, &file, &["--default"]);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        installed(engine, &file, &["--uninstall"]);
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 0, "{engine}");
    }
}

#[test]
fn what_others_changed_meanwhile_stays() {
    for (engine, text, from, to) in [
        ("docker", "{\"a\": 1, \"default-runtime\": \"runc\"}", "\"a\": 1", "\"a\": 2, \"b\": {}"),
        (
            "containerd",
            "version = 2\nroot = \"/a\"\n",
            "root = \"/a\"\n",
            "root = \"/b\" # moved\n[debug]\nlevel = \"info\"\n",
        ),
        ("podman", "[engine]\nruntime = \"crun\"\n", "[engine]\n", "[network]\nx = 1\n[engine]\n# theirs\n"),
        (
            "crio",
            "[crio.runtime]\ndefault_runtime = \"crun\"\n",
            "[crio.runtime]\n",
            "[crio.image]\npause_image = \"x\"\n[crio.runtime]\n",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, text).unwrap();
        installed(engine, &file, &["--default"]);
        let edited = fs::read_to_string(&file).unwrap().replacen(from, to, 1);
        fs::write(&file, edited).unwrap();
        installed(engine, &file, &["--uninstall"]);
        let left = fs::read_to_string(&file).unwrap();
        assert_eq!(left.trim(), text.replacen(from, to, 1).trim(), "{engine}");
    }
}

#[test]
fn a_file_that_does_not_parse_is_left_alone_and_the_place_is_named() {
    for (engine, text, place) in [
        ("docker", "{\n  \"a\": 1,\n}\n", "line 3 column 1"),
        ("docker", "{\"runtimes\": {}, \"runtimes\": {}}", "is there twice"),
        ("docker", "{\"runtimes\": []}", "is not an object"),
        ("docker", "[]", "expected an object"),
        ("containerd", "version = 2\nroot = \n", "line 2, column 8"),
        ("containerd", "version = 1\n", "containerd config migrate"),
        ("containerd", "root = \"/x\"\n", "containerd config migrate"),
        ("containerd", "version = 2\nplugins = 3\n", "plugins is not a table"),
        ("podman", "[engine]\n[engine]\n", "line 2, column"),
        ("podman", "[engine]\nruntime_supports_json = 1\n", "is not a list"),
        ("crio", "x", "line 1, column"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, text).unwrap();
        let output = install(engine, &file, &[]);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{engine} {text:?}");
        assert!(
            err.contains(place) && err.contains(file.to_str().unwrap()) && err.lines().count() == 1,
            "{err}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_link_is_followed_to_the_file_and_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.json"), dir.path().join("daemon.json"));
    fs::write(&real, "{}").unwrap();
    symlink("real.json", &link).unwrap();
    assert!(installed("docker", &link, &[]).contains("real.json"));
    assert!(link.is_symlink() && fs::read_to_string(&real).unwrap().contains("oci-isolate"));
    installed("docker", &link, &["--uninstall"]);
    assert!(link.is_symlink() && fs::read_to_string(&real).unwrap() == "{}");
    fs::remove_file(&real).unwrap();
    assert_eq!(install("docker", &link, &[]).status.code(), Some(1), "a link to nowhere was followed");
}

#[test]
fn a_shim_that_is_not_there_and_names_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("daemon.json");
    for (more, words) in [
        (&["--runtime-path=/nowhere/oci-isolate"][..], "/nowhere/oci-isolate"),
        (&["--runtime-path=oci-isolate"], "not an absolute path"),
        (&["--runtime-path=/etc/passwd"], "not an executable"),
        (&["--name=runc"], "choose another --name"),
        (&["--name=a/b"], "cannot name a runtime"),
    ] {
        let output = install("docker", &file, more);
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && err.contains(words), "{more:?}: {err}");
    }
    let err = install("podman", &file, &["--always"]).stderr;
    assert!(String::from_utf8(err).unwrap().contains("only Docker"));
    assert!(!file.exists());
}
