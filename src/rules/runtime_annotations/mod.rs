//! `runtime-annotations`: annotations that make a runtime do what the document does not say: use another
//! seccomp profile (crun) or another handler, write to files of the host, pass the container to an agent,
//! have systemd start units. Under the prefixes on which runtimes act ([`PREFIXES`]) only annotations on the
//! list of harmless ones are allowed. Other annotations are for engines and people, and no runtime acts on
//! them.

mod known;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, Pointer, View};
use crate::settings::Answer;

pub use known::{AnnotationValue, HARMLESS, Harmless, PREFIXES};

pub(super) const RULE: Rule = Rule {
    name: "runtime-annotations",
    promise: "no annotation has the runtime do what no rule has judged",
    reference: "runc's and crun's features, \"potentiallyUnsafeConfigAnnotations\"; crun(1), \"EXTENSIONS TO OCI\"; \
                gVisor, \"Runtime flags by annotation\"; Kata Containers, \"Annotations\"; seccomp_unotify(2)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: |view, _| {
        let edit = |(name, _): (&str, _)| Edit {
            at: Pointer::to(&["annotations"]).named(name),
            op: EditOp::Remove,
            description: format!("removed annotation {}", on_one_line(name)),
        };
        Ok(violations(view).map(edit).collect())
    },
    holds,
};

/// Why an annotation is refused.
enum Rejection {
    Unknown,
    Value(AnnotationValue),
}

fn violations<'v>(view: &'v View) -> impl Iterator<Item = (&'v str, Rejection)> {
    view.annotations.iter().flatten().filter_map(|(name, value)| Some((&**name, judge(name, value)?)))
}

/// Whether an annotation is refused; for checks of the state that a runtime keeps of a container.
#[must_use]
pub fn is_against(name: &str, value: &str) -> bool {
    judge(name, value).is_some()
}

/// runc keeps annotations as `NAME=VALUE`, so to runc the name ends at the first `=`.
fn judge(name: &str, value: &str) -> Option<Rejection> {
    if !PREFIXES
        .iter()
        .any(|prefix| matches(prefix, name) || matches(prefix, name.split('=').next().unwrap_or_default()))
    {
        return None;
    }
    match HARMLESS.iter().find(|known| !name.contains('=') && matches(known.name, name)) {
        None => Some(Rejection::Unknown),
        Some(known) if known.value.accepts(value) => None,
        Some(known) => Some(Rejection::Value(known.value)),
    }
}

/// Whether `known` is the name, or a prefix of it that ends with a dot.
fn matches(known: &str, name: &str) -> bool {
    if known.ends_with('.') { name.starts_with(known) } else { name == known }
}

fn holds(view: &View, _: &RuleContext) -> Result<(), Violation> {
    let Some((name, why)) = violations(view).next() else { return Ok(()) };
    let name = on_one_line(name);
    let why = match why {
        Rejection::Unknown => {
            format!("annotation {name} is for the runtime and not on the list of what is harmless")
        }
        Rejection::Value(takes) => format!("annotation {name} has another value than {takes}"),
    };
    Err(Violation::of(
        &RULE,
        format!("{why}; drop --annotation {name}, or set [rules] runtime-annotations = \"strip\""),
    ))
}

/// The name, quoted if it would not fit one line.
fn on_one_line(name: &str) -> String {
    if name.chars().any(char::is_control) { format!("{name:?}") } else { name.to_owned() }
}
