//! Every one of [`WAYS`], under runc and under Docker with its default and with an unconfined profile: open with the bare
//! runtime, refused or leading nowhere behind the shim. The table at the end is what was counted.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::ways::{Deed, Under, WAYS, Way, number};
use test_support::command::{Finished, command, say, wait_for};
use test_support::containerd::RUNC;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::{ISOLATE, bundle, shim};

/// What only the other side knows.
const WORD: &str = "outside";

fn reach() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/airtight/reach.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reach-{}", std::process::id()));
        say(command("gcc").args(["-O1", "-static", "-w", "-o"]).arg(&built).arg(source)).must();
        built
    })
}

/// A host with everything on it that the ways lead to.
pub(crate) struct Site<'h> {
    host: &'h EngineHost,
    /// What stands for what in the ways' scripts and options.
    words: Vec<(&'static str, String)>,
    /// Ways that this kernel does not have, and why.
    absent: Vec<(&'static str, &'static str)>,
}

impl<'h> Site<'h> {
    fn new(host: &'h EngineHost) -> Self {
        static PORT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let dir = host.dir().to_str().unwrap().to_owned();
        std::fs::copy(reach(), host.dir().join("reach")).unwrap();
        std::fs::write(host.dir().join("secret"), format!("{WORD}\n")).unwrap();
        let port = 40_000 + std::process::id() % 10_000 + PORT.fetch_add(10_000, Ordering::Relaxed);
        let name = host.world.name.clone();
        host.sh(&format!(
            "cd {dir}; mkdir sockets late up shared shared/late agent; mkfifo fifo
             mount --bind shared shared; mount --make-rshared shared
             ip netns add empty; ip netns add plumbed
             ip link add way1 type veth peer name eth0 netns plumbed
             ip addr add 10.78.0.1/24 dev way1; ip link set way1 up
             ip -n plumbed addr add 10.78.0.2/24 dev eth0; ip -n plumbed link set eth0 up
             ip -n plumbed route add default via 10.78.0.1; ip -n plumbed link >/dev/null
             unshare --pid --fork --kill-child setpriv --bounding-set=-all {dir}/reach host-victim >/dev/null 2>&1 &
             children=/proc/$!/task/$!/children; n=0; until grep -q . $children; do sleep 0.05; n=$((n + 1)); [ $n -lt 100 ]; done
             touch /run/pidns; mount --bind /proc/$(tr -d ' ' <$children)/ns/pid /run/pidns"
        ))
        .must();
        let serve = |what: &str, word: &str| {
            host.daemon(what, &host.at("reach"), &[what, word], &[]);
        };
        serve("host-unix", &host.at("sockets/engine"));
        serve("host-abstract", &name);
        serve("host-vsock", &port.to_string());
        serve("host-shm", "4711");
        let victim = "setpriv --bounding-set=-all \"$0\" host-victim >/dev/null 2>&1 & echo $!";
        let pid = say(host.command("sh").args(["-c", victim, &host.at("reach")])).must();
        let handle = |of: &str| host.sh(&format!("{dir}/reach host-handle {of}"));
        let file = handle(&format!("{dir}/secret")).must();
        let mut absent = Vec::new();
        let netns = handle("/proc/self/ns/net");
        let netns = if kernel() < (6, 18) && netns.out.contains("Operation not supported") {
            absent.push(("namespace-by-handle", "namespaces have handles since Linux 6.18"));
            String::new()
        } else {
            netns.must()
        };
        let link = host.sh("cat /sys/class/net/up0/ifindex").must();
        let words = vec![
            ("{dir}", dir),
            ("{pid}", pid),
            ("{port}", port.to_string()),
            ("{name}", name),
            ("{file}", file),
            ("{netns}", netns),
            ("{link}", link),
            ("{disk}", disk()),
        ];
        Self { host, words, absent }
    }

    fn why_absent(&self, way: &Way) -> Option<&'static str> {
        self.absent.iter().find(|(name, _)| *name == way.name).map(|(_, why)| *why)
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Runs a container while on the host happens what the way needs. The second is what a program of the host's said.
    pub(crate) fn run(&self, way: &Way, container: impl FnOnce() -> Finished) -> (Finished, bool) {
        let handler = Handler::of(way.host);
        let up = self.host.dir().join("up");
        for file in ["up/ready", "up/done", "late/late", "agent/sock"] {
            drop(std::fs::remove_file(self.host.dir().join(file)));
        }
        if way.host == Deed::Agent {
            let socket = self.host.at("agent/sock");
            self.host.daemon("agent", &self.host.at("reach"), &["host-agent", &socket], &[]);
            wait_for(Duration::from_secs(30), || Path::new(&socket).exists().then_some(()));
        }
        let ended = AtomicBool::new(false);
        let is_up = || {
            wait_for(Duration::from_secs(20), || {
                (up.join("ready").exists() || ended.load(Ordering::Relaxed)).then_some(())
            })
        };
        let said = std::thread::scope(|scope| {
            scope.spawn(|| match way.host {
                Deed::BindsLate => {
                    is_up();
                    let socket = self.host.at("late/late");
                    self.host.daemon("late", &self.host.at("reach"), &["host-unix", &socket], &[]);
                    wait_for(Duration::from_secs(30), || Path::new(&socket).exists().then_some(()));
                    std::fs::write(up.join("done"), "").unwrap();
                }
                Deed::MountsLate => {
                    is_up();
                    let mount = "mount -t tmpfs late {dir}/shared/late; cp {dir}/secret {dir}/shared/late/f; touch {dir}/up/done";
                    self.host.sh(&self.fill(mount)).must();
                }
                Deed::Uevents => {
                    while !ended.load(Ordering::Relaxed) {
                        std::fs::write("/sys/class/mem/null/uevent", "change").unwrap();
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                Deed::Writes => {
                    // Open for both, so that no program has to be at the other end.
                    use std::io::Write;
                    let fifo = self.host.dir().join("fifo");
                    let mut fifo = std::fs::File::options().read(true).write(true).open(fifo).unwrap();
                    fifo.write_all(format!("{WORD}\n").as_bytes()).unwrap();
                    wait_for(Duration::from_secs(60), || ended.load(Ordering::Relaxed).then_some(()));
                }
                _ => (),
            });
            let said = container();
            ended.store(true, Ordering::Relaxed);
            said
        });
        if way.host == Deed::MountsLate {
            self.host.sh(&self.fill("umount {dir}/shared/late")).must();
        }
        let handled = handler.is_some_and(|handler| handler.was_called());
        (said, handled)
    }
}

/// Whether the word of the other side has arrived.
pub(crate) fn is_open((said, handled): &(Finished, bool)) -> bool {
    *handled || said.out.lines().any(|line| line == WORD)
}

/// The version of the kernel.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Why the kernel may keep the way shut from a container without the shim, too: nothing is shown of it then.
fn shut_by_yama(way: &Way) -> Option<&'static str> {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let needs_ptrace = ["host-pid-ptrace", "host-pid-descriptor", "pid-of-another"].contains(&way.name);
    (needs_ptrace && !["", "0"].contains(&scope.trim()))
        .then_some("Yama leaves ptrace(2) of descendants only")
}

/// Major and minor number of a disk of the machine's that root may open.
fn disk() -> String {
    let names = ["/dev/loop0", "/dev/ram0", "/dev/zram0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"];
    let name = names.into_iter().find(|name| std::fs::File::open(name).is_ok());
    let (major, minor) = number(name.expect("this machine has a disk that root may open"));
    format!("{major} {minor}")
}

/// A program that the kernel starts for a container, in the machine's own namespaces. One test at a time puts it there, and
/// it is gone afterwards, come what may.
struct Handler {
    program: PathBuf,
    called: PathBuf,
    pattern: Option<Vec<u8>>,
    _one: MutexGuard<'static, ()>,
}

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl Handler {
    fn of(deed: Deed) -> Option<Self> {
        static ONE: Mutex<()> = Mutex::new(());
        let name =
            |what: &str| std::env::temp_dir().join(format!("oci-isolate-{what}-{}", std::process::id()));
        let program = match deed {
            Deed::CoreHandler => name("handler"),
            Deed::KeyHandler => "/sbin/request-key".into(),
            _ => return None,
        };
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!program.exists(), "{} is there already", program.display());
        let called = name("called");
        std::fs::write(&program, format!("#!/bin/sh\necho {WORD} >{}\n", called.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let pattern = (deed == Deed::CoreHandler).then(|| std::fs::read(CORE_PATTERN).unwrap());
        if pattern.is_some() {
            std::fs::write(CORE_PATTERN, format!("|{}", program.display())).unwrap();
        }
        Some(Self { program, called, pattern, _one: one })
    }

    fn was_called(&self) -> bool {
        self.called.exists()
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if let Some(pattern) = &self.pattern {
            drop(std::fs::write(CORE_PATTERN, pattern));
        }
        drop(std::fs::remove_file(&self.program));
        drop(std::fs::remove_file(&self.called));
    }
}

/// What came of the ways, and what is wrong with it.
struct Table<'s> {
    engine: String,
    under: Under,
    site: &'s Site<'s>,
    findings: Findings,
    text: String,
    ways: usize,
    open_before: usize,
    open_after: usize,
    not_tried: usize,
}

impl<'s> Table<'s> {
    fn new(engine: &str, under: Under, site: &'s Site<'s>) -> Self {
        let (text, engine) = (String::new(), engine.to_owned());
        let findings = Findings::default();
        Self { engine, under, site, findings, text, ways: 0, open_before: 0, open_after: 0, not_tried: 0 }
    }

    fn line(&mut self, way: &Way, before: &str, after: &str) {
        self.text += &format!("  {:<26} {:<22} {before:<8} {after}\n", way.name, way.closed_by);
    }

    fn not_tried(&mut self, way: &Way, why: &str) {
        self.not_tried += 1;
        self.line(way, "n.t.", why);
    }

    /// Goes the way twice. `container` is told whether to isolate.
    fn go(&mut self, way: &Way, container: impl Fn(bool) -> Finished) {
        self.ways += 1;
        let about = format!("{}: {}", self.engine, way.name);
        let before = self.site.run(way, || container(false));
        let after = self.site.run(way, || container(true));
        let (was, is) = (is_open(&before), is_open(&after));
        let shut = way.shut.iter().find(|(under, _)| *under == self.under).map(|(_, why)| *why);
        let shut = shut.or_else(|| shut_by_yama(way)).filter(|_| !was);
        self.findings
            .claim(was || shut.is_some(), format!("{about}: it is not open without the shim: {}", before.0));
        self.findings.claim(!is, format!("{about}: it is open: {}", after.0));
        match way.refused {
            Some(words) => self.findings.claim(
                !after.0.well() && (after.0.err.contains(words) || after.0.out.contains(words)),
                format!("{about}: it is not refused with {words:?}: {}", after.0),
            ),
            None => self.findings.claim(
                !after.0.err.contains("not created") && !after.0.err.contains("not started"),
                format!("{about}: it is refused: {}", after.0),
            ),
        }
        self.open_before += usize::from(was);
        self.open_after += usize::from(is);
        let after = if is {
            "OPEN"
        } else if way.refused.is_some() {
            "refused"
        } else {
            "closed"
        };
        let after = shut.map_or_else(|| after.to_owned(), |why| format!("{after} ({why})"));
        self.line(way, if was { "open" } else { "closed" }, &after);
    }

    #[track_caller]
    fn settle(self) {
        eprintln!(
            "\n{}\n  {:<26} {:<22} before   after\n{}{}: {} ways tried, {} open before, {} open after, {} not there to try\n",
            self.engine,
            "way",
            "closed by",
            self.text,
            self.engine,
            self.ways,
            self.open_before,
            self.open_after,
            self.not_tried,
        );
        self.findings.settle();
    }
}

#[test]
fn every_way_out_of_a_container_of_runc_is_closed() {
    let host = EngineHost::new(Kind::Machine);
    bundle::rootfs(&host);
    std::fs::copy(reach(), host.dir().join("rootfs/bin/reach")).unwrap();
    let site = Site::new(&host);
    let mut table = Table::new("runc", Under::Runc, &site);
    let dir = host.at("");
    for way in WAYS {
        if let Some(why) = site.why_absent(way) {
            table.not_tried(way, why);
            continue;
        }
        table.go(way, |isolate| {
            let mut spec = bundle::spec(&host, &["sh", "-c", &site.fill(way.script)]);
            spec["linux"]["cgroupsPath"] = json!(format!("{}/{}", host.cgroup(), way.name));
            spec["root"]["readonly"] = json!(false);
            let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
            let network = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
            network["path"] = json!("/run/netns/plumbed");
            (way.runc)(&mut spec, dir.trim_end_matches('/'));
            let (key, value) = ISOLATE.split_once('=').unwrap();
            spec["annotations"] = json!({ key: value });
            let background = way.exec.map(|_| json!(["sleep", "60"]));
            if let Some(sleep) = background {
                spec["process"]["args"] = sleep;
            }
            std::fs::create_dir_all(host.dir().join("bundle")).unwrap();
            host.write("bundle/config.json", &spec.to_string());
            let runtime = if isolate { shim() } else { RUNC.into() };
            let runtime = runtime.to_str().unwrap();
            let bundle = host.at("bundle");
            let Some([_, options]) = way.exec else {
                let words = [runtime, "run", "--bundle", &bundle, "one"];
                return say(host.command("bash").args(["-euc", &site.fill(way.call), "bash"]).args(words));
            };
            host.sh(&format!("{runtime} run --detach --bundle {bundle} one >/dev/null 2>&1 </dev/null"))
                .must();
            let script = site.fill(way.script);
            let said =
                say(host.command(runtime).arg("exec").args(options).args(["one", "sh", "-c", &script]));
            host.sh(&format!("{runtime} delete --force one")).must();
            said
        });
    }
    table.settle();
}

/// Gives a daemon the image `ways`, which has the program in it, and the container `peer`, which has a network.
pub(crate) fn prepare(docker: &Docker) -> Site<'_> {
    let site = Site::new(&docker.host);
    // Not mounted: a file from the host is another rule's matter.
    docker.must(&["create", "--name=image", "probe", "true"]);
    docker.must(&["cp", &docker.host.at("reach"), "image:/bin/reach"]);
    docker.must(&["commit", "image", "ways"]);
    docker.background("peer", &["--runtime=bare"]);
    site
}

fn docker(release: Release, title: &str) {
    let docker = Docker::start(release);
    let site = prepare(&docker);
    for (under, profile) in
        [(Under::DockerDefault, None), (Under::DockerUnconfined, Some("--security-opt=seccomp=unconfined"))]
    {
        let shown = profile.map_or("its default profile", |_| "an unconfined profile");
        let mut table = Table::new(&format!("{title}, {shown}"), under, &site);
        for way in WAYS {
            let options = match site.why_absent(way).map_or(way.docker, Err) {
                Ok(options) => options.iter().map(|option| site.fill(option)).collect::<Vec<_>>(),
                Err(why) => {
                    table.not_tried(way, why);
                    continue;
                }
            };
            let options: Vec<&str> = options.iter().map(String::as_str).chain(profile).collect();
            let script = site.fill(way.script);
            table.go(way, |isolate| {
                let how = if isolate { docker.isolation() } else { &["--runtime=bare"] };
                let Some([exec, _]) = way.exec else {
                    return docker
                        .docker(&[&["run", "--rm"], how, &options, &["ways", "sh", "-c", &script]].concat());
                };
                docker
                    .must(&[&["run", "-d", "--name=one"], how, &options, &["ways", "sleep", "60"]].concat());
                let said = docker.docker(&[&["exec"], exec, &["one", "sh", "-c", &script]].concat());
                docker.must(&["rm", "-f", "one"]);
                said
            });
        }
        table.settle();
    }
}

#[test]
fn every_way_out_of_a_container_of_docker_20_is_closed() {
    docker(Release::Docker20, "Docker 20.10");
}

#[test]
fn every_way_out_of_a_container_of_docker_28_is_closed() {
    docker(Release::Docker28, "Docker 28");
}
