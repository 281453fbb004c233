//! `mount-propagation`.

use crate::container::{Bench, isolated, mount};
use crate::harness::shim;

#[test]
fn a_mount_that_the_host_makes_later_does_not_appear() {
    let bench = Bench::new();
    let shared = bench.dir("shared");
    let path = shared.display();
    bench
        .host
        .sh(&format!("mount --bind {path} {path}; mount --make-rshared {path}; mkdir {path}/late"))
        .must();
    let script = "touch /in/up; n=0; until [ -e /in/mounted ] || [ $n = 250 ]; do usleep 20000; n=$((n + 1)); done; cat /in/late/f";
    for options in [&["rbind", "rslave"][..], &["rbind", "rshared"], &["rbind"]] {
        for (isolate, opens) in [(false, true), (true, false)] {
            let mut spec = bench.spec(script);
            mount(&mut spec, &shared, "/in", options);
            let runtime = if isolate { shim() } else { "/usr/sbin/runc".into() };
            let spec = if isolate { isolated(&spec) } else { spec };
            let late = format!(
                "rm -f {path}/up {path}/mounted
                 (until [ -e {path}/up ]; do sleep 0.02; done; mount -t tmpfs late {path}/late; echo token >{path}/late/f; touch {path}/mounted) &
                 \"$@\" || true
                 wait; umount {path}/late"
            );
            let said = bench.run_script(&late, &runtime, &spec, &[]);
            assert_eq!(said.out.contains("token"), opens, "{options:?}, isolated: {isolate}: {said}");
        }
    }
    let mut spec = bench.spec("true");
    mount(&mut spec, &shared, "/in", &["rbind", "rslave"]);
    let said = bench.closed_with("[rules]\nmount-propagation = \"refuse\"\n", &spec);
    crate::container::refused(&said, "the propagation of /in is \"rslave\"").unwrap();
}
