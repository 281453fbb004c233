//! The known mount options, by type: runtime-spec, config.md, "Linux mount options"; runc,
//! libcontainer/specconv (`parseMountOptions`); crun, src/libcrun/mount_flags.perf; youki,
//! crates/libcontainer/src/rootfs/utils.rs; and for each file system the kernel's documentation.
//!
//! Left out on purpose: `remount`, which changes the existing mount at the destination; and crun's
//! `copy-symlink`, `src-nofollow` and `dest-nofollow`, with which a source or a destination is a link itself
//! and not the file that was checked.

/// The value of an option, after its `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionValue {
    /// There is no `=`.
    None,
    /// A mode, such as `1777`.
    Octal,
    /// Such as `1000`.
    Number,
    /// Such as `64m` or `50%`.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An absolute path.
    Path,
    /// Absolute paths, separated by colons.
    Paths,
    /// An SELinux label, in double quotes if it contains a comma.
    Label,
    /// Nothing, or ranges of ids as in crun: `uids=0-1000-10;gids=0-1000-10`.
    Ids,
}

/// Options with a common reason.
#[derive(Debug)]
pub struct KnownOption {
    /// The types that have them: `bind`, or a file system. None for all.
    pub types: &'static [&'static str],
    /// Their names.
    pub names: &'static [&'static str],
    /// The value of each.
    pub value: OptionValue,
    /// Why they affect nothing outside the container.
    pub why: &'static str,
}

/// File systems with files and directories of their own, whose first has a mode and an owner.
const OF_FILES: &[&str] = &["devpts", "hugetlbfs", "tmpfs"];
const ON_OFF: &[&str] = &["off", "on"];

/// Every option that is known.
pub const KNOWN_OPTIONS: &[KnownOption] = &[
    KnownOption {
        types: &[],
        names: &[
            "async",
            "atime",
            "defaults",
            "dev",
            "diratime",
            "dirsync",
            "exec",
            "iversion",
            "lazytime",
            "loud",
            "mand",
            "noatime",
            "nodev",
            "nodiratime",
            "noexec",
            "noiversion",
            "nolazytime",
            "nomand",
            "norelatime",
            "nostrictatime",
            "nosuid",
            "nosymfollow",
            "relatime",
            "ro",
            "rw",
            "silent",
            "strictatime",
            "suid",
            "symfollow",
            "sync",
        ],
        value: OptionValue::None,
        why: "flags of this mount; where it must be read-only a rule appends `ro`",
    },
    KnownOption {
        types: &[],
        names: &["private", "rprivate", "rshared", "rslave", "runbindable", "shared", "slave", "unbindable"],
        value: OptionValue::None,
        why: "judged by `mount-propagation`",
    },
    KnownOption {
        types: &["bind"],
        names: &["bind", "rbind"],
        value: OptionValue::None,
        why: "the source is judged by the other mount rules",
    },
    KnownOption {
        types: &["bind"],
        names: &[
            "ratime",
            "rdev",
            "rdiratime",
            "rexec",
            "rnoatime",
            "rnodev",
            "rnodiratime",
            "rnoexec",
            "rnorelatime",
            "rnostrictatime",
            "rnosuid",
            "rnosymfollow",
            "rrelatime",
            "rro",
            "rrw",
            "rstrictatime",
            "rsuid",
            "rsymfollow",
        ],
        value: OptionValue::None,
        why: "the same flags for the mounts below it",
    },
    KnownOption {
        types: &["bind"],
        names: &["idmap", "ridmap"],
        value: OptionValue::Ids,
        why: "who owns the files, as they are seen in the container",
    },
    KnownOption {
        types: &["bind"],
        names: &["U", "Z", "z"],
        value: OptionValue::None,
        why: "an engine's words for owner and label; the kernel ignores what is no flag of a bind mount",
    },
    KnownOption {
        types: &["tmpfs"],
        names: &["tmpcopyup"],
        value: OptionValue::None,
        why: "what the image has at the destination is copied into it",
    },
    KnownOption { types: OF_FILES, names: &["mode"], value: OptionValue::Octal, why: "who may enter it" },
    KnownOption { types: OF_FILES, names: &["gid", "uid"], value: OptionValue::Number, why: "its owner" },
    KnownOption { types: &["ramfs"], names: &["mode"], value: OptionValue::Octal, why: "who may enter it" },
    KnownOption {
        types: &["tmpfs"],
        names: &["nr_blocks", "nr_inodes", "size"],
        value: OptionValue::Size,
        why: "how much fits into it",
    },
    KnownOption {
        types: &["tmpfs"],
        names: &["inode32", "inode64", "noswap"],
        value: OptionValue::None,
        why: "how it is kept in memory",
    },
    KnownOption {
        types: &["tmpfs"],
        names: &["huge"],
        value: OptionValue::Word(&["advise", "always", "never", "within_size"]),
        why: "how it is kept in memory",
    },
    KnownOption {
        types: &["devpts"],
        names: &["newinstance"],
        value: OptionValue::None,
        why: "its terminals are the container's own, as since Linux 4.7 they always are",
    },
    KnownOption {
        types: &["devpts"],
        names: &["ptmxmode"],
        value: OptionValue::Octal,
        why: "who may make terminals",
    },
    KnownOption {
        types: &["devpts"],
        names: &["max"],
        value: OptionValue::Number,
        why: "how many terminals",
    },
    KnownOption {
        types: &["hugetlbfs"],
        names: &["min_size", "nr_inodes", "pagesize", "size"],
        value: OptionValue::Size,
        why: "which pages, and how many of them",
    },
    KnownOption {
        types: &["proc"],
        names: &["hidepid"],
        value: OptionValue::Word(&["0", "1", "2", "4", "invisible", "noaccess", "off", "ptraceable"]),
        why: "shows less",
    },
    KnownOption {
        types: &["proc"],
        names: &["subset"],
        value: OptionValue::Word(&["pid"]),
        why: "shows less",
    },
    KnownOption {
        types: &["proc"],
        names: &["gid"],
        value: OptionValue::Number,
        why: "a group within the container",
    },
    KnownOption {
        types: &["overlay"],
        names: &["lowerdir"],
        value: OptionValue::Paths,
        why: "each directory is judged by `mount-system`",
    },
    KnownOption {
        types: &["overlay"],
        names: &["upperdir", "workdir"],
        value: OptionValue::Path,
        why: "each directory is judged by `mount-system`",
    },
    KnownOption {
        types: &["overlay"],
        names: &["index", "metacopy", "nfs_export"],
        value: OptionValue::Word(ON_OFF),
        why: "how its own layers are put together",
    },
    KnownOption {
        types: &["overlay"],
        names: &["redirect_dir"],
        value: OptionValue::Word(&["follow", "nofollow", "off", "on"]),
        why: "how its own layers are put together",
    },
    KnownOption {
        types: &["overlay"],
        names: &["xino"],
        value: OptionValue::Word(&["auto", "off", "on"]),
        why: "numbers of its inodes",
    },
    KnownOption {
        types: &["overlay"],
        names: &["userxattr", "volatile"],
        value: OptionValue::None,
        why: "how its own layers are put together",
    },
    KnownOption {
        types: &["devpts", "hugetlbfs", "mqueue", "overlay", "ramfs", "tmpfs"],
        names: &["context", "defcontext", "fscontext", "rootcontext"],
        value: OptionValue::Label,
        why: "the SELinux label that an engine gives to its files",
    },
];

/// Whether an option, whole, is known for a type.
pub(super) fn is_known(kind: &str, option: &str) -> bool {
    let (name, value) = match option.split_once('=') {
        None => (option, None),
        Some((name, value)) => (name, Some(value)),
    };
    let has = |known: &&KnownOption| {
        known.names.contains(&name) && (known.types.is_empty() || known.types.contains(&kind))
    };
    KNOWN_OPTIONS.iter().find(has).is_some_and(|known| known.value.accepts(value))
}

impl OptionValue {
    fn accepts(self, value: Option<&str>) -> bool {
        let Some(value) = value else { return matches!(self, Self::None | Self::Ids) };
        let digits = |text: &str, radix| {
            !text.is_empty() && text.len() <= 20 && text.chars().all(|c| c.is_digit(radix))
        };
        let path = |path: &str| path.starts_with('/') && !path.contains([',', '"', '\\']);
        match self {
            Self::None => false,
            Self::Octal => digits(value, 8),
            Self::Number => digits(value, 10),
            Self::Size => digits(value.strip_suffix(SUFFIXES).unwrap_or(value), 10),
            Self::Word(words) => words.contains(&value),
            Self::Path => path(value),
            // A colon in the name of a directory is escaped by a backslash.
            Self::Paths => value.replace("\\:", "").split(':').all(path),
            Self::Label => is_quoted_label(value) || is_label(value) && !value.contains(','),
            Self::Ids => !value.is_empty() && value.split(';').all(is_ids),
        }
    }
}

/// Of memparse() in the kernel, and of tmpfs.
const SUFFIXES: [char; 13] = ['%', 'E', 'G', 'K', 'M', 'P', 'T', 'e', 'g', 'k', 'm', 'p', 't'];

fn is_ids(text: &str) -> bool {
    let ranges = text.strip_prefix("uids=").or_else(|| text.strip_prefix("gids="));
    ranges.is_some_and(|ranges| ranges.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '#' | '@')))
}

fn is_quoted_label(value: &str) -> bool {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).is_some_and(is_label)
}

/// Whether it is an SELinux label: `user:role:type`, maybe with a level.
pub(super) fn is_label(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ',' | ':');
    text.split(':').count() >= 3 && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_set_is_known() {
        for (kind, options) in [
            ("tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k", "size=50%", "nr_inodes=1k"][..]),
            ("tmpfs", &["context=\"system_u:object_r:container_file_t:s0:c1,c2\"", "tmpcopyup", "uid=0"]),
            ("devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            ("proc", &["nosuid", "hidepid=2", "subset=pid"]),
            ("bind", &["rbind", "rprivate", "rro", "idmap", "idmap=uids=0-1-10#11-12-1;gids=@0-1-10", "z"]),
            ("overlay", &[r"lowerdir=/a\:b:/c", "upperdir=/a:b", "workdir=/w", "userxattr", "private"]),
            ("overlay", &["context=system_u:object_r:container_file_t:s0", "metacopy=on"]),
            ("cgroup", &["nosuid", "ro", "rprivate"]),
        ] {
            for option in options {
                assert!(is_known(kind, option), "{kind} {option}");
            }
        }
    }

    #[test]
    fn what_changes_another_mount_or_hides_an_option_is_not() {
        for (kind, options) in [
            (
                "tmpfs",
                &["remount", "Ro", "ro ", "", "mode=", "mode=9", "size=1,remount", "bind", "mode=1=2"][..],
            ),
            (
                "tmpfs",
                &["context=\"a:b:c\",remount", "context=a:b:c,remount", "context=\"a:b", "mpol=bind:0,1"],
            ),
            ("overlay", &["index=off,lowerdir=/", "lowerdir=a", "lowerdir=/a:b", "lowerdir+=/a", "rrw"]),
            (
                "overlay",
                &[r"upperdir=/a\", "upperdir=/a\"b", r"lowerdir=/a\,b", "lowerdir", "lowerdir=/a::/b"],
            ),
            ("cgroup2", &["nsdelegate", "rrw", "idmap"]),
            ("sysfs", &["rrw", "bind", "context=a:b:c"]),
            ("bind", &["remount", "copy-symlink", "dest-nofollow", "idmapx", "mode=755", "RBIND", "size=1"]),
        ] {
            for option in options {
                assert!(!is_known(kind, option), "{kind} {option}");
            }
        }
    }
}
