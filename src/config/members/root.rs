//! The root of `config.json`, its mounts and hooks (config.md).

use super::Judge::{Harmless, Rule};
use super::linux::LINUX;
use super::process::PROCESS;
use super::{Judge, MemberSchema, any, many, map, object, objects, one};

/// In the order in which Go writes them, as in all tables.
pub(super) static ROOT: [MemberSchema; 14] = [
    one("ociVersion", Harmless("a version")),
    object("process", &PROCESS),
    object(
        "root",
        &[
            one("path", Rule("mount-system")),
            one("readonly", Harmless("whether the container may write to its own root")),
        ],
    ),
    one("hostname", Harmless("the name in a UTS namespace of its own; runtimes refuse it in the host's")),
    one("domainname", Harmless("likewise for the NIS domain name")),
    objects(
        "mounts",
        &[
            one("destination", Rule("mount-system")),
            one("type", Rule("mount-system")),
            one("source", Rule("mount-system")),
            many("options", Rule("mount-propagation")),
            objects("uidMappings", &ID_MAPPING),
            objects("gidMappings", &ID_MAPPING),
        ],
    ),
    object(
        "hooks",
        &[
            objects("prestart", &HOOK),
            objects("createRuntime", &HOOK),
            objects("createContainer", &HOOK),
            objects("startContainer", &HOOK),
            objects("poststart", &HOOK),
            objects("poststop", &HOOK),
        ],
    ),
    map("annotations", Rule("runtime-annotations")),
    object("linux", &LINUX),
    any("solaris", OTHER),
    any("windows", OTHER),
    any(
        "vm",
        Harmless("for a hypervisor: runc, crun and youki do not read it, and Kata has its own settings"),
    ),
    any("zos", OTHER),
    any("freebsd", OTHER),
];

static ID_MAPPING: [MemberSchema; 3] = [one("containerID", IDS), one("hostID", IDS), one("size", IDS)];

const IDS: Judge =
    Harmless("the apparent owners of a mount's files; the rules on mounts check what is mounted");
const OTHER: Judge = Harmless("for another platform: no Linux runtime reads it");

static HOOK: [MemberSchema; 4] = [
    one("path", HOST),
    many("args", HOST),
    many("env", Harmless("the environment of a hook")),
    one("timeout", Harmless("a time")),
];

const HOST: Judge = Harmless(
    "a program that the engine chose: most run on the host with the host's rights (docs/threats.md)",
);
