//! The one image: busybox, bash and the probe. No image registry can be reached, and none is needed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::command::{command, say};

/// Makes the image's root file system in the directory `root`.
pub fn rootfs(root: &Path) {
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "run", "root", "www"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in say(command("busybox").arg("--list")).must().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    program(root, Path::new("/bin/bash"), "bin/bash");
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n").unwrap();
    fs::write(root.join("www/index.html"), "inside\n").unwrap();
    fs::write(root.join("bin/probe"), include_str!("probe.sh")).unwrap();
    fs::set_permissions(root.join("bin/probe"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Copies a program to a path of a root file system, with the libraries that it is linked to.
pub fn program(root: &Path, program: &Path, to: &str) {
    fs::copy(program, root.join(to)).unwrap();
    // The lines of ldd that name a file: `libc.so.6 => /lib/... (0x...)` and `/lib64/ld-linux... (0x...)`.
    for path in
        say(command("ldd").arg(program)).must().split_whitespace().filter(|word| word.starts_with('/'))
    {
        let copy = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
    }
}

/// Packs the image's root file system into `tar`.
pub fn pack(tar: &Path) {
    let root = tempfile::tempdir().unwrap();
    rootfs(root.path());
    say(command("tar").arg("-C").arg(root.path()).args(["--owner=0", "--group=0", "-cf"]).arg(tar).arg("."))
        .must();
}
