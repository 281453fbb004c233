//! Clock jumps. The machine's own wall clock is not ours to set, and a time namespace shifts the others only
//! (time_namespaces(7)): so the monotonic one jumps, by which waits end, and of the wall clock it is shown that nothing asks
//! it.

use std::path::Path;

use super::signals::{host, script};

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if std::fs::read_to_string(&path).unwrap().contains("SystemTime") {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// A process is told from a later one of its pid by its start since boot, and waits end by the monotonic clock.
#[test]
fn the_wall_clock_decides_nothing_and_is_only_shown_in_logs() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    // A statement has the times of its facts; by one, a digest can only be less certain.
    assert_eq!(found, ["attempts.rs", "audit.rs", "diagnostics.rs", "digest.rs", "time.rs", "tried.rs"]);
}

/// A shell function that runs a command whose monotonic clock is that many seconds off. Not its boot time: the kernel
/// shifts what /proc says of the start of processes with it, by which runc itself tells a process from a later one.
const AT: &str = r#"at() { offset=$1; shift; unshare --time --monotonic $offset --fork "$@"; }"#;

#[test]
fn a_container_lives_through_a_clock_that_jumps_between_any_two_calls() {
    let host = host();
    let jumps = r#"set -e; at 100000000 sh -c 'cat /proc/self/timens_offsets'
        at 100000000 $R create --pid-file ../pid web </dev/null >../out 2>&1
        at -60 $R start web; until grep -q runs ../out; do sleep 0.05; done
        at 300000000 $R exec -e AWS_PROFILE=x web sh -c 'env; ip -o link show up | cut -d: -f2'
        at 1 $R kill web KILL; at -100 $R delete --force web"#;
    let said = script(&host, &format!("{AT}; {jumps}")).must();
    assert!(said.contains("100000000") && said.ends_with("\n lo\n"), "{said}");
    let out = std::fs::read_to_string(host.at("out")).unwrap();
    assert!(!out.contains("UNSEALED") && !(out + &said).contains("AWS_PROFILE"));
    assert_eq!(host.state(), [""; 0]);
}
