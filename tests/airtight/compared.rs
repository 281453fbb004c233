//! What Docker's own ways to do without a network leave open of [`WAYS`]: the table of docs/comparison.md. No shim is
//! involved. With it all of them are closed, as `tried` shows.

use std::path::Path;

use crate::tried::{Site, is_open, prepare};
use crate::ways::{WAYS, Way};
use test_support::docker::{Docker, Release};

/// The options of each column.
const COLUMNS: [&[&str]; 3] =
    [&["--network=none"], &["--network=none", "--security-opt=seccomp=unconfined"], &["--network=closed"]];

#[test]
fn what_docker_leaves_open_without_a_network_is_what_the_documentation_has() {
    let docker = Docker::start(Release::Docker28);
    let site = prepare(&docker);
    docker.must(&["network", "create", "--internal", "closed"]);
    let mut rows = Vec::new();
    let mut open = [0; COLUMNS.len()];
    let mut tried = 0;
    for way in WAYS {
        let Some(options) = options(way) else { continue };
        let is = COLUMNS.map(|column| goes(&docker, &site, way, &[column, &options].concat()));
        tried += 1;
        for (count, is) in open.iter_mut().zip(is) {
            *count += usize::from(is);
        }
        let cells = is.map(|is| if is { "open" } else { "closed" });
        rows.push(format!("| `{}` | {} |", way.name, cells.join(" | ")));
    }
    let counts = open.map(|count| format!("{count} of {tried}"));
    rows.push(format!("| open | {} |", counts.join(" | ")));
    eprintln!("{}", rows.join("\n"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/comparison.md");
    let page = std::fs::read_to_string(page).unwrap();
    let documented = page.lines().skip_while(|line| !line.starts_with("| way |")).skip(2);
    let documented: Vec<_> = documented.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(documented, rows, "docs/comparison.md and what was open differ");
}

/// What the way adds to `docker run`. None if it asks for a network of its own, if Docker has no option for it, or if it
/// comes by `exec`.
fn options(way: &Way) -> Option<Vec<&'static str>> {
    let options = way.docker.ok().filter(|_| way.exec.is_none())?;
    let options = options.iter().copied().filter(|option| *option != "--network=none");
    let options: Vec<_> = options.collect();
    options.iter().all(|option| !option.starts_with("--network=")).then_some(options)
}

fn goes(docker: &Docker, site: &Site, way: &Way, options: &[&str]) -> bool {
    let options: Vec<_> = options.iter().map(|option| site.fill(option)).collect();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let script = site.fill(way.script);
    let run = [&["run", "--rm", "--runtime=bare"], &options[..], &["ways", "sh", "-c", &script]].concat();
    is_open(&site.run(way, || docker.docker(&run)))
}
