//! The kernel features that isolation needs.

use std::fs::read_to_string;

use super::{Finding, namespace};
use oci_isolate::invocation::Dialect;
use oci_isolate::runtime::{Libseccomp, Runtime};
use oci_isolate::settings::Settings;

pub(super) fn check(settings: &Settings, runtime: Option<&Runtime>) -> Vec<Finding> {
    let mut found = vec![version()];
    found.extend(namespace::check(settings.firewall));
    found.extend(runtime.map(libseccomp));
    found.extend([seccomp(), overlay(), control_groups(runtime)]);
    found
}

fn version() -> Finding {
    match read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => Finding::ok("kernel", format!("Linux {}", release.trim())),
        Err(error) => {
            Finding::fail("kernel", format!("cannot read /proc/sys/kernel/osrelease: {error}"), "mount /proc")
        }
    }
}

/// The seccomp actions of this kernel (seccomp(2), "/proc interfaces"); the rule `seccomp` refuses calls with
/// `errno`.
fn seccomp() -> Finding {
    let file = "/proc/sys/kernel/seccomp/actions_avail";
    match read_to_string(file) {
        Ok(actions) if actions.split_whitespace().any(|action| action == "errno") => {
            Finding::ok("seccomp", "this kernel has filters")
        }
        Ok(actions) => Finding::fail(
            "seccomp",
            format!("{file} has no errno: {}", actions.trim()),
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
        Err(error) => Finding::fail(
            "seccomp",
            format!("cannot read {file}: {error}"),
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

/// Whether the runtime's library can name every system call that the rule `seccomp` blocks.
fn libseccomp(runtime: &Runtime) -> Finding {
    let what = "update it; libseccomp 2.4.2 is the first that knows io_uring";
    let checked = Libseccomp::of(runtime, None).and_then(|found| {
        found.check(runtime.path(), true)?;
        Ok(format!("{} has {found}, which knows every call that is closed", runtime.path().display()))
    });
    checked.map_or_else(
        |error| Finding::fail("libseccomp", format!("{error:#}"), what),
        |says| Finding::ok("libseccomp", says),
    )
}

/// The list omits a module that is not loaded, which the first mount loads.
fn overlay() -> Finding {
    let systems = read_to_string("/proc/filesystems").unwrap_or_default();
    if systems.split_whitespace().any(|name| name == "overlay") {
        return Finding::ok("overlay", "this kernel has it, for read-only directories");
    }
    Finding::warn(
        "overlay",
        "not in /proc/filesystems; a container with a read-only directory does not start unless its module loads",
        "modprobe overlay",
    )
}

/// mount(8)'s names of the hierarchies. Both kinds below /sys/fs/cgroup is systemd's hybrid mode, which crun 1.8.1
/// refuses.
fn control_groups(runtime: Option<&Runtime>) -> Finding {
    let mounts = read_to_string("/proc/mounts").unwrap_or_default();
    let has = |kind: &str| {
        mounts.lines().any(|line| {
            let mut words = line.split(' ').skip(1);
            words.next().is_some_and(|path| path.starts_with("/sys/fs/cgroup")) && words.next() == Some(kind)
        })
    };
    let crun = runtime.is_some_and(|runtime| runtime.dialect() == Dialect::Crun);
    match (has("cgroup"), has("cgroup2")) {
        (true, true) if crun => Finding::warn(
            "control-groups",
            "hybrid (v1 and v2), which crun refuses",
            "boot with systemd.unified_cgroup_hierarchy=1, or name runc as `runtime` in the settings",
        ),
        (true, true) => Finding::ok("control-groups", "hybrid (v1 and v2)"),
        (true, false) => Finding::ok("control-groups", "v1"),
        (false, true) => Finding::ok("control-groups", "v2"),
        (false, false) => Finding::warn(
            "control-groups",
            "none is mounted below /sys/fs/cgroup",
            "mount them; runc does not start containers without",
        ),
    }
}
