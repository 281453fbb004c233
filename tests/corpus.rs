//! What fuzzing has to hold (`fuzz/properties.rs`), of input that engines gave, of input that broke something once, and
//! of both with a piece cut out or a byte changed.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[path = "../fuzz/properties.rs"]
mod properties;

use std::fs;
use std::path::Path;

use oci_isolate::nft::Loaded;
use oci_isolate::seal::{self, Desired, SocketOwner};
use oci_isolate::settings::{Firewall, Links};
use proptest::prelude::*;
use proptest::sample::Index;
use test_support::seeds::seeds;

use properties::Answers;

fn captured() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let configs = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    configs.map(|path| fs::read(path).unwrap()).collect()
}

/// Some of it cut out, and a byte of another value.
fn spoilt(text: &[u8], at: Index, length: usize, byte: Option<u8>) -> Vec<u8> {
    let mut text = text.to_vec();
    let at = at.index(text.len().max(1)).min(text.len());
    text.drain(at..(at + length).min(text.len()));
    if let (Some(byte), Some(place)) = (byte, text.get_mut(at)) {
        *place = byte;
    }
    text
}

#[test]
fn seeds_hold() {
    seeds("argv").iter().for_each(|seed| properties::argv(seed));
    seeds("settings").iter().for_each(|seed| properties::settings(seed));
    seeds("annotations").iter().for_each(|seed| properties::annotations(seed));
    seeds("resourceconfig").iter().for_each(|seed| properties::resourceconfig(seed));
    seeds("netlink").iter().for_each(|seed| properties::netlink(seed));
    seeds("unlisted").iter().for_each(|seed| properties::unlisted(seed));
    seeds("config").iter().chain(&captured()).for_each(|seed| properties::config(seed));
}

/// Recorded from a kernel (strace(1), `-e read=all`): what holds, what was tampered with, and sockets of every kind.
#[test]
fn recorded_answers_are_understood() {
    let recorded =
        |name: &str| fs::read(format!("{}/fuzz/seeds/netlink/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let desired = Desired {
        addresses: Vec::new(),
        firewall: Firewall::Required,
        links: Links::Down,
        allow_list: None,
        attempts: None,
    };
    let judged = |name: &str, desired: &Desired| {
        let seen = Answers::read(&recorded(name)).namespace().unwrap();
        let broken = seal::defects(&seen, desired, SocketOwner::Container);
        broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let broken = |name: &str| judged(name, &desired);
    assert_eq!(broken("sealed"), "");
    assert_eq!(
        broken("plumbed"),
        "link eth0 is up; lo is not up; address 10.77.0.2 is not on lo; address fd77::2 is not on lo; table inet oci_isolate is not loaded"
    );
    assert_eq!(broken("with-links"), "", "they are down");
    let removed = Desired { links: Links::Remove, ..desired.clone() };
    assert_eq!(judged("with-links", &removed), "link eth2 is still there; link eth1 is still there");
    assert_eq!(
        broken("with-a-rule"),
        "table inet oci_isolate was changed: chain output has 4 rules instead of 3; table inet oci_isolate was changed: rule 1 of chain output was changed"
    );
    assert_eq!(broken("with-a-set"), "table inet oci_isolate was changed: set x was changed");
    let seen = Answers::read(&recorded("opened")).namespace().unwrap();
    let Loaded::Present(table) = &seen.table else { panic!("{:?}", seen.table) };
    let allow = table.allow_list().unwrap();
    let peers: Vec<_> = allow.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.98.0.0/24", "10.99.0.1/32", "10.99.0.7/32", "fd00::1/128", "fd01::/64"]);
    assert_eq!((allow.ingress.len(), allow.never.len()), (2, 3));
    assert_eq!(judged("opened", &Desired { allow_list: Some(allow), ..desired.clone() }), "");
    let sockets = Answers::read(&recorded("sockets")).sockets().unwrap();
    let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    assert_eq!(
        sockets,
        [
            "tcp *:47493",
            "tcp *:54221",
            "tcp 127.0.0.11:48441",
            "tcp [::1]:45137",
            "udp *:45355",
            "udp *:53604",
            "udp 127.0.0.11:48907",
            "udp [::1]:57113",
            "raw protocol 1",
            "raw protocol 58",
            "packet"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_seeds_hold(at in any::<Index>(), length in 0usize..40, byte in any::<Option<u8>>()) {
        for seed in seeds("argv") {
            properties::argv(&spoilt(&seed, at, length, byte));
        }
        for seed in seeds("settings") {
            properties::settings(&spoilt(&seed, at, length, byte));
        }
        for seed in seeds("annotations") {
            properties::annotations(&spoilt(&seed, at, length, byte));
        }
        for seed in seeds("resourceconfig") {
            properties::resourceconfig(&spoilt(&seed, at, length, byte));
        }
        for seed in seeds("netlink") {
            properties::netlink(&spoilt(&seed, at, length, byte));
        }
        for seed in seeds("unlisted") {
            properties::unlisted(&spoilt(&seed, at, length, byte));
        }
    }

    /// Names that mean something elsewhere, or nearly, and such that mean nothing.
    #[test]
    fn what_is_on_no_list_is_refused_by_its_name(list: u8, place: u8, name in unlisted_name()) {
        properties::unlisted(&[&[list, place], name.as_bytes()].concat());
    }

    /// Whole members go, or become of another kind, so that the document stays one.
    #[test]
    fn captured_configurations_without_a_member_hold(which in any::<Index>(), at in any::<Index>(), kind in 0..5) {
        let captured = captured();
        let mut config: serde_json::Value = serde_json::from_slice(&captured[which.index(captured.len())]).unwrap();
        let places = places(&config, "");
        let place = config.pointer_mut(&places[at.index(places.len())]).unwrap();
        *place = match kind {
            0 => serde_json::Value::Null,
            1 => serde_json::json!([]),
            2 => serde_json::json!({}),
            3 => serde_json::json!(""),
            _ => serde_json::json!([place.clone(), place.clone()]),
        };
        properties::config(config.to_string().as_bytes());
    }
}

fn unlisted_name() -> impl Strategy<Value = String> {
    let known: Vec<_> = oci_isolate::config::members().into_iter().map(|(path, _)| path).collect();
    let known = any::<Index>().prop_map(move |at| {
        let path = &known[at.index(known.len())];
        path.rsplit('.').next().unwrap().trim_end_matches("[]").to_owned()
    });
    prop_oneof![
        4 => "[a-zA-Z][a-zA-Z0-9]{0,12}",
        2 => known.clone(),
        1 => known.prop_map(|name| name.to_ascii_uppercase()),
        1 => "(hooks|handler|seccomp|systemd)[.][a-z_=/]{1,12}",
        1 => "\\PC{0,80}",
        1 => ".{0,8}",
    ]
}

/// Every place of a document, as pointers.
fn places(value: &serde_json::Value, at: &str) -> Vec<String> {
    let below: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(members) => {
            members.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let deeper = below.into_iter().flat_map(|(name, value)| places(value, &format!("{at}/{name}")));
    std::iter::once(at.to_owned()).chain(deeper).collect()
}
