//! The ways of docs/threats.md that an engine's ordinary options open, and how each is tried. docs/prove.md has the same
//! rows, and a test fails for a way of docs/threats.md that is in neither list.

use super::credentials::CREDENTIALS;
use super::host::HOST;
use super::network::NETWORK;
use super::way::Way;

/// All, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Way> {
    NETWORK.iter().chain(HOST).chain(CREDENTIALS)
}

/// The ways of docs/threats.md that are not here, and why.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("link-by-known-nsid", "makes a link on the host's network device"),
    ("link-by-pid", "makes a link on the host's network device"),
    ("request-key-upcall", "needs a `/sbin/request-key` of its own on the host"),
    ("seccomp-agent", "no option of Docker and Podman"),
    ("host-pid-ptrace", "stops a process of the host; `host-pid-root` is refused by the same rule"),
    (
        "host-pid-descriptor",
        "needs a system call that this program does not make; `host-pid-root` is refused by the same rule",
    ),
    ("namespace-by-handle", "needs a system call that this program does not make"),
    ("file-by-handle", "needs a system call that this program does not make"),
    ("bpf-programs", "needs a system call that this program does not make"),
    ("socket-bound-later", "not tried yet"),
    ("mount-made-later", "mounts a file system on the host"),
    ("hosts-proc", "refused by the same rule as `hosts-root`"),
    ("core-dump-handler", "changes the host's core_pattern"),
    ("preserved-socket", "an option of Podman only, which is not tried yet"),
    ("namespace-of-a-socket", "an option of Podman only, which is not tried yet"),
    ("preserved-directory", "an option of Podman only, which is not tried yet"),
    ("activated-socket", "no option of Docker and Podman"),
    ("stdin-socket", "no option of Docker and Podman"),
    ("exec-with-capabilities", "not tried yet"),
];

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{LEFT_OUT, all};

    fn page(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
    }

    #[test]
    fn each_way_of_the_threats_is_tried_or_left_out_with_a_reason() {
        let text = std::fs::read_to_string(page("threats.md")).unwrap();
        let firsts: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
        // The names of the first table.
        let named: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("| name | way |"))
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0))
            .collect();
        assert!(named.len() > 30, "{named:?}");
        for name in &named {
            let (tried, left_out) =
                (all().any(|way| way.threat == *name), LEFT_OUT.iter().any(|(out, _)| out == name));
            assert!(tried != left_out, "{name} of docs/threats.md is tried: {tried}, left out: {left_out}");
        }
        for way in all() {
            let is_row =
                |first: &&str| first.trim_matches('`') == way.threat || first.starts_with(way.threat);
            assert!(firsts.iter().any(is_row), "{}: docs/threats.md has no row {}", way.name, way.threat);
        }
        for (name, _) in LEFT_OUT {
            assert!(named.contains(name), "docs/threats.md has no {name}");
        }
    }

    #[test]
    fn the_page_has_the_ways_and_what_is_left_out() {
        let ways: Vec<_> =
            all().map(|way| format!("| `{}` | {} | {} |", way.name, way.threat, way.closed_by)).collect();
        let out: Vec<_> = LEFT_OUT.iter().map(|(name, why)| format!("| `{name}` | {why} |")).collect();
        let wanted = format!(
            "| way | of docs/threats.md | closed by |\n|---|---|---|\n{}\n\nLeft out:\n\n| way | why |\n|---|---|\n{}\n",
            ways.join("\n"),
            out.join("\n")
        );
        let path = page("prove.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("<!-- table -->\n").unwrap();
        let (found, tail) = rest.split_once("<!-- end of the table -->").unwrap();
        if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
            let text = format!("{head}<!-- table -->\n{wanted}<!-- end of the table -->{tail}");
            std::fs::write(&path, text).unwrap();
        } else {
            assert_eq!(found, wanted, "{} is not the table any more", path.display());
        }
    }
}
