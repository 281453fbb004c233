//! What holds of any configuration: it is refused, or it comes out with every rule true, nothing else changed, and a
//! second time does nothing.

use std::collections::BTreeMap;

use oci_isolate::config::{Document, Kind};
use oci_isolate::policy::{Openings, Policy};
use oci_isolate::rewrite::{RewriteError, Rewritten, rewrite};
use oci_isolate::rules::{HostFacts, Network, RULES, RuleContext, SealHook};
use oci_isolate::settings::{Answer, Credentials, Firewall, Links, SeccompSettings};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use test_support::recorded::spec::differences;

/// Stands in every value of a variable.
const VALUE: &str = "c0ffee";

fn context(joins: bool, hooked: bool) -> RuleContext {
    // What would be refused is taken away, so that every configuration that can be read is made to hold.
    let strips = RULES.iter().filter(|rule| rule.answers[0] == Answer::Refuse);
    let mut answers: BTreeMap<_, _> = strips.map(|rule| (rule.name.to_owned(), Answer::Strip)).collect();
    answers.insert("unknown-members".into(), Answer::Allow);
    let policy = Policy {
        why: "test".into(),
        firewall: Firewall::Required,
        links: Links::Down,
        attempts: None,
        credentials: Credentials::default(),
        seccomp: SeccompSettings::default(),
        openings: Openings::default(),
        beside: None,
        demanded: None,
        answers,
        nonce: None,
    };
    let hook = SealHook {
        program: "/shim".into(),
        record: "/run/oci-isolate/containers/run/runc/web.json".into(),
        seals: true,
    };
    let network = if joins { Network::Joined { at: "/run/netns/x".into() } } else { Network::New };
    RuleContext { policy, network, host: HostFacts::default(), hook: hooked.then_some(hook) }
}

/// Of a document's text: what rewriting makes of it.
fn rewritten(kind: Kind, text: &[u8], context: &RuleContext) -> Result<Rewritten, RewriteError> {
    let document = Document::parse(kind, text)?;
    let view = document.view()?;
    rewrite(document, view, context)
}

fn variable() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        4 => select(&["PATH", "HOME", "AWS_REGION", "AWS_ENDPOINT_URL", "SM_X", "", "A", "AWS_EC2_METADATA_DISABLED"][..]).prop_map(str::to_owned),
        4 => select(&["AWS_PROFILE", "aws_secret_access_key", "SVCUID", "Boto_Config", "LISTEN_FDS", "X_ACCESS_KEY_ID"][..]).prop_map(str::to_owned),
        2 => select(&["MC_HOST_", "CI_JOB_JWT", "AWS_BEARER_TOKEN_"][..]).prop_flat_map(|p| "[A-Z]{0,3}".prop_map(move |s| format!("{p}{s}"))),
        2 => "[A-Za-z_]{1,12}",
    ];
    let value = prop_oneof![
        4 => Just(String::new()),
        2 => Just(format!("AKIA{}", "IOSFODNN7EXAMPLE")),
        1 => Just(format!("wJalrXUtnFEMI{}bPxRfiCYEXAMPLEKEY", "/K7MDENG/")),
        4 => "[ -~\u{e9}\n]{0,12}",
    ];
    prop_oneof![
        60 => (name, value).prop_map(|(name, value)| json!(format!("{name}={VALUE}{value}"))),
        1 => Just(json!(VALUE)),
    ]
}

fn capabilities() -> impl Strategy<Value = Value> {
    let name = select(
        &[
            "CAP_NET_ADMIN",
            "CAP_NET_RAW",
            "cap_net_raw",
            "NET_ADMIN",
            "CAP_KILL",
            "CAP_CHOWN",
            "CAP_NET_BIND_SERVICE",
        ][..],
    );
    let sets = select(&["bounding", "effective", "inheritable", "permitted", "ambient", "x-more"][..]);
    vec((sets, of(vec(name, 0..5))), 0..6).prop_map(|sets| {
        Value::Object(sets.into_iter().map(|(set, names)| (set.to_owned(), json!(names))).collect())
    })
}

fn namespaces() -> impl Strategy<Value = Value> {
    let kind = select(&["pid", "mount", "ipc", "uts", "user", "cgroup", "network"][..]);
    let path = of(select(&["", "/run/netns/x", "/proc/1/ns/net"][..]));
    let entry = (kind, path, any::<bool>()).prop_map(|(kind, path, unknown)| {
        let mut entry = json!({"type": kind});
        if let Some(path) = path {
            entry["path"] = json!(path);
        }
        if unknown {
            entry["x-y"] = json!(1);
        }
        entry
    });
    // Most lists are ones that a runtime would take.
    (vec(entry, 0..6), 0..8).prop_map(|(mut list, odd)| {
        if odd == 0 {
            return json!(list);
        }
        let kinds: Vec<Value> = list.iter().map(|entry| entry["type"].clone()).collect();
        let mut nth = 0;
        list.retain(|entry| {
            nth += 1;
            entry["type"] != "mount" && !kinds[..nth - 1].contains(&entry["type"])
        });
        for entry in list.iter_mut().filter(|entry| entry["type"] == "user") {
            entry.as_object_mut().unwrap().remove("path");
        }
        list.push(json!({"type": "mount"}));
        json!(list)
    })
}

fn hooks() -> impl Strategy<Value = Value> {
    let hook = prop_oneof![
        3 => Just(json!({"path": "/bin/plumb", "args": ["plumb", "--isolate"], "timeout": 7})),
        1 => Just(json!({"path": "/bin/plain"})),
        1 => Just(json!({"path": "/bin/plain", "env": ["A=1", format!("AWS_TOKEN={VALUE}"), "B="]})),
        1 => Just(json!({"path": "/shim", "args": ["oci-isolate", "--isolate-seal=/run/oci-isolate/containers/run/runc/web.json"]})),
        1 => Just(json!({"path": "/old", "args": ["oci-isolate", "--isolate-seal=/run/oci-isolate/containers/other.json"]})),
        1 => Just(json!({"path": "/shim", "args": ["oci-isolate", "--isolate-forget=/run/oci-isolate/containers/run/runc/web.json"]})),
    ];
    let lists = select(
        &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"][..],
    );
    vec((lists, of(vec(hook, 0..4))), 0..4).prop_map(|lists| {
        Value::Object(lists.into_iter().map(|(name, list)| (name.to_owned(), json!(list))).collect())
    })
}

/// Anything, under a name that runtime-spec does not have.
fn unknown() -> impl Strategy<Value = Option<(String, Value)>> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(|n| json!(n)),
        Just(json!({"Process": 1, "env": ["AWS_PROFILE=x"]})),
        "[a-z]{0,5}".prop_map(|s| json!(s)),
    ];
    of(("x-[a-zA-Z]{1,5}", leaf))
}

fn object(members: Vec<(&str, Option<Value>)>, unknown: Option<(String, Value)>) -> Value {
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.chain(unknown).collect::<Map<_, _>>())
}

fn process() -> impl Strategy<Value = Value> {
    (of(vec(variable(), 0..12)), of(capabilities()), unknown()).prop_map(|(env, capabilities, unknown)| {
        object(
            vec![
                ("args", Some(json!(["sh"]))),
                ("env", env.map(Value::from)),
                ("capabilities", capabilities),
            ],
            unknown,
        )
    })
}

fn config() -> impl Strategy<Value = Value> {
    let linux = (weighted(0.95, namespaces()), unknown()).prop_map(|(namespaces, unknown)| {
        object(
            vec![("sysctl", Some(json!({"net.a": "1", "net.A": "2"}))), ("namespaces", namespaces)],
            unknown,
        )
    });
    (of(process()), prop::option::weighted(0.95, linux), of(hooks()), unknown()).prop_map(
        |(process, linux, hooks, unknown)| {
            let root = Some(json!({"path": "rootfs", "readonly": true}));
            object(vec![("process", process), ("linux", linux), ("root", root), ("hooks", hooks)], unknown)
        },
    )
}

fn networks(config: &Value) -> usize {
    config["linux"]["namespaces"].as_array().into_iter().flatten().filter(|n| n["type"] == "network").count()
}

/// Whether a configuration has to be refused, and nothing less has to be.
fn is_hopeless(config: &Value) -> bool {
    let env = config["process"]["env"].as_array();
    let odd = env.into_iter().flatten().any(|entry| !entry.as_str().unwrap().contains('='));
    let mut homes = env.into_iter().flatten().filter_map(|entry| entry.as_str()?.strip_prefix("HOME="));
    let relative = homes.next_back().is_some_and(|home| !home.is_empty() && !home.starts_with('/'));
    let none = Vec::new();
    let list = config["linux"]["namespaces"].as_array().unwrap_or(&none);
    let count = |kind: &str| list.iter().filter(|entry| entry["type"] == kind).count();
    let twice = list.iter().any(|entry| count(entry["type"].as_str().unwrap()) > 1);
    let has_path = |entry: &&Value| entry["path"].as_str().is_some_and(|path| !path.is_empty());
    let foreign =
        list.iter().filter(has_path).any(|entry| ["mount", "user"].iter().any(|kind| entry["type"] == *kind));
    config["linux"].is_null() || odd || relative || count("mount") == 0 || twice || foreign
}

fn may_change(line: &str) -> bool {
    let places = [
        "-/process/env/",
        "+/process/env ",
        "-/process/capabilities/",
        "-/linux/namespaces/",
        "+/linux/namespaces ",
        "-/linux/namespaces null",
        "-/linux/resources",
        "+/linux/resources",
        "+/linux/seccomp",
        "+/linux/maskedPaths",
        "+/linux/readonlyPaths",
        "+/linux/rootfsPropagation",
        "+/process/rlimits",
        // One without its credential.
        "-/hooks/createContainer/",
        "+/hooks/createContainer {",
        "-/hooks/startContainer/",
        "+/hooks/startContainer {",
        // One of ours from another time.
        "-/hooks/prestart/",
        "-/hooks/createRuntime/",
        "+/hooks/createRuntime ",
        "-/hooks/createRuntime null",
        "-/hooks/poststop/",
        "+/hooks/poststop ",
        "-/hooks/poststop null",
        "+/hooks {",
    ];
    let joined = line.starts_with("+/linux/namespaces/") && line.ends_with("/path \"/run/netns/x\"");
    joined || places.iter().any(|place| line.starts_with(place))
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_configuration_is_refused_or_made_to_hold(config in config(), joins in any::<bool>(), hooked in any::<bool>()) {
        let context = context(joins, hooked);
        let text = config.to_string();
        let rewritten_once = match rewritten(Kind::Config, text.as_bytes(), &context) {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                prop_assert!(is_hopeless(&config), "{refusal}");
                prop_assert!(!refusal.to_string().contains(VALUE), "{refusal}");
                return Ok(());
            }
        };
        prop_assert!(!is_hopeless(&config));
        for applied in &rewritten_once.applied {
            prop_assert!(!applied.description.contains(VALUE) && !applied.at.contains(VALUE), "{applied:?}");
        }
        let Some(once) = rewritten_once.text else {
            prop_assert!(rewritten_once.applied.is_empty());
            return Ok(());
        };
        prop_assert!(!rewritten_once.applied.is_empty());
        // Once more changes nothing.
        let twice = rewritten(Kind::Config, &once, &context).unwrap();
        prop_assert!(twice.text.is_none(), "{:?}", twice.applied);
        // Nothing but what the rules name has changed.
        let after: Value = serde_json::from_slice(&once).unwrap();
        for line in differences(&config, &after) {
            prop_assert!(may_change(&line), "{line}");
        }
        // Every rule holds.
        let document = Document::parse(Kind::Config, &once).unwrap();
        let view = document.view().unwrap();
        for rule in RULES.iter().filter(|rule| rule.answer(&context.policy) != Answer::Allow) {
            prop_assert!((rule.holds)(&view, &context).is_ok(), "{}", rule.name);
        }
        prop_assert_eq!(networks(&after), 1);
        let network = after["linux"]["namespaces"].as_array().unwrap().iter().find(|n| n["type"] == "network");
        let path = network.unwrap()["path"].as_str().filter(|path| !path.is_empty());
        prop_assert!(path.is_none() || joins && path == Some("/run/netns/x"), "{after}");
    }

    #[test]
    fn a_process_file_is_refused_or_made_to_hold(process in process()) {
        let context = context(false, false);
        let text = process.to_string();
        let wrapped = json!({"process": process, "linux": {"namespaces": [{"type": "mount"}]}});
        match rewritten(Kind::Process, text.as_bytes(), &context) {
            Err(refusal) => {
                prop_assert!(is_hopeless(&wrapped), "{refusal}");
                prop_assert!(!refusal.to_string().contains(VALUE), "{refusal}");
            }
            Ok(Rewritten { text: None, .. }) => prop_assert!(!is_hopeless(&wrapped)),
            Ok(Rewritten { text: Some(once), .. }) => {
                let after: Value = serde_json::from_slice(&once).unwrap();
                for line in differences(&process, &after) {
                    let line = format!("{}/process{}", &line[..1], &line[1..]);
                    prop_assert!(may_change(&line), "{line}");
                }
                prop_assert!(rewritten(Kind::Process, &once, &context).unwrap().text.is_none());
            }
        }
    }

    /// Bytes that happen to come: no panic, no half answer.
    #[test]
    fn a_configuration_that_was_cut_or_spoilt_is_never_taken_for_another(config in config(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let context = context(false, true);
        let mut text = config.to_string().into_bytes();
        let cut = at.index(text.len());
        prop_assert!(rewritten(Kind::Config, &text[..cut], &context).is_err());
        text[cut] = byte;
        if let Ok(Rewritten { text: Some(once), .. }) = rewritten(Kind::Config, &text, &context) {
            prop_assert!(rewritten(Kind::Config, &once, &context).unwrap().text.is_none());
        }
    }
}
