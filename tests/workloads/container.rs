//! A container of the tree that `hack/workloads` made, on a throw-away host: own mount, pid and network namespaces, an
//! empty `/run`, and a layer over the tree that goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::recorded::spec::SWITCH;
use test_support::{cached, isolatectl, shim};

use super::foretold::observed;

/// What dockerd hands over for a container that was started without a flag.
const DOCKER: &str = include_str!("../data/config/docker-20.10-default.json");

/// `$S` is run on the host, with `$R` for the runtime with its root and `$D` for the directory. runc 1.1.5 leaves
/// nothing in control groups but the parent that it made.
const HOST: &str = r#"set -eu
    mount -t tmpfs -o mode=0755 tmpfs /run; umount /sys/fs/cgroup/unified 2>/dev/null || true; ip link set lo up
    mkdir "$D/layer"; mount -t tmpfs tmpfs "$D/layer"; mkdir "$D/layer/upper" "$D/layer/work"
    mount -t overlay -o "lowerdir=$TREE,upperdir=$D/layer/upper,workdir=$D/layer/work" overlay "$D/bundle/rootfs"
    cp -r "$PROGRAMS" "$D/bundle/rootfs/work"; chmod -R a+rX "$D/bundle/rootfs/work"
    cp -r "$D/planted" "$D/bundle/rootfs/planted"; chmod 1777 "$D/bundle/rootfs/tmp"
    cd "$D"; status=0; sh -c "$S" </dev/null || status=$?
    $R delete --force web 2>/dev/null || true
    find /sys/fs/cgroup/*"$GROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    exit $status"#;

/// The container is created as an engine does it, and what it says is everything that is said. The address is that of
/// the ECS agent, so that a container can play that part to itself.
pub(crate) const AS_AN_ENGINE: &str = r#"
    $R create --bundle "$D/bundle" --pid-file "$D/pid" web >"$D/out" 2>&1 || { cat "$D/out"; exit 1; }
    nsenter --net --target "$(cat "$D/pid")" ip addr add 169.254.170.2/32 dev lo
    $R start web
    until $R state web | grep -q '"status": "stopped"'; do sleep 0.05; done
    cat "$D/out""#;

/// A container in the making.
pub(crate) struct Container {
    dir: TempDir,
    pub(crate) config: Value,
    /// Of the shim; by default none, whatever the machine has.
    pub(crate) settings: &'static str,
}

/// Settings that count what the container tries to reach.
pub(crate) const COUNTING: &str = "[attempts]\ncount = true\n";

/// What was said, how long it took is not part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Container {
    /// A container that runs a shell script in `/work`, where `tests/workloads/programs` are.
    pub(crate) fn of(script: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make namespaces and mounts; run them as root");
        let dir = tempfile::Builder::new().prefix("oci-isolate-").tempdir().unwrap();
        // Containers look from inside as other users too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bundle", "bundle/rootfs", "planted"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut config: Value = serde_json::from_str(DOCKER).unwrap();
        let name = config["hostname"].as_str().unwrap().to_owned();
        for (file, text) in [
            ("resolv.conf", "nameserver 192.0.2.1\n".to_owned()),
            ("hostname", format!("{name}\n")),
            ("hosts", format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n172.17.0.2\t{name}\n")),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        for mount in config["mounts"].as_array_mut().unwrap() {
            let source = PathBuf::from(mount["source"].as_str().unwrap());
            if source.is_absolute() {
                mount["source"] = json!(dir.path().join(source.file_name().unwrap()));
            }
        }
        config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        config["process"]["cwd"] = json!("/work");
        // The one that plumbs is dockerd itself.
        config.as_object_mut().unwrap().remove("hooks");
        let mut container = Self { dir, config, settings: "" };
        container.config["linux"]["cgroupsPath"] = json!(format!("{}/web", container.group()));
        container.variables(&["AWS_SECRET_ACCESS_KEY=x".to_owned()]);
        container
    }

    /// More variables.
    pub(crate) fn variables(&mut self, entries: &[String]) {
        let env = self.config["process"]["env"].as_array_mut().unwrap();
        env.extend(entries.iter().map(|entry| json!(entry)));
    }

    /// A file in `/planted`.
    pub(crate) fn plant(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("planted").join(name), text).unwrap();
    }

    /// A file beside the bundle, `$D/name` for the host's script.
    pub(crate) fn write(&self, name: &str, value: &Value) {
        fs::write(self.dir.path().join(name), value.to_string()).unwrap();
    }

    /// A file that the host's script left beside the bundle.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Runs a script on a fresh host, where `$R` is the shim.
    pub(crate) fn host(&self, isolated: bool, script: &str) -> Said {
        self.host_with(isolated.then_some("true"), script)
    }

    /// The same with a value of the annotation.
    pub(crate) fn host_with(&self, switch: Option<&str>, script: &str) -> Said {
        let mut config = self.config.clone();
        if let Some(switch) = switch {
            config["annotations"][SWITCH] = json!(switch);
        }
        self.write("bundle/config.json", &config);
        fs::write(self.dir.path().join("config.toml"), self.settings).unwrap();
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["bash", "-c", HOST]).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("S", script);
        command.env("D", self.dir.path()).env("TREE", tree()).env("GROUP", self.group());
        command.env("PROGRAMS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workloads/programs"));
        command.env("OCI_ISOLATE_CONFIG", self.dir.path().join("config.toml"));
        command.env("ISOLATECTL", isolatectl());
        command.env("R", format!("{} --root {}", shim().display(), self.dir.path().join("root").display()));
        let output = command.output().unwrap();
        // The layer's mount point, for the next host.
        let _ = fs::remove_dir(self.dir.path().join("layer"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn group(&self) -> String {
        format!("/{}", self.dir.path().file_name().unwrap().to_str().unwrap())
    }
}

/// Runs a workload both ways, isolated once more with attempts counted, and observed, and says what it said, which is the same. A
/// line before it tells that the one container was isolated and the other not.
#[track_caller]
pub(crate) fn works(script: &str, change: impl FnOnce(&mut Container)) -> String {
    let told = r#"echo "${AWS_SECRET_ACCESS_KEY+not }isolated""#;
    let mut container = Container::of(&format!("{told}\n{script}"));
    change(&mut container);
    let run = r#"exec $R run --bundle "$D/bundle" web"#;
    let [bare, isolated] = [false, true].map(|isolated| container.host(isolated, run));
    let said = isolated.out.strip_prefix("isolated\n").unwrap_or_else(|| panic!("{isolated:?}"));
    assert_eq!(bare.out.strip_prefix("not isolated\n"), Some(said), "\n{bare:?}\n{isolated:?}");
    assert_eq!((isolated.status, bare.status), (0, 0), "\n{bare:?}\n{isolated:?}");
    container.settings = COUNTING;
    let counting = container.host(true, run);
    assert_eq!((counting.status, &counting.out), (0, &isolated.out), "\n{isolated:?}\n{counting:?}");
    let observed = observed(&mut container, run);
    assert_eq!((observed.status, &observed.out), (0, &bare.out), "\n{observed:?}\n{bare:?}");
    said.to_owned()
}

/// The tree, which no container writes to.
fn tree() -> PathBuf {
    cached("workloads/rootfs", "hack/workloads")
}
