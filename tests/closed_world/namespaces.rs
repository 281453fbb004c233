//! Namespaces that are given by path: an isolated container joins those of isolated containers only, and only those join its
//! own.

use serde_json::{Value, json};

use test_support::bench::{Bench, isolated, refused};
use test_support::docker::{Docker, Release};
use test_support::host::Kind;
use test_support::life::Life;
use test_support::shim;

/// A configuration with these namespaces by path, and new ones of the usual other types.
fn joining(life: &Life, paths: &[(&str, &str)]) -> Value {
    let mut spec = life.stays();
    let usual = ["pid", "network", "ipc", "uts", "mount"].into_iter();
    let new =
        usual.filter(|kind| paths.iter().all(|(other, _)| other != kind)).map(|kind| json!({"type": kind}));
    let given = paths.iter().map(|(kind, path)| json!({"type": kind, "path": path}));
    spec["linux"]["namespaces"] = new.chain(given).collect();
    spec
}

/// It is sealed, and by the shim; but there is no record of it any more.
#[test]
fn a_namespace_that_only_looks_sealed_is_not_joined() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("one", &life.stays());
        life.sh("made $S one; $S start one; touch $D/ns; mount --bind /proc/$(init one)/ns/net $D/ns
            nsenter --net=$D/ns nft list tables | grep -q oci_isolate; $S delete --force one")
            .must();
        let path = life.bench.host.at("ns");
        let spec = joining(&life, &[("network", &path)]);
        let joined = |program: &str, id: &str| {
            let same = format!(
                "made ${program} {id}; ${program} start {id}; [ \"net:[$(stat -Lc %i $D/ns)]\" = $(net {id}) ] && echo same"
            );
            life.sh(&format!("{same} || echo another")).must()
        };
        life.isolated("two", &spec);
        assert_eq!(joined("S", "two"), "another", "{kind:?}");
        life.plain("bare", &spec);
        assert_eq!(joined("B", "bare"), "same", "{kind:?}");
    }
}

#[test]
fn a_sealed_namespace_with_a_stranger_in_it_is_not_joined() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("one", &life.stays());
        life.sh("made $S one; $S start one").must();
        let path = format!("/proc/{}/ns/net", life.sh("init one").must().trim());
        for id in ["two", "three", "four"] {
            life.isolated(id, &joining(&life, &[("network", &path)]));
        }
        // Its own processes are none, nor are those that were entered into it, nor what is being created beside.
        life.sh("$S exec -d one sleep 1000 </dev/null >/dev/null 2>&1; made $S two; made $S three; $S start two; [ $(net one) = $(net two) ]").must();
        life.sh("nsenter -t $(init one) -n sleep 1000 >/dev/null 2>&1 & echo $! >$D/stranger
            until [ $(readlink /proc/$!/ns/net) = $(net one) ]; do :; done")
            .must();
        refused(&life.sh("$S start three"), "(sleep) in it, which is not of an isolated container").unwrap();
        refused(&life.sh("made $S four"), "(sleep) is in /proc/").unwrap();
        life.sh("kill $(cat $D/stranger); while [ -e /proc/$(cat $D/stranger) ]; do :; done").must();
        life.sh("$S start three; made $S four; $S start four").must();
    }
}

#[test]
fn a_container_that_is_not_isolated_does_not_join_one_that_is() {
    const KINDS: [(&str, &str); 3] = [("pid", "pid"), ("network", "net"), ("ipc", "ipc")];
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        life.isolated("late", &life.stays());
        life.plain("plain", &life.stays());
        life.sh("made $S web; $S start web; made $S late; made $S plain; $S start plain").must();
        let init = |id: &str| life.sh(&format!("init {id}")).must().trim().to_owned();
        for (word, file) in KINDS {
            for (target, number) in [("web", 0), ("late", 1), ("plain", 2)] {
                let path = format!("/proc/{}/ns/{file}", init(target));
                let id = format!("{word}{number}");
                life.plain(&id, &joining(&life, &[(word, &path)]));
                let made = |program: &str| life.sh(&format!("made ${program} {id}"));
                if target == "plain" {
                    made("S").must();
                    continue;
                }
                let why = format!(
                    "container {id} not created: it would join the {word} namespace of isolated container {target}; \
                     give it the annotation as well, or set joiners = \"allow\""
                );
                refused(&made("S"), &why).unwrap();
                made("B").must();
                life.sh(&format!("$B delete --force {id}")).must();
            }
        }
        life.settings("joiners = \"allow\"");
        life.sh("made $S pid0; $S start pid0").must();
    }
}

/// The annotation of CRI-O's pods is believed of the path only: whose a namespace is depends on the processes in it.
#[test]
fn a_container_that_claims_to_be_of_a_cri_o_pod_joins_no_other_container() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.plain("plain", &life.stays());
        life.sh("made $S plain; $S start plain; touch $D/net $D/ipc
            mount --bind /proc/$(init plain)/ns/net $D/net; mount --bind /proc/$(init plain)/ns/ipc $D/ipc")
            .must();
        let at = |file: &str| life.bench.host.at(file);
        let both = [("network", at("net")), ("ipc", at("ipc"))];
        for (id, given, why) in [
            ("by-net", &both[..1], "and is not of an isolated container; nothing is sealed for it"),
            ("by-ipc", &both[1..], "host-ipc: the ipc namespace"),
            ("by-both", &both[..], "and is not of an isolated container; nothing is sealed for it"),
        ] {
            let paths: Vec<_> = given.iter().map(|(word, path)| (*word, path.as_str())).collect();
            let mut spec = joining(&life, &paths);
            spec["annotations"]["io.container.manager"] = json!("cri-o");
            life.plain(&format!("bare-{id}"), &spec);
            life.sh(&format!("made $B bare-{id}; $B delete --force bare-{id}")).must();
            life.isolated(id, &spec);
            refused(&life.sh(&format!("made $S {id}")), why).unwrap();
        }
    }
}

/// That is how one looks into a container: by another one that is isolated too.
#[test]
fn one_that_is_isolated_too_may_join_both_namespaces() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        life.sh("made $S web; $S start web").must();
        let pid = life.sh("init web").must();
        let path = |file: &str| format!("/proc/{}/ns/{file}", pid.trim());
        life.isolated("debug", &joining(&life, &[("network", &path("net")), ("pid", &path("pid"))]));
        life.sh("made $S debug; $S start debug; $S exec debug sh -c 'ls /proc | grep -c \"^[0-9]\"'").must();
    }
}

#[test]
fn a_mount_namespace_of_others_and_none_are_refused() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.plain("plain", &life.stays());
        life.sh("made $S plain; $S start plain; echo x >$D/rootfs/word").must();
        let pid = life.sh("init plain").must();
        let path = format!("/proc/{}/ns/mnt", pid.trim());
        life.isolated("web", &joining(&life, &[("mount", &path)]));
        refused(&life.sh("made $S web"), "namespaces: the mount namespace /proc/").unwrap();

        // With CAP_SYS_CHROOT, which Docker gives, a container without one is at the host's root.
        let mut spec = life.bench.spec(
            "perl -e 'mkdir q(/tmp/x); chroot q(/tmp/x); chdir q(..) for 1..32; chroot q(.); exec qw(/bin/sh -c), $ARGV[0]' \
             'cat /etc/hostsword'",
        );
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] = json!(["CAP_SYS_CHROOT"]);
        }
        spec["linux"]["namespaces"] =
            json!([{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]);
        for masks in ["maskedPaths", "readonlyPaths"] {
            spec["linux"][masks] = json!([]);
        }
        life.sh("echo of-the-host >/etc/hostsword").must();
        let open = life.bench.open(&spec);
        assert!(open.out.contains("of-the-host"), "{kind:?}: {open}");
        refused(&life.bench.closed(&spec), "namespaces: there is no mount namespace").unwrap();
    }
}

/// crun 1.8 joins the second; the others refuse the configuration by themselves.
#[test]
fn two_namespaces_of_one_type_are_refused() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.plain("plain", &life.stays());
        life.sh("made $S plain; $S start plain").must();
        let pid = life.sh("init plain").must();
        let mut spec = life.bench.spec("readlink /proc/self/ns/ipc");
        let path = format!("/proc/{}/ns/ipc", pid.trim());
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "ipc", "path": path}));
        let its = life.sh(&format!("readlink {path}")).must();
        assert_eq!(life.bench.open(&spec).out == its, kind == Kind::MachineForCrun, "{kind:?}");
        refused(&life.bench.closed(&spec), "namespaces: several ipc namespaces are given").unwrap();
    }
}

#[test]
fn a_user_namespace_of_others_and_types_that_are_not_known_are_refused() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &joining(&life, &[("user", "/proc/self/ns/user")]));
        refused(&life.sh("made $S web"), "namespaces: the user namespace /proc/self/ns/user").unwrap();
        life.isolated("new", &joining(&life, &[("landlock", "")]));
        refused(&life.sh("made $S new"), "unknown variant").unwrap();
    }
}

/// How one debugs with Docker: a container with tools that joins the one in question.
fn docker(release: Release) {
    let docker = Docker::start(release);
    docker.background("web", docker.isolation());
    for (flag, word) in [("--network", "network"), ("--pid", "pid")] {
        let join = format!("{flag}=container:web");
        let run = |how: &[&str]| docker.run(&[&["--rm", &join], how, &["probe", "true"]]);
        run(&["--runtime=bare"]).must();
        refused(
            &run(&["--runtime=shim"]),
            &format!("it would join the {word} namespace of isolated container "),
        )
        .unwrap();
    }
    let join = ["--rm", "--network=container:web", "--pid=container:web"];
    let run = || {
        docker.run(&[&join, docker.isolation(), &["probe", "sh", "-c", "pidof httpd; wget -qO- 127.0.0.1"]])
    };
    let said = run().must();
    assert!(said.contains("inside"), "{said}");
    // With a process of the host in it, it is not joined any more.
    let pid = docker.must(&["inspect", "--format={{.State.Pid}}", "web"]);
    let stranger = format!(
        "nsenter -t {pid} -n sleep 1000 >/dev/null 2>&1 & until [ $(readlink /proc/$!/ns/net) = $(readlink /proc/{pid}/ns/net) ]; do :; done"
    );
    docker.host.sh(&stranger).must();
    refused(&run(), "(sleep) is in ").unwrap();
}

#[test]
fn with_docker_20_a_container_that_is_not_isolated_does_not_join_one_that_is() {
    docker(Release::Docker20);
}

#[test]
fn with_docker_28_a_container_that_is_not_isolated_does_not_join_one_that_is() {
    docker(Release::Docker28);
}

/// Makes a user namespace in which uid 0 is root, and in it mounts a proc.
const ANOTHER_PROC: &str = r#"mkdir -p /tmp/p; perl -e '
    sub put { open my $f, ">", $_[0] or die "$_[0]: $!"; syswrite $f, $_[1] or die "$_[0]: $!" }
    syscall(272, 0x30020000) == 0 or die "unshare: $!"; put("/proc/self/setgroups", "deny");
    put("/proc/self/$_", "0 0 1") for "uid_map", "gid_map";
    my $pid = fork; if ($pid) { waitpid $pid, 0; exit }
    my ($kind, $at) = ("proc", "/tmp/p"); syscall(165, $kind, $at, $kind, 0, 0) == 0 or die "refused: $!";
    my $pattern = "/tmp/p/sys/kernel/core_pattern"; open my $f, "+<", $pattern or die "read-only: $!"; print "writable"'"#;

/// What the kernel asks before it mounts a proc in a user namespace is whether all of one is to be seen, and without
/// pivot_root(2) the machine's mounts stay below the container's. runc takes every proc away, crun only `/proc`.
#[test]
fn without_pivot_root_a_container_is_refused() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        bench
            .host
            .sh(&format!("mkdir -p {0} && mount -t proc proc {0}", bench.host.at("chroot/proc")))
            .must();
        let mut spec = bench.spec(ANOTHER_PROC);
        // As Docker has it: without it no process maps the machine's root (user_namespaces(7)).
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SETFCAP"));
        }
        // "$@" ends with the id.
        let script = "set -- \"${@:1:$#-1}\" --no-pivot \"${!#}\"; exec \"$@\"";
        let open = bench.run_script(script, bench.runtime(), &spec, &[]);
        let is_crun = matches!(kind, Kind::MachineForCrun | Kind::SidForCrun);
        assert_eq!(open.out == "writable", is_crun, "{kind:?}: {open}");
        let closed = bench.run_script(script, &shim(), &isolated(&spec), &[]);
        refused(&closed, "with --no-pivot the machine's own mounts stay below the container's; drop it")
            .unwrap();
        // With it that is closed by itself.
        let closed = bench.closed(&spec);
        assert!(closed.err.contains("refused: "), "{kind:?}: {closed}");
    }
}
