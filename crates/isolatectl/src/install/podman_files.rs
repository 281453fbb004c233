//! The files that Podman reads, in order: the last one wins (containers.conf(5); pkg/config/new.go of
//! containers/common for Podman 4 and 5, storage/pkg/configfile/parse.go of containers/container-libs for 6).
//!
//! Every version reads `/etc/containers/containers.conf.d`. Podman 4 reads the user's own files only without
//! root, Podman 5 those of root too, and `containers.rootless.conf` without root. Podman 6 reads one main
//! file, the first that is there; and drop-ins in the order of their names, whatever their directory, of two
//! with the same name the later directory's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::program_version;

/// The drop-ins that every version reads.
pub(crate) const DIRECTORY: &str = "/etc/containers/containers.conf.d";

/// The user of Podman, as far as the order depends on it.
#[derive(Debug)]
struct Reader {
    major: u32,
    uid: u32,
    /// `$XDG_CONFIG_HOME` or `$HOME/.config`.
    home: Option<PathBuf>,
    /// `$CONTAINERS_CONF`: no other file is read but the next.
    only: Option<PathBuf>,
    /// `$CONTAINERS_CONF_OVERRIDE`: read behind all others.
    last: Option<PathBuf>,
}

/// The files that the installed Podman reads for the caller, with the engine's files below `root`. A user's
/// own files and those that the environment names are read from the host only, not from below another `root`.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let version = program_version::query(Path::new("podman"));
    let named = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty() && root == Path::new("/"));
        value.map(PathBuf::from)
    };
    Reader {
        major: version.as_deref().and_then(program_version::major).unwrap_or(5),
        uid: geteuid().as_raw(),
        home: named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config"))),
        only: named("CONTAINERS_CONF"),
        last: named("CONTAINERS_CONF_OVERRIDE"),
    }
    .files(root)
}

impl Reader {
    fn files(&self, root: &Path) -> Vec<PathBuf> {
        let home = self.home.as_ref().map(|home| home.join("containers"));
        let system = ["usr/share/containers", "etc/containers"].map(|directory| root.join(directory));
        let mut found = match &self.only {
            Some(only) => vec![only.clone()],
            None if self.major < 6 => self.one_after_the_other(&system, home.as_deref()),
            None => self.by_name(&system, home.as_deref()),
        };
        found.extend(self.last.clone());
        found
    }

    fn one_after_the_other(&self, [usr, etc]: &[PathBuf; 2], home: Option<&Path>) -> Vec<PathBuf> {
        let rootless = self.uid != 0;
        let mut found = vec![usr.join("containers.conf")];
        found.extend(with_drop_ins(etc.join("containers.conf")));
        if rootless && self.major == 5 {
            let file = etc.join("containers.rootless.conf");
            let of_user = file.with_extension("conf.d").join(self.uid.to_string());
            found.extend(with_drop_ins(file));
            found.extend(drop_ins(&of_user).into_values());
        }
        if let Some(home) = home.filter(|_| rootless || self.major == 5) {
            found.extend(with_drop_ins(home.join("containers.conf")));
        }
        found
    }

    fn by_name(&self, system: &[PathBuf; 2], home: Option<&Path>) -> Vec<PathBuf> {
        let [usr, etc] = system;
        let main =
            home.into_iter().chain([etc.as_path(), usr]).map(|directory| directory.join("containers.conf"));
        let mut found: Vec<_> = main.filter(|file| file.exists()).take(1).collect();
        let mut by_name = BTreeMap::new();
        for directory in system {
            by_name.extend(drop_ins(&directory.join("containers.conf.d")));
            if self.uid == 0 {
                by_name.extend(drop_ins(&directory.join("containers.rootful.conf.d")));
            } else {
                let rootless = directory.join("containers.rootless.conf.d");
                by_name.extend(drop_ins(&rootless));
                by_name.extend(drop_ins(&rootless.join(self.uid.to_string())));
            }
        }
        by_name.extend(home.map(|home| drop_ins(&home.join("containers.conf.d"))).unwrap_or_default());
        // A link among them is not read.
        by_name.retain(|_, file| std::fs::symlink_metadata(file).is_ok_and(|meta| meta.is_file()));
        found.extend(by_name.into_values());
        found
    }
}

/// A file and those of its directory.
fn with_drop_ins(file: PathBuf) -> Vec<PathBuf> {
    let directory = file.with_extension("conf.d");
    std::iter::once(file).chain(drop_ins(&directory).into_values()).collect()
}

/// The files of a directory that end in `.conf`, by name.
fn drop_ins(directory: &Path) -> BTreeMap<OsString, PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_read = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "conf") && !path.is_dir();
    entries.map(|entry| (entry.file_name(), entry.path())).filter(|(_, path)| is_read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with a file of each kind, one with a name that two directories have, a link and one of another
    /// suffix.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "usr/share/containers/containers.conf",
            "usr/share/containers/containers.conf.d/20-usr.conf",
            "usr/share/containers/containers.rootless.conf.d/oci-isolate.conf",
            "etc/containers/containers.conf",
            "etc/containers/containers.conf.d/10-etc.conf",
            "etc/containers/containers.conf.d/30-etc.conf",
            "etc/containers/containers.conf.d/README",
            "etc/containers/containers.conf.d/oci-isolate.conf",
            "etc/containers/containers.rootful.conf.d/10-etc.conf",
            "etc/containers/containers.rootless.conf",
            "etc/containers/containers.rootless.conf.d/40.conf",
            "etc/containers/containers.rootless.conf.d/1000/05.conf",
            "etc/containers/containers.rootless.conf.d/1001/06.conf",
            "home/containers/containers.conf",
            "home/containers/containers.conf.d/25.conf",
        ] {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let link = root.path().join("etc/containers/containers.conf.d/50-link.conf");
        std::os::unix::fs::symlink("30-etc.conf", link).unwrap();
        root
    }

    fn read(root: &Path, major: u32, uid: u32) -> Vec<String> {
        let reader = Reader { major, uid, home: Some(root.join("home")), only: None, last: None };
        let files = reader.files(root);
        files.iter().map(|file| file.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Those of `/etc/containers` without that directory.
    fn shown(files: &[&str]) -> Vec<String> {
        let shown = |file: &&str| match file.starts_with("usr") || file.starts_with("home") {
            true => (*file).to_owned(),
            false => format!("etc/containers/containers.{file}"),
        };
        files.iter().map(shown).collect()
    }

    const FIRST: [&str; 6] = [
        "usr/share/containers/containers.conf",
        "conf",
        "conf.d/10-etc.conf",
        "conf.d/30-etc.conf",
        "conf.d/50-link.conf",
        "conf.d/oci-isolate.conf",
    ];
    const HOME: [&str; 2] = ["home/containers/containers.conf", "home/containers/containers.conf.d/25.conf"];

    #[test]
    fn podman_4_and_5_read_one_after_the_other() {
        let root = root();
        let rootless = ["rootless.conf", "rootless.conf.d/40.conf", "rootless.conf.d/1000/05.conf"];
        for (major, uid, more) in [
            (4, 0, vec![]),
            (4, 1000, HOME.to_vec()),
            (5, 0, HOME.to_vec()),
            (5, 1000, [&rootless[..], &HOME].concat()),
        ] {
            let expected = shown(&[&FIRST[..], &more].concat());
            assert_eq!(read(root.path(), major, uid), expected, "Podman {major} of user {uid}");
        }
    }

    #[test]
    fn podman_6_reads_one_main_file_and_drop_ins_by_name() {
        let root = root();
        let of_root = [
            HOME[0],
            "rootful.conf.d/10-etc.conf",
            "usr/share/containers/containers.conf.d/20-usr.conf",
            HOME[1],
            "conf.d/30-etc.conf",
            "conf.d/oci-isolate.conf",
        ];
        assert_eq!(read(root.path(), 6, 0), shown(&of_root));
        let of_user = [
            HOME[0],
            "rootless.conf.d/1000/05.conf",
            "conf.d/10-etc.conf",
            "usr/share/containers/containers.conf.d/20-usr.conf",
            HOME[1],
            "conf.d/30-etc.conf",
            "rootless.conf.d/40.conf",
            "conf.d/oci-isolate.conf",
        ];
        assert_eq!(read(root.path(), 6, 1000), shown(&of_user));
        for (main, next) in [(HOME[0], "conf"), ("etc/containers/containers.conf", FIRST[0])] {
            std::fs::remove_file(root.path().join(main)).unwrap();
            assert_eq!(read(root.path(), 6, 0)[0], shown(&[next])[0]);
        }
    }

    #[test]
    fn the_environment_names_the_only_one_and_the_last_one() {
        let root = root();
        for major in [4, 5, 6] {
            let (only, last) = (Some("/only".into()), Some("/last".into()));
            let reader = Reader { major, uid: 0, home: None, only, last };
            assert_eq!(reader.files(root.path()), [Path::new("/only"), Path::new("/last")]);
        }
    }
}
