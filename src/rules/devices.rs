//! `devices` and `device-access`: the container has the default devices, GPUs and accelerators, `/dev/kvm`
//! and `/dev/fuse`, and no other. Others lead out (vsock, vhost, tun, InfiniBand, modems, consoles of the
//! hypervisor) or to the machine itself (memory, ports, disks, kernel messages).
//!
//! A device is identified by its number and the driver of that number, never by its name in the container.

use std::collections::BTreeMap;

use serde_json::json;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Device, DeviceAccess, Edit, EditOp, Pointer, View};
use crate::settings::Answer;

pub(super) const NODES: Rule = Rule {
    name: "devices",
    promise: "no device node but the default ones, GPUs and accelerators, kvm and fuse",
    reference: "runtime-spec, config-linux.md, \"Default Devices\"; Linux, Documentation/admin-guide/devices.txt",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: plan_nodes,
    holds: |view, context| match nodes(view, context).first() {
        None => Ok(()),
        Some((_, device)) => Err(Violation::of(&NODES, format!("{}; {REMEDY}", describe(device, context)))),
    },
};

pub(super) const ACCESS: Rule = Rule {
    name: "device-access",
    promise: "the device control group begins with nothing and allows no device that cannot be a node",
    reference: "runtime-spec, config-linux.md, \"Allowed Device list\"; Linux, Documentation/admin-guide/cgroup-v1/devices.rst",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: plan_access,
    holds: |view, context| {
        if !begins_with_nothing(view) {
            return Err(Violation::of(&ACCESS, "the list does not begin with denying all devices"));
        }
        let against = access(view, context).into_iter().chain(consoles(view)).next();
        against.map_or(Ok(()), |(_, entry)| Err(Violation::of(&ACCESS, drop_it(entry, context))))
    },
};

/// Drivers by device type (`c`, `b`), major and minor number, from /proc/devices and, for major 10, /proc/misc.
pub type Drivers = BTreeMap<(char, i64, i64), String>;

const LIST: [&str; 3] = ["linux", "resources", "devices"];

/// null, zero, full, random, urandom: the same everywhere.
const MEMORY: [(i64, i64); 5] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)];

/// tty, ptmx: as nodes in the container they lead to its own terminals (pty(7); Linux, devpts.rst).
const TERMINALS: [(i64, i64); 2] = [(5, 0), (5, 2)];

/// The machine's console, whatever made the node. The container's own `/dev/console` is a pseudo terminal.
const CONSOLE: (i64, i64) = (5, 1);

/// Drivers of compute devices, and the two of `misc` for virtual machines and for file systems served from
/// inside.
const DRIVERS: [&str; 13] = [
    "accel",
    "drm",
    "habanalabs",
    "kfd",
    "misc/fuse",
    "misc/kvm",
    "neuron",
    "nvidia",
    "nvidia-caps",
    "nvidia-frontend",
    "nvidia-modeset",
    "nvidia-uvm",
    "nvidiactl",
];

/// Whether a number is one of the default devices, whose driver need not be known.
#[must_use]
pub fn is_default(major: i64, minor: i64) -> bool {
    let number = (major, minor);
    // Unix98 pseudo terminals: 136 to 143, of the container's own devpts.
    is_own(number) || number == CONSOLE || (136..=143).contains(&major)
}

fn is_own(number: (i64, i64)) -> bool {
    MEMORY.contains(&number) || TERMINALS.contains(&number)
}

fn is_driven(kind: char, major: i64, minor: i64, drivers: &Drivers) -> bool {
    drivers.get(&(kind, major, minor)).is_some_and(|driver| DRIVERS.contains(&driver.as_str()))
}

/// Whether a device of this type (`c`, `b`) and number is allowed in any container.
#[must_use]
pub fn is_usual(kind: char, major: i64, minor: i64, drivers: &Drivers) -> bool {
    kind == 'c' && (is_default(major, minor) || is_driven(kind, major, minor, drivers))
}

/// Whether a character device of the machine may be mounted; not its terminals, which are in use by others.
pub(super) fn is_usual_source(major: i64, minor: i64, drivers: &Drivers) -> bool {
    MEMORY.contains(&(major, minor)) || is_driven('c', major, minor, drivers)
}

/// runtime-spec's types: `u` is an unbuffered character device, `p` a FIFO.
fn kind_of(word: &str) -> char {
    if word == "u" { 'c' } else { word.chars().next().unwrap_or('a') }
}

fn nodes<'v>(view: &'v View, context: &RuleContext) -> Vec<(usize, &'v Device)> {
    let list = view.linux.as_ref().and_then(|linux| linux.devices.as_deref()).unwrap_or_default();
    let usual = |device: &Device| match (kind_of(&device.kind), device.major, device.minor) {
        ('p', ..) => true,
        ('c', Some(major), Some(minor)) => {
            is_own((major, minor)) || is_driven('c', major, minor, &context.host.drivers)
        }
        _ => false,
    };
    list.iter().enumerate().filter(|(_, device)| !usual(device)).collect()
}

/// What drivers that are refused give access to, for operators who consider allowing them.
const NOTES: &[(&str, &str)] = &[
    ("gdrdrv", "GDRCopy, which maps memory of the container's own GPUs"),
    ("infiniband_verbs", "RDMA, InfiniBand or EFA: a network of its own"),
    ("misc/rdma_cm", "RDMA: a network of its own"),
    ("misc/vhost-vsock", "the hypervisor"),
    ("misc/vsock", "the hypervisor"),
    ("nvidia-caps-imex-channels", "IMEX, memory of GPUs of other machines"),
    ("nvidia-fs", "GPUDirect Storage, disks and file servers past the mounts"),
];

const REMEDY: &str = "drop --device, or set [rules] devices = \"allow\"";

fn describe(device: &Device, context: &RuleContext) -> String {
    let (major, minor) = (device.major.unwrap_or(-1), device.minor.unwrap_or(-1));
    let driver = context.host.drivers.get(&(kind_of(&device.kind), major, minor));
    let driver = driver.map_or("unknown", String::as_str);
    let note = NOTES.iter().find(|(known, _)| *known == driver).map(|(_, note)| *note);
    let note = note.or(((major, minor) == CONSOLE).then_some("the machine's console"));
    let note = note.map_or(String::new(), |note| format!(", {note}"));
    format!("{} is {} {major}:{minor} (driver {driver}{note})", device.path.display(), device.kind)
}

fn plan_nodes(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let edit = |(index, device): (usize, &Device)| Edit {
        at: Pointer::to(&["linux", "devices"]).item(index),
        op: EditOp::Remove,
        description: format!("removed {}", describe(device, context)),
    };
    Ok(nodes(view, context).into_iter().map(edit).collect())
}

fn list<'v>(view: &'v View) -> &'v [DeviceAccess] {
    let resources = view.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    resources.and_then(|resources| resources.devices.as_deref()).unwrap_or_default()
}

fn all(number: Option<i64>) -> bool {
    number.is_none_or(|number| number < 0)
}

fn access_of(entry: &DeviceAccess) -> &str {
    entry.access.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm")
}

fn type_of(entry: &DeviceAccess) -> char {
    kind_of(entry.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("a"))
}

fn begins_with_nothing(view: &View) -> bool {
    list(view).first().is_some_and(|first| {
        let every = ['r', 'w', 'm'].iter().all(|right| access_of(first).contains(*right));
        !first.allow && type_of(first) == 'a' && all(first.major) && all(first.minor) && every
    })
}

/// Whether an entry allows reading and writing of allowed devices only. Making a node (`m`) does not open it.
fn is_usual_access(entry: &DeviceAccess, drivers: &Drivers) -> bool {
    match (entry.major, entry.minor) {
        _ if !entry.allow || !access_of(entry).contains(['r', 'w']) => true,
        (Some(major), minor) if major >= 0 => match minor.filter(|minor| *minor >= 0) {
            Some(minor) => is_usual(type_of(entry), major, minor, drivers),
            // A whole major number: of pseudo terminals, or of a driver that owns all of it.
            None => major != 10 && is_usual(type_of(entry), major, -1, drivers),
        },
        _ => false,
    }
}

fn access<'v>(view: &'v View, context: &RuleContext) -> Vec<(usize, &'v DeviceAccess)> {
    let all = list(view).iter().enumerate();
    all.filter(|(_, entry)| !is_usual_access(entry, &context.host.drivers)).collect()
}

/// Entries that allow the machine's console. Engines give one to every container, from times when
/// `/dev/console` was a device node, and also CAP_MKNOD, with which a process can make that node.
fn consoles<'v>(view: &'v View) -> impl Iterator<Item = (usize, &'v DeviceAccess)> {
    let is_console = |entry: &DeviceAccess| {
        entry.allow
            && type_of(entry) == 'c'
            && (entry.major, entry.minor) == (Some(CONSOLE.0), Some(CONSOLE.1))
            && access_of(entry).contains(['r', 'w'])
    };
    list(view).iter().enumerate().filter(move |(_, entry)| is_console(entry))
}

/// What `entry`, allowed in a device control group, allows beyond the allowed devices.
#[must_use]
pub fn allowed_against(entry: &DeviceAccess, drivers: &Drivers) -> Option<String> {
    (!is_usual_access(entry, drivers)).then(|| allows(entry, drivers))
}

fn allows(entry: &DeviceAccess, drivers: &Drivers) -> String {
    let show = |number: Option<i64>| number.filter(|n| *n >= 0).map_or("*".to_owned(), |n| n.to_string());
    let key = (type_of(entry), entry.major.unwrap_or(-1), entry.minor.unwrap_or(-1));
    let driver = drivers.get(&key).map_or("unknown", String::as_str);
    let (kind, major, minor) = (key.0, show(entry.major), show(entry.minor));
    format!("{kind} {major}:{minor} {} is allowed (driver {driver})", access_of(entry))
}

fn drop_it(entry: &DeviceAccess, context: &RuleContext) -> String {
    let allows = allows(entry, &context.host.drivers);
    format!("{allows}; drop --device, --privileged, or set [rules] device-access = \"allow\"")
}

fn plan_access(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let found = access(view, context);
    if let (Answer::Refuse, Some((_, entry))) = (ACCESS.answer(&context.policy), found.first()) {
        return Err(Violation::of(&ACCESS, drop_it(entry, context)));
    }
    let edit = |(index, entry): (usize, &DeviceAccess)| Edit {
        at: Pointer::to(&LIST).item(index),
        op: EditOp::Remove,
        description: format!("removed the entry by which {}", allows(entry, &context.host.drivers)),
    };
    let mut edits: Vec<Edit> = found.into_iter().chain(consoles(view)).map(edit).collect();
    if !begins_with_nothing(view) {
        edits.push(Edit {
            at: Pointer::to(&LIST),
            op: EditOp::Prepend(json!({"allow": false, "access": "rwm"})),
            description: "denied all devices that are not allowed by name".into(),
        });
    }
    Ok(edits)
}
