//! The arguments of `exec ID COMMAND...`: a process described on the command line is held to the rules like a
//! process file (config.md, "process"), so that a rule covers both.

use anyhow::{Result, bail};
use serde_json::json;

use crate::config::{Document, Edit, EditOp, Kind, Step};
use crate::invocation::{Invocation, ParsedFlag};
use crate::rewrite::{plan, prove};
use crate::rules::RuleContext;

/// The values of flags that describe the process, and the command.
struct ExecArguments<'i> {
    env: Vec<&'i ParsedFlag>,
    caps: Vec<&'i ParsedFlag>,
    command: &'i [std::ffi::OsString],
}

/// The flags that the rules remove from the command line, each with its rule's name.
///
/// # Errors
/// A rule refuses the process, or does not hold on the rest.
pub(super) fn removed<'i>(
    invocation: &'i Invocation,
    context: &RuleContext,
) -> Result<Vec<(&'static str, &'i ParsedFlag)>> {
    let mut arguments = ExecArguments {
        env: invocation.env.iter().collect(),
        caps: invocation.caps.iter().collect(),
        command: &invocation.command,
    };
    let text = arguments.process();
    let document = Document::parse(Kind::Process, text.as_bytes())?;
    let mut removed = Vec::new();
    for (rule, edit) in plan(Kind::Process, &document.view()?, context)? {
        match arguments.flag(&edit) {
            _ if edit.op == EditOp::Note => {}
            Some(given) => removed.push((rule.name, given)),
            None => bail!("{}: the command line cannot be changed so; give --process", rule.name),
        }
    }
    let stays = |given: &&ParsedFlag| !removed.iter().any(|(_, gone)| std::ptr::eq(*gone, *given));
    arguments.env.retain(stays);
    arguments.caps.retain(stays);
    let text = arguments.process();
    let document = Document::parse(Kind::Process, text.as_bytes())?;
    prove(Kind::Process, &document.view()?, context)?;
    Ok(removed)
}

impl<'i> ExecArguments<'i> {
    /// The equivalent process file.
    fn process(&self) -> String {
        let values = |flags: &[&ParsedFlag]| -> Vec<String> {
            flags.iter().map(|given| given.value.to_string_lossy().into_owned()).collect()
        };
        // A name alone means an empty value, to a program as to the rules.
        let entry = |entry: String| if entry.contains('=') { entry } else { entry + "=" };
        // The variable that every isolated container has from its configuration.
        let settled = "AWS_EC2_METADATA_DISABLED=true".to_owned();
        let env: Vec<_> = values(&self.env).into_iter().map(entry).chain([settled]).collect();
        let command: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        json!({"env": env, "args": command, "capabilities": {"bounding": values(&self.caps)}}).to_string()
    }

    /// The flag that an edit removes.
    fn flag(&self, edit: &Edit) -> Option<&'i ParsedFlag> {
        if edit.op != EditOp::Remove {
            return None;
        }
        match edit.at.steps() {
            [Step::Member(_), Step::Member(list), Step::Item(at)] if list == "env" => {
                self.env.get(*at).copied()
            }
            [Step::Member(_), Step::Member(sets), Step::Member(_), Step::Item(at)]
                if sets == "capabilities" =>
            {
                self.caps.get(*at).copied()
            }
            _ => None,
        }
    }
}
