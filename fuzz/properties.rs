//! What has to hold of any input. The fuzz targets and the ordinary test `tests/corpus` both call it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixDatagram;

use oci_isolate::config::{self, Document, Kind};
use oci_isolate::invocation::{self, Dialect, Reading};
use oci_isolate::job::current_host;
use oci_isolate::nft::ForeignSocket;
use oci_isolate::policy::{Decision, Policy, decide};
use oci_isolate::rewrite::{RewriteError, Rewritten, rewrite};
use oci_isolate::rules::runtime_annotations::{HARMLESS, Harmless, PREFIXES};
use oci_isolate::rules::{self, HostFacts, Network, RULES, RuleContext, SealHook};
use oci_isolate::seal::{Observation, replay};
use oci_isolate::settings::{Answer, Mode, Settings};
use serde_json::{Value, json};

/// A dialect by the first byte, then words that end with NUL: no panic, and no change changes nothing.
pub(crate) fn argv(data: &[u8]) {
    let Some((dialect, words)) = data.split_first() else { return };
    let dialect = [Dialect::Runc, Dialect::Crun, Dialect::Youki][usize::from(*dialect) % 3];
    let args: Vec<_> = words.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    invocation::globals(dialect, &args);
    if let Reading::Understood(call) = invocation::read(dialect, &args) {
        assert_eq!(call.rewritten(&args, &[]), args);
        assert!(!call.id.is_empty());
    }
}

/// A `config.json`: refused, or every rule holds of what comes out, also as another reader sees it, nothing but what was
/// reported has changed, and a second time does nothing.
pub(crate) fn config(data: &[u8]) {
    for hooked in [false, true] {
        let context = context(hooked);
        let Ok(once) = rewritten(data, &context) else { continue };
        let Some(text) = once.text else {
            isolated(&serde_json::from_slice(data).expect("what was understood is JSON"));
            continue;
        };
        let document = Document::parse(Kind::Config, &text).expect("what was written can be read");
        let view = document.view().expect("what was written can be viewed");
        for rule in RULES {
            assert_eq!((rule.holds)(&view, &context), Ok(()));
        }
        let twice = rewritten(&text, &context).expect("what holds is not refused");
        assert_eq!(twice.text, None, "a second time changes {:?}", twice.applied);
        let before: Value = serde_json::from_slice(data).expect("what was understood is JSON");
        let after: Value = serde_json::from_slice(&text).expect("what was written is JSON");
        isolated(&after);
        let mut changed = Vec::new();
        differences(&before, &after, "", &mut changed);
        for at in changed {
            let said = |named: &str| named.starts_with(&at) || at.starts_with(named);
            assert!(once.applied.iter().any(|applied| said(&applied.at)), "{at} changed: {:?}", once.applied);
        }
    }
}

/// Which list, a place and a name, one byte each for the first two: what is on no list is refused by its
/// name.
pub(crate) fn unlisted(data: &[u8]) {
    let Some((&[list, place], name)) = data.split_first_chunk() else { return };
    let Ok(name) = str::from_utf8(name) else { return };
    let List { insert, rule } = &LISTS[usize::from(list) % LISTS.len()];
    let Some((document, named)) = insert(usize::from(place), name) else { return };
    // A rule that would take the item away refuses it instead.
    let mut context = context(false);
    context.policy.answers.remove(*rule);
    let refusal = rewritten(document.to_string().as_bytes(), &context).expect_err(&named).to_string();
    let by_rule = refusal.starts_with(&format!("{rule}: ")) && refusal.contains(&named);
    // What decoders read differently is refused before any rule.
    let is_uncertain = refusal.contains("to some decoders") || refusal.contains("for some decoders");
    assert!(by_rule || is_uncertain, "{named}: {refusal}");
}

/// A list of what is known.
struct List {
    /// The document with an item of that name in it, and how the refusal names it; none where the item is on
    /// the list.
    insert: fn(place: usize, name: &str) -> Option<(Value, String)>,
    /// The rule that has the list.
    rule: &'static str,
}

/// Every rule that lets through what is on a list.
const LISTS: [List; 2] = [
    List { insert: unlisted_member, rule: "unknown-members" },
    List { insert: unlisted_annotation, rule: "runtime-annotations" },
];

/// A member in one of the objects of a document that has all there are.
fn unlisted_member(place: usize, name: &str) -> Option<(Value, String)> {
    let mut document: Value =
        serde_json::from_str(include_str!("../tests/data/full.json")).expect("the file is JSON");
    let mut objects = Vec::new();
    objects_of(&document, "", "", &mut objects);
    let (pointer, path) = objects.swap_remove(place % objects.len());
    let member = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let is_known = |known: &str| {
        known.strip_prefix(&*member).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
    };
    let is_free =
        |known: &str| known.starts_with(&format!("{path}.*")) || known == format!("{path} (all of it)");
    if config::members().iter().any(|(known, _)| is_known(known) || is_free(known)) {
        return None;
    }
    let object = document.pointer_mut(&pointer).and_then(Value::as_object_mut).expect("it was found");
    object.insert(name.to_owned(), Value::Null);
    let is_plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && name.len() < 64;
    Some((document, if is_plain { name.to_owned() } else { " is not known".to_owned() }))
}

/// The objects of a document: where each is, and its path as the table of members has it.
fn objects_of(value: &Value, pointer: &str, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            found.push((pointer.to_owned(), path.to_owned()));
            for (name, value) in members {
                // A key of a map with objects in it.
                let step = if name == "a" { "*" } else { name };
                let path = if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
                objects_of(value, &format!("{pointer}/{name}"), &path, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects_of(item, &format!("{pointer}/{index}"), &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

/// An annotation under one of the prefixes that runtimes act on.
fn unlisted_annotation(place: usize, name: &str) -> Option<(Value, String)> {
    let prefix = PREFIXES[place % PREFIXES.len()];
    let name = if prefix.ends_with('.') { format!("{prefix}{name}") } else { prefix.to_owned() };
    let is_harmless = |known: &Harmless| {
        name == known.name
            || (known.name.ends_with('.') && name.starts_with(known.name) && !name.contains('='))
    };
    if HARMLESS.iter().any(is_harmless) {
        return None;
    }
    let is_plain = !name.chars().any(char::is_control);
    let named = if is_plain { name.clone() } else { prefix.to_owned() };
    let namespaces = json!([{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}, {"type": "network"}]);
    Some((
        json!({"root": {"path": "x"}, "linux": {"namespaces": namespaces}, "annotations": {name: "x"}}),
        named,
    ))
}

/// Some of what the rules promise, read by serde_json and by no code of ours.
fn isolated(config: &Value) {
    let list = |at: &str| config.pointer(at).and_then(Value::as_array).into_iter().flatten();
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        for capability in list(&format!("/process/capabilities/{set}")).filter_map(Value::as_str) {
            let upper = capability.to_ascii_uppercase();
            assert!(!matches!(&*upper, "CAP_NET_ADMIN" | "CAP_NET_RAW"), "{capability} in {set}");
        }
    }
    for entry in list("/process/env").filter_map(Value::as_str) {
        let name = entry.split('=').next().unwrap_or_default();
        assert!(!name.eq_ignore_ascii_case("AWS_SECRET_ACCESS_KEY"), "a credential is in the environment");
    }
    let networks: Vec<_> = list("/linux/namespaces").filter(|entry| entry["type"] == "network").collect();
    assert!(
        matches!(networks[..], [one] if one["path"].as_str().unwrap_or_default().is_empty()),
        "{networks:?}"
    );
}

/// The text of a settings file: an error is one line, a comment changes nothing.
pub(crate) fn settings(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Settings::parse(text) {
        Ok(settings) => {
            let _ = rules::check_answers(&settings.rules);
            assert_eq!(Settings::parse(&format!("{text}\n# a comment\n")), Ok(settings));
        }
        Err(error) => assert!(!error.contains('\n'), "{error:?}"),
    }
}

/// Settings, a NUL, and a `config.json` with annotations and an environment: they never loosen what the settings demand.
pub(crate) fn annotations(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let (Some(text), Some(document)) = (halves.next(), halves.next()) else { return };
    let Some(mut settings) = str::from_utf8(text).ok().and_then(|text| Settings::parse(text).ok()) else {
        return;
    };
    let Ok(annotations) = config::annotations(document) else { return };
    let Ok(environment) = config::environment(document) else { return };
    let decided = decide(&settings, &annotations, &environment);
    settings.mode = Mode::Always;
    let always = decide(&settings, &annotations, &environment);
    assert!(!matches!(always, Decision::PassThrough(_) | Decision::Observe(_)));
    assert!(!settings.platform.is_empty() || !matches!(always, Decision::Platform(_)));
    match decided {
        Decision::Isolate(policy) => {
            let Decision::Isolate(other) = always else { panic!("{always:?}") };
            let bare = |policy: Box<Policy>| Policy { why: String::new(), demanded: None, ..*policy };
            assert_eq!(bare(policy), bare(other));
        }
        Decision::Refuse(why) => assert!(!why.is_empty()),
        Decision::Platform(_) => assert!(!matches!(always, Decision::Isolate(_))),
        Decision::Observe(observed) => match (observed.policy, always) {
            (Ok(policy), Decision::Isolate(other)) => {
                let bare = |policy: Box<Policy>| Policy { why: String::new(), demanded: None, ..*policy };
                assert_eq!(bare(policy), bare(other));
            }
            (_, Decision::Refuse(why)) => assert!(!why.is_empty()),
            (policy, always) => panic!("{policy:?} {always:?}"),
        },
        Decision::PassThrough(_) => {}
    }
}

/// A `resourceconfig.json`: refused in one line, or a name that fits a line of `/etc/hosts` and stands for no domain.
pub(crate) fn resourceconfig(data: &[u8]) {
    match current_host(data) {
        Ok(name) => {
            assert!(
                (1..=63).contains(&name.len())
                    && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            );
            // What is skipped may have escapes that are no character.
            if let Ok(read) = serde_json::from_slice::<Value>(data) {
                assert_eq!(read["current_host"], name);
            }
        }
        Err(error) => assert!(!error.is_empty() && !error.contains('\n'), "{error:?}"),
    }
}

/// Answers of a kernel ([`Answers`]): no panic, no hang, and an answer that is missing or cut is an error, never an
/// emptier namespace.
pub(crate) fn netlink(data: &[u8]) {
    let whole = Answers::read(data);
    let (namespace, sockets) = (whole.namespace().ok(), whole.sockets().ok());
    let mut said = whole.0;
    let Some((whose, last)) = said.pop().filter(|(whose, _)| *whose <= 2) else { return };
    for cut in [None, Some(last.len() / 2), last.len().checked_sub(1)] {
        let mut less = Answers(said.clone());
        less.0.extend(cut.map(|cut| (whose, &last[..cut])));
        if let (Some(whole), Ok(less)) = (&namespace, less.namespace()) {
            assert_eq!(&less, whole, "an answer cut to {cut:?} bytes is understood in another way");
        }
        if let (Some(whole), Ok(less)) = (&sockets, less.sockets()) {
            assert_eq!(&less, whole, "an answer cut to {cut:?} bytes is understood in another way");
        }
    }
}

/// What a kernel says, datagram by datagram: each begins with whose it is (0 rtnetlink, 1 nf_tables, 2 sock_diag, then
/// [`FILES`]) and its length in two bytes, the lower one first.
pub(crate) struct Answers<'a>(Vec<(usize, &'a [u8])>);

impl<'a> Answers<'a> {
    pub(crate) fn read(mut data: &'a [u8]) -> Self {
        let mut said = Vec::new();
        while let Some((&[whose, low, high], next)) = data.split_first_chunk() {
            let (answer, rest) = next.split_at(usize::from(u16::from_le_bytes([low, high])).min(next.len()));
            said.push((usize::from(whose), answer));
            data = rest;
        }
        Self(said)
    }

    pub(crate) fn namespace(&self) -> anyhow::Result<Observation> {
        let ((route, _kernel), (firewall, _other)) = (self.wire(0), self.wire(1));
        replay::namespace(route, firewall)
    }

    pub(crate) fn sockets(&self) -> anyhow::Result<BTreeSet<ForeignSocket>> {
        let (diag, _kernel) = self.wire(2);
        replay::sockets(|name| self.file(name), diag)
    }

    /// A socket in whose queue the answers are, and its other end. What is sent into it is not read, and is an error
    /// once there is too much of it.
    fn wire(&self, whose: usize) -> (OwnedFd, UnixDatagram) {
        let (kernel, ours) = UnixDatagram::pair().expect("sockets can be made");
        for end in [&kernel, &ours] {
            end.set_nonblocking(true).expect("a socket can be made not to wait");
        }
        for (_, answer) in self.0.iter().filter(|(of, _)| *of == whose) {
            // More than a queue holds is more than is needed.
            let _ = kernel.send(answer);
        }
        (ours.into(), kernel)
    }

    fn file(&self, name: &str) -> String {
        let of = FILES.iter().position(|file| *file == name).map(|at| at + 3);
        let text = self.0.iter().find(|(whose, _)| Some(*whose) == of).map(|(_, text)| *text);
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }
}

/// Of /proc/net.
const FILES: [&str; 9] = ["protocols", "sockstat", "udp", "udp6", "raw", "raw6", "packet", "tcp", "tcp6"];

fn rewritten(text: &[u8], context: &RuleContext) -> Result<Rewritten, RewriteError> {
    let document = Document::parse(Kind::Config, text)?;
    let view = document.view()?;
    rewrite(document, view, context)
}

/// What would be refused is taken away, so that more comes out.
fn context(hooked: bool) -> RuleContext {
    let strips = RULES.iter().filter(|rule| rule.answers.contains(&Answer::Strip));
    let mut settings = Settings { mode: Mode::Always, ..Settings::default() };
    settings.rules = strips.map(|rule| (rule.name.to_owned(), Answer::Strip)).collect();
    let Decision::Isolate(policy) = decide(&settings, &[], &[]) else { panic!("not isolated") };
    let hook = SealHook { program: "/shim".into(), record: "/run/oci-isolate/web.json".into(), seals: true };
    RuleContext {
        policy: *policy,
        network: Network::New,
        host: HostFacts::default(),
        hook: hooked.then_some(hook),
    }
}

/// Where two documents differ. A list that has changed is one place, because what stands behind an item that goes
/// moves.
fn differences(before: &Value, after: &Value, at: &str, found: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        if before != after {
            found.push(at.to_owned());
        }
        return;
    };
    let added = after.keys().filter(|name| !before.contains_key(*name));
    for name in before.keys().chain(added) {
        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        differences(
            &before.get(name).cloned().unwrap_or_default(),
            &after.get(name).cloned().unwrap_or_default(),
            &at,
            found,
        );
    }
}
