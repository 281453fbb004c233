//! The promises of the rule `seccomp`, decided by the real library. Profiles before and after the rule are loaded into
//! libseccomp as runc and crun load them, and the resulting filters are run, instruction by instruction, on calls of all
//! three architectures.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "how many of the random profiles could be loaded is worth knowing")]

mod filter;
mod random;

use filter::{Abi, Call, Filter, Library};
use oci_isolate::config::{Document, Kind};
use oci_isolate::policy::{Annotation, Decision, SWITCH, decide};
use oci_isolate::rules::{CoreDumps, HostFacts, Network, RULES, RuleContext, Violation};
use oci_isolate::settings::Settings;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const PROFILES: [(&str, &str); 5] = [
    ("Docker 20.10", include_str!("../data/seccomp/docker-20.10.json")),
    ("Docker 28.5", include_str!("../data/seccomp/docker-28.5.json")),
    ("containerd 1.6", include_str!("../data/seccomp/containerd-1.6.json")),
    ("Podman 4.3", include_str!("../data/seccomp/podman-4.3.json")),
    ("runc spec", include_str!("../data/seccomp/runc-spec.json")),
];

/// The document after the rule, and the rule alone.
fn isolated(text: &str) -> Result<String, Violation> {
    isolated_by(&Settings::default(), text, HostFacts::default())
}

fn isolated_by(settings: &Settings, text: &str, host: HostFacts) -> Result<String, Violation> {
    let yes = [Annotation { name: SWITCH.into(), value: Some("true".into()) }];
    let Decision::Isolate(policy) = decide(settings, &yes, &[]) else { unreachable!() };
    let context = RuleContext { policy: *policy, network: Network::New, host, hook: None };
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    let rule = RULES.iter().find(|rule| rule.name == "seccomp").unwrap();
    let edits = (rule.plan)(&document.view().unwrap(), &context).unwrap();
    let out = String::from_utf8(document.with(&edits).unwrap()).unwrap();
    let after = Document::parse(Kind::Config, out.as_bytes()).unwrap();
    (rule.holds)(&after.view().unwrap(), &context)?;
    Ok(out)
}

fn filter_of(library: &mut Library, text: &str) -> Result<Filter, String> {
    let config: Value = serde_json::from_str(text).unwrap();
    library.filter(&config["linux"]["seccomp"])
}

/// Calls around the values that profiles and the rule speak of.
fn calls() -> Vec<(Call, bool)> {
    let mut calls = Vec::new();
    for abi in Abi::ALL {
        for (name, _) in abi.numbers() {
            if !["socket", "socketpair", "socketcall", "setrlimit", "prlimit64"].contains(name) {
                calls.push((Call::new(abi, name, [0; 3]), *name != "connect"));
            }
        }
        for high in if abi == Abi::I386 { &[0][..] } else { &[0, 1 << 32, 0xffff_ffff << 32][..] } {
            for low in (0..=64).chain([127, 128, 255]) {
                for kind in [1, 9] {
                    // The kernel has no other protocols of netlink, and no other families.
                    let protocols = if low == 16 { 0..=31 } else { 0..=20 };
                    for protocol in
                        protocols.chain([32, 63, 64, 0xffff_ffff].into_iter().filter(|_| low != 16))
                    {
                        let open = match low {
                            1 | 2 | 10 => true,
                            16 => [0, 4, 16].contains(&protocol),
                            _ => false,
                        };
                        let args = [high | low, kind, protocol];
                        calls.push((Call::new(abi, "socket", args), !open));
                        // The kernel has no pairs of the other open families.
                        calls.push((Call::new(abi, "socketpair", args), low != 1));
                    }
                }
            }
        }
    }
    calls.extend((0..=20).map(|sub| (Call::new(Abi::I386, "socketcall", [sub, 0, 0]), true)));
    calls
}

#[test]
fn real_profiles_deny_what_is_closed_and_allow_what_was_allowed() {
    let mut library = Library::start();
    let calls = calls();
    for (name, text) in PROFILES {
        let before = filter_of(&mut library, text);
        let after = filter_of(&mut library, &isolated(text).unwrap()).unwrap();
        let mut closed = 0;
        for (call, forbidden) in &calls {
            // Without a profile everything passes.
            let passed = before.as_ref().map_or(true, |filter| filter.passes(call));
            let passes = after.passes(call);
            assert_eq!(passes, passed && !forbidden, "{name}: {call:?} passed before: {passed}");
            closed += usize::from(passed && !passes);
        }
        eprintln!("{name}: {} calls tried, {closed} closed by the rule", calls.len());
    }
}

#[test]
fn random_profiles_deny_what_is_closed_and_what_they_denied() {
    let mut library = Library::start();
    let calls = calls();
    let mut runner = TestRunner::deterministic();
    let (mut loaded, mut refused, mut conflicts) = (0, 0, 0);
    while loaded < 150 {
        let seccomp = random::profile().new_tree(&mut runner).unwrap().current();
        let text = json!({ "linux": { "seccomp": seccomp } }).to_string();
        // libseccomp refuses two actions for one condition; no container comes of such a profile.
        let Ok(before) = filter_of(&mut library, &text) else { continue };
        loaded += 1;
        let out = match isolated(&text) {
            Ok(out) => out,
            Err(why) => {
                assert!(why.to_string().contains("compared wrongly by libseccomp"), "{why}: {text}");
                refused += 1;
                continue;
            }
        };
        let Ok(after) = filter_of(&mut library, &out) else {
            conflicts += 1;
            continue;
        };
        for (call, forbidden) in &calls {
            let allowed = before.passes(call) && !forbidden;
            assert!(!after.passes(call) || allowed, "{call:?} passes in {out}, made of {text}");
        }
    }
    eprintln!("{loaded} profiles: {refused} refused by the rule, {conflicts} by libseccomp after the rule");
    assert!((refused + conflicts) * 4 <= loaded, "too many refused for this to prove much");
}

#[test]
fn with_only_the_native_architecture_no_call_of_another_passes() {
    let mut library = Library::start();
    let settings = Settings::parse("[seccomp]\nnative = true").unwrap();
    let calls = calls();
    for (name, text) in PROFILES {
        let all = filter_of(&mut library, &isolated(text).unwrap()).unwrap();
        let native = isolated_by(&settings, text, HostFacts::default()).unwrap();
        let native = filter_of(&mut library, &native).unwrap();
        let mut foreign = 0;
        for (call, _) in &calls {
            let is_native = call.abi() == Abi::X86_64;
            assert_eq!(native.passes(call), is_native && all.passes(call), "{name}: {call:?}");
            foreign += usize::from(!is_native && all.passes(call));
        }
        assert_ne!(foreign, 0, "{name}: no call of another architecture passed before");
    }
}

/// Calls that change limits, and whether it is that of core dumps (4).
fn limits() -> Vec<(Call, bool)> {
    let mut calls = Vec::new();
    for abi in Abi::ALL {
        for high in if abi == Abi::I386 { &[0][..] } else { &[0, 1 << 32, 0xffff_ffff << 32][..] } {
            for low in 0..=15 {
                calls.push((Call::new(abi, "setrlimit", [high | low, 4096, 0]), low == 4));
                for new in [0, 1, 4096, 0xffff_f000] {
                    calls.push((Call::new(abi, "prlimit64", [0, high | low, new]), low == 4 && new != 0));
                }
            }
        }
        if abi != Abi::I386 {
            calls.push((Call::new(abi, "prlimit64", [0, 4, 1 << 32]), true));
        }
    }
    calls
}

#[test]
fn the_limit_for_core_dumps_cannot_be_changed_and_others_can() {
    let mut library = Library::start();
    let dumping = || HostFacts { core_dumps: CoreDumps::Program, ..HostFacts::default() };
    let calls = limits();
    for (name, text) in PROFILES {
        let before = filter_of(&mut library, text);
        let after =
            filter_of(&mut library, &isolated_by(&Settings::default(), text, dumping()).unwrap()).unwrap();
        for (call, forbidden) in &calls {
            // Of x32 the filter sees half of a pointer, and the kernel all of it: there is none any more.
            if call.abi() == Abi::X32 {
                assert!(!after.passes(call), "{name}: {call:?}");
                continue;
            }
            let passed = before.as_ref().map_or(true, |filter| filter.passes(call));
            assert_eq!(after.passes(call), passed && !forbidden, "{name}: {call:?}");
            // As if it had been changed.
            assert!(!passed || !forbidden || after.answers(call) == Some(0), "{name}: {call:?}");
        }
    }
}

#[test]
fn what_the_filter_leaves_to_the_kernel_the_kernel_refuses() {
    let calls = "for (64, 256, 0x7fffffff, -1) { socket(S, $_, 2, 0); print $! + 0, ' ' }
        for (32, 64, 0x7fffffff, -1) { socket(S, 16, 3, $_); print $! + 0, ' ' }
        for (2, 10, 16) { socketpair(S, T, $_, $_ == 16 ? 3 : 2, 0); print $! + 0, ' ' }";
    let output = std::process::Command::new("perl").args(["-e", calls]).output().unwrap();
    // EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP
    assert_eq!(String::from_utf8_lossy(&output.stdout), "97 97 97 97 93 93 93 93 95 95 95 ");
}
