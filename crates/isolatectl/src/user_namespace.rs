//! Whether a container's users are the host's: promises that rely on a user namespace do not hold if the
//! host's root is in it.

use anyhow::Result;

use oci_isolate::proc::{Dir, ID_MAPS, IdRange};

/// The maps of a process that contain the host's root, as `uid_map has it as 0`. Ids are resolved as far as
/// our own namespace's maps.
pub(super) fn maps_with_host_root(process: &Dir) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for map in ID_MAPS {
        let (ours, theirs) = (Dir::ours().id_map(map)?, process.id_map(map)?);
        for root in IdRange::roots(&ours) {
            let inside = theirs.iter().filter_map(|range| range.inside_of(root));
            found.extend(inside.map(|id| format!("{map} has it as {id}")));
        }
    }
    Ok(found)
}
