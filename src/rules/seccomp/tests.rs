//! Real profiles of engines, unusual ones, and random ones. tests/libseccomp checks the same with the real
//! library.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::lists::{CLOSED, Listed, PROTOCOLS, SOCKETS};
use super::*;
use crate::config::{Document, Kind};
use crate::policy::{Openings, Policy};
use crate::rules::{CoreDumps, HostFacts, Network};
use crate::settings::{Credentials, Firewall, Links, Settings};

fn context(settings: &str) -> RuleContext {
    let seccomp = Settings::parse(settings).unwrap().seccomp;
    let (credentials, answers) = (Credentials::default(), std::collections::BTreeMap::new());
    let (firewall, openings) = (Firewall::Required, Openings::default());
    let policy = Policy {
        why: "a test".into(),
        firewall,
        links: Links::Down,
        attempts: None,
        credentials,
        seccomp,
        openings,
        beside: None,
        demanded: None,
        answers,
        nonce: None,
    };
    RuleContext { policy, network: Network::New, host: HostFacts::default(), hook: None }
}

fn own_architectures() -> &'static [&'static str] {
    architectures_of(std::env::consts::ARCH)
}

fn planned(text: &str, context: &RuleContext) -> Result<(String, Vec<Edit>), Violation> {
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    let edits = plan(&document.view().unwrap(), context)?;
    let text = if edits.is_empty() { text.into() } else { document.with(&edits).unwrap() };
    Ok((String::from_utf8(text).unwrap(), edits))
}

fn checked(text: &str, context: &RuleContext) -> Result<(), Violation> {
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    holds(&document.view().unwrap(), context)
}

/// The text with the rule's edits, in which the rule holds and which a second run does not change.
#[track_caller]
fn rewritten(text: &str, settings: &str) -> String {
    let context = context(settings);
    let (out, _) = planned(text, &context).unwrap();
    assert_eq!(checked(&out, &context), Ok(()), "{out}");
    assert_eq!(planned(&out, &context).unwrap().1, [], "a second run changes something in {out}");
    out
}

fn profile(seccomp: &Value) -> String {
    json!({ "linux": { "seccomp": seccomp } }).to_string()
}

fn allow(names: &[&str], args: &Value) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args })
}

/// The rules on a call that come out, in short: `ALLOW 0&4294967295=1`.
fn rules(text: &str, call: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(text).unwrap();
    let list = value["linux"]["seccomp"]["syscalls"].as_array().unwrap().clone();
    let about = list.into_iter().filter(|rule| rule["names"].as_array().unwrap().contains(&json!(call)));
    let arg = |arg: &Value| match arg["op"].as_str().unwrap().strip_prefix("SCMP_CMP_").unwrap() {
        "MASKED_EQ" => format!(" {}&{:x}={}", arg["index"], arg["value"].as_u64().unwrap(), arg["valueTwo"]),
        op => format!(" {} {op} {}", arg["index"], arg["value"]),
    };
    about
        .map(|rule| {
            let args: String = rule["args"].as_array().into_iter().flatten().map(arg).collect();
            let errno = rule["errnoRet"].as_u64().map(|errno| format!(" {errno}")).unwrap_or_default();
            format!("{}{errno}{args}", rule["action"].as_str().unwrap().trim_start_matches("SCMP_ACT_"))
        })
        .collect()
}

const OPEN: [&str; 8] = [
    "ALLOW 0&ffffffff=1",
    "ALLOW 0&fffffff7=2",
    "ALLOW 0&ffffffff=16 2&fffffffb=0",
    "ALLOW 0&ffffffff=16 2&ffffffff=16",
    "ERRNO 93 0&ffffffff=16 2&ffffffe1=1",
    "ERRNO 93 0&ffffffff=16 2&ffffffe3=2",
    "ERRNO 93 0&ffffffff=16 2&ffffffeb=8",
    "ERRNO 93 0&ffffffff=16 2&ffffffff=20",
];

#[test]
fn the_default_profiles_of_engines_come_out_as_they_should() {
    for (name, before, after) in [
        ("docker-20.10", include_str!("../../../tests/data/seccomp/docker-20.10.json"), 38),
        ("docker-28.5", include_str!("../../../tests/data/seccomp/docker-28.5.json"), 38),
        ("containerd-1.6", include_str!("../../../tests/data/seccomp/containerd-1.6.json"), 38),
        ("podman-4.3", include_str!("../../../tests/data/seccomp/podman-4.3.json"), 1),
    ] {
        assert!(checked(before, &context("")).is_err(), "{name}");
        let out = rewritten(before, "");
        let golden = format!("{}/tests/data/seccomp/{name}.isolated.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("OCI_ISOLATE_GOLDEN").is_some() {
            std::fs::write(&golden, format!("{out}\n")).unwrap();
        }
        assert_eq!(out, std::fs::read_to_string(&golden).unwrap().trim_end(), "{name}");
        assert_eq!(rules(&out, "socket"), OPEN, "{name}");
        assert_eq!(rules(&out, "socketpair"), OPEN[..1], "{name}");
        assert_eq!(rules(&out, "socketcall"), [format!("ERRNO {after}")], "{name}");
        // Nothing else is another than it was.
        let both = [before, out.as_str()].map(|text| serde_json::from_str::<Value>(text).unwrap());
        let others = both.map(|mut value| {
            let seccomp = value["linux"]["seccomp"].as_object_mut().unwrap();
            let about_others = |rule: &Value| {
                let names =
                    rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
                let ours = |name: &String| {
                    CLOSED.iter().any(|call| call.is == name) || SOCKETS.contains(&name.as_str())
                };
                let names: Vec<String> = names.filter(|name| !ours(name)).collect();
                (!names.is_empty()).then(|| (names, rule["action"].clone(), rule["args"].clone()))
            };
            let list: Vec<_> =
                seccomp["syscalls"].as_array().unwrap().iter().filter_map(about_others).collect();
            seccomp.remove("syscalls");
            (list, value)
        });
        assert_eq!(others[0], others[1], "{name}");
    }
}

#[test]
fn without_a_profile_there_is_one_that_denies_what_leads_out() {
    let spec = include_str!("../../../tests/data/seccomp/runc-spec.json");
    for text in [spec, "{}", r#"{"linux":{"seccomp":null}}"#, r#"{"linux":{"seccomp":{}}}"#] {
        let out = rewritten(text, "");
        let seccomp = &serde_json::from_str::<Value>(&out).unwrap()["linux"]["seccomp"];
        assert_eq!(seccomp["defaultAction"], "SCMP_ACT_ALLOW");
        assert_eq!(seccomp["architectures"].as_array().map_or(0, Vec::len), own_architectures().len());
        assert_eq!(rules(&out, "keyctl"), ["ERRNO 38"]);
        assert!(rules(&out, "socket").iter().all(|rule| rule.starts_with("ERRNO 9")), "{out}");
        assert_eq!([rules(&out, "socket").len(), rules(&out, "socketpair").len()], [12 + 4, 8]);
        assert!(rules(&out, "connect").is_empty());
    }
}

#[test]
fn families_of_the_settings_are_open_too() {
    let vsock = "[seccomp]\nfamilies = [\"AF_VSOCK\"]";
    let denying =
        profile(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(&["socket"], &json!([]))] }));
    assert!(rules(&rewritten(&denying, vsock), "socket").contains(&"ALLOW 0&ffffffff=40".to_owned()));
    assert!(
        checked(&rewritten("{}", vsock), &context("")).unwrap_err().to_string().contains("socket(40, 0, 0)")
    );
    // What a profile denies is not opened.
    let docker = include_str!("../../../tests/data/seccomp/docker-28.5.json");
    let of_socket = rules(&rewritten(docker, vsock), "socket");
    assert!(!of_socket.iter().any(|rule| rule.contains("=40")), "{of_socket:?}");
}

#[test]
fn what_a_profile_denies_stays_denied() {
    for (rule, left) in [
        // Only AF_INET, by the whole value.
        (json!([{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]), &["ALLOW 0 EQ 2"][..]),
        // Moby before 25.
        (
            json!([{"index": 0, "value": 38, "op": "SCMP_CMP_LT"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]),
            &[
                "ALLOW 0 EQ 1 1 EQ 1",
                "ALLOW 0 EQ 2 1 EQ 1",
                "ALLOW 0 EQ 10 1 EQ 1",
                "ALLOW 0 EQ 16 1 EQ 1 2&ffffffff=0",
                "ALLOW 0 EQ 16 1 EQ 1 2&ffffffff=4",
                "ALLOW 0 EQ 16 1 EQ 1 2&ffffffff=16",
            ],
        ),
        // Two conditions on one argument are alternatives to runtimes.
        (
            json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]),
            &["ALLOW 0 EQ 1"],
        ),
        (json!([{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]), &[]),
    ] {
        let text =
            profile(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(&["socket"], &rule)] }));
        assert_eq!(rules(&rewritten(&text, ""), "socket"), left, "{rule}");
    }
    let nothing =
        profile(&json!({ "defaultAction": "SCMP_ACT_KILL", "syscalls": [allow(&["read"], &json!([]))] }));
    assert_eq!(rewritten(&nothing, ""), nothing);
    let denied = profile(&json!({ "defaultAction": "SCMP_ACT_LOG",
        "syscalls": [{ "names": ["socket", "socketpair"], "action": "SCMP_ACT_KILL_PROCESS" }] }));
    assert_eq!(rules(&rewritten(&denied, ""), "socket"), ["KILL_PROCESS"]);
}

#[test]
fn podman_without_audit_write_keeps_its_own_error() {
    let text = profile(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [
            { "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }, { "index": 2, "value": 9, "op": "SCMP_CMP_EQ" }] },
        allow(&["socket"], &json!([{ "index": 2, "value": 9, "op": "SCMP_CMP_NE" }])),
        allow(&["socket"], &json!([{ "index": 0, "value": 16, "op": "SCMP_CMP_NE" }])),
        allow(&["socket"], &json!([{ "index": 2, "value": 9, "op": "SCMP_CMP_NE" }])),
    ] }));
    let of_socket = rules(&rewritten(&text, ""), "socket");
    assert_eq!(of_socket[0], "ERRNO 22 0 EQ 16 2 EQ 9");
    let of_netlink = |action: &str| {
        let of = |rule: &&String| rule.starts_with(action) && rule.contains("=16 ");
        of_socket.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    // Of the protocols that AUDIT would be denied with, those beside it have the profile's default.
    assert!(!of_netlink("ERRNO 93").iter().any(|rule| rule.ends_with("2&ffffffe1=1")), "{of_socket:?}");
    assert_eq!(
        of_netlink("ALLOW"),
        ["ALLOW 0&ffffffff=16 2&fffffffb=0", "ALLOW 0&ffffffff=16 2&ffffffff=16"]
    );
}

#[test]
fn what_lets_a_call_through_in_spite_of_a_rule_is_noticed() {
    let context = context("");
    let with = |default: &str, rule: Value| {
        profile(&json!({ "defaultAction": default, "syscalls": [
        { "names": CLOSED.map(|call| call.is), "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }, rule] }))
    };
    let why = |text: &str| checked(text, &context).unwrap_err().to_string();
    let arg = |op: &str, value: u64| json!([{ "index": 0, "value": value, "op": op }]);
    // Catalogue s2, s2b: the high bits of the family.
    let text = with("SCMP_ACT_ERRNO", allow(&["socket"], &arg("SCMP_CMP_GT", 40)));
    assert!(why(&text).contains("seccomp: socket("), "{}", why(&text));
    let text = with("SCMP_ACT_ERRNO", allow(&["socketpair"], &arg("SCMP_CMP_EQ", 1 << 33 | 40)));
    assert_eq!(why(&text), "seccomp: socketpair(8589934632, 0, 0) is let through");
    // s3: libseccomp's own rule for socketcall.
    let text = profile(
        &json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(&["socket"], &arg("SCMP_CMP_EQ", 1))] }),
    );
    assert_eq!(why(&text), "seccomp: socketcall is let through");
    // s1: a rule that does what the default does is skipped.
    let text = profile(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": CLOSED.map(|call| call.is), "action": "SCMP_ACT_ERRNO" }, allow(&["socket"], &arg("SCMP_CMP_EQ", 1))] }));
    assert_eq!(why(&text), "seccomp: socketcall is let through");
    // A tracer inside of the container lets it through.
    let text = with("SCMP_ACT_ERRNO", json!({ "names": ["socket"], "action": "SCMP_ACT_TRACE" }));
    assert_eq!(why(&text), "seccomp: socket(40, 1, 0) is let through");
    assert_eq!(why("{}"), "seccomp: there is no profile");
}

#[test]
fn what_libseccomp_compares_wrongly_is_refused() {
    let args = json!([{ "index": 0, "value": 63, "op": "SCMP_CMP_NE" }, { "index": 2, "value": 40, "op": "SCMP_CMP_EQ" }]);
    let rule = json!({ "names": ["socket"], "action": "SCMP_ACT_KILL", "args": args });
    let text = profile(&json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
    let (out, _) = planned(&text, &context("")).unwrap();
    assert_eq!(
        checked(&out, &context("")).unwrap_err().to_string(),
        "seccomp: socket is compared wrongly by libseccomp: SCMP_CMP_NE with a further condition behind it"
    );
}

#[test]
fn what_cannot_be_decided_is_refused() {
    for (seccomp, why) in [
        (json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/a.sock" }), "listenerPath"),
        (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "SCMP_ACT_NOTIFY"),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_NOTIFY" }] }),
            "SCMP_ACT_NOTIFY",
        ),
        (json!({ "defaultAction": "SCMP_ACT_NEW" }), "the action \"SCMP_ACT_NEW\" is not known"),
        (
            json!({ "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ALLOW" }] }),
            "the action \"\" is not known",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(&["socket"], &json!([{ "index": 0, "op": "SCMP_CMP_X" }]))] }),
            "the comparison",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(&["socket"], &json!([{ "index": 6, "op": "SCMP_CMP_EQ" }]))] }),
            "no argument 6",
        ),
    ] {
        let text = profile(&seccomp);
        let (planned, checked) =
            (planned(&text, &context("")).unwrap_err(), checked(&text, &context("")).unwrap_err());
        assert!(planned.to_string().contains(why) && checked.to_string().contains(why), "{planned}");
    }
}

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let names = ["ALLOW", "ALLOW", "ALLOW", "LOG", "TRACE", "ERRNO", "ERRNO", "KILL", "KILL_PROCESS", "TRAP"];
    (prop::sample::select(names.to_vec()), prop::sample::select(vec![None, Some(1), Some(38), Some(97)]))
}

fn args() -> impl Strategy<Value = Value> {
    let ops = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let value =
        || prop::sample::select(vec![0, 1, 2, 3, 9, 10, 15, 16, 39, 40, 63, 0xff, 0xffff_ffff, 1 << 32 | 40]);
    let arg = (0..4_u32, prop::sample::select(ops.to_vec()), value(), value());
    prop::collection::vec(arg, 0..3).prop_map(|list| {
        let arg = |(index, op, value, two): (u32, &str, u64, u64)| {
            json!({ "index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two })
        };
        list.into_iter().map(arg).collect()
    })
}

fn random() -> impl Strategy<Value = Value> {
    let names = [
        "read",
        "socket",
        "socket",
        "socketpair",
        "socketcall",
        "keyctl",
        "io_uring_setup",
        "connect",
        "setrlimit",
        "prlimit64",
    ];
    let rule = (prop::collection::vec(prop::sample::select(names.to_vec()), 1..4), action(), args());
    (action(), prop::collection::vec(rule, 0..6)).prop_map(|((default, errno), rules)| {
        let rule = |(names, (action, errno), args): (Vec<&str>, (&str, Option<u32>), Value)| {
            json!({ "names": names, "action": format!("SCMP_ACT_{action}"), "errnoRet": errno, "args": args })
        };
        let rules: Vec<Value> = rules.into_iter().map(rule).collect();
        json!({ "defaultAction": format!("SCMP_ACT_{default}"), "defaultErrnoRet": errno, "syscalls": rules })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_profile_holds_after_one_run_and_is_left_alone_by_the_next(seccomp in random()) {
        let subjects = ["", "[seccomp]\nfamilies = [40, 38]"].map(context);
        for context in subjects.into_iter().chain([dumps_to_a_program("")]) {
            let (out, _) = planned(&profile(&seccomp), &context).unwrap();
            match checked(&out, &context) {
                Ok(()) => prop_assert_eq!(planned(&out, &context).unwrap().1, []),
                Err(why) => prop_assert!(why.to_string().contains("compared wrongly by libseccomp"), "{}", why),
            }
        }
    }
}

/// The machine hands core dumps to a program.
fn dumps_to_a_program(settings: &str) -> RuleContext {
    let mut context = context("");
    context.policy.answers = Settings::parse(settings).unwrap().rules;
    context.host.core_dumps = CoreDumps::Program;
    context
}

#[test]
fn the_limit_for_core_dumps_cannot_be_changed_where_a_program_gets_them() {
    let docker = include_str!("../../../tests/data/seccomp/docker-28.5.json");
    let (out, _) = planned(docker, &dumps_to_a_program("")).unwrap();
    assert_eq!(
        rules(&out, "setrlimit"),
        [
            "ALLOW 0&fffffff4=0",
            "ALLOW 0&fffffff5=5",
            "ALLOW 0&fffffff7=6",
            "ALLOW 0&ffffffff=12",
            "ERRNO 0 0&ffffffff=4"
        ]
    );
    assert_eq!(
        rules(&out, "prlimit64"),
        [
            "ALLOW 1&fffffff4=0",
            "ALLOW 1&fffffff5=5",
            "ALLOW 1&fffffff7=6",
            "ALLOW 1&ffffffff=12",
            "ALLOW 1&ffffffff=4 2 EQ 0",
            "ERRNO 0 1&ffffffff=4 2 NE 0"
        ]
    );
    assert_eq!(checked(&out, &dumps_to_a_program("")), Ok(()));
    let (open, _) = planned(docker, &context("")).unwrap();
    let why = checked(&open, &dumps_to_a_program("")).unwrap_err().to_string();
    assert_eq!(why, "seccomp: setrlimit lets the limit for core dumps be changed");
    // Without the rule the profile is that of Docker.
    let waived = dumps_to_a_program("[rules]\ncore-dumps = \"allow\"");
    assert_eq!(checked(&open, &waived), Ok(()));
    let (ours, _) = planned("{}", &dumps_to_a_program("")).unwrap();
    assert_eq!(rules(&ours, "prlimit64"), ["ERRNO 0 1&ffffffff=4 2 NE 0"]);
    // Of a pointer of x32, which other machines do not list, the filter sees half.
    for text in [&out, &ours] {
        assert!(!text.contains("X32"), "{text}");
    }
    let native = format!("\"{}\"", own_architectures()[0]);
    let x32 = ours.replace(&native, "\"x32\"");
    let why = checked(&x32, &dumps_to_a_program("")).unwrap_err().to_string();
    assert_eq!(why, "seccomp: x32 is among the architectures");
}

#[test]
fn only_the_native_architecture_is_left_where_the_settings_say_so() {
    const NATIVE: &str = "[seccomp]\nnative = true";
    let own = own_architectures()[0];
    let docker = include_str!("../../../tests/data/seccomp/docker-28.5.json");
    for text in [docker, "{}"] {
        let architectures = |settings: &str| {
            let out: Value = serde_json::from_str(&rewritten(text, settings)).unwrap();
            out["linux"]["seccomp"]["architectures"].clone()
        };
        assert!(architectures("").as_array().unwrap().len() > 1, "{text}");
        assert_eq!(architectures(NATIVE), json!([own]), "{text}");
    }
    // As crun reads them; without any, runtimes add the machine's own.
    let listed =
        |list: &[&str]| profile(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": list }));
    let lower = own.trim_start_matches("SCMP_ARCH_").to_lowercase();
    for (before, after) in [(&["riscv64", &lower][..], &[&*lower][..]), (&["SCMP_ARCH_MIPS"], &[])] {
        assert_eq!(planned(&listed(before), &context(NATIVE)).unwrap().0, listed(after));
        let why = checked(&listed(before), &context(NATIVE)).unwrap_err().to_string();
        assert_eq!(why, format!("seccomp: {} is among the architectures", before[0]));
        assert_eq!(checked(&listed(before), &context("")), Ok(()));
    }
}

#[test]
fn each_machine_keeps_its_own_architecture() {
    for (machine, own, others) in [
        ("x86_64", "X86_64", &["X86", "X32", "AARCH64"][..]),
        ("aarch64", "AARCH64", &["ARM", "X86_64"]),
        ("s390x", "S390X", &["S390"]),
    ] {
        let architectures = architectures_of(machine);
        let native = Allowed { foreign: false, core_limit: true, architectures, ..Allowed::default() };
        let document = Document::parse(Kind::Config, b"{}").unwrap();
        let made: Value = serde_json::from_slice(&document.with(&[new_profile(&native)]).unwrap()).unwrap();
        assert_eq!(made["linux"]["seccomp"]["architectures"], json!([format!("SCMP_ARCH_{own}")]));
        assert_eq!((native.objection(own), native.objection(&own.to_lowercase())), (None, None));
        for other in others {
            assert_eq!(native.objection(other), Some("which is not the machine's own"), "{machine} {other}");
            let all = Allowed { foreign: true, core_limit: true, architectures, ..Allowed::default() };
            assert_eq!(all.objection(other), None);
        }
    }
}

#[test]
fn the_documentation_has_the_lists() {
    fn rows<T>(list: &[Listed<T>]) -> Vec<String> {
        list.iter().map(|listed| format!("| {} | {} |", listed.name, listed.why)).collect()
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = std::fs::read_to_string(path).unwrap();
    let wanted = [rows(&CLOSED), rows(&FAMILIES), rows(&PROTOCOLS)].concat();
    let missing: Vec<_> = wanted.iter().filter(|row| !text.lines().any(|line| line == **row)).collect();
    assert!(missing.is_empty(), "docs/rules.md should have:\n{}", wanted.join("\n"));
}
