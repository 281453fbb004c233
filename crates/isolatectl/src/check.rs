//! `isolatectl check`: what the shim would do to a bundle at `create`, and why. It runs the shim's own code
//! ([`oci_isolate::bundle`]), with a file in memory for the new text.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::exit::Exit;
use super::{print, print_json};
use oci_isolate::audit::Outcome;
use oci_isolate::bundle::{self, Bundle};
use oci_isolate::policy::{Decision, PLATFORM};
use oci_isolate::rewrite::AppliedChange;
use oci_isolate::rules;
use oci_isolate::settings::Mode;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    /// The bundle's directory
    #[arg(long)]
    bundle: PathBuf,
    /// A configuration other than the bundle's config.json
    #[arg(long)]
    config: Option<PathBuf>,
    /// A settings file other than the shim's
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Like the shim's flag --isolate=always
    #[arg(long)]
    always: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CheckReport {
    bundle: PathBuf,
    decision: Outcome,
    /// What asked for isolation, or why it is passed through; `None` if unknown.
    why: Option<String>,
    /// As in the record.
    changes: Vec<AppliedChange>,
    /// Rules whose answer is `allow`, by the settings or by default.
    waived: Vec<&'static str>,
    /// The end of the shim's error; if it is observed, of the one that isolation would give.
    refusal: Option<String>,
}

pub(super) fn check(arguments: &CheckArguments, json: bool) -> Result<Exit> {
    let mut report = CheckReport {
        bundle: std::path::absolute(&arguments.bundle)?,
        decision: Outcome::Refused,
        why: None,
        changes: Vec::new(),
        waived: Vec::new(),
        refusal: None,
    };
    match judge(arguments, &mut report) {
        Ok(decision) => report.decision = decision,
        Err(refusal) => report.refusal = Some(format!("{refusal:#}")),
    }
    if json {
        print_json(&report)?
    } else {
        print(&format_report(&report)?)?
    }
    Ok(match report.decision {
        Outcome::Isolated => Exit::Ok,
        Outcome::PassedThrough | Outcome::Observed | Outcome::Platform => Exit::PassedThrough,
        _ => Exit::Failed,
    })
}

/// # Errors
/// The error of the shim.
fn judge(arguments: &CheckArguments, report: &mut CheckReport) -> Result<Outcome> {
    let mut settings = bundle::load_settings(arguments.settings.as_deref())?;
    if arguments.always {
        settings.mode = Mode::Always;
    }
    let config: Option<&Path> = arguments.config.as_deref();
    let bundle = Bundle::read(&arguments.bundle, config)?;
    match bundle.decide(&settings)? {
        Decision::Refuse(why) => anyhow::bail!(why),
        Decision::Observe(observed) => {
            report.waived = observed.policy.iter().flat_map(|policy| rules::waived(policy)).collect();
            let seen = bundle.observe(observed, &settings.audit)?;
            report.why = Some(seen.why);
            match seen.outcome {
                Ok(changes) => report.changes = changes,
                Err(refusal) => report.refusal = Some(format!("{refusal:#}")),
            }
            Ok(Outcome::Observed)
        }
        Decision::PassThrough(why) => {
            report.why = Some(why.to_owned());
            Ok(Outcome::PassedThrough)
        }
        Decision::Platform(container) => {
            report.why = Some(container.why.clone());
            // Of an image of the platform's, with another command or more than it may have: as if its author's own.
            if let Some(own) = bundle.check_platform(&container)?.filter(|_| !container.known.is_empty()) {
                report.why = Some(format!("annotation {PLATFORM}; not by [[platform]]: {own}"));
            }
            Ok(Outcome::Platform)
        }
        Decision::Isolate(policy) => {
            report.why = Some(policy.why.clone());
            report.waived = rules::waived(&policy).collect();
            report.changes = bundle.changes(*policy)?;
            Ok(Outcome::Isolated)
        }
    }
}

fn format_report(report: &CheckReport) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "bundle     {}", report.bundle.display())?;
    let decision = match report.decision {
        Outcome::Observed => "observed, not isolated".into(),
        other => other.word().replace('-', " "),
    };
    writeln!(text, "decision   {decision}")?;
    if let Some(why) = &report.why {
        writeln!(text, "why        {why}")?;
    }
    for AppliedChange { rule, description, .. } in &report.changes {
        writeln!(text, "change     {rule}: {description}")?;
    }
    if !report.waived.is_empty() {
        writeln!(text, "waived     {}", report.waived.join(", "))?;
    }
    if let Some(refusal) = &report.refusal {
        writeln!(text, "refused    {refusal}")?;
    }
    Ok(text)
}
