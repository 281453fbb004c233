//! Mounts: options, file systems, layers and terminals that are on no list.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::{Value, json};

use crate::uevents::Uevents;
use test_support::bench::{Bench, TOKEN, listen, mount, refused};
use test_support::command::{Finished, wait_for};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::Kind;

/// Adds a mount of any type.
fn add(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

fn is_crun(kind: Kind) -> bool {
    kind.runtime().ends_with("crun")
}

/// A program that is open for a process that asks for it by `options`, and closed behind the shim with these words.
fn claim(findings: &mut Findings, what: &str, bench: &Bench, spec: &Value, open: Option<&str>, words: &str) {
    if let Some(shown) = open {
        let bare = bench.open(spec);
        findings.claim(bare.out.contains(shown), format!("{what} is not open without the shim: {bare}"));
    }
    findings.about(what, refused(&bench.closed(spec), words).err().into_iter().collect());
}

/// `remount` makes the machine's sysfs writable, and a uevent with words of the program's own is heard on the machine.
#[test]
fn a_mount_that_remounts_what_lies_at_its_destination_is_refused() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        for of in ["tmpfs", "ramfs", "mqueue", "devpts", "hugetlbfs"] {
            let word = format!("{kind:?}{of}").to_lowercase();
            let uevents = Uevents::listen();
            let event = format!("change 45534335-0000-4000-8000-000000000000 X={word}");
            let script = format!("echo '{event}' >/sys/devices/virtual/mem/null/uevent && echo sent");
            let mut spec = bench.spec(&script);
            add(
                &mut spec,
                json!({"destination": "/sys", "type": of, "source": of, "options": ["remount", "rw"]}),
            );
            let bare = bench.open(&spec);
            let heard = uevents.hear(&format!("X={word}"));
            // crun mounts another one over it; runc since 1.2 sets a mode on a tmpfs, which a sysfs does not have.
            let is_open = !(is_crun(kind) || kind == Kind::Sid && of == "tmpfs");
            let complaint = format!("{kind:?} {of}: open is {heard}, not {is_open}: {bare}");
            findings.claim(heard == is_open && (bare.out == "sent") == is_open, complaint);
            let uevents = Uevents::listen();
            let why = format!("mount-options: option \"remount\" is not known for the {of} mount at /sys");
            let said = refused(&bench.closed(&spec), &why);
            findings.about("remount", said.err().into_iter().collect());
            findings.claim(!uevents.hear(&format!("X={word}")), format!("{kind:?} {of} is heard"));
        }
    }
    findings.settle();
}

#[test]
fn the_layers_of_an_overlay_are_found_however_they_are_written() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        bench.host.sh("mkdir /dev/shm/empty").must();
        for (options, words) in [
            (
                ["ro", "index=off,lowerdir=/:/dev/shm/empty"],
                "mount-options: option \"index\" with this value",
            ),
            (["ro", "lowerdir=/:/dev/shm/empty"], "mount-system: the layer / of /host is the system's /"),
        ] {
            let mut spec = bench.spec("head -n 1 /host/etc/passwd");
            let overlay =
                json!({"destination": "/host", "type": "overlay", "source": "overlay", "options": options});
            add(&mut spec, overlay);
            claim(&mut findings, &format!("{kind:?} {options:?}"), &bench, &spec, Some("root:"), words);
        }
        let secret = bench.dir("secret");
        std::fs::write(secret.join("token"), TOKEN).unwrap();
        let at = secret.display();
        // What Podman writes for `-v DIR:/host:O`.
        let mut spec = bench.spec("cat /host/token");
        let upper = [bench.dir("volume-upper"), bench.dir("volume-work")];
        let options = [
            format!("lowerdir={at}"),
            format!("upperdir={}", upper[0].display()),
            format!("workdir={}", upper[1].display()),
            "private".into(),
        ];
        add(
            &mut spec,
            json!({"destination": "/host", "type": "overlay", "source": "overlay", "options": options}),
        );
        let closed = bench.closed(&spec);
        findings.claim(closed.out == TOKEN, format!("{kind:?}: an overlay of data is refused: {closed}"));
    }
    findings.settle();
}

/// As Docker's local driver makes it for `type=overlay,o=lowerdir=...`.
#[test]
fn an_overlay_of_the_host_is_what_its_layers_are() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let (at, data) = (bench.host.at("volume"), bench.dir("data"));
        let empty = bench.dir("empty");
        let mount_layers = |options: &str| {
            bench.host.sh(&format!("mkdir -p {at}; mount -t overlay -o '{options}' overlay {at}")).must();
        };
        let mut spec = bench.spec("ls /host | grep -x -e netns -e data.txt");
        mount(&mut spec, at.as_ref(), "/host", &["rbind"]);
        std::fs::write(data.join("data.txt"), "x").unwrap();

        mount_layers(&format!("lowerdir=/run:{}", empty.display()));
        let words = "is an overlay with the layer /run, which is the system's /run";
        claim(&mut findings, &format!("{kind:?} /run"), &bench, &spec, Some("netns"), words);
        bench.host.sh(&format!("umount {at}")).must();

        spec = bench.spec("ls /host | grep -x -e netns -e data.txt");
        mount(&mut spec, at.as_ref(), "/host", &["rbind"]);
        let [upper, work] = [bench.host.at("volume-upper"), bench.host.at("volume-work")];
        bench.host.sh(&format!("mkdir {upper} {work}")).must();
        mount_layers(&format!("lowerdir={},upperdir={upper},workdir={work}", data.display()));
        let closed = bench.closed(&spec);
        findings
            .claim(closed.out == "data.txt", format!("{kind:?}: an overlay of data is refused: {closed}"));
        bench.host.sh(&format!("umount {at}")).must();

        bench
            .host
            .sh(&format!(
                "cd {}; mount -t overlay -o lowerdir=data:empty overlay {at}",
                bench.host.dir().display()
            ))
            .must();
        claim(
            &mut findings,
            &format!("{kind:?} relative"),
            &bench,
            &spec,
            Some("data.txt"),
            "its path is relative",
        );
    }
    findings.settle();
}

#[test]
fn terminals_of_the_host_are_not_mounted() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        // What is written to the terminal ends in a file of the process that holds its other end.
        let (link, out) = (bench.host.dir().join("terminal"), bench.host.dir().join("read"));
        let ends = [format!("PTY,link={},raw,echo=0", link.display()), format!("CREATE:{}", out.display())];
        let mut socat = std::process::Command::new("socat").arg("-u").args(ends).spawn().unwrap();
        let terminal = wait_for(Duration::from_secs(30), || std::fs::read_link(&link).ok()).unwrap();
        // It stays there while it is open.
        let held = std::fs::File::open(&terminal).unwrap();
        let mut spec = bench.spec(&format!("echo {TOKEN} >/t"));
        mount(&mut spec, &terminal, "/t", &["bind"]);
        let bare = bench.open(&spec);
        let read = || std::fs::read_to_string(&out).ok().filter(|read| read.contains(TOKEN));
        let arrived = wait_for(Duration::from_secs(30), read);
        findings.claim(arrived.is_some(), format!("{kind:?}: not open without the shim: {bare}"));
        findings.about(
            "terminal",
            refused(&bench.closed(&spec), "of /t is the device c 136:").err().into_iter().collect(),
        );
        drop(held);
        socat.kill().unwrap();
        socat.wait().unwrap();
        for (source, number) in [("/dev/console", "5:1"), ("/dev/tty", "5:0"), ("/dev/ptmx", "5:2")] {
            let mut spec = bench.spec("ls -l /t");
            mount(&mut spec, source.as_ref(), "/t", &["bind"]);
            let words = format!("is the device c {number}; drop -v {source}");
            claim(&mut findings, source, &bench, &spec, Some("/t"), &words);
        }
        // Another mount of what is at /dev is what it is there.
        bench
            .host
            .sh(&format!("mkdir {0}/dev; mount -t devtmpfs devtmpfs {0}/dev", bench.host.dir().display()))
            .must();
        let mut spec = bench.spec("ls /d | grep -x null");
        mount(&mut spec, bench.dir("dev").as_ref(), "/d", &["bind"]);
        claim(&mut findings, "devtmpfs", &bench, &spec, Some("null"), "is the system's /dev");
        bench.host.sh(&format!("mkdir {}/dev/isolate-test", bench.host.dir().display())).must();
        let mut spec = bench.spec("test -d /d && echo there");
        mount(&mut spec, bench.dir("dev/isolate-test").as_ref(), "/d", &["bind"]);
        claim(&mut findings, "devtmpfs", &bench, &spec, Some("there"), "lies on the kernel's devtmpfs");
        bench.host.sh(&format!("rmdir {}/dev/isolate-test", bench.host.dir().display())).must();
    }
    findings.settle();
}

/// Engines allow 5:1 and give CAP_MKNOD to every container. What is written there goes to the machine's console.
#[test]
fn the_machines_console_is_no_node_and_no_entry() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec("rm -f /c /p; mknod /c c 5 1 && (: >/c) 2>/dev/null && echo opened; mknod /p c 136 0 && (: >/p) 2>/dev/null && echo terminal");
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
        }
        let entry = |minor| json!({"allow": true, "type": "c", "major": 5, "minor": minor, "access": "rwm"});
        spec["linux"]["resources"]["devices"] =
            json!([{"allow": false, "access": "rwm"}, entry(0), entry(1), entry(2)]);
        let bare = bench.open(&spec);
        findings.claim(bare.out == "opened", format!("{kind:?} is not open without the shim: {bare}"));
        let closed = bench.closed(&spec);
        findings.claim(closed.out.is_empty(), format!("{kind:?}: {closed}"));
        // Without the entry runc denies the node by itself. crun allows 5:1 to every container
        // (src/libcrun/cgroup-resources.c): there only the capability is in the way.
        let settings = format!("runtime = [{:?}]\n[rules]\nhost-capabilities = \"allow\"\n", kind.runtime());
        let closed = bench.closed_with(&settings, &spec);
        let stays = if is_crun(kind) { "opened" } else { "" };
        findings.claim(closed.out == stays, format!("{kind:?} with CAP_MKNOD: {closed}"));

        let mut spec = bench.spec(": >/c && echo opened");
        spec["linux"]["devices"] =
            json!([{"path": "/c", "type": "c", "major": 5, "minor": 1, "fileMode": 0o666}]);
        spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}, entry(1)]);
        let words =
            "/c is c 5:1 (driver /dev/console, the machine's console); drop --device, or set [rules] devices";
        let words = words.replace("driver /dev/console", "driver unknown");
        claim(&mut findings, &format!("{kind:?} node"), &bench, &spec, Some("opened"), &words);
    }
    findings.settle();
}

#[test]
fn file_systems_of_the_kernel_are_not_mounted_by_whatever_name() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        for of in ["fusectl", "pstore"] {
            let at = bench.dir(of);
            bench.host.sh(&format!("mount -t {of} none {}", at.display())).must();
            let mut spec = bench.spec("grep ' /mnt ' /proc/mounts");
            mount(&mut spec, &at, "/mnt", &["bind"]);
            claim(&mut findings, of, &bench, &spec, Some(of), &format!("of /mnt lies on the kernel's {of}"));
        }
        // Huge pages are memory.
        let pages = bench.dir("hugepages");
        bench.host.sh(&format!("mount -t hugetlbfs none {}", pages.display())).must();
        let mut spec = bench.spec("grep -c ' /mnt hugetlbfs' /proc/mounts");
        mount(&mut spec, &pages, "/mnt", &["bind"]);
        let closed = bench.closed(&spec);
        findings.claim(closed.out == "1", format!("{kind:?}: huge pages are refused: {closed}"));
    }
    findings.settle();
}

#[test]
fn a_bind_mount_without_a_source_and_ways_through_dotdot_are_refused() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        // runc takes the bundle, crun fails.
        let mut spec = bench.spec("ls /mnt");
        add(&mut spec, json!({"destination": "/mnt", "type": "none", "options": ["rbind"]}));
        let open = (!is_crun(kind)).then_some("config.json");
        claim(
            &mut findings,
            &format!("{kind:?}: no source"),
            &bench,
            &spec,
            open,
            "the bind mount at /mnt has no source",
        );

        // For the kernel it leads to what the link leads to, for runc it does not.
        std::fs::create_dir_all(bench.dir("elsewhere").join("deep")).unwrap();
        std::fs::write(bench.dir("bundle/target").join("token"), TOKEN).unwrap();
        std::os::unix::fs::symlink("../elsewhere/deep", bench.dir("bundle").join("link")).unwrap();
        let mut spec = bench.spec("cat /mnt/token");
        mount(&mut spec, "link/../target".as_ref(), "/mnt", &["rbind"]);
        let open = (!is_crun(kind)).then_some(TOKEN);
        claim(
            &mut findings,
            &format!("{kind:?}: dotdot"),
            &bench,
            &spec,
            open,
            "link/../target of /mnt leads through ..",
        );
    }
    findings.settle();
}

/// Whether the container's programs reach the host's socket, and whether they can use the rest of the directory.
fn reached(bench: &Bench, said: &Finished, findings: &mut Findings, what: &str) {
    findings.claim(!said.out.contains(TOKEN), format!("{what}: it is reached: {said}"));
    findings.claim(said.out.contains("read works"), format!("{what}: other files do not work: {said}"));
    let written = std::fs::read_to_string(bench.host.dir().join("home/written"));
    findings.claim(written.is_ok_and(|text| text == "x\n"), format!("{what}: nothing is written: {said}"));
}

/// What a user's home is like: an agent's socket, one with an odd name, one that was left behind.
#[test]
fn sockets_in_a_directory_are_covered_and_the_rest_of_it_stays() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let home = bench.dir("home");
        std::fs::create_dir_all(home.join(".gnupg/a b\\c")).unwrap();
        std::fs::write(home.join("notes"), "read works").unwrap();
        listen(&home.join(".gnupg/S.gpg-agent"));
        listen(&home.join(".gnupg/a b\\c/,\"é\n.sock"));
        drop(UnixDatagram::bind(home.join("left")).unwrap());
        let script = "cd /home/me; echo x >written; cat notes; perl /connect.pl .gnupg/S.gpg-agent
            cd '.gnupg/a b\\c'; for s in *.sock; do perl /connect.pl \"$s\"; done
            test -S /home/me/left && echo left";
        let mut spec = bench.spec(script);
        mount(&mut spec, &home, "/home/me", &["rbind", "rprivate"]);
        let bare = bench.open(&spec);
        findings.claim(bare.out.matches(TOKEN).count() == 2, format!("{kind:?} is not open: {bare}"));
        std::fs::remove_file(home.join("written")).unwrap();
        let closed = bench.closed(&spec);
        reached(&bench, &closed, &mut findings, &format!("{kind:?}"));
        findings.claim(
            closed.out.ends_with("left"),
            format!("{kind:?}: a socket that was left is gone: {closed}"),
        );
        let again = bench.closed(
            &serde_json::from_str(&std::fs::read_to_string(bench.dir("bundle").join("config.json")).unwrap())
                .unwrap(),
        );
        findings.claim(!again.out.contains(TOKEN), format!("{kind:?}: a second time: {again}"));

        // What is mounted over it later is left alone: nothing is made in it.
        let volume = bench.dir("volume");
        mount(&mut spec, &volume, "/home/me/.gnupg", &["rbind", "rprivate"]);
        let closed = bench.closed(&spec);
        let inside = std::fs::read_dir(&volume).unwrap().count();
        findings
            .claim(closed.out.contains("read works") && inside == 0, format!("{kind:?}: volume: {closed}"));

        // By a link of the image, whose target a later mount changes.
        let mut spec = bench.spec(
            "perl /connect.pl /a/d/.gnupg/S.gpg-agent; perl /connect.pl /l/d/.gnupg/S.gpg-agent; echo end",
        );
        let (root, other) = (bench.host.dir().join("rootfs"), bench.dir("other"));
        std::fs::create_dir_all(root.join("a/d")).unwrap();
        std::fs::create_dir_all(root.join("b")).unwrap();
        std::os::unix::fs::symlink("/b/l", root.join("l")).unwrap();
        std::os::unix::fs::symlink("/a", root.join("b/l")).unwrap();
        std::os::unix::fs::symlink("/tmp", other.join("l")).unwrap();
        mount(&mut spec, &home, "/l/d", &["rbind", "rprivate"]);
        mount(&mut spec, &other, "/b", &["rbind", "rprivate"]);
        let bare = bench.open(&spec);
        findings.claim(bare.out.contains(TOKEN), format!("{kind:?}: links are not open: {bare}"));
        let closed = bench.closed(&spec);
        findings.claim(closed.out == "end", format!("{kind:?}: by links: {closed}"));
    }
    findings.settle();
}

/// The empty file lies in a directory of root's alone.
#[test]
fn sockets_are_covered_in_a_user_namespace_too() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(bench.host.dir(), open).unwrap();
        let shared = bench.dir("shared");
        bench.dir("rootfs/mnt");
        listen(&shared.join("a.sock"));
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(shared.join("a.sock"), everybody).unwrap();
        let mut spec = bench.spec("perl /connect.pl /mnt/a.sock 2>&1; cat /proc/self/uid_map");
        mount(&mut spec, &shared, "/mnt", &["rbind", "rprivate"]);
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        let bare = bench.open(&spec);
        findings.claim(bare.out.starts_with(TOKEN), format!("{kind:?} is not open: {bare}"));
        let closed = bench.closed(&spec);
        let is_refused = closed.out.contains("Connection refused") && closed.out.contains("100000");
        findings.claim(is_refused, format!("{kind:?} is not closed: {closed}"));
    }
    findings.settle();
}

#[test]
fn more_sockets_than_are_covered_are_refused_with_their_number() {
    let bench = Bench::new();
    let shared = bench.dir("shared");
    let sockets: Vec<_> =
        (0..65).map(|number| UnixDatagram::bind(shared.join(format!("{number}.sock"))).unwrap()).collect();
    let mut spec = bench.spec("echo ran");
    mount(&mut spec, &shared, "/mnt", &["rbind"]);
    refused(&bench.closed(&spec), "holds sockets, 65 of them up to here, of which 64 can be covered")
        .unwrap();
    drop(sockets);
    assert_eq!(bench.closed(&spec).out, "ran");
}

#[test]
fn a_read_only_directory_with_a_socket_needs_no_cover_and_one_that_stays_a_bind_mount_does() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let shared = bench.dir("shared");
        listen(&shared.join("a.sock"));
        let script =
            "perl /connect.pl /in/a.sock; echo x 1<>/in/fifo && echo written; grep -c ' /in/' /proc/mounts";
        let mut spec = bench.spec(script);
        let fifo = shared.join("fifo").display().to_string();
        bench.host.sh(&format!("mkfifo {fifo}")).must();
        mount(&mut spec, &shared, "/in", &["rbind", "ro"]);
        let bare = bench.open(&spec);
        let words = bare.out.contains(TOKEN) && bare.out.contains("written");
        findings.claim(words, format!("{kind:?} is not open: {bare}"));
        let closed = bench.closed(&spec);
        findings.claim(closed.out == "written\n0", format!("{kind:?} overlay: {closed}"));
        let bind = bench.closed_with("[rules]\nmount-readonly-overlay = \"allow\"\n", &spec);
        findings.claim(bind.out == "2", format!("{kind:?} bind: {bind}"));
    }
    findings.settle();
}

#[test]
fn sockets_of_a_gpus_daemons_are_taken_out() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let daemon = bench.dir("run/nvidia-persistenced").join("socket");
        listen(&daemon);
        let mps = bench.dir("tmp/nvidia-mps");
        listen(&mps.join("control"));
        let mut spec = bench.spec("perl /connect.pl /d; perl /connect.pl /tmp/nvidia-mps/control; echo ran");
        mount(&mut spec, &daemon, "/d", &["rbind", "nosuid"]);
        mount(&mut spec, &mps, "/tmp/nvidia-mps", &["rbind", "nosuid"]);
        let bare = bench.open(&spec);
        findings.claim(bare.out.matches(TOKEN).count() == 2, format!("{kind:?} is not open: {bare}"));
        let closed = bench.closed(&spec);
        findings.claim(closed.out == "ran", format!("{kind:?}: {closed}"));
    }
    findings.settle();
}

/// What Docker's own options make of it. Docker 20.10 takes any option of a tmpfs and any overlay for a volume.
#[test]
fn dockers_tmpfs_and_volumes_are_judged_by_what_they_do() {
    let docker = Docker::start(Release::Docker20);
    let mut findings = Findings::default();
    let run = |isolate: bool, options: &[&str], script: &str| {
        let how = if isolate { docker.isolation() } else { &["--runtime=bare"] };
        docker.run(&[&["--rm"], how, options, &["probe", "sh", "-c", script]])
    };
    let event = "change 45534335-0000-4000-8000-000000000000 X=docker";
    let script = format!("echo '{event}' >/sys/devices/virtual/mem/null/uevent");
    // Spelled so that Docker keeps its own mount of /sys.
    let options = ["--tmpfs=/sys/:remount,rw"];
    let uevents = Uevents::listen();
    let bare = run(false, &options, &script);
    findings.claim(uevents.hear("X=docker"), format!("the uevent is not heard without the shim: {bare}"));
    let uevents = Uevents::listen();
    let words = "option \"remount\" is not known for the tmpfs mount at /sys";
    findings.about("remount", refused(&run(true, &options, &script), words).err().into_iter().collect());
    findings.claim(!uevents.hear("X=docker"), "the uevent is heard");

    docker.host.sh("mkdir -p /dev/shm/empty /run/secret; echo token >/run/secret/it").must();
    let layers = "--opt=o=lowerdir=/run:/dev/shm/empty";
    let device = ["--opt=type=overlay", "--opt=device=overlay"];
    docker.must(&["volume", "create", device[0], device[1], layers, "hidden"]);
    let options = ["-v", "hidden:/in"];
    let bare = run(false, &options, "cat /in/secret/it");
    findings.claim(bare.out == "token", format!("the volume is not open without the shim: {bare}"));
    let words = "is an overlay with the layer /run, which is the system's /run";
    findings.about("volume", refused(&run(true, &options, "true"), words).err().into_iter().collect());

    // Docker gives CAP_MKNOD and allows 5:1 to every container.
    let script = "mknod /c c 5 1 && (: >/c) 2>/dev/null && echo opened";
    findings.claim(run(false, &[], script).out == "opened", "the console is not open without the shim");
    findings.claim(run(true, &[], script).out.is_empty(), "the console is open");
    findings.settle();
}
