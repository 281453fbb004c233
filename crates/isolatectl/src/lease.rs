//! Whether members of a job on other nodes are still peers of a container, if that has a limit (`[job] lease`).

use oci_isolate::job;
use oci_isolate::record::Record;

/// What is said when they are not. It breaks no promise.
pub(super) const IS_OVER: &str =
    "the lease has run out: members on other nodes are no peers until they are confirmed again";

/// For how many seconds they are from now; 0: no more. `None`: without a limit, or it is not known, as of a container that has
/// just ended.
pub(super) fn seconds_left(record: &Record) -> Option<u64> {
    let left = job::lease(record).ok().flatten()?;
    // A last part of a second is one.
    Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
}
