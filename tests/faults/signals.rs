//! Signals at any moment of any verb, with real runc behind the shim and an engine that plumbs a network in.

use std::fs;

use serde_json::json;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{SWITCH, plain, put};
use test_support::shim;

/// How many calls are interrupted; more by hand.
fn rounds() -> u32 {
    std::env::var("OCI_ISOLATE_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60)
}

/// A host with runc, and a container that tells when it runs although it is not isolated. Its engine plumbs a network by
/// a hook, before the shim's own.
pub(super) fn host() -> RecorderHost {
    let host = RecorderHost::new();
    let rootfs = "cd rootfs; mkdir bin proc sys dev etc; cp /bin/busybox bin; cd bin; for applet in sh sleep env grep ip; do ln -s busybox $applet; done";
    host.sh(rootfs).must();
    host.write("config.toml", "runtime = [\"/usr/sbin/runc\"]");
    let mut config = plain();
    config["annotations"] = json!({ SWITCH: "true" });
    let tell =
        "ip link show up | grep -q eth0 && echo UNSEALED; env | grep AWS_PROFILE; echo runs; sleep 1000";
    put(&mut config, "/process/args", json!(["/bin/sh", "-c", tell]));
    put(&mut config, "/process/env", json!(["PATH=/bin", "AWS_PROFILE=x"]));
    let group = host.at("").trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    put(&mut config, "/linux/cgroupsPath", json!(format!("/{group}/web")));
    let plumb =
        "pid=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2); ip link add type veth peer name eth0 netns $pid";
    put(
        &mut config,
        "/hooks",
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", plumb], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]}),
    );
    host.config(&config);
    fs::copy(host.at("bundle/config.json"), host.at("old.json")).unwrap();
    host
}

/// Runs a script in which `$R` is the runtime with its root.
pub(super) fn script(host: &RecorderHost, text: &str) -> ShimOutput {
    let runtime = format!("{} --root {}", shim().display(), host.at("root"));
    say(host.command("sh").args(["-c", text]).env("R", runtime))
}

const CREATE: &str = "$R create --pid-file ../pid web </dev/null >>../out 2>&1";

/// What comes before the interrupted call, and the call.
const CALLS: [(&str, &str); 5] = [
    ("", "create --pid-file ../pid web"),
    ("", "run --detach web"),
    (CREATE, "start web"),
    ("$R run --detach web </dev/null >>../out 2>&1", "exec -e AWS_PROFILE=x web sh -c env"),
    ("$R run --detach web </dev/null >>../out 2>&1; $R kill web KILL; sleep 0.05", "delete web"),
];

#[test]
fn an_isolated_container_runs_sealed_or_not_at_all_and_can_be_deleted() {
    let host = host();
    host.write("config.toml", "runtime = [\"/usr/sbin/runc\"]\n[attempts]\ncount = true\n");
    // What the rules make of it, to compare with.
    script(&host, &format!("{CREATE}; $R delete --force web")).must();
    let new = |verb: &str| {
        fs::copy(host.at("old.json"), host.at("bundle/config.json")).unwrap();
        script(&host, &format!("$R {verb} web </dev/null >>../out 2>&1; $R delete --force web")).must();
        fs::read(host.at("bundle/config.json")).unwrap()
    };
    let known = [fs::read(host.at("old.json")).unwrap(), new("create"), new("run --detach")];
    let mut cut = 0;
    for round in 0..rounds() {
        let (before, call) = CALLS[round as usize % CALLS.len()];
        let signal = ["KILL", "TERM", "INT"][round as usize / CALLS.len() % 3];
        // Spread over the shim's own part, which is short, and over all of it. 0 would be no limit.
        let step = u64::from(round / 15 + 1);
        let micros = 500 + if round % 2 == 0 { step * 1_777 % 12_000 } else { step * 17_771 % 160_000 };
        let case = format!("{round}: {call}: {signal} after {micros} us");
        fs::copy(host.at("old.json"), host.at("bundle/config.json")).unwrap();
        let interrupted = format!(
            "{before}
            timeout --foreground --signal={signal} 0.{micros:06} $R {call} </dev/null >>../out 2>&1"
        );
        cut += i32::from(script(&host, &interrupted).status != 0);
        let config = fs::read(host.at("bundle/config.json")).unwrap();
        assert!(known.contains(&config), "{case}: {}", String::from_utf8_lossy(&config));
        let out = fs::read_to_string(host.at("out")).unwrap();
        assert!(!out.contains("UNSEALED") && !out.contains("AWS_PROFILE"), "{case}: {out}");
        // runc itself may need a second call when it was killed in the middle of one.
        let gone = script(
            &host,
            "for n in 1 2 3 4 5; do $R delete --force web && [ ! -e ../root/web ] && exit; sleep 0.1; done; exit 1",
        );
        assert_eq!(gone.status, 0, "{case}: {gone:?}");
        let left = host.state();
        assert!(
            left.iter().all(|path| path.contains(".oci-isolate-") || path.ends_with("web.json")),
            "{case}: {left:?}"
        );
    }
    assert!(cut > 5, "only {cut} calls were interrupted");
    // The next container of that id works, and takes everything with it.
    fs::copy(host.at("old.json"), host.at("bundle/config.json")).unwrap();
    let whole = format!(
        "{CREATE} && $R start web && until grep -q runs ../out; do sleep 0.05; done; $R delete --force web"
    );
    host.write("out", "");
    script(&host, &whole).must();
    assert_eq!(host.bundle(), "config.json\nrootfs\n");
    assert_eq!(host.state(), [""; 0]);
    let group = host.at("").trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    script(&host, &format!("find /sys/fs/cgroup/*/{group} -depth -type d -exec rmdir {{}} + 2>/dev/null"));
}
