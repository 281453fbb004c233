//! The policy of the product: one file per promise, and [`RULES`], the list of all of them. Reading the list is
//! reading the policy.
//!
//! For a document, a rule plans the edits that make its promise true (`plan`); for any document, it checks
//! whether the promise is true (`holds`). Must not do anything else: no file, no system call. What else it
//! needs to know is in [`RuleContext`]. To add a rule: one file, one line in the list, its section in
//! docs/rules.md; tests/rules/ fails for a rule without documentation.

pub mod capabilities;
pub mod credentials;
mod devices;
mod masked_paths;
mod mount;
pub mod mounts;
mod namespace;
mod namespaces;
mod path_names;
pub mod runtime_annotations;
mod seal_hook;
pub mod seccomp;
mod shared_namespaces;
pub mod sysctl;
mod unknown_members;

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{Edit, View};
use crate::policy::Policy;
use crate::settings::Answer;

pub use credentials::files::CredentialFiles;
pub use devices::{Drivers, allowed_against, is_default, is_usual};
pub use masked_paths::{LIMIT as CORE_LIMIT, MASKED, READONLY, check_core_dumps};
pub use mounts::{MountSource, MountSources};
pub use namespace::{Network, RequestedNetwork, is_sandbox, of_a_pinned_pod, requested_network};
pub use seal_hook::{CLOSE_FLAG, FORGET_FLAG, HOOK_FLAGS, SEAL_FLAG, SealHook};

/// One promise.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name in errors, reports and settings.
    pub name: &'static str,
    /// The promise, in a sentence.
    pub promise: &'static str,
    /// The source: a section of a specification, a kernel document, a CVE.
    pub reference: &'static str,
    /// Whether the rule is about the process, and so applies to `exec` too.
    pub process: bool,
    /// What the rule can do about a violation: the default first, then the alternatives for the settings.
    pub answers: &'static [Answer],
    /// Which function refuses a document when the answer is [`Answer::Refuse`].
    pub refused_by: RefusedBy,
    /// The edits that make the promise true; none if it is.
    pub plan: fn(&View, &RuleContext) -> Result<Vec<Edit>, Violation>,
    /// Whether the promise is true.
    pub holds: fn(&View, &RuleContext) -> Result<(), Violation>,
}

/// Which function of a rule refuses a document when its answer is [`Answer::Refuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// `holds`: every violation is refused, and nothing is planned.
    Holds,
    /// `plan` first: it refuses some violations, and corrects or notes others.
    Plan,
}

/// The plan of a rule that has no edits.
fn no_edits(_: &View, _: &RuleContext) -> Result<Vec<Edit>, Violation> {
    Ok(Vec::new())
}

/// All rules, in the order in which they are applied and reported.
pub const RULES: &[Rule] = &[
    unknown_members::RULE,
    namespace::RULE,
    namespace::NET_DEVICES,
    shared_namespaces::HOST_PID,
    shared_namespaces::HOST_IPC,
    namespaces::RULE,
    capabilities::NETWORK,
    capabilities::HOST,
    devices::NODES,
    devices::ACCESS,
    mounts::options::RULE,
    mounts::sockets::RULE,
    mounts::system::RULE,
    mounts::unknown_fs::RULE,
    mounts::network_fs::RULE,
    mounts::overlay::RULE,
    mounts::propagation::RULE,
    mounts::pod_files::RULE,
    mounts::data_channels::RULE,
    seccomp::RULE,
    masked_paths::RULE,
    masked_paths::CORE_DUMPS,
    sysctl::RULE,
    path_names::RULE,
    runtime_annotations::RULE,
    credentials::RULE,
    credentials::mounts::RULE,
    credentials::files::RULE,
    credentials::args::RULE,
    seal_hook::RULE,
];

/// The input of rules besides the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleContext {
    /// The policy for this container.
    pub policy: Policy,
    /// What becomes of the network that the document asks for.
    pub network: Network,
    /// Facts about this machine.
    pub host: HostFacts,
    /// The hooks: those that seal and forget, for `run` and `restore`, which have no `start`; and the one
    /// that locks down a new namespace that will get an allow-list.
    pub hook: Option<SealHook>,
}

/// Facts about the machine that rules need; collected by [`crate::bundle`], since rules read nothing but
/// documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The owner of the pid namespace that the document names by path, if any.
    pub pid: Shared,
    /// The owner of the IPC namespace that the document names by path, if any.
    pub ipc: Shared,
    /// The owner of the user namespace that the document names by path, if any.
    pub user: Shared,
    /// Whether the container has a user namespace other than the machine's.
    pub in_user_namespace: bool,
    /// Whether that user namespace is confining: no id in it is the machine's root.
    pub confined: bool,
    /// The drivers of the device numbers in the document.
    pub drivers: Drivers,
    /// The sources of mounts.
    pub sources: MountSources,
    /// The root file system, as if it were the source of a mount.
    pub root: Option<MountSource>,
    /// An empty directory of ours, for the lower layer of overlays.
    pub empty: Option<String>,
    /// An empty file of ours, which covers what cannot be removed from a directory.
    pub empty_file: Option<String>,
    /// Files of the container with credentials, certain or possible.
    pub credential_files: CredentialFiles,
    /// Where the kernel writes the memory of a process that crashes.
    pub core_dumps: CoreDumps,
}

/// Where the kernel writes the memory of a process that crashes (core(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CoreDumps {
    /// Into files.
    #[default]
    Files,
    /// To a program that it starts on the host; not with a limit of one byte.
    Program,
    /// To a socket of the host, with any limit.
    Socket,
}

/// The owner of a namespace that a container joins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shared {
    /// The same isolated pod: all processes in it are in the same network namespace.
    WithinPod,
    /// The caller, that is the host.
    Hosts,
    /// Another, or unknown.
    #[default]
    Foreign,
}

impl Rule {
    /// What this rule does about a violation.
    #[must_use]
    pub fn answer(&self, policy: &Policy) -> Answer {
        policy.answers.get(self.name).copied().unwrap_or(self.answers[0])
    }

    /// The edits that make the promise true, with the answer of the settings.
    ///
    /// # Errors
    /// No edit can make it true, or the answer is to refuse. The document is judged as it was given: in the one
    /// that is written, another rule may have removed what this one goes by.
    pub fn edits(&self, view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
        match (self.answer(&context.policy), self.refused_by) {
            (Answer::Allow, _) => Ok(Vec::new()),
            (Answer::Refuse, RefusedBy::Holds) => (self.holds)(view, context).map(|()| Vec::new()),
            _ => (self.plan)(view, context),
        }
    }
}

/// Whether the limit for core dumps must be [`CORE_LIMIT`], with which the kernel does not start the
/// machine's program.
#[must_use]
pub fn limits_core_dumps(context: &RuleContext) -> bool {
    context.host.core_dumps == CoreDumps::Program
        && masked_paths::CORE_DUMPS.answer(&context.policy) != Answer::Allow
}

/// The rules whose answer is [`Answer::Allow`], by the settings or by default: their promises are not made.
pub fn waived(policy: &Policy) -> impl Iterator<Item = &'static str> {
    RULES.iter().filter(|rule| rule.answer(policy) == Answer::Allow).map(|rule| rule.name)
}

/// The rules that are waived by default and make no difference to a document: it keeps their promises all the same, so they would
/// not have refused it. A rule that is waived by the settings alone is none: it may be waived for what comes later.
#[must_use]
pub fn unused_waivers(view: &View, context: &RuleContext) -> Vec<&'static str> {
    let by_default = |rule: &&Rule| rule.answers[0] == Answer::Allow;
    let waived = RULES.iter().filter(by_default).filter(|rule| rule.answer(&context.policy) == Answer::Allow);
    let is_known = |rule: &&Rule| {
        rule.name != mounts::network_fs::RULE.name || !mounts::network_fs::is_unknown(view, context)
    };
    let kept = waived.filter(|rule| (rule.holds)(view, context).is_ok());
    kept.filter(is_known).map(|rule| rule.name).collect()
}

/// Checks the `[rules]` of the settings.
///
/// # Errors
/// A rule does not exist, or does not offer the answer.
pub fn check_answers(answers: &BTreeMap<String, Answer>) -> Result<(), String> {
    for (name, answer) in answers {
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            return Err(format!("rules: there is no rule {name:?}"));
        };
        if !rule.answers.contains(answer) {
            let offered: Vec<String> = rule.answers.iter().map(|a| format!("{a:?}").to_lowercase()).collect();
            return Err(format!("rules: {name} offers {}", offered.join(", ")));
        }
    }
    Ok(())
}

/// A promise that a document breaks: the rule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    rule: &'static str,
    why: String,
}

impl Violation {
    fn of(rule: &Rule, why: impl Into<String>) -> Self {
        Self { rule: rule.name, why: why.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.why)
    }
}

impl std::error::Error for Violation {}
