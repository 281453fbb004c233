//! `linux.resources` (config-linux.md, "Control groups"): shares and limits, which only restrict, and
//! devices.

use super::Judge::{Harmless, Rule};
use super::{Judge, MemberSchema, map, map_of, object, objects, one};

pub(super) static RESOURCES: [MemberSchema; 9] = [
    objects(
        "devices",
        &[
            one("allow", Rule("device-access")),
            one("type", Rule("device-access")),
            one("major", Rule("device-access")),
            one("minor", Rule("device-access")),
            one("access", Rule("device-access")),
        ],
    ),
    object(
        "memory",
        &[
            one("limit", SHARE),
            one("reservation", SHARE),
            one("swap", SHARE),
            one("kernel", SHARE),
            one("kernelTCP", SHARE),
            one("swappiness", SHARE),
            one("disableOOMKiller", SHARE),
            one("useHierarchy", SHARE),
            one("checkBeforeUpdate", SHARE),
        ],
    ),
    object(
        "cpu",
        &[
            one("shares", SHARE),
            one("quota", SHARE),
            one("burst", SHARE),
            one("period", SHARE),
            one("realtimeRuntime", SHARE),
            one("realtimePeriod", SHARE),
            one("cpus", SHARE),
            one("mems", SHARE),
            one("idle", SHARE),
        ],
    ),
    object("pids", &[one("limit", SHARE)]),
    object(
        "blockIO",
        &[
            one("weight", SHARE),
            one("leafWeight", SHARE),
            objects(
                "weightDevice",
                &[one("major", SHARE), one("minor", SHARE), one("weight", SHARE), one("leafWeight", SHARE)],
            ),
            objects("throttleReadBpsDevice", &THROTTLE),
            objects("throttleWriteBpsDevice", &THROTTLE),
            objects("throttleReadIOPSDevice", &THROTTLE),
            objects("throttleWriteIOPSDevice", &THROTTLE),
        ],
    ),
    objects("hugepageLimits", &[one("pageSize", Rule("path-names")), one("limit", SHARE)]),
    object(
        "network",
        &[one("classID", PACKETS), objects("priorities", &[one("name", PACKETS), one("priority", PACKETS)])],
    ),
    map_of("rdma", &[one("hcaHandles", SHARE), one("hcaObjects", SHARE)]),
    map("unified", Rule("path-names")),
];

static THROTTLE: [MemberSchema; 3] = [one("major", SHARE), one("minor", SHARE), one("rate", SHARE)];

const SHARE: Judge = Harmless("a share or a limit of the container's control group");
const PACKETS: Judge = Harmless("a mark or a priority of packets; where none gets out, none is marked");
