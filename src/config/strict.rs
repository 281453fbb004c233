//! Refuses a document that two decoders could read differently.
//!
//! Go's `encoding/json`, and so runc, takes `"Process"` for `process` and lets a later duplicate win (measured with
//! runc 1.1.5); libocispec, and so crun, compares exactly and keeps the first. What the rules look at and what the
//! runtime does would be two things. Members that runtime-spec does not know are nobody's and may look as they like.

use super::json::Value;
use super::{Kind, Unreadable, is_one};

/// Every member name of runtime-spec 1.3 (specs-go/config.go), at whatever depth, in byte order.
#[rustfmt::skip]
const NAMES: [&str; 228] = [
    "DNSSearchList", "access", "action", "additionalGids", "affinity", "allow", "allowUnqualifiedDNSQuery",
    "allowedAddress", "ambient", "anet", "annotations", "apparmorProfile", "architectures", "args", "blockIO",
    "bounding", "bps", "burst", "capabilities", "cappedCPU", "cappedMemory", "cgroupsPath",
    "checkBeforeUpdate", "chflags", "class", "classID", "closID", "commandLine", "configureAllowedAddress",
    "consoleSize", "containerID", "count", "cpu", "cpus", "createContainer", "createRuntime",
    "credentialSpec", "cwd", "deadline", "defaultAction", "defaultErrnoRet", "defrouter", "destination",
    "deviceTree", "devices", "disableOOMKiller", "domain", "domainname", "dtdevs", "effective",
    "enableMonitoring", "endpointList", "enforceStatfs", "env", "errnoRet", "execCPUAffinity", "fileMode",
    "final", "firstGFN", "firstMFN", "flags", "format", "freebsd", "gid", "gidMappings", "group", "hard",
    "hcaHandles", "hcaObjects", "height", "hooks", "host", "hostID", "hostname", "hugepageLimits", "hwconfig",
    "hyperv", "hypervisor", "id", "idType", "idle", "ignoreFlushesDuringBoot", "image", "index",
    "inheritable", "initial", "initrd", "intelRdt", "interface", "ioPriority", "iomems", "iops", "ip4",
    "ip4Addr", "ip6", "ip6Addr", "irqs", "jail", "kernel", "kernelTCP", "l3CacheSchema", "layerFolders",
    "leafWeight", "limit", "limitpriv", "linkProtection", "linkname", "linux", "listenerMetadata",
    "listenerPath", "lowerLink", "macAddress", "major", "mask", "maskedPaths", "maxShmMemory", "maximum",
    "memBwSchema", "memory", "memoryPolicy", "mems", "milestone", "minor", "mlock", "mode", "mount",
    "mountLabel", "mounts", "name", "names", "namespaces", "nanosecs", "ncpus", "netDevices", "network",
    "networkNamespace", "networkSharedContainerName", "nice", "noNewPrivileges", "nodes", "nrMFNs",
    "ociVersion", "oomScoreAdj", "op", "options", "pageSize", "parameters", "parent", "path", "period",
    "permitted", "personality", "physical", "pids", "policy", "poststart", "poststop", "prestart",
    "priorities", "priority", "process", "quota", "quotas", "rate", "rawSockets", "rdma", "readonly",
    "readonlyPaths", "realtimePeriod", "realtimeRuntime", "reservation", "reservedPorts", "resources",
    "rlimits", "root", "rootfsPropagation", "runtime", "sandboxSize", "scheduler", "schemata", "seccomp",
    "secs", "selinuxLabel", "servicing", "setHostname", "shares", "size", "socketAf", "soft", "solaris",
    "source", "startContainer", "storage", "suser", "swap", "swappiness", "syscalls", "sysctl", "sysvmsg",
    "sysvsem", "sysvshm", "terminal", "throttleReadBpsDevice", "throttleReadIOPSDevice",
    "throttleWriteBpsDevice", "throttleWriteIOPSDevice", "timeOffsets", "timeout", "type", "uid",
    "uidMappings", "umask", "unified", "useHierarchy", "user", "username", "utilityVMPath", "value",
    "valueTwo", "vcpus", "vm", "vnet", "vnetInterfaces", "weight", "weightDevice", "width", "windows", "zos",
];

/// Members of [`NAMES`] that are maps with free keys: case matters in them, repetition is still an error.
const MAPS: [&str; 6] = ["annotations", "netDevices", "rdma", "sysctl", "timeOffsets", "unified"];

/// Members of [`NAMES`] that are objects. serde takes a list for a struct, by position, and runtimes do not: runc rejects
/// it, crun 1.8.1 runs and passes over it.
const OBJECTS: [&str; 7] = ["capabilities", "hooks", "linux", "process", "resources", "root", "seccomp"];

/// As many levels of known members are looked at, which is as deep as serde_json goes.
pub(super) const DEEPEST: usize = 127;

/// Checks a whole document.
///
/// # Errors
/// Not an object, a member that decoders read differently, or a string or number that stands for nothing.
pub(super) fn check(kind: Kind, root: Value) -> Result<(), Unreadable> {
    walk(root, Is::Members, 1)?;
    match (root.first(), kind) {
        (b'{', _) => Ok(()),
        (_, Kind::Config) => Err(Unreadable::new("not a configuration: the JSON is not an object")),
        (_, Kind::Process) => Err(Unreadable::new("not a process: the JSON is not an object")),
    }
}

/// What the object at a place is, if it is one.
#[derive(Clone, Copy)]
enum Is {
    /// It has runtime-spec's members; it may be a list of such.
    Members,
    /// It has runtime-spec's members and is no list: a member of [`OBJECTS`], or an item of a list.
    Object,
    /// It is a map with free keys.
    Map,
}

/// Walks over a value on this level, counted from 1.
fn walk(value: Value, is: Is, level: usize) -> Result<(), Unreadable> {
    match (value.first(), is) {
        (b'{' | b'[', _) if level > DEEPEST => Err(value.against("recursion limit exceeded")),
        (b'{', Is::Map) => map(value, level),
        (b'{', _) => members(value, level),
        (b'[', Is::Object) => Err(value.against("a list stands where none belongs")),
        (b'[', _) => value.children().try_for_each(|item| walk(item, Is::Object, level + 1)),
        (b'"', _) => value.string().map(drop),
        (b'-' | b'0'..=b'9', _) => value.number().map(drop),
        _ => Ok(()),
    }
}

fn members(object: Value, level: usize) -> Result<(), Unreadable> {
    let mut seen = [false; NAMES.len()];
    for (name, value) in object.members() {
        let text = name.string()?;
        let Some(at) = place(&text) else {
            if let Some(known) = NAMES.iter().find(|known| is_one(known, &text)) {
                let why = format!("member {:?} is {known:?} to some decoders and unknown to others", &*text);
                return Err(name.against(&why));
            }
            continue;
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(name.against(&format!("member {:?} is given twice", &*text)));
        }
        let is = match &*text {
            text if MAPS.contains(&text) => Is::Map,
            text if OBJECTS.contains(&text) => Is::Object,
            _ => Is::Members,
        };
        walk(value, is, level + 1)?;
    }
    Ok(())
}

/// Where the name stands in [`NAMES`].
fn place(name: &str) -> Option<usize> {
    let first = *name.as_bytes().first()? as usize;
    let (from, to) = (*STARTS.get(first)?, *STARTS.get(first + 1)?);
    NAMES.get(from..to)?.iter().position(|known| *known == name).map(|at| from + at)
}

/// Where the names with each first byte start in [`NAMES`].
const STARTS: [usize; 129] = {
    let mut starts = [NAMES.len(); 129];
    let mut at = NAMES.len();
    while at > 0 {
        at -= 1;
        let mut first = NAMES[at].as_bytes()[0] as usize + 1;
        while first > 0 && starts[first - 1] > at {
            first -= 1;
            starts[first] = at;
        }
    }
    starts
};

fn map(object: Value, level: usize) -> Result<(), Unreadable> {
    let mut keys = Vec::new();
    for (key, value) in object.members() {
        walk(value, Is::Members, level + 1)?;
        keys.push(key.string()?);
    }
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(object.against(&format!("key {:?} is given twice", &*pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_that_the_search_needs() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().enumerate().all(|(at, name)| place(name) == Some(at)));
        assert_eq!((place("~"), place("a"), place("")), (None, None, None));
        assert!(MAPS.iter().chain(&OBJECTS).all(|name| NAMES.contains(name)));
    }
}
