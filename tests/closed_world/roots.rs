//! The root file system: what is mounted below it, the sockets in it, what it lies on, what it is.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use test_support::ISOLATE;
use test_support::bench::{Bench, TOKEN, listen, refused, tools};
use test_support::command::{Finished, wait_for};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::image;
use test_support::podman::{Podman, Release, User};

/// Serves the token on the host, or in a chroot that is the root.
struct Daemon<'b> {
    bench: &'b Bench,
    pid: String,
}

impl<'b> Daemon<'b> {
    fn start(bench: &'b Bench, path: &str, there: &Path, within_root: bool) -> Self {
        let root = bench.host.at("rootfs");
        let seen = if within_root { "" } else { &root };
        let script = format!(
            "socket(S,1,1,0); bind(S,pack('Sa*',1,\"{path}\\0\")) or die $!; listen(S,5); \
             while (accept(C,S)) {{ print C \"{TOKEN}\\n\"; close C }}"
        );
        let script = format!("open(P,'>','{seen}/serve.pid'); print P $$; close P; {script}");
        fs::write(bench.dir("rootfs").join("serve.pl"), script).unwrap();
        let script = format!("{root}/serve.pl");
        match within_root {
            true => bench.host.daemon("serve", "chroot", &[&root, "perl", "/serve.pl"], &[]),
            false => bench.host.daemon("serve", "perl", &[&script], &[]),
        }
        wait_for(Duration::from_secs(10), || there.exists().then_some(())).unwrap();
        let pid = fs::read_to_string(bench.dir("rootfs").join("serve.pid")).unwrap();
        Self { bench, pid }
    }

    fn end(self) {
        let pid = self.pid;
        let gone = format!("kill -KILL {pid}; while [ -e /proc/{pid}/exe ]; do sleep 0.01; done");
        self.bench.host.sh(&gone).must();
    }
}

/// Asks the daemon that listens at a place of the root.
fn connect(at: &str) -> String {
    format!("perl /connect.pl {at} 2>&1; echo ran")
}

fn claim(findings: &mut Findings, what: &str, bare: &Finished, closed: &Finished, open: &str, words: &str) {
    findings.claim(bare.out.contains(open), format!("{what} is not open without the shim: {bare}"));
    findings.about(what, refused(closed, words).err().into_iter().collect());
}

/// Runtimes bind the root with all that is mounted below it, files too.
#[test]
fn what_is_mounted_below_the_root_is_refused_by_its_name() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let (at, secret) = (bench.host.at("rootfs/etc/m"), bench.dir("secret"));
        fs::create_dir(&at).unwrap();
        fs::write(secret.join("token"), TOKEN).unwrap();
        listen(&secret.join("it.sock"));
        let file = bench.host.at("rootfs/etc/file");
        fs::write(&file, "").unwrap();
        let spec = bench.spec("cat /etc/m/token /etc/m/secret/it /etc/file; perl /connect.pl /etc/m/it.sock");
        let token = secret.join("token").display().to_string();
        for (mount, point, of) in [
            (format!("mount --bind {} {at}", secret.display()), &at, "ext4"),
            (
                format!("mkdir -p /run/secret; echo {TOKEN} >/run/secret/it; mount --rbind /run {at}"),
                &at,
                "tmpfs",
            ),
            (format!("mount --bind {token} {file}"), &file, "ext4"),
        ] {
            bench.host.sh(&mount).must();
            let words = format!("rootfs brings {point} along, a mount of {of}; unmount it");
            let words = if of == "ext4" { words.split(", a mount").next().unwrap() } else { &words };
            claim(
                &mut findings,
                &format!("{kind:?} {mount}"),
                &bench.open(&spec),
                &bench.closed(&spec),
                TOKEN,
                words,
            );
            let waived = bench.closed_with(
                &format!("runtime = [{:?}]\n[rules]\nmount-system = \"strip\"\n", kind.runtime()),
                &spec,
            );
            findings.about("strip", refused(&waived, words).err().into_iter().collect());
            bench.host.sh(&format!("umount -l {point}")).must();
        }
        let closed = bench.closed(&spec);
        findings
            .claim(!closed.err.contains("oci-isolate"), format!("{kind:?}: without it is refused: {closed}"));
    }
    findings.settle();
}

/// Of a chroot's daemon, whose path is another one there, as of one of the machine; those that were left behind stay.
#[test]
fn a_socket_in_the_root_is_refused_while_a_process_is_bound_to_it() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let tmp = bench.dir("rootfs/var/tmp");
        let socket = tmp.join("it.sock");
        let daemon = Daemon::start(&bench, "/var/tmp/it.sock", &socket, true);
        let spec = bench.spec(&connect("/var/tmp/it.sock"));
        let words = "rootfs holds the socket var/tmp/it.sock, to which a process is bound";
        claim(&mut findings, &format!("{kind:?}"), &bench.open(&spec), &bench.closed(&spec), TOKEN, words);
        let settings = format!("runtime = [{:?}]\n[rules]\nmount-sockets = \"allow\"\n", kind.runtime());
        let allowed = bench.closed_with(&settings, &spec);
        findings.claim(allowed.out.contains(TOKEN), format!("{kind:?}: allowed: {allowed}"));
        daemon.end();
        let closed = bench.closed(&spec);
        findings.claim(closed.out.ends_with("ran"), format!("{kind:?}: a socket that was left: {closed}"));
        // What every container gets of its own hides what the root has there.
        let _hidden = UnixDatagram::bind(bench.dir("rootfs/dev").join("log")).unwrap();
        let closed = bench.closed(&spec);
        findings.claim(closed.out.ends_with("ran"), format!("{kind:?}: a socket in /dev: {closed}"));
        let mut spec = bench.spec("echo ran");
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        let words = "holds the socket dev/log";
        findings.about("no /dev", refused(&bench.closed(&spec), words).err().into_iter().collect());
    }
    findings.settle();
}

/// A socket of a lower layer has no listener; one that was bound by the overlay's own path has one.
#[test]
fn in_an_overlay_only_what_was_bound_by_its_own_path_is_refused() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let lower = bench.host.dir().join("rootfs");
        listen(&bench.dir("rootfs/var/tmp").join("lower.sock"));
        let at = bench.host.at("merged");
        let [upper, work] = ["upper", "work"].map(|name| bench.dir(name).display().to_string());
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.display());
        bench.host.sh(&format!("mkdir {at}; mount -t overlay -o {options} overlay {at}")).must();
        let script =
            "perl /connect.pl /var/tmp/lower.sock 2>&1; perl /connect.pl /var/tmp/merged.sock 2>&1; echo ran";
        let mut spec = bench.spec(script);
        spec["root"]["path"] = json!(at);
        let closed = bench.closed(&spec);
        let is_dead = closed.out.contains("refused: Connection refused") && closed.out.ends_with("ran");
        findings.claim(is_dead && !closed.out.contains(TOKEN), format!("{kind:?}: lower layer: {closed}"));

        let there = Path::new(&upper).join("var/tmp/merged.sock");
        let daemon = Daemon::start(&bench, &format!("{at}/var/tmp/merged.sock"), &there, false);
        let words = "merged holds the socket var/tmp/merged.sock";
        claim(&mut findings, &format!("{kind:?}"), &bench.open(&spec), &bench.closed(&spec), TOKEN, words);
        daemon.end();
    }
    findings.settle();
}

/// An engine with many layers names them from its own directory.
#[test]
fn an_overlay_as_the_root_is_what_its_layers_are() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let dir = bench.host.dir().display().to_string();
        let at = bench.host.at("engine/id/merged");
        bench.host.sh(&format!("mkdir -p {at} {dir}/data {dir}/engine/l {dir}/engine/id/diff {dir}/engine/id/work; ln -s ../../rootfs {dir}/engine/l/A")).must();
        for (from, layers, words) in [
            (dir.clone() + "/engine", "lowerdir=l/A,upperdir=id/diff,workdir=id/work".to_owned(), None),
            (dir.clone() + "/engine", format!("lowerdir=l/A:{dir}/data"), None),
            (
                dir.clone(),
                format!("lowerdir=rootfs:{dir}/bundle"),
                Some("the layer rootfs: its path is relative"),
            ),
            (
                dir.clone(),
                format!("lowerdir={dir}/rootfs:/run"),
                Some("the layer /run, which is the system's /run"),
            ),
        ] {
            bench.dir("bundle");
            bench.host.sh(&format!("cd {from}; mount -t overlay -o {layers} overlay {at}")).must();
            let mut spec = bench.spec("echo ran");
            spec["root"]["path"] = json!(at);
            let (bare, closed) = (bench.open(&spec), bench.closed(&spec));
            match words {
                Some(words) => {
                    claim(&mut findings, &format!("{kind:?} {layers}"), &bare, &closed, "ran", words)
                }
                None => findings.claim(closed.out == "ran", format!("{kind:?} {layers}: {closed}")),
            }
            bench.host.sh(&format!("umount {at}")).must();
        }
    }
    findings.settle();
}

#[test]
fn the_root_is_no_directory_of_the_machine_by_whatever_name() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let dir = bench.host.dir().display().to_string();
        // Each has a shell in it, so that a container could run there.
        let copy = |to: &str| bench.host.sh(&format!("mkdir -p {to}; cp -a {dir}/rootfs/. {to}/")).must();
        copy("/run");
        bench.host.sh(&format!("mkdir {dir}/alias; mount --bind /run {dir}/alias; ln -s /proc/self/root {dir}/link; ln -s rootfs {dir}/plain")).must();
        for (root, open, words) in [
            ("/run".to_owned(), "ran", "the root file system /run is the system's /run"),
            (format!("{dir}/alias"), "ran", "alias is the system's /run"),
            ("/proc/self/root".to_owned(), "", "cannot inspect the root /proc/self/root"),
            (format!("{dir}/link/run"), "", "cannot inspect the root"),
        ] {
            let mut spec = bench.spec("echo ran");
            spec["root"]["path"] = json!(root);
            claim(
                &mut findings,
                &format!("{kind:?} {root}"),
                &bench.open(&spec),
                &bench.closed(&spec),
                open,
                words,
            );
        }
        bench.host.sh(&format!("umount -l {dir}/alias")).must();
        let mut spec = bench.spec("echo ran");
        spec["root"]["path"] = json!(format!("{dir}/plain"));
        // runc takes no link.
        let closed = bench.closed(&spec);
        let ran =
            closed.out == "ran" || closed.err.contains("invalid rootfs: not an absolute path, or a symlink");
        findings.claim(ran, format!("{kind:?}: by a link: {closed}"));

        // The root is what the bundle lies in, or the bundle: its configuration would be the container's.
        copy(&dir);
        copy(&format!("{dir}/bundle"));
        for root in ["..", "."] {
            let mut spec = bench.spec("test -e /config.json -o -e /bundle/config.json && echo ran");
            spec["root"]["path"] = json!(root);
            let words = "holds the bundle, and with it the container's config.json; use another directory";
            claim(
                &mut findings,
                &format!("{kind:?} {root}"),
                &bench.open(&spec),
                &bench.closed(&spec),
                "ran",
                words,
            );
        }
    }
    findings.settle();
}

#[test]
fn the_root_lies_on_a_file_system_that_is_known() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let dir = bench.host.dir().display().to_string();
        // The kernel's own interfaces do not hold a program, so that no container would run there.
        bench
            .host
            .sh(&format!(
                "mkdir {dir}/debug; mount -t cgroup2 none {dir}/debug || mount -t mqueue none {dir}/debug"
            ))
            .must();
        let mut spec = bench.spec("echo ran");
        spec["root"]["path"] = json!(format!("{dir}/debug"));
        let words = "debug lies on the kernel's ";
        findings.about("kernel", refused(&bench.closed(&spec), words).err().into_iter().collect());
    }
    findings.settle();
}

/// `podman run --rootfs`, which the user of an engine can give.
#[test]
fn podmans_rootfs_is_judged_and_an_overlay_of_it_runs() {
    let mut findings = Findings::default();
    for (release, user) in [
        (Release::Podman4, User::Root),
        (Release::Podman4, User::Rootless),
        (Release::Podman5, User::Root),
        (Release::Podman5, User::Rootless),
    ] {
        let podman = Podman::start(release, user);
        let root = podman.host.dir().join("own");
        image::rootfs(&root);
        tools(&root);
        fs::create_dir_all(root.join("srv")).unwrap();
        podman.host.sh(&format!("chmod -R a+rwX {0}; chown -R 59999:59999 {0}", root.display())).must();
        listen(&root.join("srv/it.sock"));
        fs::set_permissions(root.join("srv/it.sock"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let what =
            format!("{} rootless {}", if release == Release::Podman4 { 4 } else { 5 }, podman.is_rootless());
        let (plain, overlay) = (root.display().to_string(), format!("{}:O", root.display()));
        let script = connect("/srv/it.sock");
        let run = |runtime: &str, rootfs: &str| {
            podman
                .run(runtime, &[&["--rm", "--annotation", ISOLATE, "--rootfs", rootfs, "sh", "-c", &script]])
        };
        let words = "own holds the socket srv/it.sock";
        claim(&mut findings, &what, &run("bare", &plain), &run("oci-isolate", &plain), TOKEN, words);
        let closed = run("oci-isolate", &overlay);
        let is_dead = closed.out.contains("refused: Connection refused") && closed.out.ends_with("ran");
        findings.claim(is_dead, format!("{what}: overlay: {closed}"));
        fs::remove_file(root.join("srv/it.sock")).unwrap();
        let closed = run("oci-isolate", &plain);
        findings.claim(closed.out.ends_with("ran"), format!("{what}: without the socket: {closed}"));
    }
    findings.settle();
}
