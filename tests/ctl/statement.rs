//! Statements about containers that are gone: what the shim writes down, what is signed, and of which it says that isolation
//! held.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::openings;
use super::sealed::{SECRET, Sealed};
use test_support::recorded::output::ShimOutput;

/// A host with statements and the operator's keys.
fn stating(more: &str) -> Sealed {
    let sealed = Sealed::empty();
    let file = sealed.host.at("statements");
    sealed.host.write("config.toml", format!("runtime = [\"runc\"]\n{more}\n[statement]\nfile = {file:?}\n"));
    sealed
        .sh("openssl genpkey -algorithm ed25519 -out $D/key; openssl pkey -in $D/key -pubout -out $D/pub")
        .must();
    sealed
}

fn sign(sealed: &Sealed) -> String {
    sealed.ctl(&["statement", "sign", "--key", &sealed.host.at("key")]).must()
}

/// What `statement verify` says.
fn says(sealed: &Sealed, more: &[&str]) -> ShimOutput {
    let (file, key) = (sealed.host.at("statements"), sealed.host.at("pub"));
    sealed.ctl(&[&["statement", "verify", &file, "--key", &key], more].concat())
}

/// The same for programs: whether isolation held, and the doubts, of each statement.
fn judged(sealed: &Sealed, more: &[&str]) -> Vec<(bool, Vec<String>)> {
    let said: Value = serde_json::from_str(&says(sealed, &[&["--json"], more].concat()).out).unwrap();
    let doubts = |one: &Value| {
        one["doubts"].as_array().unwrap().iter().map(|d| d.as_str().unwrap().to_owned()).collect()
    };
    said.as_array().unwrap().iter().map(|one| (one["held"].as_bool().unwrap(), doubts(one))).collect()
}

/// The facts of the last statement.
fn facts(sealed: &Sealed) -> Value {
    let file = fs::read_to_string(sealed.host.at("statements")).unwrap();
    let envelope: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    let payload = sealed.sh(&format!("base64 -d <<<{payload}")).must();
    assert!(!payload.contains(SECRET));
    serde_json::from_str::<Value>(&payload).unwrap()["predicate"]["facts"].clone()
}

fn asked(nonce: &str) -> impl FnOnce(&mut Value) {
    let nonce = nonce.to_owned();
    move |config| config["annotations"]["io.oci-isolate.nonce"] = json!(nonce)
}

fn doubts(texts: &[&str]) -> (bool, Vec<String>) {
    (texts.is_empty(), texts.iter().map(|text| (*text).to_owned()).collect())
}

const UNVERIFIED: &str = "it was not verified after it was sealed";

#[test]
fn a_container_that_was_verified_and_held_is_stated_to_those_who_asked() {
    let sealed = stating("");
    sealed.start("web", asked("7f3a-01"));
    sealed.holds(&["web"]);
    sealed.start("two", asked("7f3a-02"));
    let config = sealed.sh("sha256sum <$D/web/config.json | cut -d ' ' -f 1").must();
    sealed.sh("$SHIM --root $R delete -f web; $SHIM --root $R delete -f two").must();
    assert!(sign(&sealed).contains("/statements: statements added: 2; the last is statement 2, sha256 "));
    assert_eq!(fs::metadata(sealed.host.at("statements")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(sealed.host.at("statements.d")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(fs::read_dir(sealed.host.at("statements.d")).unwrap().next().is_none());

    let said = says(&sealed, &["--nonce", "7f3a-01"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("1: container web, 20") && lines[0].ends_with("Z: held"), "{said:?}");
    assert_eq!(lines[1], "  attempts: not counted: attempts.count is false in the settings");
    // `holds` asks twice.
    assert!(lines.len() == 5 && lines[4].starts_with("  not looked at from 20"), "{said:?}");
    assert_eq!(said.status, 0);
    assert_eq!(says(&sealed, &["--nonce", "7f3a-02"]).status, 1);
    assert_eq!(judged(&sealed, &[]), [doubts(&[]), doubts(&[UNVERIFIED])]);
    let none = says(&sealed, &["--nonce", "7f3a-03"]);
    assert_eq!(
        (none.status, none.out.as_str()),
        (1, "there is no statement with this nonce; jobs of isolate-job have none\n")
    );

    // Nothing was changed, so the text of `web` is still what its runtime has executed.
    let two = facts(&sealed);
    assert_eq!((&two["container"]["id"], &two["nonce"]), (&json!("two"), &json!("7f3a-02")));
    assert!(two["config"]["sha256"].is_string() && !config.is_empty());
    let kernel = sealed.sh("uname -r; cat /proc/sys/kernel/random/boot_id").must();
    assert_eq!(
        kernel,
        format!("{}\n{}\n", two["host"]["kernel"].as_str().unwrap(), two["host"]["boot"].as_str().unwrap())
    );
    let digests = sealed.sh("sha256sum <$SHIM; sha256sum <$D/config.toml").must();
    let digests: Vec<&str> = digests.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(two["host"]["shim"]["program"]["sha256"], json!(digests[0]));
    assert_eq!(two["host"]["settings"]["sha256"], json!(digests[1]));
}

#[test]
fn what_speaks_against_it_is_said() {
    let sealed = stating("joiners = \"allow\"\n[attempts]\ncount = true\n");
    let end = "kill -9 $P; while [ -e /proc/$P ]; do sleep 0.02; done";
    // Its namespace is kept by a mount beside the record. Without that it goes with its last process, and the figures with it.
    let kept = sealed.host.record("web").replace(".json", ".net");
    sealed.start("web", |_| {});
    sealed.holds(&["web"]);
    sealed.sabotage(&format!("umount {kept}; {end}"));
    // Of a container that has ended nothing is seen, which is no defect of it.
    assert_eq!(sealed.ctl(&["verify", "web"]).status, 1);
    sealed.sh("$SHIM --root $R delete web").must();
    sign(&sealed);
    let gone = "attempts were lost: the network namespace is gone";
    assert_eq!(judged(&sealed, &[]), [doubts(&["joiners was waived", gone])]);
    assert_eq!(judged(&sealed, &["--accept", "joiners"]), [doubts(&[gone])]);
    sealed.start("web", |_| {});
    sealed.holds(&["web"]);
    sealed.sabotage(end);
    sealed.sh("$SHIM --root $R delete web").must();
    sign(&sealed);
    assert_eq!(judged(&sealed, &["--accept", "joiners"])[1], doubts(&[]));
    assert!(facts(&sealed)["attempts"]["counted"].is_object());

    // Sabotaged, and put right again.
    sealed.start("web", |_| {});
    sealed.sabotage("nsenter -t $P -n nft insert rule inet oci_isolate output accept");
    assert_eq!(sealed.ctl(&["verify", "web"]).status, 1);
    let handle = sealed.sabotage("nsenter -t $P -n nft -a list chain inet oci_isolate output | sed -n 's/.*accept # handle //p' | head -n 1");
    sealed.sabotage(&format!("nsenter -t $P -n nft delete rule inet oci_isolate output handle {handle}"));
    sealed.holds(&["web"]);
    sealed.sh("$SHIM --root $R delete -f web").must();
    sign(&sealed);
    let (held, said) = judged(&sealed, &["--accept", "joiners"])[2].clone();
    assert!(!held && said.len() == 1, "{said:?}");
    assert!(said[0].ends_with("Z it did not hold: seal"), "{said:?}");
    assert_eq!(facts(&sealed)["verified"].as_array().unwrap().len(), 3);
}

/// Serves `$D/low` as a FUSE file system at `$D/served`.
const SERVE: &str = "mkdir -p $D/low $D/up $D/work $D/served; echo inside >$D/low/f
    fuse-overlayfs -o lowerdir=$D/low,upperdir=$D/up,workdir=$D/work $D/served";

fn bind(source: &str) -> impl FnOnce(&mut Value) {
    let mount = json!({"destination": "/in", "type": "bind", "source": source, "options": ["rbind", "ro"]});
    |config| config["mounts"].as_array_mut().unwrap().push(mount)
}

/// `mount-network-fs` is waived by default: what is written to such a mount, or read from it, goes over the host's network.
#[test]
fn a_rule_that_is_waived_by_default_counts_once_it_makes_a_difference() {
    let sealed = stating("");
    sealed.sh("mkdir $D/local").must();
    sealed.sh(SERVE).must();
    let (local, served) = (sealed.host.at("local"), sealed.host.at("served"));
    let run = |change: &dyn Fn(&Sealed)| {
        change(&sealed);
        sealed.holds(&["web"]);
        sealed.sh("$SHIM --root $R delete -f web").must();
        sign(&sealed);
        (judged(&sealed, &[]).pop().unwrap(), facts(&sealed))
    };
    let (said, stated) = run(&|sealed| sealed.start("web", bind(&local)));
    assert_eq!(said, doubts(&[]));
    assert_eq!((&stated["waived"], &stated["unused"]), (&json!([]), &json!(["mount-network-fs"])));

    let (said, stated) = run(&|sealed| sealed.start("web", bind(&served)));
    assert_eq!(said, doubts(&["mount-network-fs was waived"]));
    assert_eq!((&stated["waived"], &stated["unused"]), (&json!(["mount-network-fs"]), &json!([])));
    assert_eq!(judged(&sealed, &["--accept", "mount-network-fs"]).pop(), Some(doubts(&[])));

    // One that comes later: `verify` has nothing against it, and the statement has.
    let ((held, said), stated) = run(&|sealed| {
        sealed.start("web", bind(&local));
        sealed.sabotage(
            "mkfifo $D/fifo; exec 9<>$D/fifo; M='busybox mount -t autofs -o fd=9,minproto=5,maxproto=5,indirect x /dev/a'
            nsenter -t $P -m busybox sh -ec \"mkdir /dev/a; $M\"",
        );
    });
    assert!(
        !held && said.iter().all(|said| said.ends_with("Z it did not hold: mount-network-fs")),
        "{said:?}"
    );
    assert_eq!((&stated["waived"], &stated["unused"]), (&json!([]), &json!(["mount-network-fs"])));
    assert_eq!(stated["verified"][0]["broken"], json!(["mount-network-fs"]));
}

#[test]
fn files_that_were_changed_while_it_ran_have_no_digest() {
    let sealed = stating("");
    sealed.start("web", |_| {});
    sealed.holds(&["web"]);
    sealed.sh("sleep 0.05; touch $D/config.toml $D/web/config.json; $SHIM --root $R delete -f web").must();
    sign(&sealed);
    let why = "it was changed or replaced after it was used";
    assert_eq!(
        judged(&sealed, &[]),
        [doubts(&[
            &format!("the digest of config.json is not known: {why}"),
            &format!("the digest of the settings is not known: {why}")
        ])]
    );
}

#[test]
fn what_stands_open_is_accepted_by_name_only() {
    let sealed = stating("");
    let ingress = ("io.oci-isolate.ingress".to_owned(), "8080/tcp".to_owned());
    openings::create_with(&sealed, "web", "web", "127.0.0.1 localhost\n", &[ingress]);
    openings::start(&sealed, "web", 2);
    sealed.holds(&["web"]);
    sealed.sh("$SHIM --root $R delete -f web").must();
    sign(&sealed);
    assert_eq!(judged(&sealed, &[]), [doubts(&["it was open: ingress 8080/tcp"])]);
    assert_eq!(judged(&sealed, &["--accept", "openings"]), [doubts(&[])]);
}

/// Peers that were there in between, or in the beginning, were open.
#[test]
fn peers_that_were_taken_back_are_stated() {
    let sealed = stating("");
    let peers = ("io.oci-isolate.peers".to_owned(), "10.9.0.4".to_owned());
    openings::create_with(&sealed, "web", "web", "127.0.0.1 localhost\n", &[peers]);
    openings::start(&sealed, "web", 2);
    sealed.holds(&["web"]);
    sealed.ctl(&["peers", "add", "web", "10.9.0.8"]).must();
    sealed.ctl(&["peers", "set", "web"]).must();
    assert_eq!(sealed.ctl(&["peers", "show", "web"]).must(), "");
    sealed.holds(&["web"]);
    sealed.sh("$SHIM --root $R delete -f web").must();
    sign(&sealed);
    let open = ["it was open: peer 10.9.0.4/32", "it was open: peer 10.9.0.8/32"];
    assert_eq!(judged(&sealed, &[]), [doubts(&open)]);
    assert_eq!(judged(&sealed, &["--accept", "openings"]), [doubts(&[])]);
}

#[test]
fn no_line_is_lost_or_written_twice() {
    let sealed = stating("");
    let (file, spool) = (sealed.host.at("statements"), sealed.host.at("statements.d"));
    // The runtime fails once: the record stays, and so does the container.
    sealed.start("web", |_| {});
    sealed.sh("! $SHIM --root $R delete web 2>/dev/null").must();
    let none = "\"attempts\":{\"lost\":\"it ended without facts\"}";
    assert!(sealed.sh("cat $D/statements.d/*.json").must().contains(none));
    let said = sign(&sealed);
    assert!(said.ends_with(": statements added: 0, waiting for the end of their containers: 1\n"), "{said}");
    // An engine that is killed after the facts were written deletes once more.
    let record = sealed.sh(&format!("cat {}", sealed.host.record("web"))).must();
    sealed.sh("$SHIM --root $R delete -f web").must();
    let waits = sealed.sh("cat $D/statements.d/*.json").must();
    sealed
        .sh(&format!("mkdir -p $(dirname {0}); cat >{0} <<'E'\n{record}\nE", sealed.host.record("web")))
        .must();
    let said = sign(&sealed);
    assert!(
        said.ends_with("/statements: statements added: 0, waiting for the end of their containers: 1\n"),
        "{said}"
    );
    sealed.sh(&format!("rm {}", sealed.host.record("web"))).must();
    assert!(sign(&sealed).contains(": statements added: 1; "));
    // Killed after the line and before the facts were removed; and in the middle of a line.
    let name = serde_json::from_str::<Value>(&waits).unwrap()["run"].as_str().unwrap().to_owned();
    fs::write(format!("{spool}/{name}.json"), &waits).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{whole}{{\"payload\":\"")).unwrap();
    assert!(sign(&sealed).contains(": statements added: 0; the last is statement 1, "));
    assert_eq!(fs::read_to_string(&file).unwrap(), whole);
    assert!(fs::read_dir(&spool).unwrap().next().is_none());
    // The same if another has ended before it.
    let mut earlier: Value = serde_json::from_str(&waits).unwrap();
    earlier["run"] = json!("0-1-1");
    earlier["sealed"]["to"] = earlier["sealed"]["from"].clone();
    fs::write(format!("{spool}/0-1-1.json"), earlier.to_string()).unwrap();
    fs::write(format!("{spool}/{name}.json"), &waits).unwrap();
    assert!(sign(&sealed).contains(": statements added: 1; the last is statement 2, "));
    assert_eq!(judged(&sealed, &[]).len(), 2);
    // What cannot be understood keeps nothing else back.
    sealed.start("web", |_| {});
    sealed.sh("$SHIM --root $R delete -f web; echo '{}' >$D/statements.d/0.json").must();
    let ShimOutput { status, out, .. } = sealed.ctl(&["statement", "sign", "--key", &sealed.host.at("key")]);
    assert!(status == 1 && out.contains(": statements added: 1; the last is statement 3, "), "{out}");
    assert!(
        out.contains("0.json, so there is no statement of it; move it away: missing field `run`"),
        "{out}"
    );
}

/// A job's facts can be left again, with its directory, long after the line: a second one would make the whole file unusable.
#[test]
fn a_run_has_one_statement_however_often_its_facts_are_left() {
    let sealed = stating("");
    let file = sealed.host.at("statements");
    let unknown = json!({"unknown": "a test"});
    let time = "2026-11-30T17:48:53.540Z";
    let job = |name: &str| {
        let run = format!("job-{name}-1");
        let text = json!({
            "run": run, "job": {"name": name, "arn": "arn"}, "request": unknown, "ran": {"from": time, "to": time},
            "containers": [], "inputs": [], "outputs": [],
        });
        sealed.host.write(&format!("statements.d/{run}.json"), text.to_string());
    };
    sealed.sh("mkdir $D/statements.d").must();
    ["a", "b"].into_iter().for_each(job);
    assert!(sign(&sealed).contains(": statements added: 2; "));
    let before = fs::read_to_string(&file).unwrap();
    // The one that is not the last; the last one's are taken for those of a run of `sign` that was killed.
    ["a", "c"].into_iter().for_each(job);
    let said = sealed.ctl(&["statement", "sign", "--key", &sealed.host.at("key")]);
    assert!(said.status == 1 && said.out.contains(": statements added: 1; "), "{}", said.out);
    let why = format!(
        "/job-a-1.json: {file} has a statement of its run already, and there cannot be two; move it away"
    );
    assert!(said.out.contains(&why), "{}", said.out);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&before));
    assert_eq!(judged(&sealed, &[]).len(), 3);
}

#[test]
fn a_file_that_was_touched_is_neither_relied_on_nor_gone_on_with() {
    let sealed = stating("");
    for _ in 0..3 {
        sealed.start("web", |_| {});
        sealed.holds(&["web"]);
        sealed.sh("$SHIM --root $R delete -f web").must();
    }
    let said = sign(&sealed);
    let head = said.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(says(&sealed, &["--head", &head]).status, 0);
    let text = fs::read_to_string(sealed.host.at("statements")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let refused = |text: &str, more: &[&str]| {
        sealed.host.write("statements", text);
        let ShimOutput { status, out, err } = says(&sealed, more);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        err.split_once("/statements: ").unwrap().1.trim_end().to_owned()
    };
    let follows = "it does not follow the line before: it is statement";
    assert_eq!(
        refused(&[lines[0], lines[2]].concat(), &[]),
        format!("line 2: {follows} 3, and that is statement 1")
    );
    assert_eq!(
        refused(&[lines[0], lines[1], lines[1], lines[2]].concat(), &[]),
        format!("line 3: {follows} 2, and that is statement 2")
    );
    assert_eq!(refused(&text.replacen('A', "B", 1), &[]).split(": ").next(), Some("line 1"));
    // That the last line is missing is seen by its digest only.
    let short = [lines[0], lines[1]].concat();
    assert!(refused(&short, &["--head", &head]).starts_with("its last line, statement 2, has sha256 "));
    assert_eq!(says(&sealed, &[]).status, 0);
    // Some lines in a row.
    let first = sealed.sh("head -n 1 $D/statements | sha256sum | cut -d ' ' -f 1").must();
    sealed.host.write("statements", [lines[1], lines[2]].concat());
    assert_eq!(says(&sealed, &["--after", first.trim(), "--head", &head]).status, 0);
    assert_eq!(says(&sealed, &[]).status, 2);

    sealed.host.write("statements", text.replacen(lines[2], &lines[2].replacen('A', "B", 1), 1));
    let key = sealed.host.at("key");
    let said = sealed.ctl(&["statement", "sign", "--key", &key]);
    assert!(said.status == 1 && said.err.contains("move the file away to begin another: "), "{said:?}");
    sealed.sh("chmod 640 $D/key").must();
    let said = sealed.ctl(&["statement", "sign", "--key", &key]);
    assert!(said.err.ends_with(&format!("others than its owner may read it; chmod 600 {key}\n")), "{said:?}");
}

#[test]
fn without_statements_nothing_is_kept_and_a_nonce_is_refused() {
    let sealed = Sealed::empty();
    sealed.start("web", |_| {});
    sealed.holds(&["web"]);
    assert!(sealed.host.read_record("web").get("statement").is_none());
    assert_eq!(sealed.sh("find $D -name '*.looks'").must(), "");
    let said = sealed.try_create("two", asked("7f3a"));
    assert!(said.contains("annotation io.oci-isolate.nonce: this host makes no statements; "), "{said}");
    let said = sealed.ctl(&["statement", "sign", "--key", "/nonexistent"]);
    assert!(said.err.starts_with("isolatectl: cannot read /nonexistent: "), "{said:?}");
}

/// As after a power cut: neither the container nor its record is there any more, and nothing was deleted by the shim.
#[test]
fn a_container_that_ended_without_facts_is_stated_and_never_held() {
    let sealed = stating("");
    sealed.start("web", asked("7f3a-01"));
    sealed.holds(&["web"]);
    let beside = sealed.host.record("web").replace(".json", ".*");
    sealed.sh(&format!("runc --root $R delete -f web; rm {beside}")).must();
    assert!(sign(&sealed).contains(": statements added: 1; "));
    let why = "it ended without facts";
    let unknown = |what| format!("the digest of {what} is not known: {why}");
    let expected = [
        UNVERIFIED.to_owned(),
        format!("attempts were lost: {why}"),
        unknown("config.json"),
        unknown("the settings"),
        unknown("the shim"),
    ];
    assert_eq!(judged(&sealed, &["--nonce", "7f3a-01"]), [(false, expected.to_vec())]);
}

/// The container is gone, and so is what would be stated; the engine is not kept from anything.
#[test]
fn facts_that_cannot_be_written_are_reported() {
    let sealed = stating("");
    sealed.start("web", |_| {});
    sealed.sh("rm -r $D/statements.d; touch $D/statements.d").must();
    let said = sealed.sh("$SHIM --root $R delete -f web");
    assert_eq!(said.status, 0);
    assert!(
        said.err.starts_with("oci-isolate: there will be no facts about container web: cannot write "),
        "{said:?}"
    );
}
