//! The cases of all rules.

mod credentials;
mod machine;
mod mounts;
mod namespaces;
mod reading;

use std::collections::BTreeMap;

use oci_isolate::policy::{Beside, Openings, PodEngine, Policy};
use oci_isolate::rules::mounts::{FileKind, FileSystem};
use oci_isolate::rules::{HostFacts, MountSource, MountSources, Network, RULES, Rule, RuleContext, SealHook};
use oci_isolate::settings::{Answer, Credentials, Firewall, Links, SeccompSettings};
use serde_json::Value;

/// One rule's cases.
#[derive(Default)]
pub(crate) struct Cases {
    pub(crate) rule: &'static str,
    /// What the machine is like in all of them.
    pub(crate) host: HostFacts,
    /// What the rule changes, what it is changed into, and what is said of it.
    pub(crate) golden: Vec<(Value, Value, &'static str)>,
    /// Where the promise is not true, and how the rule says so.
    pub(crate) broken: Vec<(Value, &'static str)>,
    /// What the rule refuses to change, and how it says so.
    pub(crate) refused: Vec<(Value, &'static str)>,
    /// What the rule reports and does not change: all that it says.
    pub(crate) noted: Vec<(Value, Vec<&'static str>)>,
}

impl Cases {
    pub(crate) fn rule(&self) -> &'static Rule {
        let rule = RULES.iter().find(|rule| rule.name == self.rule);
        rule.unwrap_or_else(|| panic!("there is no rule {}", self.rule))
    }

    /// What the rule is applied to when the settings say nothing of it.
    pub(crate) fn context(&self) -> RuleContext {
        let policy = Policy {
            why: "test".into(),
            firewall: Firewall::Required,
            links: Links::Down,
            attempts: None,
            credentials: Credentials::default(),
            seccomp: SeccompSettings::default(),
            openings: Openings::default(),
            beside: Some(Beside {
                engine: PodEngine::Containerd,
                names: vec!["fetch".into()],
                sandbox: None,
            }),
            demanded: None,
            answers: BTreeMap::new(),
            nonce: None,
        };
        let hook = SealHook { program: "/shim".into(), record: "/record.json".into(), seals: true };
        RuleContext { policy, network: Network::New, host: self.host.clone(), hook: Some(hook) }
    }

    /// The context for which the rule changes what it would refuse, or leave.
    pub(crate) fn lenient(&self) -> RuleContext {
        self.answering(Answer::Strip)
    }

    /// The context for which the rule refuses what it would change, or leave.
    pub(crate) fn strict(&self) -> RuleContext {
        self.answering(Answer::Refuse)
    }

    fn answering(&self, answer: Answer) -> RuleContext {
        let mut context = self.context();
        let answers = self.rule().answers;
        // The default needs no setting.
        if answers[0] != answer && answers.contains(&answer) {
            context.policy.answers.insert(self.rule.to_owned(), answer);
        }
        context
    }
}

pub(crate) fn cases() -> Vec<Cases> {
    [namespaces::cases(), machine::cases(), mounts::cases(), reading::cases(), credentials::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Something on a file system of this machine, where no socket is.
fn source(real: &str, node: FileKind) -> MountSource {
    MountSource::new(real, node, FileSystem::of_name("ext4"))
}

fn directory(real: &str) -> MountSource {
    source(real, FileKind::Directory)
}

/// What is behind the sources of mounts, by how they are written.
fn sources<const N: usize>(list: [(&str, MountSource); N]) -> MountSources {
    list.into_iter().map(|(written, source)| (written.to_owned(), source)).collect()
}
