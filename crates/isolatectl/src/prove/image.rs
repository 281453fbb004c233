//! The image of the throw-away containers: this program, and a home with credentials that lead nowhere.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tar::{Archive, Builder, EntryType, Header};

use super::site::{Site, credentials};

/// An image's root file system.
#[derive(Debug)]
pub(super) struct ProbeImage {
    /// The file, a tar.
    pub(super) tar: PathBuf,
    /// What starts this program there.
    pub(super) program: Vec<String>,
}

/// The file of credentials in it.
pub(super) const CREDENTIAL_FILE: &str = "root/.aws/credentials";

/// Writes the image's file into the site's directory.
///
/// # Errors
/// This program or one of its libraries cannot be read, or the file not be written.
pub(super) fn write(site: &Site) -> Result<ProbeImage> {
    let tar = site.dir.join("image.tar");
    let file = File::create(&tar).with_context(|| format!("cannot write {}", tar.display()))?;
    let mut archive = Builder::new(file);
    for directory in ["dev", "proc", "sys", "tmp", "etc", "lib", "root", "root/.aws"] {
        add(&mut archive, directory, EntryType::Directory, &[])?;
    }
    add(&mut archive, "etc/passwd", EntryType::Regular, b"root:x:0:0:root:/root:/bin/sh\n")?;
    add(&mut archive, CREDENTIAL_FILE, EntryType::Regular, credentials(&site.word).as_bytes())?;
    let this = fs::read("/proc/self/exe").context("cannot read this program")?;
    add(&mut archive, "isolatectl", EntryType::Regular, &this)?;
    let mut program = vec!["/isolatectl".to_owned()];
    // A build that is not static brings its libraries, and is started by the loader.
    for library in libraries()? {
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
        add(&mut archive, &format!("lib/{name}"), EntryType::Regular, &bytes)?;
        if name.starts_with("ld-") || name.starts_with("ld.") {
            program.splice(0..0, [format!("/lib/{name}"), "--library-path".into(), "/lib".into()]);
        }
    }
    archive.finish().with_context(|| format!("cannot write {}", tar.display()))?;
    Ok(ProbeImage { tar, program })
}

impl ProbeImage {
    /// Makes a directory of it, for an engine that runs one as it is.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn unpack(&self, into: &Path) -> Result<()> {
        let file = File::open(&self.tar).with_context(|| format!("cannot read {}", self.tar.display()))?;
        Archive::new(file).unpack(into).with_context(|| format!("cannot make {}", into.display()))
    }
}

/// The libraries that this process has mapped.
fn libraries() -> Result<BTreeSet<PathBuf>> {
    let maps = crate::read(Path::new("/proc/self/maps"))?;
    let paths = maps.lines().filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    Ok(paths.filter(|path| path.to_string_lossy().contains(".so")).map(Path::to_owned).collect())
}

fn add(archive: &mut Builder<File>, path: &str, kind: EntryType, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes).with_context(|| format!("cannot pack {path}"))
}
