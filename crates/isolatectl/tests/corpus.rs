//! Statements: what fuzzing has to hold of them (`fuzz/statement.rs`) on its seeds, and that any edit of a file is refused.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[path = "../../../fuzz/statement.rs"]
mod statement;

use std::fs;
use std::sync::LazyLock;

use isolatectl::statement::{
    Head, JobFacts, JudgedContainers, PrivateKey, Stated, doubts, job_doubts, next, read,
};
use oci_isolate::statement::{Digest, Facts, Look, Period, Time, Tried};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use test_support::seeds::{seeds, with_other_byte};

use statement::{accepted, key};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/statement");

fn facts(seed: &str) -> Facts {
    serde_json::from_slice(&fs::read(format!("{SEEDS}/{seed}")).unwrap()).unwrap()
}

fn job() -> JobFacts {
    serde_json::from_slice(&fs::read(format!("{SEEDS}/job")).unwrap()).unwrap()
}

/// A file of these statements.
fn file(all: &[Stated]) -> (String, Head) {
    let key = key();
    let mut text = String::new();
    let mut head = None;
    for stated in all {
        text += &next(stated.clone(), head.as_ref(), &key).unwrap();
        head = Some(read(text.as_bytes(), key.public(), None, |_, _| {}).unwrap());
    }
    (text, head.unwrap())
}

static THREE: LazyLock<(String, Head)> =
    LazyLock::new(|| file(&[facts("held").into(), job().into(), facts("doubtful").into()]));

/// `OCI_ISOLATE_TEST_BLESS=1` writes the seed that is a file of statements.
#[test]
fn seeds_hold() {
    let (chain, path) = (&THREE.0, format!("{SEEDS}/chain"));
    if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
        fs::write(&path, chain).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), *chain);
    let all = seeds("statement");
    assert!(all.len() > 4);
    all.iter().for_each(|seed| statement::statement(seed));
}

proptest! {
    #[test]
    fn changed_seeds_hold(
        seed in prop::sample::select(seeds("statement")),
        at in any::<Index>(),
        length in 0usize..4,
        byte in prop::sample::select(b"\"a0.:-,{}[\n".to_vec()),
    ) {
        let at = at.index(seed.len());
        let text = with_other_byte(seed, at, length, byte);
        statement::statement(&text);
    }

    /// Bytes are put in place of some, anywhere: also of none, and of whole lines.
    #[test]
    fn any_edit_is_refused(from in any::<Index>(), length in 0usize..3000, new in prop::collection::vec(any::<u8>(), 0..40)) {
        let (text, head) = &*THREE;
        let from = from.index(text.len() + 1);
        let to = (from + length).min(text.len());
        let changed = [&text.as_bytes()[..from], &new, &text.as_bytes()[to..]].concat();
        prop_assume!(changed != text.as_bytes());
        let read = read(&changed[..], key().public(), None, |_, _| {});
        // What is left if the last lines are cut off can only be told by the head.
        prop_assert!(read.is_err() || read.unwrap() != *head);
    }

    /// Lines are left out, repeated and in another order.
    #[test]
    fn any_other_list_of_lines_is_refused(order in prop::collection::vec(0usize..3, 0..5)) {
        let (text, head) = &*THREE;
        prop_assume!(order != [0, 1, 2]);
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let changed: String = order.iter().map(|line| lines[*line]).collect();
        let read = read(changed.as_bytes(), key().public(), None, |_, _| {});
        prop_assert_eq!(read.is_ok(), order == [0] || order == [0, 1]);
        prop_assert!(read.ok().is_none_or(|read| read != *head));
    }
}

/// Each single bit of a line.
#[test]
fn no_bit_can_be_changed() {
    let (text, _) = file(&[facts("held").into()]);
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1 << (at % 8);
        assert!(accepted(&changed, &key()).is_none(), "byte {at}");
    }
}

#[test]
fn an_error_names_the_line_and_what_is_wrong() {
    let (text, head) = &*THREE;
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let why = |text: &str, after: Option<&str>| {
        format!("{:#}", read(text.as_bytes(), key().public(), after, |_, _| {}).unwrap_err())
    };
    assert_eq!(why("", None), "there is no statement in it");
    assert_eq!(why(text.trim_end(), None), "line 3: its end is missing");
    assert_eq!(
        why(&[lines[0], lines[2]].concat(), None),
        "line 2: it does not follow the line before: it is statement 3, and that is statement 1"
    );
    assert_eq!(
        why(lines[1], None),
        "line 1: it is statement 2, and the ones before are missing; name the line before by --after"
    );
    assert_eq!(why(lines[1], Some(&head.digest)), "line 1: it does not follow the line that --after names");
    let first = read(lines[0].as_bytes(), key().public(), None, |_, _| {}).unwrap();
    let rest = [lines[1], lines[2]].concat();
    assert_eq!(read(rest.as_bytes(), key().public(), Some(&first.digest), |_, _| {}).unwrap(), *head);
    assert_eq!(why(text, Some(&first.digest)), "line 1: it does not follow the line that --after names");
    assert_eq!(
        why(&text.replacen("\"payload\":", "\"payload\": ", 1), None),
        "line 1: not written as isolatectl writes an envelope"
    );
    let twice = text.replacen("\"payload\":", "\"payload\":\"\",\"payload\":", 1);
    assert!(why(&twice, None).starts_with("line 1: not an envelope: duplicate field `payload`"));
    let further = text.replacen("\"payload\":", "\"held\":true,\"payload\":", 1);
    assert!(why(&further, None).starts_with("line 1: not an envelope: unknown field `held`"));
    let again = next(facts("held"), Some(&first), &key()).unwrap();
    assert_eq!(why(&[lines[0], &again].concat(), None), "line 2: it is of the same run as line 1");
    let other = PrivateKey::from_secret(&[8; 32]).unwrap();
    let why = format!("{:#}", read(text.as_bytes(), other.public(), None, |_, _| {}).unwrap_err());
    assert!(why.starts_with("line 1: it is signed by another key, "), "{why}");
}

/// The holder of the key cannot add a member or write one twice either: readers would differ on what it states.
#[test]
fn a_statement_that_is_signed_and_not_ours_is_refused() {
    let (text, _) = file(&[facts("held").into()]);
    let envelope: Value = serde_json::from_str(&text).unwrap();
    let decode = |text: &str| base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).unwrap();
    let payload = String::from_utf8(decode(envelope["payload"].as_str().unwrap())).unwrap();
    let refusal = |from: &str, to: &str| {
        let changed = payload.replacen(from, to, 1);
        assert_ne!(changed, payload, "{from}");
        let line = isolatectl::statement::envelope(changed.as_bytes(), &key()).unwrap();
        let read = read(line.as_bytes(), key().public(), None, |_, _| {});
        read.err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    for (from, to, words) in [
        ("\"nonce\":", "\"held\":true,\"nonce\":", "unknown field `held`"),
        ("\"nonce\":", "\"nonce\":null,\"nonce\":", "duplicate field `nonce`"),
        ("\"waived\":[],", "", "missing field `waived`"),
        ("\"unused\":[\"mount-network-fs\"],", "", "missing field `unused`"),
        (",\"nonce\":\"7f3a-01\"", "", "not written as isolatectl writes a statement"),
        ("\"port\":80", "\"port\":80.0", "invalid type"),
        ("\"count\":7", "\"count\": 7", "not written as isolatectl writes a statement"),
        ("train-7", "tr\\u0061in-7", "not written as isolatectl writes a statement"),
        ("/v0.1", "/v0.2", "not a statement of type https://oci-isolate.invalid/sealed-run/v0.1"),
        ("10:05:00.000Z\"}", "10:06:00.000Z\"}", "its subject or its gaps are not those of its facts"),
        ("\"config.json\"", "\"config\"", "its subject or its gaps are not those of its facts"),
        ("\"sequence\":1", "\"sequence\":2", "it is statement 2, and the ones before are missing"),
    ] {
        let why = refusal(from, to);
        assert!(why.contains(words), "{from} to {to}: {why}");
    }
}

#[test]
fn isolation_held_only_if_nothing_speaks_against_it() {
    let time = |text: &str| serde_json::from_value::<Time>(json!(text)).unwrap();
    let late = time("2026-11-30T11:00:00.000Z");
    let held = facts("held");
    assert_eq!(doubts(&held, &[]), Vec::<String>::new());
    let one = |change: &dyn Fn(&mut Facts), accepted: &[&str]| {
        let mut facts = held.clone();
        change(&mut facts);
        let accepted: Vec<_> = accepted.iter().map(|name| (*name).to_owned()).collect();
        doubts(&facts, &accepted).join("; ")
    };
    let waived = |facts: &mut Facts| facts.waived = vec!["devices".into()];
    assert_eq!(one(&waived, &[]), "devices was waived");
    assert_eq!(one(&waived, &["openings", "device"]), "devices was waived");
    assert_eq!(one(&waived, &["devices"]), "");
    let opened = |facts: &mut Facts| facts.openings = vec!["peer 10.0.0.1/32".into()];
    assert_eq!(one(&opened, &[]), "it was open: peer 10.0.0.1/32");
    assert_eq!(one(&opened, &["openings"]), "");
    assert_eq!(one(&|facts| facts.verified.clear(), &[]), "it was not verified after it was sealed");
    let broken = |facts: &mut Facts| facts.verified[1].broken = vec!["seal".into()];
    assert_eq!(one(&broken, &["seal"]), "at 2026-11-30T10:05:00.000Z it did not hold: seal");
    let after = |facts: &mut Facts| facts.verified.push(Look { time: late, broken: vec![] });
    assert_eq!(one(&after, &[]), "its times are not in order");
    let back = |facts: &mut Facts| facts.sealed = Period { from: late, to: facts.sealed.from };
    assert_eq!(one(&back, &[]), "its times are not in order");
    let lost = |facts: &mut Facts| facts.attempts = Tried::Lost("gone".into());
    assert_eq!(one(&lost, &[]), "attempts were lost: gone");
    assert_eq!(one(&|facts| facts.attempts = Tried::NotCounted("off".into()), &[]), "");
    for (change, why) in [
        (json!({"out": 1, "in": 0}), "attempts were lost: 1 packets were not kept"),
        (json!({"out": u64::MAX, "in": 2}), "attempts were lost: 18446744073709551615 packets were not kept"),
    ] {
        let change = |facts: &mut Facts| {
            let Tried::Counted(counted) = &mut facts.attempts else { panic!() };
            counted.not_kept = serde_json::from_value(change.clone()).unwrap();
        };
        assert_eq!(one(&change, &[]), why);
    }
    let missing = |facts: &mut Facts| {
        let Tried::Counted(counted) = &mut facts.attempts else { panic!() };
        counted.missing = vec!["a route".into()];
    };
    assert_eq!(one(&missing, &[]), "attempts were lost: a route");
    let unknown = || Digest::Unknown("changed".into());
    assert_eq!(
        one(&|facts| facts.config = unknown(), &[]),
        "the digest of config.json is not known: changed"
    );
    assert_eq!(
        one(&|facts| facts.host.settings = unknown(), &[]),
        "the digest of the settings is not known: changed"
    );
    assert_eq!(
        one(&|facts| facts.host.shim.program = unknown(), &[]),
        "the digest of the shim is not known: changed"
    );
}

#[test]
fn a_job_held_only_if_its_containers_did_and_all_its_digests_are_known() {
    let held = job();
    let says = |change: &dyn Fn(&mut JobFacts), containers: &[(&str, bool)], accepted: &[&str]| {
        let mut facts = held.clone();
        change(&mut facts);
        let mut judged = JudgedContainers::default();
        containers.iter().for_each(|(id, held)| judged.add(id, 1, *held));
        let accepted: Vec<_> = accepted.iter().map(|name| (*name).to_owned()).collect();
        job_doubts(&facts, &judged, &accepted).join("; ")
    };
    let same = |_: &mut JobFacts| {};
    let one = [("train-7", true)];
    assert_eq!(says(&same, &one, &[]), "");
    assert_eq!(says(&same, &[], &[]), "there is no statement of its container algo-1");
    assert_eq!(says(&same, &[("train-8", true)], &[]), "there is no statement of its container algo-1");
    assert_eq!(says(&same, &[("train-7", false)], &[]), "its container algo-1 did not hold: statement 1");
    let two = [("train-7", true), ("train-7", true)];
    assert_eq!(says(&same, &two, &[]), "there are several statements of its container algo-1");
    assert_eq!(says(&|facts| facts.containers.clear(), &one, &[]), "it had no container");
    let unknown = |facts: &mut JobFacts| {
        facts.inputs[0].digest = isolatectl::statement::TreeDigest::Unknown("it was streamed".into());
    };
    let why = "the digest of input algo-1:/opt/ml/input/data/train is not known: it was streamed";
    assert_eq!(says(&unknown, &one, &[]), why);
    assert_eq!(says(&unknown, &one, &["digests"]), "");
    assert_eq!(says(&unknown, &[], &["digests"]), "there is no statement of its container algo-1");
    let request = |facts: &mut JobFacts| facts.request = Digest::Unknown("gone".into());
    assert_eq!(says(&request, &one, &[]), "the digest of the request is not known: gone");
}

/// Whoever alters the digest of an input needs the key, also where the subject is altered alike.
#[test]
fn an_altered_digest_of_an_input_is_refused() {
    let (text, _) = file(&[facts("held").into(), job().into()]);
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let mut envelope: Value = serde_json::from_str(lines[1]).unwrap();
    let engine = &base64::prelude::BASE64_STANDARD;
    let payload = base64::Engine::decode(engine, envelope["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let (digest, other) = ("1a".repeat(32), "1b".repeat(32));
    let why = |line: &str| {
        let read = read([lines[0], line].concat().as_bytes(), key().public(), None, |_, _| {});
        format!("{:#}", read.unwrap_err())
    };
    assert_eq!(payload.matches(&digest).count(), 2);
    let changed = payload.replace(&digest, &other);
    envelope["payload"] = json!(base64::Engine::encode(engine, &changed));
    assert_eq!(why(&format!("{envelope}\n")), "line 2: its signature is not of what it has");
    // By the holder of the key, in one of both places.
    let line =
        isolatectl::statement::envelope(payload.replacen(&digest, &other, 1).as_bytes(), &key()).unwrap();
    assert_eq!(why(&line), "line 2: its subject or its gaps are not those of its facts");
}
