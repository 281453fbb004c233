//! Refuses a document that two decoders could read differently.
//!
//! Go's `encoding/json`, and so runc, takes `"Process"` for `process` and lets a later duplicate win (measured with
//! runc 1.1.5); libocispec, and so crun, compares exactly and keeps the first. What the rules look at and what the
//! runtime does would be two things. Members that runtime-spec does not know are nobody's and may look as they like.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Kind, Text, Unreadable, fold};

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

/// Checks a whole document.
///
/// # Errors
/// Not JSON, something behind it, not an object, or a member that decoders read differently.
pub(super) fn check(kind: Kind, text: &str) -> Result<(), Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Value::Members.deserialize(&mut deserializer)?;
    deserializer.end()?;
    if !text.trim_start().starts_with('{') {
        let what = match kind {
            Kind::Config => "a configuration",
            Kind::Process => "a process",
        };
        return Err(Unreadable(format!("not {what}: the JSON is not an object")));
    }
    Ok(())
}

/// What the object at this place is, if it is one.
#[derive(Clone, Copy)]
enum Value {
    /// It has runtime-spec's members; it may be a list of such.
    Members,
    /// It has runtime-spec's members and is no list: a member of [`OBJECTS`], or an item of a list.
    Object,
    /// It is a map with free keys.
    Map,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        match self {
            Self::Members | Self::Object => walk_members(members),
            Self::Map => walk_map(members),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if matches!(self, Self::Object) {
            return Err(A::Error::custom("a list stands where none belongs"));
        }
        while items.next_element_seed(Self::Object)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

fn walk_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<(), A::Error> {
    let mut seen = [false; NAMES.len()];
    while let Some(name) = members.next_key::<Text>()? {
        let Ok(at) = NAMES.binary_search(&&*name) else {
            let folded = fold(&name);
            if let Some(known) = NAMES.iter().find(|known| fold(known) == folded) {
                let why = format!("member {:?} is {known:?} to some decoders and unknown to others", &*name);
                return Err(A::Error::custom(why));
            }
            members.next_value::<IgnoredAny>()?;
            continue;
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(A::Error::custom(format!("member {:?} is given twice", &*name)));
        }
        members.next_value_seed(match &*name {
            name if MAPS.contains(&name) => Value::Map,
            name if OBJECTS.contains(&name) => Value::Object,
            _ => Value::Members,
        })?;
    }
    Ok(())
}

fn walk_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<(), A::Error> {
    let mut keys = Vec::new();
    while let Some(key) = members.next_key::<Text>()? {
        members.next_value_seed(Value::Members)?;
        keys.push(key);
    }
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(A::Error::custom(format!("key {:?} is given twice", &*pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_that_the_search_needs() {
        assert!(NAMES.is_sorted());
        assert!(MAPS.iter().chain(&OBJECTS).all(|name| NAMES.contains(name)));
    }
}
