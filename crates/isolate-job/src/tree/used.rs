//! What is beneath a directory already, as a quota counts it.

use super::stage::partial;
use super::walk::{Kind, walk};
use super::{Dir, Error, Quota};

/// How much it takes; what is beneath these paths does not count, finished or not: it is about to be staged.
///
/// # Errors
/// Those of [`walk`].
pub fn used(directory: &Dir, but: &[&str]) -> Result<u64, Error> {
    let but: Vec<_> =
        but.iter().flat_map(|path| [format!("{path}/"), format!("{}/", partial(path))]).collect();
    let mut used = 0u64;
    walk(directory, &mut |entry| {
        let path = format!("{}/", entry.path);
        if !but.iter().any(|but| path.starts_with(but)) {
            let size = if let Kind::File(size, _) = entry.kind { size } else { 0 };
            used = used.saturating_add(Quota::of_file(size));
        }
        Ok(())
    })?;
    Ok(used)
}
