//! Reading: members, strings and annotations that are on no list.

use serde_json::{Value, json};

use test_support::bench::{Bench, isolated, refused, tools};
use test_support::command::Finished;
use test_support::host::Kind;
use test_support::podman::{Podman, User};
use test_support::{ISOLATE, shim};

/// A BPF program that allows every call: BPF_RET | BPF_K, SECCOMP_RET_ALLOW.
const ALLOW_ALL: &str = "BgAAAAAA/38=";

/// Says of what a profile takes away whether it is there: AF_VSOCK, io_uring_setup(2).
const PROBE: &str = r#"perl -e '
    print "vsock ", (socket(S, 40, 1, 0) ? "open" : "closed"), "\n";
    my $params = "\0" x 120;
    print "io_uring ", (syscall(425, 1, $params) >= 0 ? "open" : "closed"), "\n";'"#;

const OPEN: &str = "vsock open\nio_uring open";
const CLOSED: &str = "vsock closed\nio_uring closed";

fn is_crun(kind: Kind) -> bool {
    kind.runtime().ends_with("crun")
}

/// A profile that takes away what [`PROBE`] tries, as engines' defaults do.
fn profile() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["io_uring_setup"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]},
    ]})
}

#[test]
fn an_annotation_does_not_replace_the_seccomp_profile() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec(PROBE);
        spec["linux"]["seccomp"] = profile();
        assert_eq!(bench.open(&spec).out, CLOSED, "{kind:?}");
        for name in ["run.oci.seccomp_bpf_data", "run.oci.seccomp_bpf_data\0x"] {
            let mut spec = spec.clone();
            spec["annotations"][name] = json!(ALLOW_ALL);
            // runc does not know it.
            let open = if is_crun(kind) { OPEN } else { CLOSED };
            assert_eq!(bench.open(&spec).out, open, "{kind:?} {name:?}");
            let closed = bench.closed(&spec);
            if name.contains('\0') {
                refused(&closed, "a string holds a NUL (\\u0000)").unwrap();
                // Whatever the settings let through.
                let closed = bench.closed_with("[rules]\nruntime-annotations = \"allow\"\n", &spec);
                refused(&closed, "a string holds a NUL (\\u0000)").unwrap();
            } else {
                refused(
                    &closed,
                    "runtime-annotations: annotation run.oci.seccomp_bpf_data is for the runtime",
                )
                .unwrap();
                let stripped = bench.closed_with("[rules]\nruntime-annotations = \"strip\"\n", &spec);
                assert_eq!(stripped.out, CLOSED, "{kind:?}: {stripped}");
            }
        }
    }
}

const CAP_EFF: &str = "grep CapEff /proc/self/status";
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;

/// Which of the two the process has.
fn admin(said: &Finished) -> u64 {
    let line = said.out.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let line = line.unwrap_or_else(|| panic!("no CapEff: {said}"));
    u64::from_str_radix(line.trim(), 16).unwrap() & (NET_ADMIN | SYS_ADMIN)
}

/// Capabilities whose names go on behind a NUL.
fn cut(process: &mut Value) {
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = json!(["CAP_CHOWN", "CAP_NET_ADMIN\0x", "CAP_SYS_ADMIN\0x"]);
    }
}

#[test]
fn a_capability_does_not_hide_behind_a_nul() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec(CAP_EFF);
        cut(&mut spec["process"]);
        // runc passes over names that it does not know.
        let open = if is_crun(kind) { NET_ADMIN | SYS_ADMIN } else { 0 };
        assert_eq!(admin(&bench.open(&spec)), open, "{kind:?}");
        refused(&bench.closed(&spec), "a string holds a NUL (\\u0000)").unwrap();
    }
}

#[test]
fn an_option_of_a_mount_does_not_hide_behind_a_nul() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let secret = bench.dir("secret");
        std::fs::write(secret.join("word"), "of the host").unwrap();
        let mut spec = bench.spec("cat /in/word || echo nothing");
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts
            .push(json!({"destination": "/in", "type": "tmpfs", "source": secret, "options": ["rbind\0x"]}));
        // runc hands the option to the kernel, which does not know it.
        let open = bench.open(&spec);
        assert_eq!(open.out == "of the host", is_crun(kind), "{kind:?}: {open}");
        refused(&bench.closed(&spec), "a string holds a NUL (\\u0000)").unwrap();
    }
}

/// Starts the container in the background, behind the shim if so, and goes on with a script in which `r` is
/// the runtime.
fn exec(bench: &Bench, through_shim: bool, spec: &Value, then: &str) -> Finished {
    let root = bench.host.at("state");
    let script = format!(
        "r() {{ v=$1; shift; \"$runtime\" --root {root} $v \"$@\"; }}
         runtime=$1; trap 'r delete --force one >/dev/null 2>&1' EXIT
         r create --bundle {} one </dev/null >{root}.log 2>&1 || {{ cat {root}.log >&2; exit 1; }}
         r start one; {then}",
        bench.host.at("bundle")
    );
    let mut spec = spec.clone();
    spec["process"]["args"] = json!(["sleep", "60"]);
    if through_shim {
        bench.run_script(&script, &shim(), &isolated(&spec), &[])
    } else {
        bench.run_script(&script, bench.runtime(), &spec, &[])
    }
}

#[test]
fn a_capability_does_not_hide_behind_a_nul_in_exec_either() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let spec = bench.spec("true");
        let mut process = spec["process"].clone();
        process["args"] = json!(["sh", "-c", CAP_EFF]);
        cut(&mut process);
        let file = bench.host.write("process.json", &process.to_string());
        let words = format!("r exec --process {file} one");
        let open = if is_crun(kind) { NET_ADMIN | SYS_ADMIN } else { 0 };
        assert_eq!(admin(&exec(&bench, false, &spec, &words)), open, "{kind:?}");
        refused(&exec(&bench, true, &spec, &words), "a string holds a NUL (\\u0000)").unwrap();
        process["capabilities"] = json!({});
        process["new"] = json!({});
        bench.host.write("process.json", &process.to_string());
        assert_eq!(admin(&exec(&bench, false, &spec, &words)), 0, "{kind:?}");
        refused(&exec(&bench, true, &spec, &words), "unknown-members: member process.new is not known")
            .unwrap();
    }
}

/// runc keeps the bundle's path among the annotations, and the first of that name wins.
#[test]
fn exec_does_not_take_its_process_from_another_bundle() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let spec = bench.spec("true");
        let mut other = spec.clone();
        for set in ["bounding", "effective", "permitted"] {
            other["process"]["capabilities"][set] = json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
        }
        std::fs::write(bench.dir("other=").join("config.json"), other.to_string()).unwrap();
        let words = format!("r exec one {CAP_EFF}");
        // To runc both are `bundle=.../other=`; crun has the path in a state of its own.
        let name = format!("bundle={}", bench.host.at("other"));
        for (name, value) in [("bundle", bench.host.at("other=")), (&name, String::new())] {
            let mut spec = spec.clone();
            spec["annotations"][name] = json!(value);
            let open = if is_crun(kind) { 0 } else { NET_ADMIN | SYS_ADMIN };
            assert_eq!(admin(&exec(&bench, false, &spec, &words)), open, "{kind:?} {name}");
            refused(&exec(&bench, true, &spec, &words), "runtime-annotations: annotation bundle").unwrap();
        }
    }
}

/// runc reads the bundle again for an `exec` that has no process file.
#[test]
fn exec_does_not_take_its_process_from_a_bundle_that_was_changed() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let spec = bench.spec("true");
        let mut other = spec.clone();
        for set in ["bounding", "effective", "permitted"] {
            other["process"]["capabilities"][set] = json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
        }
        let file = bench.host.write("other.json", &other.to_string());
        let config = bench.host.at("bundle/config.json");
        let then = format!("r exec one true; cp {file} {config}; r exec one {CAP_EFF}");
        let open = if is_crun(kind) { 0 } else { NET_ADMIN | SYS_ADMIN };
        assert_eq!(admin(&exec(&bench, false, &spec, &then)), open, "{kind:?}");
        refused(
            &exec(&bench, true, &spec, &then),
            "has changed since the container was created; give --process: ",
        )
        .unwrap();
        let gone = format!("rm {config}; r exec one {CAP_EFF}");
        let gone = exec(&bench, true, &spec, &gone);
        assert_eq!(gone.well(), is_crun(kind), "{kind:?}: {gone}");
    }
}

#[test]
fn a_member_that_is_in_no_table_is_refused_by_its_path() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec("echo fine");
        spec["linux"]["newThing"] = json!({"a": 1});
        assert_eq!(bench.open(&spec).out, "fine", "{kind:?}");
        let why = "unknown-members: member linux.newThing is not known; drop it, or set [rules] unknown-members = \"allow\"";
        refused(&bench.closed(&spec), why).unwrap();
        let allowed = bench.closed_with("[rules]\nunknown-members = \"allow\"\n", &spec);
        assert_eq!(allowed.out, "fine", "{kind:?}");
    }
}

/// What Podman's users have, and what they might.
#[test]
fn annotations_by_podman_are_judged_by_list() {
    for kind in [Kind::MachineForCrun, Kind::SidForCrun] {
        let podman = Podman::new(kind, User::Root, "/usr/bin/crun");
        podman.host.settings("runtime = [\"/usr/bin/crun\"]\n");
        // Messages for the audit log are what Podman's own profile does not give.
        let dir = podman.host.dir().join("tools");
        tools(&dir);
        let volume = format!("--volume={}:/tools:ro", dir.display());
        let run = |runtime: &str, options: &[&str]| {
            let script = "LD_LIBRARY_PATH=/tools/lib/x86_64-linux-gnu /tools/bin/perl -e \
                'print socket(S, 16, 3, 9) ? \"open\" : \"closed\"'";
            podman.run(
                runtime,
                &[
                    &["--rm", "--network=none", "--cap-drop=all", &volume],
                    options,
                    &["probe", "sh", "-c", script],
                ],
            )
        };
        let bpf = format!("--annotation=run.oci.seccomp_bpf_data={ALLOW_ALL}");
        assert_eq!(run("bare", &[]).out, "closed", "{kind:?}");
        assert_eq!(run("bare", &[&bpf]).out, "open", "{kind:?}");
        let on = ["--annotation", ISOLATE];
        let why =
            "annotation run.oci.seccomp_bpf_data is for the runtime and not on the list of what is harmless";
        refused(&run("oci-isolate", &[&on[..], &[&bpf]].concat()), why).unwrap();
        // Podman writes run.oci.keep_original_groups for this.
        let kept = run("oci-isolate", &[&on[..], &["--group-add=keep-groups"]].concat());
        assert_eq!(kept.out, "closed", "{kind:?}: {kept}");
        let near = run("oci-isolate", &["--annotation=io.oci-isolate.network_isolation=true"]);
        let why = "annotation io.oci-isolate.network_isolation is not known; did you mean io.oci-isolate.network-isolation?";
        refused(&near, why).unwrap();
        let job = run("oci-isolate", &["--annotation=io.oci-isolate.job=train"]);
        refused(&job, "annotation io.oci-isolate.job is for isolated containers, and this one is not")
            .unwrap();
    }
}
