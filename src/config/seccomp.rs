//! The lens on `linux.seccomp` (config-linux.md, "Seccomp"). Members that have no say in what a call does
//! (`flags`, `listenerMetadata`) are not looked at.

use serde::Deserialize;

use super::Text;

/// The `linux.seccomp` member.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp<'a> {
    /// What happens to calls that no rule matches.
    #[serde(borrow)]
    pub default_action: Option<Text<'a>>,
    /// The error number of the default action.
    pub default_errno_ret: Option<u32>,
    /// Architectures whose calls the rules are for; calls of others kill.
    #[serde(borrow)]
    pub architectures: Option<Vec<Text<'a>>>,
    /// Where the agent listens that decides on `SCMP_ACT_NOTIFY`.
    #[serde(borrow)]
    pub listener_path: Option<Text<'a>>,
    /// The rules.
    #[serde(borrow)]
    pub syscalls: Option<Vec<Syscall<'a>>>,
}

/// One of `linux.seccomp.syscalls`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Syscall<'a> {
    /// Names of system calls.
    #[serde(borrow)]
    pub names: Option<Vec<Text<'a>>>,
    /// What happens to them.
    #[serde(borrow)]
    pub action: Option<Text<'a>>,
    /// The error number of the action.
    pub errno_ret: Option<u32>,
    /// Conditions on the arguments.
    #[serde(borrow)]
    pub args: Option<Vec<SeccompArg<'a>>>,
}

/// A condition on one argument.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompArg<'a> {
    /// Which argument, from 0.
    pub index: u32,
    /// What it is compared with; the mask of `SCMP_CMP_MASKED_EQ`.
    #[serde(default)]
    pub value: u64,
    /// What the masked argument is compared with.
    pub value_two: Option<u64>,
    /// How.
    #[serde(borrow)]
    pub op: Text<'a>,
}
