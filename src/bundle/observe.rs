//! What isolation would do to a container: for `isolatectl check`, and for a container that asks to be observed.

use anyhow::{Result, anyhow, bail};

use super::Bundle;
use crate::files;
use crate::policy::{Observed, Policy};
use crate::rewrite::AppliedChange;
use crate::rules::SealHook;
use crate::settings::Audit;

/// What isolation would do to a container that runs without it.
#[derive(Debug)]
pub struct IsolationPreview {
    /// What asked for it.
    pub why: String,
    /// What would be changed in its configuration, or why it would be refused.
    pub outcome: Result<Vec<AppliedChange>>,
}

impl Bundle {
    /// What would be changed, as at `create`. Nothing is written but a text in memory.
    ///
    /// # Errors
    /// The container cannot be isolated.
    pub fn changes(self, policy: Policy) -> Result<Vec<AppliedChange>> {
        // As at create: a hook is only added for openings. It has no record here.
        let hook = SealHook { program: "oci-isolate".into(), record: "none".into(), seals: false };
        Ok(self.prepare(policy, Some(hook), |_: &_| files::in_memory(c"config.json"))?.applied)
    }

    /// Looks at a container that asks to be observed.
    ///
    /// # Errors
    /// There is no audit log to write it down in.
    pub fn observe(self, observed: Observed, audit: &Audit) -> Result<IsolationPreview> {
        let Observed { why, policy } = observed;
        if !audit.is_kept() {
            bail!(
                "{why} is \"observe\", and there is no audit log for what is observed; name one in the settings (audit.file)"
            );
        }
        let outcome = policy.map_err(|refusal| anyhow!(refusal)).and_then(|policy| self.changes(*policy));
        Ok(IsolationPreview { why, outcome })
    }
}

impl IsolationPreview {
    /// One line, in the words of `isolatectl check`.
    #[must_use]
    pub fn summary(&self) -> String {
        let would = match &self.outcome {
            Err(refusal) => format!("would be refused: {refusal:#}"),
            Ok(changes) if changes.is_empty() => "would not be changed".to_owned(),
            Ok(changes) => {
                let change = |change: &AppliedChange| format!("{}: {}", change.rule, change.description);
                format!("would be changed: {}", changes.iter().map(change).collect::<Vec<_>>().join("; "))
            }
        };
        format!("{}; observed, not isolated; {would}", self.why)
    }

    /// The rules that would change something, each once.
    #[must_use]
    pub fn rules(&self) -> Vec<&str> {
        let mut rules: Vec<&str> = self.outcome.iter().flatten().map(|change| change.rule.as_str()).collect();
        rules.dedup();
        rules
    }
}
