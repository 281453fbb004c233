//! `isolatectl check`: what the shim would do to a bundle at `create`, and why. It is the shim's own code that says so
//! ([`oci_isolate::prepare`]), and that writes nothing.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::exit::Exit;
use super::{print, print_json};
use oci_isolate::audit::Outcome;
use oci_isolate::policy::Decision;
use oci_isolate::prepare::{self, Bundle};
use oci_isolate::rewrite::AppliedChange;
use oci_isolate::rules::{self, SealHook};
use oci_isolate::settings::Mode;

#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// The bundle's directory
    #[arg(long)]
    bundle: PathBuf,
    /// Another configuration than the bundle's config.json
    #[arg(long)]
    config: Option<PathBuf>,
    /// Another settings file than the shim would read
    #[arg(long)]
    settings: Option<PathBuf>,
    /// As the shim's own flag --isolate=always
    #[arg(long)]
    always: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Verdict {
    bundle: PathBuf,
    decision: Outcome,
    /// Who asked for isolation, or why it is passed through; none where nobody knows.
    why: Option<String>,
    /// As they would stand in the record.
    changes: Vec<AppliedChange>,
    /// Rules whose answer is `allow`, by the settings or by default.
    waived: Vec<&'static str>,
    /// The end of the shim's error.
    refusal: Option<String>,
}

pub(super) fn check(what: &What, json: bool) -> Result<Exit> {
    let mut verdict = Verdict {
        bundle: std::path::absolute(&what.bundle)?,
        decision: Outcome::Refused,
        why: None,
        changes: Vec::new(),
        waived: Vec::new(),
        refusal: None,
    };
    match judge(what, &mut verdict) {
        Ok(decision) => verdict.decision = decision,
        Err(refusal) => verdict.refusal = Some(format!("{refusal:#}")),
    }
    if json {
        print_json(&verdict)?
    } else {
        print(&text(&verdict)?)?
    }
    Ok(match verdict.decision {
        Outcome::Isolated => Exit::Ok,
        Outcome::PassedThrough => Exit::PassedThrough,
        _ => Exit::Failed,
    })
}

/// # Errors
/// What the shim would say.
fn judge(what: &What, verdict: &mut Verdict) -> Result<Outcome> {
    let mut settings = prepare::settings(what.settings.as_deref())?;
    if what.always {
        settings.mode = Mode::Always;
    }
    let config: Option<&Path> = what.config.as_deref();
    let bundle = Bundle::read(&what.bundle, config)?;
    match bundle.decide(&settings)? {
        Decision::Refuse(why) => anyhow::bail!(why),
        Decision::PassThrough(why) => {
            verdict.why = Some(why.to_owned());
            Ok(Outcome::PassedThrough)
        }
        Decision::Isolate(policy) => {
            verdict.why = Some(policy.why.clone());
            verdict.waived = rules::waived(&policy).collect();
            // As at create: a hook is only added for what stays open. It has no record here.
            let hook = SealHook { program: "oci-isolate".into(), record: "none".into(), seals: false };
            verdict.changes = bundle.prepare(policy, Some(hook))?.rewritten.applied;
            Ok(Outcome::Isolated)
        }
    }
}

fn text(verdict: &Verdict) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "bundle     {}", verdict.bundle.display())?;
    writeln!(text, "decision   {}", verdict.decision.word().replace('-', " "))?;
    if let Some(why) = &verdict.why {
        writeln!(text, "why        {why}")?;
    }
    for AppliedChange { rule, description, .. } in &verdict.changes {
        writeln!(text, "change     {rule}: {description}")?;
    }
    if !verdict.waived.is_empty() {
        writeln!(text, "waived     {}", verdict.waived.join(", "))?;
    }
    if let Some(refusal) = &verdict.refusal {
        writeln!(text, "refused    {refusal}")?;
    }
    Ok(text)
}
