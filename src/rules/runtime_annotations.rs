//! `runtime-annotations`: annotations by which a runtime itself brings a network along, or lets others do so: another
//! handler (krun proxies sockets over vsock), a receiver of seccomp notifications (it can add sockets of the host), hooks,
//! flags of gVisor and Kata. Others are left alone.

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "runtime-annotations",
    promise: "no annotation makes the runtime bring a network",
    reference: "crun(1), \"EXTENSIONS TO OCI\"; gVisor, \"Runtime flags by annotation\"; Kata Containers, \"Annotations\"; seccomp_unotify(2)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    plan: |view, subject| {
        if RULE.answer(&subject.policy) == Answer::Refuse {
            holds(view, subject)?;
        }
        let edit = |name: &str| Edit {
            at: Pointer::to(&["annotations"]).named(name),
            change: Change::Remove,
            says: format!("removed annotation {name}"),
        };
        Ok(found(view).map(edit).collect())
    },
    holds,
};

/// Whole names, and beginnings that end with a dot.
const NAMES: [&str; 7] = [
    "dev.gvisor.flag.",
    "io.katacontainers.config.",
    "org.criu.config",
    "run.oci.handler",
    "run.oci.hooks.",
    "run.oci.seccomp.plugins",
    "run.oci.seccomp.receiver",
];

fn found<'v>(view: &'v View) -> impl Iterator<Item = &'v str> {
    let is = |name: &str| {
        NAMES.iter().any(|known| name == *known || (known.ends_with('.') && name.starts_with(known)))
    };
    view.annotations.iter().flatten().map(|(name, _)| &**name).filter(move |name| is(name))
}

fn holds(view: &View, _: &Subject) -> Result<(), Violation> {
    match found(view).next() {
        None => Ok(()),
        Some(name) => Err(Violation::of(
            &RULE,
            format!("annotation {name} lets the runtime bring a network along; drop --annotation {name}"),
        )),
    }
}
