//! `process`, and the file of `exec --process` (config.md, "Process").

use super::Judge::{Harmless, Rule};
use super::{Judge, MemberSchema, many, object, objects, one};

pub(super) static PROCESS: [MemberSchema; 16] = [
    one("terminal", Harmless("a terminal in the container's own devpts")),
    object("consoleSize", &[one("height", Harmless("a size")), one("width", Harmless("a size"))]),
    object(
        "user",
        &[
            one("uid", USER),
            one("gid", USER),
            one("umask", Harmless("the mode of new files")),
            many("additionalGids", USER),
            one("username", Harmless("for another platform: no Linux runtime reads it")),
        ],
    ),
    many("args", Rule("credential-args")),
    one("commandLine", Harmless("for another platform: no Linux runtime reads it")),
    many("env", Rule("credentials-env")),
    one(
        "cwd",
        Harmless("a directory in the container; a runtime that lets it lead out is broken (CVE-2024-21626)"),
    ),
    object(
        "capabilities",
        &[
            many("bounding", CAPABILITIES),
            many("effective", CAPABILITIES),
            many("inheritable", CAPABILITIES),
            many("permitted", CAPABILITIES),
            many("ambient", CAPABILITIES),
        ],
    ),
    objects(
        "rlimits",
        &[one("type", Rule("core-dumps")), one("hard", Rule("core-dumps")), one("soft", Rule("core-dumps"))],
    ),
    one(
        "noNewPrivileges",
        Harmless("only restricts; without it a program has the capabilities of the sets above"),
    ),
    one("apparmorProfile", LABEL),
    one("oomScoreAdj", Harmless("which process the kernel kills first")),
    object(
        "scheduler",
        &[
            one("policy", TIME),
            one("nice", TIME),
            one("priority", TIME),
            many("flags", TIME),
            one("runtime", TIME),
            one("deadline", TIME),
            one("period", TIME),
        ],
    ),
    one("selinuxLabel", LABEL),
    object("ioPriority", &[one("class", TIME), one("priority", TIME)]),
    object("execCPUAffinity", &[one("initial", TIME), one("final", TIME)]),
];

const USER: Judge =
    Harmless("ids in the container: the rules on capabilities, mounts and devices limit their rights");
const CAPABILITIES: Judge = Rule("host-capabilities");
const TIME: Judge = Harmless("a share of time on processors and disks");
const LABEL: Judge =
    Harmless("additional confinement, on which no rule relies: namespaces and seccomp hold without it");
