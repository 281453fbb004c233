//! `attempts`: what a container tried, while it runs and afterwards; and the line of the audit log.

use serde_json::{Value, json};

use super::sealed::Sealed;
use test_support::recorded::output::ShimOutput;

fn counting() -> Sealed {
    let sealed = Sealed::empty();
    let log = sealed.host.at("log");
    sealed.host.write(
        "config.toml",
        format!("runtime = [\"runc\"]\n[attempts]\ncount = true\n[audit]\nfile = {log:?}\n"),
    );
    sealed.start("web", |_| {});
    sealed
}

/// Twice one destination, once another.
fn tries(sealed: &Sealed) {
    let connect =
        |to: &str| format!("! $SHIM --root $R exec web /bin/busybox nc {to} </dev/null 2>/dev/null;");
    sealed
        .sh(&[connect("1.2.3.4 443"), connect("169.254.169.254 80"), connect("1.2.3.4 443")].concat())
        .must();
}

/// The reason in the one line about attempts.
fn line(sealed: &Sealed) -> String {
    let log = std::fs::read_to_string(sealed.host.at("log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.filter(|line| line["decision"] == "attempts").collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!((&lines[0]["verb"], &lines[0]["id"]), (&json!("delete"), &json!("web")));
    lines[0]["why"].as_str().unwrap().to_owned()
}

const LIST: &str = "2 destinations, 3 packets: tcp 1.2.3.4:443 2, tcp 169.254.169.254:80 1";

#[test]
fn what_a_container_tries_is_shown_while_it_runs_and_written_down() {
    let sealed = counting();
    assert_eq!(sealed.ctl(&["attempts", "web"]).must(), "nothing was refused\n");
    tries(&sealed);
    let text = sealed.ctl(&["attempts", "web"]).must();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PROTO", "ADDRESS", "PORT", "COUNT", "FIRST", "LAST"]);
    assert_eq!(lines[1][..5], ["out", "tcp", "1.2.3.4", "443", "2"]);
    assert_eq!(lines[2][..5], ["out", "tcp", "169.254.169.254", "80", "1"]);
    assert_eq!(lines.len(), 3);
    let told: Value = serde_json::from_str(&sealed.ctl(&["--json", "attempts", "web"]).must()).unwrap();
    assert_eq!((&told["id"], &told["missing"]), (&json!("web"), &json!([])));
    assert_eq!(told["not-kept"], json!({"out": 0, "in": 0}));
    let first = &told["attempts"][0];
    assert_eq!(
        (&first["direction"], &first["count"], &first["port"]),
        (&json!("out"), &json!(2), &json!(443))
    );
    assert!(first["first"].as_str().unwrap() < first["last"].as_str().unwrap(), "{first}");
    sealed.holds(&["web"]);
    // A route that is missing is said, and is no defect.
    sealed.sabotage("nsenter -t $P -n ip route del default");
    let ShimOutput { status, out, err } = sealed.ctl(&["attempts", "web"]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert!(
        out.ends_with("\nincomplete: IPv4 attempts are not counted: there is no default route over lo\n"),
        "{out}"
    );
    sealed.holds(&["web"]);
    sealed.sh("$SHIM --root $R delete -f web").must();
    assert_eq!(
        line(&sealed),
        format!("{LIST}; incomplete: IPv4 attempts are not counted: there is no default route over lo")
    );
}

#[test]
fn a_namespace_that_an_engine_keeps_tells_it_after_the_end() {
    let sealed = counting();
    tries(&sealed);
    sealed.sabotage(
        "umount /run/oci-isolate/containers$R/web.net; touch $D/kept; mount --bind /proc/$P/ns/net $D/kept; kill -9 $P; while [ -e /proc/$P ]; do sleep 0.02; done",
    );
    assert!(sealed.ctl(&["attempts", "web"]).must().contains("169.254.169.254"));
    // A record that cannot be read may be that of the container which has it now.
    let other = sealed.host.record("two");
    sealed.sh(&format!("echo >{other}")).must();
    let why = format!("cannot understand the record {other}: EOF while parsing a value at line 2 column 0");
    let said = format!("isolatectl: cannot determine whose the network namespace is: {why}\n");
    assert_eq!(sealed.ctl(&["attempts", "web"]).err, said);
    sealed.sh(&format!("rm {other}")).must();
    sealed.sh("$SHIM --root $R delete web").must();
    assert_eq!(line(&sealed), LIST);
    sealed.sh("umount $D/kept").must();
}

const END: &str = "kill -9 $P; while [ -e /proc/$P ]; do sleep 0.02; done";

/// The namespace of the container, where another mount namespace has it, a copy of all mounts.
fn copies(sealed: &Sealed) -> String {
    sealed.sh("grep -h oci-isolate/containers /proc/$(cat $D/copy)/mountinfo || true").must()
}

/// runc's own namespace, which ends with its last process. The mount that keeps it goes everywhere with the container.
#[test]
fn what_a_container_tried_is_kept_until_it_is_deleted() {
    let sealed = counting();
    tries(&sealed);
    sealed
        .sh("unshare --mount --propagation private sh -c 'echo $$ >$D/copy; exec sleep 1000' >/dev/null 2>&1 &
            until [ -s $D/copy ]; do sleep 0.02; done")
        .must();
    assert!(copies(&sealed).contains("/web.net "), "{}", copies(&sealed));
    sealed.sabotage(END);
    assert!(sealed.ctl(&["attempts", "web"]).must().contains("169.254.169.254"));
    sealed.sh("$SHIM --root $R delete web").must();
    assert_eq!(line(&sealed), LIST);
    assert_eq!(sealed.sh("grep oci-isolate/containers /proc/self/mountinfo || true").must(), "");
    assert_eq!(copies(&sealed), "");
    assert_eq!(sealed.sh("find /run/oci-isolate/containers 2>/dev/null || true").must(), "");
}

/// The kernel deletes no file that is a mount point in the caller's own mount namespace, by whichever path.
#[test]
fn a_private_copy_of_run_does_not_keep_a_container_from_being_deleted() {
    let sealed = counting();
    tries(&sealed);
    sealed.sh("mkdir $D/run; mount --rbind /run $D/run; mount --make-rprivate $D/run").must();
    let mounts = || sealed.sh("grep -c '/web.net ' /proc/self/mountinfo || true").must();
    assert_eq!(mounts(), "2\n");
    sealed.sabotage(END);
    // The copy alone is enough to keep the file.
    let busy = "F=/run/oci-isolate/containers$R/web.net; umount $F; if rm $F 2>/dev/null; then exit 9; fi
        mount --bind $D$F $F";
    sealed.sh(busy).must();
    assert_eq!(mounts(), "2\n");
    let deleted = sealed.sh("$SHIM --root $R delete web");
    assert_eq!((deleted.status, deleted.err.as_str()), (0, ""));
    assert_eq!(line(&sealed), LIST);
    assert_eq!(mounts(), "0\n");
    assert_eq!(sealed.sh("find /run/oci-isolate/containers 2>/dev/null || true").must(), "");
    sealed.sh("umount -l $D/run").must();
}

/// A container of an id whose last one was not deleted, but lost with its runtime's state: the counts are its own.
#[test]
fn the_next_container_of_an_id_does_not_have_what_the_last_one_tried() {
    let sealed = counting();
    tries(&sealed);
    sealed.sabotage(&format!(
        "{END}; rm -r $R/web; rmdir /sys/fs/cgroup/*{0}/web /sys/fs/cgroup{0}/web || true",
        sealed.group()
    ));
    sealed.start("web", |_| {});
    assert_eq!(sealed.sh("grep -c oci-isolate/containers /proc/self/mountinfo").must(), "1\n");
    assert_eq!(sealed.ctl(&["attempts", "web"]).must(), "nothing was refused\n");
    sealed.sabotage(END);
    assert_eq!(sealed.ctl(&["attempts", "web"]).must(), "nothing was refused\n");
    sealed.sh("$SHIM --root $R delete web").must();
    assert_eq!(line(&sealed), "0 destinations, 0 packets");
    assert_eq!(sealed.sh("grep oci-isolate/containers /proc/self/mountinfo || true").must(), "");
}

/// The container was deleted, and what was to remove its record was killed.
#[test]
fn a_record_that_was_left_lets_go_of_the_namespace_when_it_is_removed() {
    let left = || {
        let sealed = counting();
        sealed.sabotage(&format!("{END}; rm -r $R/web"));
        assert!(sealed.ctl(&["list"]).must().contains("absent"));
        sealed
    };
    let mounts =
        |sealed: &Sealed| sealed.sh("grep -c oci-isolate/containers /proc/self/mountinfo || true").must();
    let deleted = left();
    assert_eq!(mounts(&deleted), "1\n");
    deleted.sh("$SHIM --root $R delete --force web").must();
    assert_eq!(mounts(&deleted), "0\n");
    // By a container that is not isolated and takes the id.
    let replaced = left();
    replaced.sh("$SHIM --root $R create -b /nowhere web || true").must();
    assert_eq!(mounts(&replaced), "1\n");
    replaced.create("web", |config| drop(config.as_object_mut().unwrap().remove("annotations")));
    assert_eq!(mounts(&replaced), "0\n");
}

/// Where the caller may not mount, as most users, and where it was unmounted.
#[test]
fn a_namespace_that_is_gone_is_not_a_container_that_tried_nothing() {
    let sealed = counting();
    tries(&sealed);
    sealed.sabotage(&format!("umount /run/oci-isolate/containers$R/web.net; {END}"));
    let ShimOutput { status, out, err } = sealed.ctl(&["attempts", "web"]);
    let gone = "isolatectl: container web does not run any more, and its network namespace is gone\n";
    assert_eq!((status, out.as_str(), err.as_str()), (1, "", gone));
    sealed.sh("$SHIM --root $R delete web").must();
    assert_eq!(line(&sealed), "not available: the network namespace is gone");
}

#[test]
fn attempts_that_are_not_counted_are_not_none() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    assert_eq!(sealed.ctl(&["attempts", "web"]).err, "isolatectl: container web is not started yet\n");
    sealed.sh("$SHIM --root $R start web").must();
    let not = "isolatectl: the attempts of container web are not counted; set attempts.count = true in the settings, and create it again\n";
    let ShimOutput { status, out, err } = sealed.ctl(&["attempts", "web"]);
    assert_eq!((status, out.as_str(), err.as_str()), (1, "", not));
    // Of the settings nothing is in the record.
    assert!(sealed.host.read_record("web").get("attempts").is_none());
}
