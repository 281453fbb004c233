//! Walks the list of rules and fails for a rule without a section in docs/rules.md, without a case that it changes, or
//! without a case in which it does not hold.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod cases;
mod documented;
mod tables;

use std::collections::BTreeSet;

use cases::{Cases, cases};
use oci_isolate::config::{Document, EditOp, Kind};
use oci_isolate::policy::Job;
use oci_isolate::rewrite::rewrite;
use oci_isolate::rules::credentials::paths::{ABSOLUTE, CredentialPath, IN_HOMES, Masked, NAMED};
use oci_isolate::rules::mounts::{FileKind, FileSystem};
use oci_isolate::rules::{
    CredentialFiles, HostFacts, MountSource, Network, RULES, RefusedBy, Rule, RuleContext, unused_waivers,
};
use oci_isolate::settings::Answer;
use serde_json::{Value, json};

/// Rules that change nothing: that they report is what there is to show.
const ONLY_REPORT: [&str; 2] = ["credential-args", "data-channels"];

/// Rules that change nothing and report nothing: they refuse.
const ONLY_REFUSE: [&str; 4] = ["mount-options", "namespaces", "path-names", "unknown-members"];

fn read(text: &str) -> Document<'_> {
    Document::parse(Kind::Config, text.as_bytes()).unwrap()
}

fn holds(rule: &Rule, document: &Value, context: &RuleContext) -> Result<(), String> {
    (rule.holds)(&read(&document.to_string()).view().unwrap(), context)
        .map_err(|violation| violation.to_string())
}

/// What the rule alone makes of a document, in which it then holds, and what it says.
fn applied(rule: &Rule, document: &Value, context: &RuleContext) -> Result<(Value, Vec<String>), String> {
    let text = document.to_string();
    let document = read(&text);
    let edits = rule.edits(&document.view().unwrap(), context).map_err(|violation| violation.to_string())?;
    let written = serde_json::from_slice(&document.with(&edits).unwrap()).unwrap();
    holds(rule, &written, context)?;
    Ok((written, edits.into_iter().map(|edit| edit.description).collect()))
}

/// The case's document, in which everything else is in order.
fn whole(name: &str, document: &Value) -> Value {
    let mut whole = json!({"root": {"path": "x"}, "linux": {
        "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}, {"type": "mount"}],
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
    whole
}

#[test]
fn every_rule_has_cases_and_every_case_a_rule() {
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    let cases: Vec<_> = cases();
    let mut named = BTreeSet::new();
    for Cases { rule, .. } in &cases {
        assert!(rules.contains(rule), "tests/rules/cases/ has cases for {rule}, which is no rule");
        assert!(named.insert(*rule), "tests/rules/cases/ has cases for rule {rule} twice");
    }
    for rule in rules {
        assert!(named.contains(rule), "no cases for rule {rule}: add one to tests/rules/cases/");
    }
    for cases in cases {
        let Cases { rule, golden, broken, refused, noted, .. } = &cases;
        if ONLY_REPORT.contains(rule) {
            assert!(golden.is_empty(), "{rule} changes something");
            assert!(noted.iter().any(|(_, says)| !says.is_empty()), "{rule} reports nothing");
        } else if ONLY_REFUSE.contains(rule) {
            let reports = noted.iter().any(|(_, says)| !says.is_empty());
            assert!(golden.is_empty() && !reports, "{rule} changes or reports something");
        } else {
            assert!(!golden.is_empty(), "{rule} changes nothing");
        }
        // There is nothing to hold where nothing is promised but a report.
        assert!(!broken.is_empty() || *rule == "data-channels", "{rule} always holds");
        if cases.rule().answers.contains(&Answer::Refuse) {
            assert!(!refused.is_empty(), "{rule} refuses nothing");
        }
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
fn every_answer_stands_in_the_pages() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = std::fs::read_to_string(root.join("dist/config.toml")).unwrap();
    let rules = std::fs::read_to_string(root.join("docs/rules.md")).unwrap().replace('\n', " ");
    let mut missing = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.answers.len() > 1) {
        let names: Vec<_> = rule.answers.iter().map(|answer| format!("{answer:?}").to_lowercase()).collect();
        let line = format!("#{} = \"{}\"  # or {}", rule.name, names[0], names[1..].join(", "));
        if !settings.lines().any(|found| found == line) {
            missing.push(format!("dist/config.toml, under [rules]: {line}"));
        }
        let section = rules.split(&format!(" ## {} ", rule.name)).nth(1).unwrap_or_default();
        let section = section.split(" ## ").next().unwrap_or_default();
        let answers = format!("Answers: {}.", names.join(", "));
        if !section.contains(&answers) {
            missing.push(format!("docs/rules.md, section {}: {answers}", rule.name));
        }
    }
    assert!(missing.is_empty(), "add these lines:\n{}", missing.join("\n"));
}

#[test]
fn a_rule_changes_its_golden_cases_and_holds_there_afterwards() {
    for cases in cases() {
        let (rule, name, context, lenient) = (cases.rule(), cases.rule, cases.context(), cases.lenient());
        for (before, after, says) in cases.golden {
            assert!(holds(rule, &before, &context).is_err(), "{name} holds already: {before}");
            let (found, said) = applied(rule, &before, &lenient).unwrap();
            assert_eq!(found, after, "{name}");
            assert!(said.iter().any(|said| said == says), "{name} says {said:?}");
            assert_eq!(holds(rule, &after, &context), Ok(()), "{name}: {after}");
            assert_eq!(applied(rule, &after, &lenient), Ok((after, vec![])), "{name} changes it again");
        }
    }
}

#[test]
fn a_rule_says_where_it_does_not_hold() {
    for cases in cases() {
        let (rule, name, context) = (cases.rule(), cases.rule, cases.context());
        for (document, why) in cases.broken {
            assert_eq!(holds(rule, &document, &context), Err(format!("{name}: {why}")), "{document}");
        }
    }
}

#[test]
fn a_rule_refuses_what_it_cannot_make_true_and_so_does_the_rewrite() {
    for cases in cases() {
        let (rule, name, strict) = (cases.rule(), cases.rule, cases.strict());
        for (document, why) in cases.refused {
            let why = format!("{name}: {why}");
            assert_eq!(applied(rule, &document, &strict), Err(why.clone()), "{document}");
            assert_eq!(holds(rule, &document, &strict), Err(why.clone()), "{document}");
            let text = whole(name, &document).to_string();
            let document = read(&text);
            let refusal = rewrite(document.clone(), document.view().unwrap(), &strict).unwrap_err();
            assert_eq!(refusal.to_string(), why);
        }
    }
}

/// Whatever the other rules make of the document: they may remove what the rule goes by.
#[test]
fn what_a_rule_would_edit_is_refused_if_the_answer_is_refuse() {
    let mut refused = 0;
    for cases in cases() {
        let (rule, name, mut strict) = (cases.rule(), cases.rule, cases.strict());
        if rule.refused_by != RefusedBy::Holds || !rule.answers.contains(&Answer::Refuse) {
            continue;
        }
        // With it a read-only directory becomes an overlay.
        strict.host.empty = Some("/run/oci-isolate/empty".into());
        for (before, ..) in cases.golden {
            let text = whole(name, &before).to_string();
            let document = read(&text);
            let view = document.view().unwrap();
            let refusal = rule.edits(&view, &strict).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("{name}: ")), "{refusal}");
            assert!(rewrite(document.clone(), view, &strict).is_err(), "{name}");
            refused += 1;
        }
    }
    assert!(refused > 8, "{refused}");
}

/// With a rule that is waived by default, a container is told from those that need the waiver by its configuration: as given, and as
/// written. Nothing that comes later, such as a process of `exec`, makes a difference to these rules.
#[test]
fn a_waiver_by_default_is_unused_where_the_rule_would_not_have_refused() {
    let mut seen = 0;
    for cases in cases() {
        let (rule, name, context) = (cases.rule(), cases.rule, cases.context());
        if rule.answers[0] != Answer::Allow {
            continue;
        }
        assert!(!rule.process && rule.refused_by == RefusedBy::Holds, "{name}");
        // The waivers that are unused, if it is created.
        let unused = |document: &Value| {
            let text = whole(name, document).to_string();
            let document = read(&text);
            let view = document.view().unwrap();
            rewrite(document.clone(), view, &context).ok().map(|rewritten| rewritten.proven.unused_waivers)
        };
        for (before, after, _) in &cases.golden {
            assert_eq!((unused(before), unused(after)), (Some(vec![]), Some(vec![name])), "{before}");
        }
        for (needing, _) in cases.broken.iter().chain(&cases.refused) {
            let unused = unused(needing);
            assert!(unused.as_ref().is_none_or(Vec::is_empty), "{needing}");
            seen += usize::from(unused.is_some());
        }
    }
    assert!(seen > 1, "{seen}");
}

/// The layers of the overlay that is the machine's own root are not examined: one of them may lie on a network file system.
#[test]
fn a_waiver_is_not_unused_where_layers_of_an_overlay_were_not_examined() {
    let source = |name: &str| MountSource::new("/srv/x", FileKind::Directory, FileSystem::of_name(name));
    let over = |layer: MountSource| MountSource { layers: vec![layer], ..source("overlay") };
    let unread = MountSource::new("/layer", FileKind::Inaccessible("gone".into()), FileSystem::none());
    let below =
        MountSource { below: vec![("/srv/x/m".into(), FileSystem::of_name("overlay"))], ..source("ext4") };
    let bound = r#"{"mounts":[{"destination":"/x","type":"bind","source":"/srv/x"}]}"#;
    let layered = r#"{"mounts":[{"destination":"/x","type":"overlay","options":["lowerdir=/srv/x"]}]}"#;
    for (found, is_known) in [
        (source("ext4"), true),
        (over(source("ext4")), true),
        (over(over(source("ext4"))), true),
        (source("overlay"), false),
        (over(source("overlay")), false),
        (over(unread), false),
        (below, false),
    ] {
        let sources = [("/srv/x".to_owned(), found.clone())].into();
        let bind = HostFacts { sources, ..HostFacts::default() };
        let root = HostFacts { root: Some(found.clone()), ..HostFacts::default() };
        for (text, host) in [(bound, bind.clone()), (layered, bind), ("{}", root)] {
            let context = Cases { rule: "mount-network-fs", host, ..Cases::default() }.context();
            let unused = unused_waivers(&read(text).view().unwrap(), &context);
            assert_eq!(unused == ["mount-network-fs"], is_known, "{text}: {found:?}");
        }
    }
}

#[test]
fn what_a_rule_only_reports_stays_as_it_is_and_is_in_the_report() {
    for cases in cases() {
        let (rule, name, context) = (cases.rule(), cases.rule, cases.context());
        for (document, says) in cases.noted {
            assert_eq!(holds(rule, &document, &context), Ok(()), "{name}: {document}");
            let text = document.to_string();
            let edits = rule.edits(&read(&text).view().unwrap(), &context).unwrap();
            assert!(edits.iter().all(|edit| edit.op == EditOp::Note), "{name}: {edits:?}");
            let (found, said) = applied(rule, &document, &context).unwrap();
            assert_eq!(
                (found, said.iter().map(String::as_str).collect()),
                (document.clone(), says.clone()),
                "{name}"
            );
            let text = whole(name, &document).to_string();
            let document = read(&text);
            let rewritten = rewrite(document.clone(), document.view().unwrap(), &context).unwrap();
            let reported = rewritten.applied.iter().filter(|line| line.rule == name);
            assert_eq!(reported.map(|line| &*line.description).collect::<Vec<_>>(), says);
        }
    }
}

#[test]
fn rules_about_the_process_hold_of_a_process_file_too() {
    for cases in cases() {
        let (rule, name, lenient) = (cases.rule(), cases.rule, cases.lenient());
        for (before, after, _) in cases.golden {
            let Some(process) = before.get("process").filter(|_| rule.process) else { continue };
            let text = process.to_string();
            let document = Document::parse(Kind::Process, text.as_bytes()).unwrap();
            let edits = rule.edits(&document.view().unwrap(), &lenient).unwrap();
            let found: Value = serde_json::from_slice(&document.with(&edits).unwrap()).unwrap();
            assert_eq!(found, after["process"], "{name}");
        }
    }
}

#[test]
fn another_root_file_system_cannot_be_given_in_place_of_the_system_s() {
    let local = FileSystem::of_name("ext4");
    let root =
        MountSource { system: Some("/var/lib"), ..MountSource::new("/var/lib", FileKind::Directory, local) };
    let cases = Cases {
        rule: "mount-system",
        host: HostFacts { root: Some(root), ..HostFacts::default() },
        ..Cases::default()
    };
    let why = Err("mount-system: the root file system /var/lib is the system's /var/lib".to_owned());
    assert_eq!(holds(cases.rule(), &json!({}), &cases.context()), why);
    assert_eq!(applied(cases.rule(), &json!({}), &cases.lenient()).map(drop), why);
}

#[test]
fn the_root_file_system_is_judged_by_each_of_the_rules_on_mounts() {
    let source = |name: &str| MountSource::new("/srv/root", FileKind::Directory, FileSystem::of_name(name));
    let local = || source("ext4");
    let below = MountSource { below: vec![("/srv/root/m".into(), FileSystem::of_name("tmpfs"))], ..local() };
    let socket = MountSource { sockets: vec!["run/it.sock".into()], ..local() };
    let layer = MountSource { layers: vec![source("wekafs")], ..source("overlay") };
    let both = MountSource { sockets: vec!["m/it.sock".into()], ..below.clone() };
    for (rule, root, words) in [
        ("mount-system", below, Some("/srv/root brings /srv/root/m along, a mount of tmpfs")),
        ("mount-system", MountSource { holds: Some("it"), ..local() }, Some("/srv/root holds it")),
        ("mount-system", source("proc"), Some("/srv/root lies on the kernel's proc")),
        ("mount-system", local(), None),
        ("mount-sockets", socket, Some("/srv/root holds the socket run/it.sock")),
        // What is mounted below is the reason to refuse.
        ("mount-sockets", both, None),
        (
            "mount-unknown-fs",
            source("wekafs"),
            Some("/srv/root lies on a file system that is not known, wekafs"),
        ),
        ("mount-unknown-fs", layer, Some("/srv/root lies on a file system that is not known, wekafs")),
        (
            "mount-network-fs",
            source("fuse.sshfs"),
            Some("/srv/root lies on fuse.sshfs, which is not this machine's"),
        ),
        ("mount-network-fs", local(), None),
    ] {
        let cases =
            Cases { rule, host: HostFacts { root: Some(root), ..HostFacts::default() }, ..Cases::default() };
        let held = holds(cases.rule(), &json!({}), &cases.context());
        let planned = applied(cases.rule(), &json!({}), &cases.context()).map(drop);
        match words {
            None => assert_eq!((held, planned), (Ok(()), Ok(())), "{rule}"),
            Some(words) => {
                assert!(held.is_err_and(|why| why.contains(words)), "{rule}: {words}");
                assert!(planned.is_err(), "{rule}");
            }
        }
    }
}

#[test]
fn the_limit_for_core_dumps_is_for_containers_and_for_processes_with_limits_of_their_own() {
    let cases = cases().into_iter().find(|cases| cases.rule == "core-dumps").unwrap();
    let plan = |document: &Document, context: &RuleContext| {
        cases.rule().edits(&document.view().unwrap(), context).unwrap().len()
    };
    let container = read(r#"{"linux": {}, "process": {}}"#);
    assert_eq!(plan(&container, &cases.context()), 1);
    // The process of `exec` has the container's.
    let process = Document::parse(Kind::Process, b"{}").unwrap();
    assert_eq!(plan(&process, &cases.context()), 0);
    // Core dumps that become files are the container's own affair.
    let to_file = RuleContext { host: HostFacts::default(), ..cases.context() };
    assert_eq!(plan(&container, &to_file), 0);
}

#[test]
fn a_new_namespace_that_is_opened_is_closed_by_the_first_hook_of_all() {
    let cases = Cases { rule: "seal-hook", ..Cases::default() };
    let mut context = cases.context();
    context.policy.openings.job = Some(Job { namespace: None, name: "train".into() });
    let ours = |verb: &str| json!({"path": "/shim", "args": ["oci-isolate", format!("--isolate-{verb}=/record.json")]});
    let other = json!({"path": "/other"});
    let with = |path: Option<&str>, hooks: Value| json!({"linux": {"namespaces": [{"type": "network", "path": path.unwrap_or_default()}]}, "hooks": hooks});
    let run = |path: Option<&str>, hooks: Value, context: &RuleContext| {
        let (document, _) = applied(cases.rule(), &with(path, hooks), context).unwrap();
        assert_eq!(holds(cases.rule(), &document, context), Ok(()));
        document["hooks"].clone()
    };
    assert_eq!(
        run(None, json!({"prestart": [other], "createRuntime": [other]}), &context),
        json!({"prestart": [ours("close"), other], "createRuntime": [other, ours("seal")], "poststop": [ours("forget")]})
    );
    assert_eq!(
        run(None, json!({"createRuntime": [other]}), &context),
        json!({"createRuntime": [ours("close"), other, ours("seal")], "poststop": [ours("forget")]})
    );
    // What the engine has plumbed is closed before the runtime is called.
    assert_eq!(
        run(Some("/run/netns/x"), json!({"createRuntime": [ours("close")]}), &context),
        json!({"createRuntime": [ours("seal")], "poststop": [ours("forget")]})
    );
    context.hook.as_mut().unwrap().seals = false;
    assert_eq!(
        run(None, json!({"prestart": [other]}), &context),
        json!({"prestart": [ours("close"), other]})
    );
    let late = with(None, json!({"prestart": [other, ours("close")]}));
    let why = "seal-hook: the first prestart hook is not ours".to_owned();
    assert_eq!(holds(cases.rule(), &late, &context), Err(why));
}

#[test]
fn nothing_is_opened_in_the_host_s_network_namespace() {
    let cases = Cases { rule: "network-namespace", ..Cases::default() };
    let mut context = cases.context();
    context.policy.openings.job = Some(Job { namespace: None, name: "train".into() });
    let why = "network-namespace: the network namespace is the host's, and nothing can be opened in that; drop --network=host";
    assert_eq!(applied(cases.rule(), &json!({"linux": {}}), &context).map(drop), Err(why.to_owned()));
    let at = json!({"linux": {"namespaces": [{"type": "network", "path": "/run/netns/x"}]}});
    context.network = Network::SealedInPlace { at: "/run/netns/x".into() };
    assert_eq!(applied(cases.rule(), &at, &context).unwrap().0, at);
}

#[test]
fn credential_files_that_could_not_be_looked_for_are_refused_and_those_that_were_not_are_reported() {
    let refused = CredentialFiles { refused: Some("too many".into()), ..CredentialFiles::default() };
    let cases = |credential_files| Cases {
        rule: "credential-files",
        host: HostFacts { credential_files, ..HostFacts::default() },
        ..Cases::default()
    };
    let why = "credential-files: too many, or set [rules] credential-files = \"allow\"".to_owned();
    let refused = cases(refused);
    assert_eq!(holds(refused.rule(), &json!({}), &refused.context()), Err(why.clone()));
    assert_eq!(applied(refused.rule(), &json!({}), &refused.context()), Err(why));
    let unsearched = CredentialFiles { unsearched: vec!["/data".into()], ..CredentialFiles::default() };
    let unsearched = cases(unsearched);
    let note = "not all directories below /data were searched for credential files".to_owned();
    assert_eq!(applied(unsearched.rule(), &json!({}), &unsearched.context()), Ok((json!({}), vec![note])));
}

/// What docs/rules.md has to say of the places that are masked for one reason, on one line.
fn documented(masked: Masked) -> String {
    let words = match masked {
        Masked::Always => "Masked whatever the content",
        Masked::Ecr => "A registry login, if it names Amazon ECR",
        Masked::CodeArtifact => "A login, if it names AWS CodeArtifact or CodeCommit",
        Masked::Eks => "A kubeconfig, if it names Amazon EKS",
        Masked::S3a => "A configuration of Hadoop, if it has keys of its S3 file systems",
        Masked::Credential => "Files that contain a credential, by the patterns of `credentials-env`",
    };
    let quoted = |paths: Vec<&str>| format!("`{}`", paths.join("`, `"));
    let of = |places: &[CredentialPath]| -> Vec<&str> {
        places.iter().filter(|place| place.masked == masked).map(|place| place.path).collect()
    };
    let named = |(name, files, of): &(&str, &[&str], Masked)| {
        let files = files.iter().map(|file| format!("/{file}"));
        let paths = if files.len() == 0 {
            vec![format!("${name}")]
        } else {
            files.map(|file| format!("${name}{file}")).collect()
        };
        (*of == masked).then(|| paths.join("`, `"))
    };
    let named: Vec<_> = NAMED.iter().filter_map(named).collect();
    let parts = [
        ("in each home ", of(&IN_HOMES)),
        ("anywhere ", of(&ABSOLUTE)),
        ("", named.iter().map(String::as_str).collect()),
    ];
    let parts = parts.into_iter().filter(|(_, paths)| !paths.is_empty());
    let parts: Vec<_> = parts.map(|(front, paths)| format!("{front}{}", quoted(paths))).collect();
    format!("- {words}: {}.", parts.join("; "))
}

#[test]
fn the_places_of_credential_files_stand_in_the_documentation() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = std::fs::read_to_string(path).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let kinds =
        [Masked::Always, Masked::Ecr, Masked::CodeArtifact, Masked::Eks, Masked::S3a, Masked::Credential];
    let lines = kinds.map(documented);
    let missing: Vec<_> = lines.iter().filter(|line| !text.contains(*line)).collect();
    assert!(missing.is_empty(), "docs/rules.md, section credential-files:\n{missing:#?}");
}
