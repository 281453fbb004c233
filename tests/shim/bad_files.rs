//! A config.json that is something other than a plain file, or lies where nothing can be written.

use std::fs;
use std::process::Command;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated, plain};
use test_support::shim;

#[track_caller]
fn refused(host: &RecorderHost, why: &str) {
    host.refuses(&["create", "web"], &format!("container web not created: {why}"));
    host.refuses(&["run", "web"], &format!("container web not run: {why}"));
}

#[test]
fn a_symbolic_link_is_followed_when_the_container_is_not_isolated() {
    let host = RecorderHost::new();
    host.write("real.json", plain().to_string());
    host.sh("ln -s ../real.json config.json").must();
    host.shim(&["create", "web"]).must();
    assert_eq!(host.call().config(), plain());
    assert!(fs::symlink_metadata(host.at("bundle/config.json")).unwrap().is_symlink());
}

#[test]
fn a_symbolic_link_is_refused_when_it_would_have_to_be_replaced() {
    let host = RecorderHost::new();
    let real = host.write("real.json", isolated().to_string());
    host.sh("ln -s ../real.json config.json").must();
    refused(&host, &format!("cannot replace {}: it is a symbolic link", host.at("bundle/config.json")));
    assert_eq!(fs::read_to_string(real).unwrap(), isolated().to_string());
}

#[test]
fn a_fifo_is_not_waited_for() {
    let host = RecorderHost::new();
    host.sh("mkfifo config.json").must();
    refused(&host, &format!("cannot read {}: not a regular file", host.at("bundle/config.json")));
}

#[test]
fn a_directory_a_device_and_a_socket() {
    let host = RecorderHost::new();
    let path = host.at("bundle/config.json");
    host.sh("mkdir config.json").must();
    refused(&host, &format!("cannot read {path}: not a regular file"));
    host.sh("rmdir config.json; mknod config.json c 1 5").must();
    refused(&host, &format!("cannot read {path}: not a regular file"));
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    refused(&host, &format!("cannot read {path}: No such device or address (os error 6)"));
}

#[test]
fn a_bundle_that_is_a_file() {
    let host = RecorderHost::new();
    let file = host.write("file", "");
    host.refuses(
        &["create", "-b", &file, "web"],
        &format!("container web not created: cannot read {file}/config.json: Not a directory (os error 20)"),
    );
}

/// `nobody`, in place of root.
fn as_nobody(command: &mut Command) {
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let at = args.iter().position(|arg| arg == "--").unwrap() + 1;
    let envs: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    let mut other = Command::new(command.get_program());
    other
        .args(&args[..at])
        .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(&args[at..]);
    other.env_clear().envs(envs);
    *command = other;
}

#[test]
fn one_that_its_caller_may_not_read() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("chmod 0600 config.json; cp \"$SHIM\" ../shim; chmod 0755 ../shim").must();
    let program = host.at("shim");
    let mut command = host.command(&program);
    command.args(["create", "web"]);
    as_nobody(&mut command);
    let said = say(&mut command);
    assert_eq!(said.status, 1);
    let path = host.at("bundle/config.json");
    let why = format!(
        "oci-isolate: container web not created: cannot read {path}: Permission denied (os error 13)\n"
    );
    assert_eq!(said.err, why);
    assert!(host.calls().is_empty());
}

#[test]
fn one_on_a_read_only_file_system() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("mount --bind . .; mount -o remount,bind,ro .").must();
    let why = format!("cannot write {}: Read-only file system (os error 30)", host.at("bundle/config.json"));
    refused(&host, &why);
}

#[test]
fn one_on_a_full_file_system() {
    let host = RecorderHost::new();
    host.config(&isolated());
    let fill = "cp config.json ../keep; mount -t tmpfs -o size=64k tmpfs ../bundle; cd ../bundle; mkdir rootfs; \
        cp ../keep config.json; cat /dev/zero >fill 2>/dev/null || true";
    host.sh(fill).must();
    let why =
        format!("cannot write {}: No space left on device (os error 28)", host.at("bundle/config.json"));
    refused(&host, &why);
}

#[test]
fn an_immutable_or_unwritable_bundle_is_no_reason_to_refuse_what_is_not_isolated() {
    let host = RecorderHost::new();
    host.config(&plain());
    host.sh("mount --bind . .; mount -o remount,bind,ro .").must();
    say(host.command(shim()).args(["create", "web"])).must();
    host.call();
}
