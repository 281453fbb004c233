//! Walks the list of rules: one without a section in docs/rules.md, a case that it changes, and a case in which it
//! does not hold, does not get in.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::collections::{BTreeMap, BTreeSet};

use oci_isolate::config::{Document, Kind};
use oci_isolate::policy::Policy;
use oci_isolate::rewrite::rewrite;
use oci_isolate::rules::{RULES, Rule, SealHook, Subject, World};
use oci_isolate::settings::{Answer, Credentials, Firewall};
use serde_json::{Value, json};

/// One rule's cases.
struct Cases {
    rule: &'static str,
    /// What the rule changes, what it is changed into, and what is said of it.
    golden: Vec<(Value, Value, &'static str)>,
    /// Where the promise is not true, and how the rule says so.
    broken: Vec<(Value, &'static str)>,
    /// What the rule refuses to change, and how it says so.
    refused: Vec<(Value, &'static str)>,
}

fn cases() -> Vec<Cases> {
    let hook = |flag: &str| json!({"path": "/shim", "args": ["oci-isolate", format!("--isolate-{flag}=/record.json")]});
    let other = || json!({"path": "/bin/other"});
    let env = |entries: &[&str]| json!({"process": {"env": entries}});
    vec![
        Cases {
            rule: "network-namespace",
            golden: vec![
                (
                    json!({"linux": {"namespaces": [{"type": "pid"}]}}),
                    json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]}}),
                    "added an empty network namespace in place of the host's",
                ),
                (
                    json!({"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}}),
                    json!({"linux": {"namespaces": [{"type": "network"}]}}),
                    "replaced the network namespace given by path by an empty one",
                ),
            ],
            broken: vec![
                (json!({"linux": {}}), "the network namespace is the host's"),
                (
                    json!({"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}}),
                    "the network namespace /run/netns/x was not sealed",
                ),
            ],
            refused: vec![
                (json!({}), "there is no linux section, so no namespace can be given"),
                (
                    json!({"linux": {"namespaces": [{"type": "network"}, {"type": "network"}]}}),
                    "several network namespaces are given; runtimes differ on which one they take",
                ),
            ],
        },
        Cases {
            rule: "network-capabilities",
            golden: vec![(
                json!({"process": {"capabilities": {"ambient": ["CAP_KILL", "CAP_NET_RAW"], "bounding": ["net_admin"]}}}),
                json!({"process": {"capabilities": {"ambient": ["CAP_KILL"], "bounding": []}}}),
                "removed net_admin from the bounding set",
            )],
            broken: vec![(
                json!({"process": {"capabilities": {"inheritable": ["CAP_NET_ADMIN"]}}}),
                "CAP_NET_ADMIN is in the inheritable set; drop --cap-add and --privileged",
            )],
            refused: vec![],
        },
        Cases {
            rule: "credentials-env",
            golden: vec![(
                env(&["A=1", "aws_profile=x", "AWS_EC2_METADATA_DISABLED=false"]),
                env(&["A=1", "AWS_EC2_METADATA_DISABLED=false"]),
                "removed variable aws_profile (its name)",
            )],
            broken: vec![
                (
                    env(&["AWS_TOKEN=", "AWS_EC2_METADATA_DISABLED=true"]),
                    "variable AWS_TOKEN is there (its name)",
                ),
                (env(&["A=1"]), "variable AWS_EC2_METADATA_DISABLED is not set"),
            ],
            refused: vec![(env(&["A"]), "/process/env/0 has no \"=\"")],
        },
        Cases {
            rule: "seal-hook",
            golden: vec![
                (
                    json!({}),
                    json!({"hooks": {"createRuntime": [hook("seal")], "poststop": [hook("forget")]}}),
                    "added the last createRuntime hook",
                ),
                (
                    json!({"hooks": {"createRuntime": [hook("seal"), other()], "poststop": [other()]}}),
                    json!({"hooks": {"createRuntime": [other(), hook("seal")], "poststop": [other(), hook("forget")]}}),
                    "removed an earlier createRuntime hook of oci-isolate",
                ),
            ],
            broken: vec![
                (json!({}), "the last createRuntime hook is not ours"),
                (
                    json!({"hooks": {"createRuntime": [hook("seal")], "poststop": [hook("forget"), other()]}}),
                    "the last poststop hook is not ours",
                ),
            ],
            refused: vec![],
        },
        Cases {
            rule: "net-devices",
            golden: vec![(
                json!({"linux": {"netDevices": {"eth0": {}}}}),
                json!({"linux": {}}),
                "removed netDevices (eth0)",
            )],
            broken: vec![(
                json!({"linux": {"netDevices": {"eth0": {"name": "x"}}}}),
                "interface eth0 of the host would be moved in",
            )],
            refused: vec![(
                json!({"linux": {"netDevices": {"eth0": {}}}}),
                "interface eth0 of the host would be moved in",
            )],
        },
        shared("host-pid", "pid", "from which /proc/<pid>/root leads out"),
        shared("host-ipc", "ipc", "through which others are reached"),
        Cases {
            rule: "host-capabilities",
            golden: vec![(
                json!({"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": ["sys_ptrace"]}}}),
                json!({"process": {"capabilities": {"bounding": ["CAP_CHOWN"], "effective": []}}}),
                "removed CAP_SYS_ADMIN from the bounding set",
            )],
            broken: vec![(
                json!({"process": {"capabilities": {"ambient": ["CAP_BPF"]}}}),
                "CAP_BPF is in the ambient set; drop --cap-add and --privileged",
            )],
            refused: vec![(
                json!({"process": {"env": ["AWS_EC2_METADATA_DISABLED=true"], "capabilities": {"permitted": ["CAP_DAC_READ_SEARCH"]}}}),
                "CAP_DAC_READ_SEARCH is in the permitted set; drop --cap-add and --privileged",
            )],
        },
        Cases {
            rule: "devices",
            golden: vec![(
                json!({"linux": {"devices": [
                    {"type": "c", "path": "/dev/null", "major": 1, "minor": 3},
                    {"type": "c", "path": "/dev/net/tun", "major": 10, "minor": 200},
                    {"type": "b", "path": "/dev/null", "major": 1, "minor": 3},
                ]}}),
                json!({"linux": {"devices": [{"type": "c", "path": "/dev/null", "major": 1, "minor": 3}]}}),
                "removed /dev/net/tun is c 10:200 (driver unknown); drop --device",
            )],
            broken: vec![(
                json!({"linux": {"devices": [{"type": "u", "path": "/dev/mem", "major": 1, "minor": 1}]}}),
                "/dev/mem is u 1:1 (driver unknown); drop --device",
            )],
            refused: vec![(
                json!({"linux": {"devices": [{"type": "c", "path": "/dev/vsock", "major": 10, "minor": 258}]}}),
                "/dev/vsock is c 10:258 (driver unknown); drop --device",
            )],
        },
        Cases {
            rule: "device-access",
            golden: vec![
                (
                    json!({"linux": {"resources": {}}}),
                    json!({"linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}}}),
                    "denied all devices that are not allowed by name",
                ),
                (
                    json!({"linux": {"resources": {"devices": [
                        {"allow": false, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                        {"allow": true, "type": "c", "access": "m"},
                        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                        {"allow": true, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 10, "access": "rw"},
                        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"},
                    ]}}}),
                    json!({"linux": {"resources": {"devices": [
                        {"allow": false, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                        {"allow": true, "type": "c", "access": "m"},
                        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                    ]}}}),
                    "removed the entry by which a *:* rwm is allowed (driver unknown); drop --device, --privileged",
                ),
            ],
            broken: vec![(json!({"linux": {}}), "the list does not begin with denying all devices")],
            refused: vec![(
                json!({"linux": {"resources": {"devices": [
                    {"allow": false, "access": "rwm"},
                    {"allow": true, "type": "a", "access": "rwm"},
                ]}}}),
                "a *:* rwm is allowed (driver unknown); drop --device, --privileged",
            )],
        },
        Cases {
            rule: "seccomp",
            golden: vec![(
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {"names": ["read", "io_uring_setup", "write"], "action": "SCMP_ACT_ALLOW"},
                ]}}}),
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                    {"names": ["socketcall", "io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                ]}}}),
                "removed io_uring_setup from what is SCMP_ACT_ALLOW",
            )],
            broken: vec![(json!({"linux": {}}), "there is no profile")],
            refused: vec![(
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}}),
                "the profile cannot be narrowed: an agent decides on calls (SCMP_ACT_NOTIFY); it can add sockets of the host",
            )],
        },
        Cases {
            rule: "mount-propagation",
            golden: vec![(
                json!({"linux": {"rootfsPropagation": "rshared"}}),
                json!({"linux": {}}),
                "removed the propagation rshared of the root file system",
            )],
            broken: vec![(
                json!({"linux": {"rootfsPropagation": "slave"}}),
                "the root file system's propagation is \"slave\"",
            )],
            refused: vec![],
        },
    ]
}

/// The two rules on namespaces that are shared.
fn shared(rule: &'static str, kind: &'static str, leads: &str) -> Cases {
    let host = format!("the {kind} namespace is the host's, {leads}; drop --{kind}=host");
    let foreign = format!(
        "the {kind} namespace /proc/7/ns/{kind} is not that of a member of an isolated pod, {leads}; drop --{kind}"
    );
    let list = |items: Value| json!({"linux": {"namespaces": items}});
    let others = |item: Option<Value>| {
        let other = json!({"type": if kind == "pid" { "ipc" } else { "pid" }});
        list(json!(
            [Some(other), Some(json!({"type": "network"})), item].into_iter().flatten().collect::<Vec<_>>()
        ))
    };
    Cases {
        rule,
        golden: vec![
            (
                list(json!([])),
                list(json!([{"type": kind}])),
                Box::leak(format!("gave the container a {kind} namespace of its own").into_boxed_str()),
            ),
            (
                list(json!([{"type": kind, "path": format!("/proc/7/ns/{kind}")}])),
                list(json!([{"type": kind}])),
                Box::leak(format!("gave the container a {kind} namespace of its own").into_boxed_str()),
            ),
        ],
        broken: vec![(list(json!([])), Box::leak(host.clone().into_boxed_str()))],
        refused: vec![
            (others(None), Box::leak(host.into_boxed_str())),
            (
                others(Some(json!({"type": kind, "path": format!("/proc/7/ns/{kind}")}))),
                Box::leak(foreign.into_boxed_str()),
            ),
        ],
    }
}

fn subject() -> Subject {
    let policy = Policy {
        why: "test".into(),
        firewall: Firewall::Required,
        credentials: Credentials::default(),
        families: Vec::new(),
        answers: BTreeMap::new(),
    };
    let hook = SealHook { program: "/shim".into(), record: "/record.json".into() };
    Subject { policy, joins_sealed: false, world: World::default(), hook: Some(hook) }
}

/// The subject for which the rule changes what it would refuse.
fn lenient(rule: &Rule) -> Subject {
    let mut subject = subject();
    if rule.answers[0] == Answer::Refuse {
        subject.policy.answers.insert(rule.name.to_owned(), Answer::Strip);
    }
    subject
}

fn rule(name: &str) -> &'static Rule {
    RULES.iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("there is no rule {name}"))
}

fn holds(rule: &Rule, document: &Value) -> Result<(), String> {
    let text = document.to_string();
    let document = Document::read(Kind::Config, text.as_bytes()).unwrap();
    (rule.holds)(&document.view().unwrap(), &subject()).map_err(|violation| violation.to_string())
}

/// What the rule alone makes of a document, and what it says.
fn applied(rule: &Rule, document: &Value, subject: &Subject) -> Result<(Value, Vec<String>), String> {
    let text = document.to_string();
    let document = Document::read(Kind::Config, text.as_bytes()).unwrap();
    let edits = (rule.plan)(&document.view().unwrap(), subject).map_err(|violation| violation.to_string())?;
    let written = document.with(&edits).unwrap();
    Ok((serde_json::from_slice(&written).unwrap(), edits.into_iter().map(|edit| edit.says).collect()))
}

#[test]
fn every_rule_has_cases_and_every_case_a_rule() {
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    let cases: Vec<_> = cases();
    let named: BTreeSet<_> = cases.iter().map(|cases| cases.rule).collect();
    assert_eq!(rules, named);
    for Cases { rule, golden, broken, .. } in cases {
        assert!(!golden.is_empty(), "{rule} changes nothing");
        assert!(!broken.is_empty(), "{rule} always holds");
    }
}

#[test]
fn names_are_unique_and_look_like_settings() {
    let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
    }
}

#[test]
fn every_rule_says_its_promise_and_where_it_is_from() {
    for rule in RULES {
        assert!(rule.promise.len() > 20 && !rule.promise.ends_with('.'), "{}: {}", rule.name, rule.promise);
        assert!(!rule.reference.is_empty(), "{}", rule.name);
    }
}

#[test]
fn every_rule_has_a_section_in_docs_rules_md() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let headings: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("## ")).map(|h| h.trim_matches('`')).collect();
    let missing: Vec<_> =
        RULES.iter().map(|rule| rule.name).filter(|name| !headings.contains(name)).collect();
    assert!(missing.is_empty(), "{} has no section on {missing:?}", path.display());
}

#[test]
fn a_rule_changes_its_golden_cases_and_holds_there_afterwards() {
    for Cases { rule: name, golden, .. } in cases() {
        let rule = rule(name);
        for (before, after, says) in golden {
            assert!(holds(rule, &before).is_err(), "{name} holds already: {before}");
            let (found, said) = applied(rule, &before, &lenient(rule)).unwrap();
            assert_eq!(found, after, "{name}");
            assert!(said.iter().any(|said| said == says), "{name} says {said:?}");
            assert_eq!(holds(rule, &after), Ok(()), "{name}: {after}");
            assert_eq!(applied(rule, &after, &lenient(rule)), Ok((after, vec![])), "{name} changes it again");
        }
    }
}

#[test]
fn a_rule_says_where_it_does_not_hold() {
    for Cases { rule: name, broken, .. } in cases() {
        for (document, why) in broken {
            assert_eq!(holds(rule(name), &document), Err(format!("{name}: {why}")), "{document}");
        }
    }
}

#[test]
fn a_rule_refuses_what_it_cannot_make_true_and_so_does_the_rewrite() {
    for Cases { rule: name, refused, .. } in cases() {
        for (document, why) in refused {
            let why = format!("{name}: {why}");
            assert_eq!(applied(rule(name), &document, &subject()), Err(why.clone()), "{document}");
            assert_eq!(holds(rule(name), &document), Err(why.clone()), "{document}");
            // Everything else is in order.
            let mut whole = json!({"root": {"path": "x"}, "linux": {
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}],
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            }});
            for (member, value) in document.as_object().unwrap() {
                match (value.as_object(), member.as_str()) {
                    (Some(below), "linux") => {
                        for (member, value) in below {
                            whole["linux"][member] = value.clone();
                        }
                    }
                    _ => whole[member] = value.clone(),
                }
            }
            if document.get("linux").is_none() && name == "network-namespace" {
                whole.as_object_mut().unwrap().remove("linux");
            }
            let text = whole.to_string();
            let document = Document::read(Kind::Config, text.as_bytes()).unwrap();
            let refusal = rewrite(&document, &document.view().unwrap(), &subject()).unwrap_err();
            assert_eq!(refusal.to_string(), why);
        }
    }
}

#[test]
fn rules_about_the_process_hold_of_a_process_file_too() {
    for Cases { rule: name, golden, .. } in cases() {
        let rule = rule(name);
        for (before, after, _) in golden {
            let Some(process) = before.get("process").filter(|_| rule.process) else { continue };
            let text = process.to_string();
            let document = Document::read(Kind::Process, text.as_bytes()).unwrap();
            let edits = (rule.plan)(&document.view().unwrap(), &lenient(rule)).unwrap();
            let found: Value = serde_json::from_slice(&document.with(&edits).unwrap()).unwrap();
            assert_eq!(found, after["process"], "{name}");
        }
    }
}
