//! Clock jumps.

use std::path::Path;

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if std::fs::read_to_string(&path).unwrap().contains("SystemTime") {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// A process is told from a later one of its pid by its start since boot, and waits end by the monotonic clock.
#[test]
fn the_wall_clock_decides_nothing_and_is_only_shown_in_logs() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    assert_eq!(found, ["audit.rs", "complain.rs"]);
}
