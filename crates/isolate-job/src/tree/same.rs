//! Whether two directories have the same files: names, kinds, sizes, links. Content is not read.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::walk::{Kind, walk};
use super::{Dir, Error};

/// Whether both have the same.
///
/// # Errors
/// Those of [`walk`].
pub(super) fn same(a: &Dir, b: &Dir) -> Result<bool, Error> {
    Ok(content(a)? == content(b)?)
}

#[derive(PartialEq)]
enum What {
    Directory,
    File(u64),
    Link(OsString),
    Other,
}

fn content(directory: &Dir) -> Result<BTreeMap<String, What>, Error> {
    let mut content = BTreeMap::new();
    walk(directory, &mut |entry| {
        let what = match entry.kind {
            Kind::Directory => What::Directory,
            Kind::File(size, _) => What::File(size),
            Kind::Link(target) => What::Link(target),
            Kind::Skipped(_) => What::Other,
        };
        content.insert(entry.path, what);
        Ok(())
    })?;
    Ok(content)
}
