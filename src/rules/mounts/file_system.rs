//! What kind of file system it is that a source lies on: statfs(2)'s number or mountinfo's name in, a class out.

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The kernel's name for it, or the number.
    pub name: String,
    /// What that means for a container.
    pub class: Class,
}

/// What a file system means for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Files on this machine; can be the lower layer of an overlay.
    Local,
    /// Its files are somebody else's: another machine's, or a program's. The mount keeps its own network.
    Network,
    /// It is an interface of the kernel.
    System,
    /// Neither; what works with it nobody knows.
    Other,
}

impl FileSystem {
    /// By `f_type` of statfs(2) (linux/magic.h, and the file systems' own headers).
    #[must_use]
    pub fn of_magic(magic: i64) -> Self {
        // The field is a signed 32-bit number on some machines.
        let magic = magic & 0xffff_ffff;
        let known = TABLE.iter().find(|(_, known, _)| *known == magic);
        known.map_or_else(
            || Self { name: format!("{magic:#x}"), class: Class::Other },
            |(name, _, class)| Self { name: (*name).to_owned(), class: *class },
        )
    }

    /// By its name in proc_pid_mountinfo(5).
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let first = name.split('.').next().unwrap_or(name);
        let known = TABLE.iter().find(|(known, ..)| *known == first).map(|(_, _, class)| *class);
        let class = match (known, first) {
            (Some(class), _) => class,
            (None, "nfs4" | "smb3" | "fuseblk" | "virtiofs" | "prl_fs" | "davfs") => Class::Network,
            (None, "ext2" | "ext3") => Class::Local,
            (None, "devtmpfs") => Class::System,
            (None, _) => Class::Other,
        };
        Self { name: name.to_owned(), class }
    }
}

const TABLE: [(&str, i64, Class); 42] = [
    ("bcachefs", 0xca45_1a4e, Class::Local),
    ("btrfs", 0x9123_683e, Class::Local),
    ("erofs", 0xe0f5_e1e2, Class::Local),
    ("ext4", 0xef53, Class::Local),
    ("f2fs", 0xf2f5_2010, Class::Local),
    ("ramfs", 0x8584_58f6, Class::Local),
    ("squashfs", 0x7371_7368, Class::Local),
    ("tmpfs", 0x0102_1994, Class::Local),
    ("xfs", 0x5846_5342, Class::Local),
    ("overlay", 0x794c_7630, Class::Other),
    ("9p", 0x0102_1997, Class::Network),
    ("afs", 0x5346_414f, Class::Network),
    ("autofs", 0x0187, Class::Network),
    ("beegfs", 0x1983_0326, Class::Network),
    ("ceph", 0x00c3_6400, Class::Network),
    ("cifs", 0xff53_4d42, Class::Network),
    ("coda", 0x7375_7245, Class::Network),
    ("fuse", 0x6573_5546, Class::Network),
    ("gfs2", 0x0116_1970, Class::Network),
    ("gpfs", 0x4750_4653, Class::Network),
    ("lustre", 0x0bd0_0bd0, Class::Network),
    ("nfs", 0x6969, Class::Network),
    ("ocfs2", 0x7461_636f, Class::Network),
    ("orangefs", 0x2003_0528, Class::Network),
    ("smb", 0x517b, Class::Network),
    ("smb2", 0xfe53_4d42, Class::Network),
    ("vboxsf", 0x786f_4256, Class::Network),
    ("binfmt_misc", 0x4249_4e4d, Class::System),
    ("bpf", 0xcafe_4a11, Class::System),
    ("cgroup", 0x0027_e0eb, Class::System),
    ("cgroup2", 0x6367_7270, Class::System),
    ("configfs", 0x6265_6570, Class::System),
    ("debugfs", 0x6462_6720, Class::System),
    ("devpts", 0x1cd1, Class::System),
    ("efivarfs", 0xde5e_81e4, Class::System),
    ("mqueue", 0x1980_0202, Class::System),
    ("nsfs", 0x6e73_6673, Class::System),
    ("pidfs", 0x5049_4446, Class::System),
    ("proc", 0x9fa0, Class::System),
    ("securityfs", 0x7363_6673, Class::System),
    ("sysfs", 0x6265_6572, Class::System),
    ("tracefs", 0x7472_6163, Class::System),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_to_the_same_class() {
        for (name, magic, class) in TABLE {
            assert_eq!(FileSystem::of_magic(magic), FileSystem { name: name.into(), class });
            assert_eq!(FileSystem::of_name(name).class, class);
        }
        assert_eq!(FileSystem::of_magic(0xff53_4d42 - (1 << 32)).name, "cifs");
        assert_eq!(FileSystem::of_name("fuse.sshfs").class, Class::Network);
        assert_eq!(FileSystem::of_name("nfs4").class, Class::Network);
        assert_eq!(FileSystem::of_magic(1).class, Class::Other);
    }
}
