//! What is seen from outside of the processes of a container and of what the runtime keeps of it, and that `verify` names
//! it.

use serde_json::json;

use super::sealed::{SECRET, Sealed};
use test_support::recorded::spec::put;

#[test]
fn a_process_from_outside_in_its_mount_or_user_namespace_is_named() {
    let says = |kind| format!("namespaces: process PID is in its {kind} namespace and not in the container");
    Sealed::new().intruded("exec nsenter -t $P -m /bin/sleep 1000", &says("mnt"));
    let sealed = Sealed::empty().with_user_namespaces();
    in_user_namespace(&sealed, 100_000);
    sealed.intruded("exec nsenter -t $P -U sleep 1000", &says("user"));
}

fn in_user_namespace(sealed: &Sealed, host: u32) {
    sealed.start("web", |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        let map = json!([{"containerID": 5, "hostID": 1_000_000, "size": 5}, {"containerID": 0, "hostID": host, "size": 1}]);
        put(config, "/linux/uidMappings", map.clone());
        put(config, "/linux/gidMappings", map);
    });
}

#[test]
fn a_user_namespace_with_the_machines_root_in_it_is_named() {
    let sealed = Sealed::empty().with_user_namespaces();
    in_user_namespace(&sealed, 0);
    sealed
        .sabotage(&format!("sed -i 's/\"confined\":false/\"confined\":true/' {}", sealed.host.record("web")));
    let says = |map| {
        format!(
            "host-capabilities: the machine's root is in its user namespace ({map} has it as 0), which confines nothing"
        )
    };
    assert_eq!(sealed.broken(), [says("gid_map"), says("uid_map")]);
}

#[test]
fn a_limit_with_which_a_crash_starts_a_program_of_the_host_is_named() {
    let sealed = Sealed::empty();
    sealed.host.write("core_pattern", "|/usr/bin/apport %p\n");
    sealed.start("web", |_| {});
    let pid = sealed.pid("web");
    let is = "a crash starts a program of the host";
    // 0 keeps files from being written and does not keep the program from being started.
    sealed.sabotaged(
        "prlimit --pid $P --core=0:1",
        &[&format!("core-dumps: process {pid} has a soft limit for core dumps of 0: {is}")],
    );
    sealed.sabotage("prlimit --pid $P --core=0:0");
    let says = |kind| format!("core-dumps: process {pid} has a {kind} limit for core dumps of 0: {is}");
    assert_eq!(sealed.broken(), [says("hard"), says("soft")]);
    // Without such a program nothing is started.
    sealed.host.write("core_pattern", "core\n");
    sealed.holds(&["web"]);
}

#[test]
fn a_home_that_is_not_absolute_is_named() {
    Sealed::new().intruded(
        &format!("eval \"$JOIN\"; export HOME={SECRET}; exec nsenter -t $P -a /bin/sleep 1000"),
        "credential-files: process PID has a HOME that is not an absolute path",
    );
}

/// What an engine is started under is inherited by its containers, and by whatever else comes from it.
#[test]
fn a_filter_that_is_the_engines_alone_is_none() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    // prctl(2) by its number: PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with a program that allows everything.
    let filtered = "use POSIX; my $prctl = (POSIX::uname())[4] eq 'x86_64' ? 157 : 167;
        my $filter = pack('SCCL', 6, 0, 0, 0x7fff0000); my $program = pack('Sx6P', 1, $filter);
        syscall($prctl, 38, 1, 0, 0, 0) == 0 && syscall($prctl, 22, 2, $program, 0, 0) == 0 or die $!;
        exec @ARGV or die $!;";
    sealed.host.write("filtered.pl", filtered);
    sealed
        .sh("$SHIM --root $R delete -f web
            setsid perl $D/filtered.pl $SHIM --root $R run -b $D/web web </dev/null >/dev/null 2>&1 &
            until grep -q '\"init\":{' /run/oci-isolate/containers$R/web.json; do sleep 0.02; done
            until [ \"$(cat /proc/$(sed 's/.*\"init\":{\"pid\":\\([0-9]*\\).*/\\1/' /run/oci-isolate/containers$R/web.json)/comm)\" = sleep ]; do sleep 0.02; done")
        .must();
    sealed.intruded(
        "eval \"$JOIN\"; exec perl $D/filtered.pl nsenter -t $P -a /bin/sleep 1000",
        "seccomp: process PID has no filter of system calls other than its engine's",
    );
}

#[test]
fn another_init_process_than_the_one_that_was_sealed_is_named() {
    for (runtime, file, member) in
        [("runc", "state.json", "\"init_process_pid\":"), ("crun", "status", "\"pid\": ")]
    {
        let sealed = Sealed::of(runtime);
        sealed.start("web", |_| {});
        sealed.sabotaged(
            &format!("sed -i 's/{member}[0-9]*/{member}2/' $R/web/{file}"),
            &[&format!(
                "record: the runtime's init process is 2, and process {} was sealed",
                sealed.pid("web")
            )],
        );
    }
}

#[test]
fn a_state_of_the_runtime_that_cannot_be_read_is_named() {
    let says =
        "record: cannot understand the runtime's own state: EOF while parsing a value at line 2 column 0";
    Sealed::new().sabotaged("echo >$R/web/state.json", &[says]);
}

#[test]
fn an_annotation_that_the_runtime_has_acted_on_is_named() {
    for runtime in ["runc", "crun"] {
        let sealed = Sealed::of(runtime);
        sealed.host.write(
            "config.toml",
            format!("runtime = [{runtime:?}]\n[rules]\nruntime-annotations = \"allow\""),
        );
        // A filter that allows everything, which crun takes in place of the profile.
        sealed.start("web", |config| {
            config["annotations"]["run.oci.seccomp_bpf_data"] = json!("BgAAAAAA/38=");
        });
        sealed.holds(&["web"]);
        sealed.promised();
        let says = "runtime-annotations: the runtime has been given annotation \"run.oci.seccomp_bpf_data\"";
        assert_eq!(sealed.broken(), [says], "{runtime}");
    }
}
