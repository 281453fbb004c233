//! One call from argv to the real runtime. The `match` in `answer` maps each verb to its file. Anything
//! ambiguous is an error, and an error ends in exit status 1 with nothing exec'd.

mod create;
mod delete;
mod descriptors;
mod exec;
mod exec_arguments;
mod existing_container;
mod facts;
mod flags;
mod hook;
mod joiners;
mod platform;
mod release_netns;
mod seal_allow_list;
mod sealing;
mod start;
mod tried;
mod unhandled;
mod without_settings;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::audit::{self, Line, Outcome};
use crate::bundle::{self, Bundle};
use crate::diagnostics::{Log, report};
use crate::invocation::{self, Dialect, Invocation, Reading, Verb};
use crate::record::Slot;
use crate::rules::credentials;
use crate::runtime::{self, Runtime};
use crate::settings::{Credentials, Mode, Settings};

use flags::Flags;

/// Why a container without a record passes through.
const NOT_ISOLATED: &str = "it is not isolated";

/// The whole program: reads the process' arguments and becomes the real runtime. Returns only if something is
/// left to do after the runtime, or after reporting an error.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut log = Log::default();
    match flags::read(&args).and_then(|(flags, args)| handle(&flags, args, &mut log)) {
        Ok(code) => code,
        Err(error) => {
            report(&log, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A call of the runtime that the shim handles.
struct RuntimeCall<'a> {
    settings: &'a Settings,
    /// The settings file, if a flag names it.
    settings_file: Option<&'a Path>,
    runtime: &'a Runtime,
    args: &'a [OsString],
    invocation: &'a Invocation,
}

fn handle(flags: &Flags, args: &[OsString], log: &mut Log) -> Result<ExitCode> {
    if flags.journal {
        return Ok(audit::relay().into());
    }
    if let Some(record) = &flags.close {
        return hook::lock_down(record);
    }
    if let Some(record) = &flags.seal {
        return hook::seal(record);
    }
    if let Some(record) = &flags.forget {
        return hook::forget(record);
    }
    let log_of = |dialect| {
        let globals = invocation::globals(dialect, args);
        Log::of(globals.log.as_deref(), globals.log_format.as_deref())
    };
    // The runtime is unknown before the settings are read; all of them know runc's flags for the log.
    *log = log_of(Dialect::Runc);
    let settings = match load_settings(flags) {
        Ok(settings) => settings,
        Err(why) => {
            without_settings::answer_about_runtime(args)?;
            return without_settings::answer_by_record(args)?.ok_or(why);
        }
    };
    let runtime = match Runtime::find(&settings.runtime) {
        Ok(runtime) => runtime,
        Err(why) => return without_settings::answer_by_record(args)?.ok_or(why),
    };
    if runtime.dialect() != Dialect::Runc {
        *log = log_of(runtime.dialect());
    }
    match invocation::read(runtime.dialect(), args) {
        Reading::PassThrough(why) => {
            if let Err(error) = unhandled::check(&settings, runtime.dialect(), args, &why) {
                return Err(audit_unread(&settings, &runtime, error));
            }
            match runtime.exec(args, &[])? {}
        }
        Reading::Ambiguous(why) => {
            let why = anyhow!("cannot read the command line with certainty: {why}");
            Err(audit_unread(&settings, &runtime, why))
        }
        Reading::Understood(invocation) => {
            let (settings, runtime, settings_file) = (&settings, &runtime, flags.config.as_deref());
            let call = RuntimeCall { settings, settings_file, runtime, args, invocation: &invocation };
            answer(&call).inspect_err(|error| call.audit_refused(error))
        }
    }
}

/// Audits the refusal of a call of which no more is known.
fn audit_unread(settings: &Settings, runtime: &Runtime, why: anyhow::Error) -> anyhow::Error {
    let (text, runtime) = (format!("{why:#}"), Some(runtime.path()));
    let line = Line { why: Some(&text), runtime, ..Line::of(Outcome::Refused) };
    // The refusal stands whether or not it can be logged.
    let _ = audit::write(&settings.audit, &line);
    why
}

/// The settings, modified by the flags.
fn load_settings(flags: &Flags) -> Result<Settings> {
    let mut settings = bundle::load_settings(flags.config.as_deref())?;
    if flags.always {
        settings.mode = Mode::Always;
    }
    Ok(settings)
}

fn answer(call: &RuntimeCall) -> Result<ExitCode> {
    let shown = call.invocation.id.display();
    match call.invocation.verb {
        Verb::Create => {
            create::create(call).with_context(|| format!("container {shown} not created")).map(never)
        }
        Verb::Run => create::create(call).with_context(|| format!("container {shown} not run")).map(never),
        Verb::Restore => {
            create::create(call).with_context(|| format!("container {shown} not restored")).map(never)
        }
        Verb::Start => {
            start::start(call).with_context(|| format!("container {shown} not started")).map(never)
        }
        Verb::Exec => {
            exec::exec(call).with_context(|| format!("nothing run in container {shown}")).map(never)
        }
        Verb::Delete => delete::delete(call).with_context(|| format!("container {shown} not deleted")),
        Verb::Other => call.runtime.exec(call.args, &[]).map(never),
    }
}

fn never(never: std::convert::Infallible) -> ExitCode {
    match never {}
}

impl RuntimeCall<'_> {
    /// The slot of the container's record; `None` if the id is invalid.
    fn slot(&self) -> Result<Option<Slot>> {
        let Some(id) = self.invocation.id.to_str() else { return Ok(None) };
        Ok(Slot::of(&self.root()?, id))
    }

    /// Audits a decision; the rest of this call is added to the line.
    fn audit(&self, line: Line) -> Result<()> {
        if !self.settings.audit.is_kept() {
            return Ok(());
        }
        let Invocation { verb, id, bundle, config, .. } = self.invocation;
        let has_bundle = matches!(verb, Verb::Create | Verb::Run | Verb::Restore);
        let bundle = bundle.as_deref().map_or(Path::new("."), Path::new);
        let bundle = std::path::absolute(bundle).ok().filter(|_| has_bundle);
        let (id, root, runtime) = (id.to_string_lossy(), self.root().ok(), Some(self.runtime.path()));
        let (root, bundle, verb) = (root.as_deref(), bundle.as_deref(), Some(verb.word()));
        // What the line lacks of a container that was not created, or is not read yet.
        let read = |bundle| Bundle::read(bundle, config.as_deref().map(Path::new)).ok()?.workload();
        let record = match (line.workload, has_bundle) {
            (None, false) => self.slot().ok().flatten().and_then(|slot| slot.load().ok().flatten()),
            _ => None,
        };
        let own = bundle.filter(|_| line.workload.is_none()).and_then(read);
        let of_record = record.as_ref().map(|record| record.line_of_call(line.decision));
        let workload = line.workload.or(own.as_ref()).or(of_record.as_ref().and_then(|line| line.workload));
        let job = line.job.or(of_record.as_ref().and_then(|line| line.job));
        let line = Line { verb, id: &id, root, bundle, runtime, workload, job, ..line };
        audit::write(&self.settings.audit, &line)
    }

    /// Audits a call that passes through, if configured. It passes through in any case.
    fn audit_passed_through(&self, why: &str) {
        if self.settings.audit.passed_through {
            let _ = self.audit(Line { why: Some(why), ..Line::of(Outcome::PassedThrough) });
        }
    }

    /// Audits an error, which is returned in any case. A failed delete decided nothing.
    fn audit_refused(&self, error: &anyhow::Error) {
        if self.invocation.verb != Verb::Delete {
            let why = format!("{error:#}");
            let _ = self.audit(Line { why: Some(&why), ..Line::of(Outcome::Refused) });
        }
    }

    /// Where the runtime keeps its containers.
    fn root(&self) -> Result<PathBuf> {
        runtime::state_root(self.runtime.dialect(), self.invocation.root.as_deref().map(Path::new))
    }
}

/// Credential variables in our own environment: the runtime is exec'd without them, so that it cannot pass
/// them on.
fn credential_variables(additions: &Credentials) -> Vec<OsString> {
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let entry = |(name, value): &(OsString, OsString)| {
        let mut entry = name.to_string_lossy().into_owned();
        entry.push('=');
        entry.push_str(&value.to_string_lossy());
        entry
    };
    let entries: Vec<String> = variables.iter().map(entry).collect();
    let strays = credentials::leaked_variables(entries.iter().map(String::as_str), additions);
    strays.into_iter().map(|stray| variables[stray.index].0.clone()).collect()
}
