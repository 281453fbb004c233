//! `linux` (config-linux.md) but for its resources.

use super::Judge::{Harmless, Rule};
use super::resources::RESOURCES;
use super::{Judge, MemberSchema, many, map, map_of, object, objects, one};

pub(super) static LINUX: [MemberSchema; 17] = [
    objects("uidMappings", &ID_MAPPING),
    objects("gidMappings", &ID_MAPPING),
    map("sysctl", Rule("sysctl")),
    object("resources", &RESOURCES),
    one("cgroupsPath", Rule("path-names")),
    objects("namespaces", &[one("type", NAMESPACES), one("path", NAMESPACES)]),
    objects(
        "devices",
        &[
            one("path", Rule("devices")),
            one("type", Rule("devices")),
            one("major", Rule("devices")),
            one("minor", Rule("devices")),
            one("fileMode", DEVICE_FILE),
            one("uid", DEVICE_FILE),
            one("gid", DEVICE_FILE),
        ],
    ),
    map_of("netDevices", &[one("name", Rule("net-devices"))]),
    object(
        "seccomp",
        &[
            one("defaultAction", Rule("seccomp")),
            one("defaultErrnoRet", Rule("seccomp")),
            many("architectures", Rule("seccomp")),
            many("flags", Harmless("how the filter is loaded and logged, not what it decides")),
            one("listenerPath", Rule("seccomp")),
            one(
                "listenerMetadata",
                Harmless("information for an agent; one that decides is refused by rule `seccomp`"),
            ),
            objects(
                "syscalls",
                &[
                    many("names", Rule("seccomp")),
                    one("action", Rule("seccomp")),
                    one("errnoRet", Rule("seccomp")),
                    objects(
                        "args",
                        &[
                            one("index", Rule("seccomp")),
                            one("value", Rule("seccomp")),
                            one("valueTwo", Rule("seccomp")),
                            one("op", Rule("seccomp")),
                        ],
                    ),
                ],
            ),
        ],
    ),
    one("rootfsPropagation", Rule("mount-propagation")),
    many("maskedPaths", Rule("masked-paths")),
    many("readonlyPaths", Rule("masked-paths")),
    one("mountLabel", Rule("path-names")),
    object(
        "intelRdt",
        &[
            one("closID", Rule("path-names")),
            many("schemata", CACHE),
            one("l3CacheSchema", CACHE),
            one("memBwSchema", CACHE),
            one("enableMonitoring", CACHE),
            // In runtime-spec 1.1 and 1.2.
            one("enableCMT", CACHE),
            one("enableMBM", CACHE),
        ],
    ),
    object("memoryPolicy", &[one("mode", MEMORY), one("nodes", MEMORY), many("flags", MEMORY)]),
    object("personality", &[one("domain", PERSONALITY), many("flags", PERSONALITY)]),
    object("timeOffsets", &[object("monotonic", &OFFSET), object("boottime", &OFFSET)]),
];

static ID_MAPPING: [MemberSchema; 3] = [one("containerID", IDS), one("hostID", IDS), one("size", IDS)];

static OFFSET: [MemberSchema; 2] = [one("secs", CLOCK), one("nanosecs", CLOCK)];

/// All types; network, pid and ipc namespaces have rules of their own as well.
const NAMESPACES: Judge = Rule("network-namespace");
const IDS: Judge = Rule("host-capabilities");
const DEVICE_FILE: Judge = Harmless("who may open a device node; rule `devices` checks which nodes exist");
const CACHE: Judge = Harmless("shares of processor caches and memory bandwidth");
const MEMORY: Judge = Harmless("which NUMA nodes memory comes from");
const PERSONALITY: Judge =
    Harmless("what uname(2) calls the machine; the filter judges calls by their architecture");
const CLOCK: Judge = Harmless("clocks of a time namespace of the container's own");
