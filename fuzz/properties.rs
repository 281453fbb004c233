//! What has to hold of any input. The fuzz targets and the ordinary test `tests/corpus` both call it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use oci_isolate::config::{self, Document, Kind};
use oci_isolate::decision::{Decision, decide};
use oci_isolate::invocation::{self, Dialect, Reading};
use oci_isolate::policy::Policy;
use oci_isolate::rewrite::{Refusal, Rewritten, rewrite};
use oci_isolate::rules::{self, RULES, SealHook, Subject, World};
use oci_isolate::settings::{Answer, Mode, Settings};
use serde_json::Value;

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

/// A `config.json`: refused, or every rule holds of what comes out, nothing but what was reported has changed, and a
/// second time does nothing.
pub(crate) fn config(data: &[u8]) {
    for hooked in [false, true] {
        let subject = subject(hooked);
        let Ok(once) = rewritten(data, &subject) else { continue };
        let Some(text) = once.text else { continue };
        let document = Document::read(Kind::Config, &text).expect("what was written can be read");
        let view = document.view().expect("what was written can be viewed");
        for rule in RULES {
            assert_eq!((rule.holds)(&view, &subject), Ok(()));
        }
        let twice = rewritten(&text, &subject).expect("what holds is not refused");
        assert_eq!(twice.text, None, "a second time changes {:?}", twice.applied);
        let before: Value = serde_json::from_slice(data).expect("what was understood is JSON");
        let after: Value = serde_json::from_slice(&text).expect("what was written is JSON");
        let mut changed = Vec::new();
        differences(&before, &after, "", &mut changed);
        for at in changed {
            let said = |named: &str| named.starts_with(&at) || at.starts_with(named);
            assert!(once.applied.iter().any(|applied| said(&applied.at)), "{at} changed: {:?}", once.applied);
        }
    }
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

/// Settings, a NUL, and a `config.json` with annotations: annotations never loosen what the settings demand.
pub(crate) fn annotations(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let (Some(text), Some(document)) = (halves.next(), halves.next()) else { return };
    let Some(mut settings) = str::from_utf8(text).ok().and_then(|text| Settings::parse(text).ok()) else {
        return;
    };
    let Ok(annotations) = config::annotations(document) else { return };
    let decided = decide(&settings, &annotations);
    settings.mode = Mode::Always;
    let always = decide(&settings, &annotations);
    assert!(!matches!(always, Decision::PassThrough(_)));
    match decided {
        Decision::Isolate(policy) => {
            let Decision::Isolate(other) = always else { panic!("{always:?}") };
            assert_eq!(Policy { why: String::new(), ..policy }, Policy { why: String::new(), ..other });
        }
        Decision::Refuse(why) => assert!(!why.is_empty()),
        Decision::PassThrough(_) => {}
    }
}

fn rewritten(text: &[u8], subject: &Subject) -> Result<Rewritten, Refusal> {
    let document = Document::read(Kind::Config, text)?;
    rewrite(&document, &document.view()?, subject)
}

/// What would be refused is taken away, so that more comes out.
fn subject(hooked: bool) -> Subject {
    let strips = RULES.iter().filter(|rule| rule.answers.contains(&Answer::Strip));
    let mut settings = Settings { mode: Mode::Always, ..Settings::default() };
    settings.rules = strips.map(|rule| (rule.name.to_owned(), Answer::Strip)).collect();
    let Decision::Isolate(policy) = decide(&settings, &[]) else { panic!("not isolated") };
    let hook = SealHook { program: "/shim".into(), record: "/run/oci-isolate/web.json".into(), seals: true };
    Subject { policy, joins_sealed: false, world: World::default(), hook: hooked.then_some(hook) }
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
