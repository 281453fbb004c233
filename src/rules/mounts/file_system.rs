//! Classifies the file system of a source by its number (statfs(2)) or its name (mountinfo). One that is not
//! listed is [`Class::Unknown`].

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The kernel's name for it, or the number.
    pub name: String,
    /// Its class.
    pub class: Class,
}

/// What a file system means for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Files on this machine; can be the lower layer of an overlay.
    Local,
    /// Files on this machine; it is unknown whether it can be a layer.
    Data,
    /// Its files come from another machine or a program, over the mount's own network.
    Network,
    /// It is an interface of the kernel.
    System,
    /// On no list.
    Unknown,
}

impl FileSystem {
    /// That of a missing source.
    #[must_use]
    pub fn none() -> Self {
        Self { name: "none".into(), class: Class::Unknown }
    }

    /// By `f_type` of statfs(2) (linux/magic.h, and the file systems' own headers).
    #[must_use]
    pub fn of_magic(magic: i64) -> Self {
        // The field is a signed 32-bit number on some machines.
        let magic = magic & 0xffff_ffff;
        let known = TABLE.iter().find(|(_, known, _)| *known == magic);
        known.map_or_else(
            || Self { name: format!("{magic:#x}"), class: Class::Unknown },
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
            (None, "nfs4" | "smb3" | "fuseblk" | "virtiofs" | "davfs") => Class::Network,
            (None, "ext2" | "ext3") => Class::Local,
            (None, "devtmpfs") => Class::System,
            (None, _) => Class::Unknown,
        };
        Self { name: name.to_owned(), class }
    }

    /// The names of all file systems of a class, as the documentation lists them.
    pub fn names(class: Class) -> impl Iterator<Item = &'static str> {
        TABLE.iter().filter(move |(_, _, of)| *of == class).map(|(name, ..)| *name)
    }
}

/// By class, then by name. Numbers are from linux/magic.h unless noted.
const TABLE: &[(&str, i64, Class)] = &[
    ("bcachefs", 0xca45_1a4e, Class::Local),
    ("btrfs", 0x9123_683e, Class::Local),
    ("erofs", 0xe0f5_e1e2, Class::Local),
    ("ext4", 0xef53, Class::Local),
    ("f2fs", 0xf2f5_2010, Class::Local),
    ("ramfs", 0x8584_58f6, Class::Local),
    ("squashfs", 0x7371_7368, Class::Local),
    ("tmpfs", 0x0102_1994, Class::Local),
    ("xfs", 0x5846_5342, Class::Local),
    ("cramfs", 0x28cd_3d45, Class::Data),
    ("ecryptfs", 0xf15f, Class::Data),
    ("exfat", 0x2011_bab0, Class::Data),
    // fs/hfsplus/hfsplus_raw.h
    ("hfsplus", 0x482b, Class::Data),
    ("hugetlbfs", 0x9584_58f6, Class::Data),
    ("iso9660", 0x9660, Class::Data),
    // fs/jfs/jfs_superblock.h
    ("jfs", 0x3153_464a, Class::Data),
    ("nilfs2", 0x3434, Class::Data),
    // fs/ntfs3/super.c
    ("ntfs3", 0x7366_746e, Class::Data),
    // Its layers are checked one by one.
    ("overlay", 0x794c_7630, Class::Data),
    ("reiserfs", 0x5265_4973, Class::Data),
    // fs/ubifs/ubifs.h
    ("ubifs", 0x2405_1905, Class::Data),
    ("udf", 0x1501_3346, Class::Data),
    ("vfat", 0x4d44, Class::Data),
    // OpenZFS, include/sys/fs/zfs.h
    ("zfs", 0x2fc1_2fc1, Class::Data),
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
    ("kafs", 0x6b41_4653, Class::Network),
    ("lustre", 0x0bd0_0bd0, Class::Network),
    ("nfs", 0x6969, Class::Network),
    ("ocfs2", 0x7461_636f, Class::Network),
    ("orangefs", 0x2003_0528, Class::Network),
    // Of a hypervisor (Parallels, VMware, VirtualBox); GNU coreutils, src/stat.c
    ("prl_fs", 0x7c7c_6673, Class::Network),
    ("smb", 0x517b, Class::Network),
    ("smb2", 0xfe53_4d42, Class::Network),
    ("vboxsf", 0x786f_4256, Class::Network),
    ("vmhgfs", 0xbacb_acbc, Class::Network),
    ("anon_inodefs", 0x0904_1934, Class::System),
    ("apparmorfs", 0x5a3c_69f0, Class::System),
    ("bdev", 0x6264_6576, Class::System),
    ("binder", 0x6c6f_6f70, Class::System),
    ("binfmt_misc", 0x4249_4e4d, Class::System),
    ("bpf", 0xcafe_4a11, Class::System),
    ("cgroup", 0x0027_e0eb, Class::System),
    ("cgroup2", 0x6367_7270, Class::System),
    ("configfs", 0x6265_6570, Class::System),
    ("dax", 0x6464_6178, Class::System),
    ("debugfs", 0x6462_6720, Class::System),
    ("devpts", 0x1cd1, Class::System),
    ("dmabuf", 0x444d_4142, Class::System),
    ("efivarfs", 0xde5e_81e4, Class::System),
    // fs/fuse/control.c
    ("fusectl", 0x6573_5543, Class::System),
    ("guest_memfd", 0x474d_454d, Class::System),
    ("mqueue", 0x1980_0202, Class::System),
    // fs/nfsd/nfsctl.c
    ("nfsd", 0x6e66_7364, Class::System),
    ("nsfs", 0x6e73_6673, Class::System),
    ("openpromfs", 0x9fa1, Class::System),
    ("pidfs", 0x5049_4446, Class::System),
    ("pipefs", 0x5049_5045, Class::System),
    ("proc", 0x9fa0, Class::System),
    ("pstore", 0x6165_676c, Class::System),
    ("resctrl", 0x0765_5821, Class::System),
    // net/sunrpc/rpc_pipe.c
    ("rpc_pipefs", 0x6759_6969, Class::System),
    ("secretmem", 0x5345_434d, Class::System),
    ("securityfs", 0x7363_6673, Class::System),
    ("selinuxfs", 0xf97c_ff8c, Class::System),
    ("smackfs", 0x4341_5d53, Class::System),
    ("sockfs", 0x534f_434b, Class::System),
    ("sysfs", 0x6265_6572, Class::System),
    ("tracefs", 0x7472_6163, Class::System),
    ("usbdevfs", 0x9fa2, Class::System),
    // drivers/xen/xenfs/super.c
    ("xenfs", 0xabba_1974, Class::System),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_to_the_same_class() {
        for (name, magic, class) in TABLE {
            let (name, magic, class) = (*name, *magic, *class);
            assert_eq!(FileSystem::of_magic(magic), FileSystem { name: name.into(), class });
            assert_eq!(FileSystem::of_name(name).class, class);
        }
        assert_eq!(FileSystem::of_magic(0xff53_4d42 - (1 << 32)).name, "cifs");
        assert_eq!(FileSystem::of_name("fuse.sshfs").class, Class::Network);
        assert_eq!(FileSystem::of_name("nfs4").class, Class::Network);
    }

    #[test]
    fn what_is_on_no_list_is_unknown() {
        assert_eq!(FileSystem::of_magic(1), FileSystem { name: "0x1".into(), class: Class::Unknown });
        assert_eq!(FileSystem::of_name("wekafs").class, Class::Unknown);
    }
}
