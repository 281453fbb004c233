//! Creates a tar.gz of a directory that a container wrote. Symbolic links are stored and never followed, hard links are stored
//! once, FIFOs, sockets and device nodes are skipped and reported.

use std::collections::HashMap;
use std::io::{self, Read, Write};

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

/// Is told what was packed since: files, and bytes of their content.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64) -> io::Result<()>;

/// Packs everything beneath the directory. The quota bounds what is packed: a file of holes can be of any size.
///
/// # Errors
/// A name that no archive or key can have, more than the quota, the system's.
pub fn pack(directory: &Dir, out: impl Write, quota: &Quota, tell: Tell) -> Result<Packed, Error> {
    let mut archive = Builder::new(GzEncoder::new(out, Compression::fast()));
    let mut packed = Packed::default();
    let mut several = HashMap::new();
    walk(directory, &mut |entry| add(&mut archive, entry, quota, &mut packed, &mut several, &mut *tell))?;
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
    tell: Tell,
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
            archive.append_data(&mut header, path, Told { content, tell })?;
            packed.files += 1;
            packed.bytes += size;
            tell(1, 0)
        }
    });
    done.map_err(|error| Error::system(path, error))
}

/// Content that tells how much of it was read.
struct Told<'t, C> {
    content: C,
    tell: Tell<'t>,
}

impl<C: Read> Read for Told<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        (self.tell)(0, count as u64)?;
        Ok(count)
    }
}
