//! `credential-args`: no credential is among the arguments of a program or of a hook that runs in the
//! container's namespaces: `/proc/PID/cmdline` shows them to every process there. An argument cannot be
//! removed without changing what the program does, so the container is refused; the error has the index,
//! never the value. Credentials in annotations and mount options, which the program does not see, are
//! reported.

use super::values;
use crate::config::{Edit, EditOp, Hooks, Pointer, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "credential-args",
    promise: "no AWS credential is among the arguments",
    reference: "proc_pid_cmdline(5); docs/rules.md, \"credentials-env\" lists the patterns",
    process: true,
    answers: &[Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: |view, _| Ok(elsewhere(view)),
    holds,
};

fn check(whose: &str, args: &[&str]) -> Result<(), Violation> {
    let mut found = args.iter().enumerate();
    let found = found.find_map(|(index, arg)| Some((index, values::argument(arg, before(args, index))?)));
    let Some((index, what)) = found else { return Ok(()) };
    let reason = match what.ends_with("URL") {
        true => ", so the URL would not work",
        false => " and gets no credentials",
    };
    Err(Violation::of(
        &RULE,
        format!(
            "argument {index}{whose} holds {what}; the container has no network{reason}; pass data by a mount, or set [rules] \
             credential-args = \"allow\""
        ),
    ))
}

fn before<'a>(args: &[&'a str], index: usize) -> &'a str {
    index.checked_sub(1).map_or("", |before| args[before])
}

fn holds(view: &View, _: &RuleContext) -> Result<(), Violation> {
    let args = view.process.iter().flat_map(|process| process.args.iter().flatten());
    check("", &args.map(|arg| &**arg).collect::<Vec<_>>())?;
    view.hooks.iter().flat_map(Hooks::inside).try_for_each(|(list, index, hook)| {
        let args = hook.args().as_deref().unwrap_or_default();
        let whose = format!(" of {list} hook {index}");
        check(&whose, &args.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

/// Notes about credentials that the program does not see.
fn elsewhere(view: &View) -> Vec<Edit> {
    let note = |at, description| Edit { at, op: EditOp::Note, description };
    let annotations = view.annotations.iter().flatten().filter_map(|(name, value)| {
        let what = values::credential(name, value, false)?;
        let at = Pointer::to(&["annotations"]);
        Some(note(at, format!("annotation {} holds {what}; the container does not see it", &**name)))
    });
    let options = view.mounts.iter().flatten().enumerate().filter_map(|(index, mount)| {
        let what = mount
            .options
            .iter()
            .flatten()
            .filter(|option| option.contains('='))
            .find_map(|option| values::argument(option, ""))?;
        let at = Pointer::to(&["mounts"]).item(index);
        Some(note(at, format!("the options of {} hold {what}", &*mount.destination)))
    });
    annotations.chain(options).collect()
}
