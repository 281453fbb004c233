//! Containers that are not what their record says.

use std::fs;

use super::sealed::Sealed;
use test_support::recorded::output::ShimOutput;

#[test]
fn a_stopped_container_is_named() {
    let sealed = Sealed::new();
    let stopped = format!("record: it is stopped: its init process {} has ended", sealed.pid("web"));
    sealed.sabotaged("kill -9 $P; while [ -e /proc/$P ]; do sleep 0.02; done", &[&stopped]);
}

#[test]
fn a_container_that_was_not_started_is_named() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    assert_eq!(sealed.broken(), ["record: it is not sealed yet: it was not started"]);
}

#[test]
fn a_container_that_is_absent_is_named() {
    Sealed::new().sabotaged("mv $R/web $R/gone", &["record: the runtime has no container of that id"]);
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_hides_no_other() {
    let sealed = Sealed::new();
    let record = sealed.host.record("web");
    sealed.sabotaged(
        &format!("echo >{record}"),
        &[&format!(
            "record: cannot understand the record {record}: EOF while parsing a value at line 2 column 0"
        )],
    );
    sealed.start("two", |_| {});
    assert_eq!(sealed.ctl(&["verify", "two"]).status, 0);
    let all = sealed.ctl(&["verify", "--all"]);
    assert!(all.status == 1 && all.out.starts_with("two: holds\nweb: does not hold\n"), "{all:?}");
    let inspect = sealed.ctl(&["inspect", "web"]);
    let why = format!(
        "isolatectl: cannot understand the record {record}: EOF while parsing a value at line 2 column 0\n"
    );
    assert_eq!(inspect, ShimOutput { status: 1, out: String::new(), err: why });
}

#[test]
fn a_record_that_others_can_write_is_named() {
    let says = "record: /run/oci-isolate is not a directory that we own and only we can write";
    Sealed::new().sabotaged("chmod 0777 /run/oci-isolate", &[says]);
}

#[test]
fn a_container_that_is_not_isolated_is_an_error() {
    let sealed = Sealed::empty();
    for verb in ["verify", "inspect"] {
        let said = sealed.ctl(&[verb, "web"]);
        let err = "isolatectl: container web is not isolated, or not here\n".to_owned();
        assert_eq!(said, ShimOutput { status: 1, out: String::new(), err });
    }
    let nothing = ShimOutput { status: 0, out: String::new(), err: String::new() };
    assert_eq!(sealed.ctl(&["verify", "--all"]), nothing);
}

#[test]
fn an_id_that_is_there_twice_wants_a_root() {
    let sealed = Sealed::new();
    let (one, two) =
        (sealed.host.record("web"), sealed.host.record("web").replace("/root/web", "/other/web"));
    sealed.sh(&format!("mkdir -p -m 0700 $(dirname {two}); cp {one} {two}")).must();
    assert!(fs::metadata(sealed.host.outside(&two)).is_ok());
    let said = sealed.ctl(&["verify", "web"]);
    let (root, other) = (sealed.host.at("root"), sealed.host.at("other"));
    let err = format!("isolatectl: container web exists in {other} and {root}; choose one with --root\n");
    assert_eq!(said, ShimOutput { status: 1, out: String::new(), err });
    assert_eq!(sealed.ctl(&["verify", "web", "--root", &root]).out, "web: holds\n");
}

#[test]
fn the_beginning_of_an_id_will_do_where_it_is_the_only_one() {
    let sealed = Sealed::empty();
    for id in ["4be1c5", "4be1d7", "4be1"] {
        sealed.create(id, |_| {});
    }
    let id = |given: &str| {
        let said = sealed.ctl(&["inspect", given]);
        said.out.lines().next().map_or(said.err, |line| line.replace("container  ", ""))
    };
    assert_eq!(id("4be1c"), "4be1c5");
    assert_eq!(id("4be1"), "4be1");
    assert_eq!(
        id("4be"),
        "isolatectl: 4be is the beginning of 4be1, 4be1c5 and 4be1d7; give more of the id\n"
    );
    for none in ["", "be1", "4be1c5d"] {
        assert_eq!(id(none), format!("isolatectl: container {none} is not isolated, or not here\n"));
    }
}

#[test]
fn a_command_line_that_is_not_known_is_status_2() {
    let sealed = Sealed::empty();
    for args in [&["frobnicate"][..], &["verify", "web", "--all"], &[]] {
        assert_eq!(sealed.ctl(args).status, 2, "{args:?}");
    }
}
