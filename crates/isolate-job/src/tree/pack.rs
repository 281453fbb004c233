//! Creates a tar.gz of a directory that a container wrote. Symbolic links are stored and never followed, hard links are stored
//! once, FIFOs, sockets and device nodes are skipped and reported.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::walk::{Entry, Kind, Skipped, walk};
use super::{Dir, Error, Quota};

/// What is in an archive.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Packed {
    /// How many files.
    pub files: u64,
    /// The size of their content.
    pub bytes: u64,
    /// What was left out.
    pub skipped: Vec<(String, Skipped)>,
}

/// The most skipped files that are named.
const MOST_SAID: usize = 20;

/// Packs everything beneath the directory. The quota bounds what is packed: a file of holes can be of any size.
///
/// # Errors
/// A name that no archive or key can have, more than the quota, the system's.
pub fn pack(directory: &Dir, out: impl Write, quota: &Quota) -> Result<Packed, Error> {
    let mut archive = Builder::new(GzEncoder::new(out, Compression::fast()));
    let mut packed = Packed::default();
    let mut several = HashMap::new();
    walk(directory, &mut |entry| add(&mut archive, entry, quota, &mut packed, &mut several))?;
    let whole = archive.into_inner().and_then(GzEncoder::finish);
    whole.map_err(|error| Error::system("", error))?;
    Ok(packed)
}

fn add(
    archive: &mut Builder<impl Write>,
    entry: Entry,
    quota: &Quota,
    packed: &mut Packed,
    several: &mut HashMap<(u64, u64), String>,
) -> Result<(), Error> {
    let path = entry.path.as_str();
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(entry.mtime);
    header.set_size(0);
    // The owner in the container means nothing elsewhere.
    header.set_uid(0);
    header.set_gid(0);
    let done = quota.entries(1).and_then(|()| match entry.kind {
        Kind::Skipped(what) => {
            if packed.skipped.len() < MOST_SAID {
                packed.skipped.push((path.to_owned(), what));
            }
            Ok(())
        }
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, format!("{path}/"), std::io::empty())
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, target)
        }
        Kind::File(size, content) => {
            if let Some(first) = entry.several.and_then(|identity| several.get(&identity)) {
                header.set_entry_type(EntryType::Link);
                return archive.append_link(&mut header, path, first);
            }
            several.extend(entry.several.map(|identity| (identity, path.to_owned())));
            quota.bytes(size)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(size);
            archive.append_data(&mut header, path, content)?;
            packed.files += 1;
            packed.bytes += size;
            Ok(())
        }
    });
    done.map_err(|error| Error::system(path, error))
}
