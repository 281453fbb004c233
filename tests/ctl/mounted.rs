//! Mounts that an isolated container must not have, and that `verify` names them. What a rule refuses is mounted with the
//! settings that let it through, and the record is made to say that it was promised.

use serde_json::{Value, json};

use super::sealed::Sealed;

/// A container with more mounts, for which the settings let these rules go.
#[track_caller]
fn with(sealed: &Sealed, rules: &[&str], mounts: &[Value]) {
    let answers: String = rules.iter().map(|rule| format!("{rule} = \"allow\"\n")).collect();
    sealed.host.write("config.toml", format!("runtime = [\"runc\"]\n[rules]\n{answers}"));
    sealed.start("web", |config| config["mounts"].as_array_mut().unwrap().extend_from_slice(mounts));
}

fn bind(source: &str, destination: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["bind", "rprivate"]})
}

#[track_caller]
fn named(sealed: &Sealed, says: &[&str]) {
    sealed.holds(&["web"]);
    sealed.promised();
    let pid = sealed.pid("web").to_string();
    let says: Vec<_> = says.iter().map(|says| says.replace("PID", &pid)).collect();
    assert_eq!(sealed.broken(), says);
}

/// The sabotage from inside the mount namespace, by busybox.
#[track_caller]
fn within(sealed: &Sealed, script: &str, says: &[&str]) {
    let says: Vec<_> = says.iter().map(|says| says.replace("PID", &sealed.pid("web").to_string())).collect();
    let says: Vec<_> = says.iter().map(String::as_str).collect();
    sealed.sabotaged(&format!("nsenter -t $P -m -p busybox sh -ec '{script}'"), &says);
}

#[test]
fn an_interface_of_the_kernel_is_named_by_its_kind() {
    within(
        &Sealed::new(),
        "mkdir /dev/a /dev/b; busybox mount -t debugfs x /dev/a; busybox mount -t devtmpfs x /dev/b",
        &[
            "mount-system: /dev/a of process PID is debugfs, an interface of the kernel",
            "mount-system: /dev/b of process PID is devtmpfs, an interface of the kernel",
        ],
    );
}

#[test]
fn a_proc_of_its_own_elsewhere_is_named() {
    within(
        &Sealed::new(),
        "mkdir /dev/a; busybox mount -t proc x /dev/a",
        &["mount-system: /dev/a of process PID is a proc outside of /proc"],
    );
}

#[test]
fn what_shows_the_hosts_namespaces_is_named() {
    let sealed = Sealed::empty();
    let mounts = [("/proc", "/a"), ("/sys", "/b"), ("/dev/pts", "/c")].map(|(from, to)| bind(from, to));
    with(&sealed, &["mount-system", "masked-paths", "mount-sockets", "host-pid"], &mounts);
    named(
        &sealed,
        &[
            "host-pid: /a of process PID is the host's proc",
            "masked-paths: /b of process PID is sysfs and writable",
            "mount-system: /b of process PID is the host's sysfs",
            "mount-system: /c of process PID is the host's devpts",
        ],
    );
}

#[test]
fn a_directory_of_the_system_is_named_by_whatever_path() {
    let sealed = Sealed::empty();
    sealed.sh("mkdir -p /run/docker $D/a; mount --bind /run $D/a").must();
    with(
        &sealed,
        &["mount-system", "mount-sockets"],
        &[bind(&sealed.host.at("a"), "/a"), bind("/run/docker", "/b")],
    );
    named(
        &sealed,
        &[
            "mount-system: /a of process PID is the system's /run",
            "mount-system: /b of process PID is the system's /run/docker",
        ],
    );
}

#[test]
fn terminals_and_consoles_that_are_not_its_own_are_named() {
    let sealed = Sealed::empty();
    // As a container has one: the process that holds the other end reads what is written.
    sealed.sh("mkdir $D/pts; mount -t devpts -o newinstance,ptmxmode=0666 devpts $D/pts; mknod $D/console c 5 1").must();
    let (terminal, console) = (sealed.host.at("pts/ptmx"), sealed.host.at("console"));
    with(&sealed, &["mount-system"], &[bind(&terminal, "/a"), bind(&console, "/b")]);
    sealed.sh("umount -l $D/pts").must();
    named(
        &sealed,
        &[
            "mount-system: /a of process PID is a devpts of others",
            "mount-system: /b of process PID is the machine's console",
        ],
    );
}

#[test]
fn an_overlay_of_the_systems_directories_is_named() {
    let sealed = Sealed::empty();
    sealed.sh("mkdir /run/empty").must();
    let overlay = json!({"destination": "/host", "type": "overlay", "source": "overlay",
        "options": ["ro", "lowerdir=/:/run/empty"]});
    with(&sealed, &["mount-system", "mount-sockets"], &[overlay]);
    named(&sealed, &["mount-system: /host of process PID has the layer /, the system's /"]);
}

/// A container whose root file system and mount of a shared directory, at /a, have a propagation.
fn with_propagation(how: &str) -> Sealed {
    let sealed = Sealed::empty();
    sealed.sh("mkdir $D/a; mount --bind $D/a $D/a; mount --make-shared $D/a").must();
    let mut mount = bind(&sealed.host.at("a"), "/a");
    mount["options"] = json!(["bind", format!("r{how}")]);
    sealed.host.write("config.toml", "runtime = [\"runc\"]\n[rules]\nmount-propagation = \"allow\"");
    sealed.start("web", |config| {
        config["linux"]["rootfsPropagation"] = json!(how);
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    sealed
}

#[test]
fn a_mount_that_gets_the_hosts_is_named() {
    let sealed = with_propagation("slave");
    named(&sealed, &["mount-propagation: /a of process PID gets the host's mounts"]);
}

#[test]
fn a_mount_that_is_shared_with_the_host_is_named() {
    let sealed = with_propagation("shared");
    named(&sealed, &["mount-propagation: /a of process PID shares its mounts with the host"]);
}

#[test]
fn a_socket_that_is_bound_in_a_shared_directory_later_is_named() {
    let sealed = Sealed::empty();
    sealed.sh("mkdir -p '$D/a' $D/a/below").must();
    with(&sealed, &[], &[bind(&sealed.host.at("a"), "/data")]);
    let pid = sealed.pid("web");
    sealed.sabotaged(
        "perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die $!; sleep 1000' \
         \"$D/a/below/its socket\" </dev/null >/dev/null 2>&1 &
        until [ -S \"$D/a/below/its socket\" ]; do sleep 0.02; done",
        &[&format!("mount-sockets: /data/below/its socket of process {pid} is a socket of the host")],
    );
    // What covers it, as the shim covers those that are there at create.
    sealed.sabotage("nsenter -t $P -m busybox mount -o bind /dev/null '/data/below/its socket'");
    sealed.holds(&["web"]);
}

#[test]
fn what_carries_credentials_is_named() {
    within(
        &Sealed::new(),
        "mkdir -p /dev/.aws /dev/a; echo key >/dev/.aws/credentials; busybox mount -o bind /dev/.aws /dev/a",
        &["credential-mounts: /dev/a of process PID carries credentials"],
    );
}

/// How runtimes mount what a container gets of its own differs.
#[test]
fn a_container_of_any_runtime_and_with_any_ordinary_mount_holds() {
    for runtime in ["runc", "crun"] {
        let sealed = Sealed::of(runtime);
        sealed
            .sh("mkdir $D/data; echo 127.0.0.1 localhost >$D/hosts; touch $D/bundle/rootfs/etc/hosts")
            .must();
        sealed.start("web", |config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.extend([
                bind(&sealed.host.at("data"), "/data"),
                bind(&sealed.host.at("hosts"), "/etc/hosts"),
            ]);
            mounts.push(json!({"destination": "/ro", "type": "bind", "source": sealed.host.at("data"),
                "options": ["rbind", "ro"]}));
            mounts.push(
                json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}),
            );
        });
        sealed.sh("$SHIM --root $R exec -d web /bin/sleep 1000 </dev/null >/dev/null 2>&1").must();
        sealed.holds(&["web"]);
    }
}
