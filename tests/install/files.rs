//! What becomes of files: to the byte, and nothing at all where something is wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::isolatectl;

use crate::{install, installed};
use test_support::command::{Finished, command, say, wait_for};

/// Files as people have them, by engine; the text that must be in them afterwards.
const FILES: [(&str, &str, &str); 20] = [
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
    (
        "containerd",
        "version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/x' # theirs\n",
        "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.oci-isolate]\n",
    ),
    ("containerd", "# nothing else\n", "# nothing else\nversion = "),
    (
        "containerd",
        "\u{feff}version = 2 # two\r\n\r\n[debug]\r\nlevel = 'info'\r\n",
        "\u{feff}version = 2 # two\r\n",
    ),
    ("docker", "{\r\n  \"runtimes\": {\r\n  }\r\n}\r\n", "\"runtimes\": {\r\n        \"oci-isolate\": "),
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
        // As the default the handler has its root, and else the same one as its own.
        "[crio.runtime.runtimes.crun]\nruntime_path = \"/usr/bin/crun\"\nruntime_root = \"/run/crio/oci-isolate\"\nmonitor_path = \"/usr/libexec/conmon\"\n",
        "runtime_type = \"oci\"\nruntime_root = \"/run/crio/oci-isolate\"\nmonitor_path = \"/usr/libexec/conmon\"\n",
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
            if text.contains("\r\n") && engine != "docker" {
                assert!(!now.replace("\r\n", "").contains('\n'), "{engine} {now:?}");
            }
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

/// The second time as the default, which has to go again too.
#[test]
fn a_file_that_install_made_and_changed_goes_with_uninstall() {
    for engine in ["docker", "containerd", "podman"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        installed(engine, &file, &[]);
        assert!(installed(engine, &file, &["--default"]).starts_with("changed"), "{engine}");
        installed(engine, &file, &["--uninstall"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{engine}");
    }
}

/// CRI-O asks the runtime for the containers of a pod without a handler in the root of the default: after a restart, those
/// that run are not found in another one, and are created again beside their processes.
#[test]
fn a_default_of_crio_has_the_root_of_the_one_before() {
    let crun = |root: &str| {
        format!(
            "[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\nruntime_path = \"/usr/bin/crun\"\n{root}"
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let roots = |text: &str| {
        text.lines().filter(|line| line.starts_with("runtime_root")).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = "runtime_root = \"/run/crio/oci-isolate\"";
    for root in ["runtime_root = \"/run/crun\"", ""] {
        let of_crun: Vec<_> = Some(root).filter(|root| !root.is_empty()).into_iter().collect();
        fs::write(&file, crun(root)).unwrap();
        let said = installed("crio", &file, &["--default"]);
        assert!(said.contains("\nnote     it has the root of the handler that was the default, "), "{said}");
        assert_eq!(roots(&fs::read_to_string(&file).unwrap()), [&of_crun[..], &of_crun].concat());
        installed("crio", &file, &["--uninstall"]);
        let said = installed("crio", &file, &[]);
        assert!(!said.contains("note     it has the root"), "{said}");
        let with_own = fs::read_to_string(&file).unwrap();
        assert_eq!(roots(&with_own), [&of_crun[..], &[own]].concat());
        // Both may have pods.
        let said = install("crio", &file, &["--default"]);
        let why = "the pods of handler oci-isolate are in /run/crio/oci-isolate, those of the default in ";
        let err = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success() && err.contains(why), "{err}");
        assert_eq!(fs::read_to_string(&file).unwrap(), with_own);
        installed("crio", &file, &["--default", "--name=all"]);
        assert_eq!(roots(&fs::read_to_string(&file).unwrap()), [&of_crun[..], &[own], &of_crun].concat());
        installed("crio", &file, &["--uninstall", "--name=all"]);
        installed("crio", &file, &["--uninstall"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), crun(root));
    }
}

/// CRI-O reads every file there is in crio.conf.d, whatever its name; one that sorts behind ours would win.
#[test]
fn in_a_directory_of_drop_ins_no_other_file_appears() {
    for (engine, name, text) in [
        ("crio", "crio.conf.d", "[crio.runtime]\ndefault_runtime = \"crun\"\n"),
        ("podman", "containers.conf.d", "[engine]\nruntime = \"crun\"\n"),
        ("containerd", "conf.d", "version = 3\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(name)).unwrap();
        let file = dir.path().join(name).join("10-theirs.conf");
        fs::write(&file, text).unwrap();
        installed(engine, &file, &["--default"]);
        assert_eq!(fs::read_dir(dir.path().join(name)).unwrap().count(), 1, "{engine}");
        installed(engine, &file, &["--uninstall"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{engine}");
    }
}

/// `nvidia-container-runtime` and its like: a container that asks for nothing is to be as before.
#[test]
fn another_runtime_than_the_shims_own_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("gpu-runtime");
    fs::copy("/bin/true", &own).unwrap();
    let own = own.to_str().unwrap();
    let containerd = |binary: &str, default: &str| {
        let containerd = "plugins.'io.containerd.cri.v1.runtime'.containerd";
        format!(
            "version = 3\n[{containerd}]\ndefault_runtime_name = '{default}'\n[{containerd}.runtimes.gpu]\n\
             [{containerd}.runtimes.gpu.options]\nBinaryName = '{binary}'\n\
             [{containerd}.runtimes.other]\nruntime_type = 'io.containerd.kata.v2'\n"
        )
    };
    for (engine, text, is_named) in [
        (
            "docker",
            format!("{{\"default-runtime\": \"gpu\", \"runtimes\": {{\"gpu\": {{\"path\": \"{own}\"}}}}}}"),
            true,
        ),
        ("docker", format!("{{\"runtimes\": {{\"gpu\": {{\"path\": \"{own}\"}}}}}}"), false),
        ("containerd", containerd(own, "gpu"), true),
        ("containerd", containerd("runc", "gpu"), false),
        ("containerd", containerd(own, "other"), false),
        (
            "crio",
            format!(
                "[crio.runtime]\ndefault_runtime = 'gpu'\n[crio.runtime.runtimes.gpu]\nruntime_path = '{own}'\n"
            ),
            true,
        ),
    ] {
        let file = dir.path().join("file");
        fs::write(&file, &text).unwrap();
        // Also when there is nothing to do, and at the next time as the default.
        for more in [&[][..], &[], &["--default"]] {
            // CRI-O's handler has a root of its own by then.
            if engine == "crio" && !more.is_empty() {
                installed(engine, &file, &["--uninstall"]);
            }
            let said = installed(engine, &file, more);
            let note = format!(
                "note     the engine's default runs {own}, and oci-isolate would run /usr/sbin/runc: "
            );
            assert_eq!(said.contains(&note), is_named, "{engine} {text}\n{said}");
            if more.is_empty() {
                assert_eq!(said.contains("note"), is_named, "{said}");
            }
        }
        installed(engine, &file, &["--uninstall"]);
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
        ("docker", "{\"runtimes\": {}, \"runtimes\": {}}", "appears twice"),
        ("docker", "{\"runtimes\": []}", "is not an object"),
        ("docker", "[]", "expected an object"),
        ("containerd", "version = 2\nroot = \n", "line 2, column 8"),
        ("containerd", "version = 1\n", "containerd config migrate"),
        ("containerd", "root = \"/x\"\n", "containerd config migrate"),
        ("containerd", "version = 5\n", "its version is 5, and 2, 3 and 4 are known"),
        ("containerd", "disabled_plugins = [\"cri\"]\n", "disabled_plugins has \"cri\""),
        (
            "containerd",
            "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']\n",
            "so no pods run in this containerd",
        ),
        ("containerd", "version = 2\r\nroot = '/x'\n", "some of its lines end in CR LF and some in LF"),
        ("docker", "\u{feff}{}", "expected value at line 1 column 1"),
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

/// The error, of an `install` that has to fail and leave the directory as it is.
#[track_caller]
fn refused(file: &Path, run: impl FnOnce() -> Finished) -> String {
    let look = || {
        let entries = fs::read_dir(file.parent().unwrap()).unwrap();
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = look();
    let said = run();
    assert_eq!(said.status, Some(1), "{said}");
    assert!(said.err.lines().count() == 1 && said.out.is_empty(), "{said}");
    assert_eq!(look(), before, "{said}");
    said.err
}

/// A directory that everybody can look into, with a copy of the program.
fn open_to_all() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(isolatectl(), dir.path().join("isolatectl")).unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    dir
}

#[test]
fn without_the_rights_or_on_a_read_only_disk_nothing_changes_and_the_cause_is_said() {
    let dir = open_to_all();
    let file = dir.path().join("etc/daemon.json");
    let script = "file=$1 program=$2; shift 2; exec \"$@\" \"$program\" install docker --runtime-path /bin/true --config \"$file\"";
    let run = |before: &str, by: &[&str]| {
        let script = format!("{before}\n{script}");
        let mut shell = command("unshare");
        shell.args(["--mount", "sh", "-euc", &script, "sh"]).arg(&file).arg(dir.path().join("isolatectl"));
        say(shell.args(by))
    };
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    fs::write(&file, "{}").unwrap();
    let err = refused(&file, || run("", &nobody));
    assert!(err.contains("daemon.json") && err.contains("Permission denied"), "{err}");
    let read_only = "mount --bind \"${1%/*}\" \"${1%/*}\"; mount -o remount,bind,ro \"${1%/*}\"";
    let err = refused(&file, || run(read_only, &["env"]));
    assert!(err.contains("daemon.json") && err.contains("Read-only file system"), "{err}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let err = refused(&file, || run("", &nobody));
    assert!(err.contains("cannot read") && err.contains("Permission denied"), "{err}");
    fs::remove_file(&file).unwrap();
    let err = refused(&file, || run("", &nobody));
    assert!(err.contains("cannot create") && err.contains("Permission denied"), "{err}");
}

#[test]
fn runs_at_the_same_time_lose_nothing_of_each_other() {
    for (engine, text) in [("docker", "{\"a\": 1}\n"), ("podman", "[engine]\nruntime = 'crun'\n")] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, text).unwrap();
        let at_once = |more: &[&str]| {
            std::thread::scope(|scope| {
                for number in 0..8 {
                    let name = format!("--name=runtime{number}");
                    let file = &file;
                    scope.spawn(move || installed(engine, file, &[more, &[name.as_str()]].concat()));
                }
            });
        };
        at_once(&[]);
        let now = fs::read_to_string(&file).unwrap();
        assert!((0..8).all(|number| now.contains(&format!("runtime{number}"))), "{now}");
        at_once(&["--uninstall"]);
        let left = fs::read_to_string(&file).unwrap();
        // Podman's lists name the shim's file as often as it was installed; which of them was first is unknown.
        assert!(if engine == "docker" { left == text } else { !left.contains("runtime0") }, "{left}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something stayed behind");
    }
}

/// An editor that saves while `install` is between its read and its write, which strace(1) makes long.
#[test]
fn what_somebody_else_writes_meanwhile_stays_and_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("daemon.json");
    fs::write(&file, "{\"a\": 1}").unwrap();
    let mut slow = Command::new("strace");
    slow.args(["-qq", "-o", "/dev/null", "-e", "inject=fdatasync:delay_exit=3000000:when=1"])
        .arg(isolatectl());
    slow.args(["install", "docker", "--config"]).arg(&file).stderr(std::process::Stdio::piped());
    let slow = slow.spawn().unwrap();
    let began = || fs::read_dir(dir.path()).unwrap().nth(1).map(|_| ());
    assert!(wait_for(Duration::from_secs(20), began).is_some(), "install did not begin");
    fs::write(dir.path().join("new"), "{\"a\": 2}").unwrap();
    fs::rename(dir.path().join("new"), &file).unwrap();
    let output = slow.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && err.contains("another process is changing it; try again"),
        "{err}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"a\": 2}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something stayed behind");
}

/// As people keep their configuration elsewhere: the directory is a link, and the file a chain of two.
#[test]
fn links_of_any_kind_stay_and_what_is_kept_lies_beside_the_file_itself() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("dotfiles/docker")).unwrap();
    let real = dir.path().join("dotfiles/docker/real.json");
    fs::write(&real, "{}").unwrap();
    symlink("real.json", dir.path().join("dotfiles/docker/daemon.json")).unwrap();
    symlink("dotfiles/docker", dir.path().join("docker")).unwrap();
    let link = dir.path().join("docker/daemon.json");
    installed("docker", &link, &[]);
    assert!(link.is_symlink() && fs::read_to_string(&real).unwrap().contains("oci-isolate"));
    assert!(dir.path().join("dotfiles/docker/real.json.before-oci-isolate").exists());
    installed("docker", &link, &["--uninstall"]);
    assert!(link.is_symlink() && dir.path().join("docker").is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "{}");
    assert_eq!(fs::read_dir(dir.path().join("docker")).unwrap().count(), 2, "something stayed behind");
}
