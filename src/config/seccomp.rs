//! The view of `linux.seccomp` (config-linux.md, "Seccomp"), without the members that do not decide on calls
//! (`flags`, `listenerMetadata`).

use serde::Deserialize;

use super::Text;

/// The `linux.seccomp` member.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp<'a> {
    /// The action for calls that no rule matches.
    #[serde(borrow)]
    pub default_action: Option<Text<'a>>,
    /// The error number of the default action.
    pub default_errno_ret: Option<u32>,
    /// Architectures to which the rules apply; calls of others kill.
    #[serde(borrow)]
    pub architectures: Option<Vec<Text<'a>>>,
    /// The socket of the agent that decides on `SCMP_ACT_NOTIFY`.
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
    /// The action for these calls.
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
    /// The index of the argument, from 0.
    pub index: u32,
    /// The value to compare with; the mask of `SCMP_CMP_MASKED_EQ`.
    #[serde(default)]
    pub value: u64,
    /// The value to compare the masked argument with.
    pub value_two: Option<u64>,
    /// The operator.
    #[serde(borrow)]
    pub op: Text<'a>,
}
