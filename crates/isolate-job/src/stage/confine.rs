//! What the process gives up before it reads a credential: it cannot be inspected or dumped, gains no privileges, writes nowhere but below
//! the directories of its container, and connects to no daemon of the host over a Unix socket. Threads and credential processes inherit all
//! of it but the first.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use nix::libc;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::Job;
use crate::plan::Direction;

/// Gives it up.
///
/// # Errors
/// The system's. A kernel without Landlock is an error, too.
pub(super) fn confine(job: &Job) -> Result<(), String> {
    let of = |what: &'static str| move |errno: rustix::io::Errno| format!("cannot {what}: {errno}");
    // /proc/PID is root's now, and there is no core dump, not even through a pipe.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(of("become undumpable"))?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(of("forbid core dumps"))?;
    set_no_new_privs(true).map_err(of("forbid new privileges"))?;
    write_only_below(job).map_err(|error| {
        format!("cannot restrict writes: {error}; Linux 5.19 with Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock) is needed")
    })?;
    no_unix_sockets().map_err(|error| format!("cannot forbid Unix sockets: {error}"))?;
    let current = capabilities(None).map_err(of("read capabilities"))?;
    let kept = needed(job.direction, current.permitted);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    clear_ambient_capability_set().map_err(of("drop capabilities"))?;
    set_capabilities(None, sets).map_err(of("drop capabilities"))
}

/// Directories may belong to the container's user: staging writes there, and results are read whatever their permissions. In a pod a
/// container may have no more than the first (Pod Security Standards, baseline).
fn needed(direction: Direction, permitted: CapabilitySet) -> CapabilitySet {
    let reading = CapabilitySet::DAC_READ_SEARCH;
    let is_enough = direction == Direction::Out && permitted.contains(reading);
    permitted & if is_enough { reading } else { CapabilitySet::DAC_OVERRIDE }
}

fn write_only_below(job: &Job) -> Result<(), RulesetError> {
    // The second version, since a staged directory is renamed out of its temporary one.
    let write = AccessFs::from_write(ABI::V2);
    // A directory appears by its name in the one above.
    let checkpoints = job.checkpoints.as_deref().and_then(|directory| directory.canonicalize().ok());
    let above = checkpoints.as_deref().and_then(Path::parent);
    let directories = above.into_iter().chain([job.root.as_path()]);
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(write)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::Truncate)?
        .create()?
        .add_rules(path_beneath_rules(directories, write | AccessFs::Truncate))?
        // Credential processes write to it.
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile | AccessFs::Truncate))?
        .restrict_self()
        .map(drop)
}

/// Engines take orders from root over a Unix socket, and daemons that resolve names (nscd, systemd-resolved) do so in the host's network.
/// Of socketpair(2) streams remain, which cannot be connected to anything else.
fn no_unix_sockets() -> Result<(), seccompiler::Error> {
    let family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?;
    let unix = SeccompRule::new(vec![family])?;
    // A socket of a pair of datagram sockets sends to any other, too; SOCK_RAW becomes one.
    let datagrams = [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| {
        let masked = SeccompCmpOp::MaskedEq(SOCK_TYPE_MASK);
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, masked, kind as u64)
            .and_then(|kind| SeccompRule::new(vec![kind]))
    });
    let datagrams = datagrams.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut rules = BTreeMap::new();
    for abi in ABIS {
        rules.insert(abi + libc::SYS_socket, vec![unix.clone()]);
        rules.insert(abi + libc::SYS_socketpair, datagrams.clone());
        // Its IORING_OP_SOCKET makes sockets without socket(2).
        rules.insert(abi + libc::SYS_io_uring_setup, vec![]);
    }
    let refused = SeccompAction::Errno(libc::EACCES as u32);
    // It kills a process that makes a system call of another architecture.
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

/// linux/net.h: the rest are flags.
const SOCK_TYPE_MASK: u64 = 0xf;

/// What is added to the numbers of system calls: x32 has those of x86-64 with a bit set (`__X32_SYSCALL_BIT`, asm/unistd.h).
#[cfg(target_arch = "x86_64")]
const ABIS: [i64; 2] = [0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const ABIS: [i64; 1] = [0];
