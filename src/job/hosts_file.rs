//! Names of job members without DNS: lines in the file that a container sees as `/etc/hosts`.
//!
//! The file is a bind mount, so its inode must not change: lines are appended, in one write. The first byte
//! of an obsolete line is replaced by `#`, a write of one byte, so that a reader sees either the line or a
//! comment; it is restored when the line is valid again. A line of ours that was a comment before is used for
//! another one, filled up with spaces: all of it but the first byte, while that is a `#`, and then the first byte.
//! Programs read in blocks (of 4096 bytes with glibc), so no line is used again that lies in two: one that has read
//! its beginning before it was a comment would read the other's end.
//!
//! The container and its engine may write to the file, too, so a place is read again before it is written, and is
//! left if it has changed. Only files that an engine writes for one container are changed, never the host's own or
//! one that a user has mounted. An engine that rewrites its file (Docker at `network connect`) loses the lines until
//! the next change in the job.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::config::View;
use crate::proc::Inode;
use crate::record::{Hosts, Pod, Record};

const HOSTS: &str = "/etc/hosts";

/// The end of each line of ours.
const MARK: &str = " # oci-isolate job";

/// What a program reads at once, in bytes.
const BLOCK: u64 = 4096;

/// The largest file that is read, and to which lines are added, in bytes: the container may write to it.
const LIMIT: u64 = 1 << 20;

/// The source of the mount at `/etc/hosts` in a configuration.
#[must_use]
pub fn hosts_source(view: &View, bundle: &Path) -> Option<PathBuf> {
    let mut mounts = view.mounts.iter().flatten().filter(|mount| &*mount.destination == HOSTS);
    Some(bundle.join(&**mounts.next_back()?.source.as_ref()?))
}

/// The host name by which others can reach a container, if it is valid (RFC 1123, 2.1), and its file for the
/// names of others.
///
/// An engine keeps that file in a directory of the container or of its pod: `containers/ID` (Docker), `ID/userdata`
/// (Podman, CRI-O), `sandboxes/ID` (containerd), `pods/UID` (kubelet), `etchosts/NAMESPACE/ID` (nerdctl).
#[must_use]
pub fn usable_names(name: Option<String>, path: Option<PathBuf>, id: &str) -> (Option<String>, Hosts) {
    let name = name.filter(|name| is_name(name));
    let Some(path) = path else { return (name, Hosts::Left("nothing is mounted at /etc/hosts".into())) };
    let engines =
        |part: &OsStr| part == id || ["sandboxes", "pods", "userdata"].iter().any(|dir| part == *dir);
    let named = path.file_name().is_some_and(|name| name == "hosts" || name == "etc-hosts");
    let hosts = if !named || !path.iter().any(engines) {
        Hosts::Left(format!("{} is not an engine's file for this container", path.display()))
    } else {
        match open(&path) {
            Ok((_, inode)) => Hosts::Written { path, inode },
            Err(error) => Hosts::Left(format!("{error:#}")),
        }
    };
    (name, hosts)
}

/// The names by which DNS would find a pod with a subdomain (Kubernetes, "Pod's hostname and subdomain fields"), from
/// the line that kubelet writes for it: `10.88.1.5  two-1.svc.ns.svc.cluster.local  two-1`.
///
/// The pod's earlier containers may have written to the file, so the name must be one of this host name, in this
/// namespace.
#[must_use]
pub fn names_by_kubelet(
    hosts: &Hosts,
    pod: Option<&Pod>,
    host_name: Option<&str>,
    namespace: Option<&str>,
) -> Vec<String> {
    let (Hosts::Written { path, .. }, Some(pod), Some(host_name), Some(namespace)) =
        (hosts, pod, host_name, namespace)
    else {
        return Vec::new();
    };
    // Without it there are fewer names.
    let text = open(path).and_then(|(file, _)| read(&file)).unwrap_or_default();
    names_of_pod(&String::from_utf8_lossy(&text), &pod.name, host_name, namespace)
}

fn names_of_pod(text: &str, pod: &str, host_name: &str, namespace: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(MARK));
    let found = lines.filter_map(|line| line.split_ascii_whitespace().nth(1)).find_map(|full| {
        let (subdomain, rest) = full.strip_prefix(host_name)?.strip_prefix('.')?.split_once('.')?;
        let of_cluster = rest.strip_prefix(namespace)?.strip_prefix(".svc.")?;
        (is_name(full) && !of_cluster.is_empty()).then(|| (full, format!("{host_name}.{subdomain}")))
    });
    let Some((full, short)) = found else { return Vec::new() };
    let mut names =
        vec![full.to_owned(), format!("{short}.{namespace}.svc"), format!("{short}.{namespace}"), short];
    names.push(host_name.to_owned());
    names.extend((pod != host_name && is_name(pod)).then(|| pod.to_owned()));
    names
}

/// Letters, digits and hyphens in labels; neither an address nor a name for this host.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let local = name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
    let number = name.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !local && !number
}

/// The line that gives an address its names.
pub(super) fn line(address: IpAddr, names: &str) -> String {
    format!("{address} {names}{MARK}")
}

/// The file into which names are written for a container, if there is one.
pub(super) fn file_of(record: &Record) -> Option<&Path> {
    match &record.opened.as_ref()?.hosts {
        Hosts::Written { path, .. } => Some(path),
        Hosts::Left(_) => None,
    }
}

/// Makes these our lines in a container's file.
pub(super) fn write(record: &Record, lines: &BTreeSet<&str>) -> Result<()> {
    change(record, lines, Change::All).map(drop)
}

/// Makes comments of our lines that are none of these, and adds none. Returns whether the file has had these lines and no
/// others of ours, so that nothing is left to `write`.
pub(super) fn retire(record: &Record, lines: &BTreeSet<&str>) -> Result<bool> {
    change(record, lines, Change::Retire)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Retire,
    All,
}

fn change(record: &Record, lines: &BTreeSet<&str>, which: Change) -> Result<bool> {
    let Some(Hosts::Written { path, inode }) = record.opened.as_ref().map(|opened| &opened.hosts) else {
        return Ok(true);
    };
    let (file, is) = open(path)?;
    if is != *inode {
        bail!("{} is no longer the file that was mounted", path.display());
    }
    edit(&file, lines, which).with_context(|| format!("cannot write names into {}", path.display()))
}

/// Whether our lines of a text that are no comments are these.
fn has(text: &[u8], lines: &BTreeSet<&str>) -> bool {
    let mut missing = lines.clone();
    let ours = text.split(|byte| *byte == b'\n').filter(|line| line.ends_with(MARK.as_bytes()));
    let mut valid =
        ours.filter_map(|line| std::str::from_utf8(line).ok()).filter(|line| !line.starts_with('#'));
    let is_wanted = |line: &str| {
        let names = line.strip_suffix(MARK).unwrap_or_default();
        let filled = names.ends_with(' ').then(|| format!("{}{MARK}", names.trim_end_matches(' ')));
        missing.remove(filled.as_deref().unwrap_or(line))
    };
    valid.all(is_wanted) && missing.is_empty()
}

fn open(path: &Path) -> Result<(File, Inode)> {
    let shown = path.display();
    let options = OpenOptions::new().read(true).append(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).clone();
    let file = options.open(path).with_context(|| format!("cannot open {shown}"))?;
    let meta = file.metadata().with_context(|| format!("cannot inspect {shown}"))?;
    let inode = Inode::from(&meta);
    let hosts = Inode::of(Path::new(HOSTS)).ok();
    if !meta.is_file() || hosts == Some(inode) {
        bail!("{shown} is the host's own or not a regular file");
    }
    if meta.len() > LIMIT {
        bail!("{shown} has {} bytes, at most {LIMIT} are read", meta.len());
    }
    Ok((file, inode))
}

fn read(file: &File) -> Result<Vec<u8>> {
    let mut text = vec![0; usize::try_from(file.metadata()?.len().min(LIMIT))?];
    let read = file.read_at(&mut text, 0)?;
    text.truncate(read);
    Ok(text)
}

/// Returns whether there was nothing to do, now or by a later call.
fn edit(file: &File, lines: &BTreeSet<&str>, which: Change) -> Result<bool> {
    let text = read(file)?;
    if has(&text, lines) {
        return Ok(true);
    }
    // Keyed by the line without its first byte, which may be a `#` in the file.
    let mut missing: BTreeSet<_> =
        lines.iter().filter_map(|line| Some((line.get(1..)?.to_owned(), *line))).collect();
    let mut changes = Vec::new();
    // Lines of ours that are comments and can be used again, by their length, with their place.
    let mut free = BTreeSet::new();
    let mut at = 0;
    for found in text.split_inclusive(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(found).unwrap_or_default().trim_end_matches('\n');
        if let (Some(rest), true) = (line.get(1..), line.ends_with(MARK)) {
            let names = rest.strip_suffix(MARK).unwrap_or_default().trim_end_matches(' ');
            let rest = format!("{names}{MARK}");
            let wanted = missing.range((rest.clone(), "")..).next().filter(|(behind, _)| *behind == rest);
            let wanted = wanted.map(|(_, wanted)| *wanted);
            let byte = wanted.map_or(b'#', |wanted| wanted.as_bytes()[0]);
            let is_free = line.starts_with('#') && at / BLOCK == (at + line.len() as u64) / BLOCK;
            if line.as_bytes()[0] != byte && (which == Change::All || byte == b'#') {
                changes.push((byte, Place { at, holds: found }, wanted));
            }
            match wanted {
                Some(wanted) => missing.remove(&(rest, wanted)),
                None => is_free && free.insert((line.len(), Place { at, holds: found })),
            };
        }
        at += found.len() as u64;
    }
    let mut moved = Vec::new();
    if which == Change::All {
        for (rest, line) in &missing {
            let least = Place { at: 0, holds: &[] };
            let Some(place) = free.range((line.len(), least)..).next().copied() else { continue };
            free.remove(&place);
            moved.push((place, (rest.clone(), *line)));
        }
    }
    if !changes.is_empty() || !moved.is_empty() {
        // pwrite(2) on a file opened with O_APPEND appends (its BUGS), so the bytes go through another descriptor.
        let in_place = OpenOptions::new().read(true).write(true).open(fd_path(file))?;
        for (byte, place, wanted) in changes {
            let is_done = place.replace(&in_place, 0, &[byte])?;
            missing.extend(wanted.filter(|_| !is_done).map(|line| (line[1..].to_owned(), line)));
        }
        for ((length, place), line) in moved {
            let names = line.1.strip_suffix(MARK).unwrap_or(line.1);
            let filled = format!("{names:0$}{MARK}", length - MARK.len());
            if !place.replace(&in_place, 1, &filled.as_bytes()[1..])? {
                continue;
            }
            let comment = [b"#", &filled.as_bytes()[1..]].concat();
            let written = Place { at: place.at, holds: &comment };
            if written.replace(&in_place, 0, &filled.as_bytes()[..1])? {
                missing.remove(&line);
            }
        }
    }
    if which == Change::All && !missing.is_empty() {
        let mut new =
            if text.last().is_some_and(|last| *last != b'\n') { "\n".to_owned() } else { String::new() };
        new.extend(missing.iter().map(|(_, line)| format!("{line}\n")));
        let size = text.len() as u64 + new.len() as u64;
        if size > LIMIT {
            bail!("with {} new lines it would have {size} bytes, at most {LIMIT} are read", missing.len());
        }
        std::io::Write::write_all(&mut &*file, new.as_bytes())?;
    }
    Ok(false)
}

/// A place in the file, and what was read there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'t> {
    at: u64,
    holds: &'t [u8],
}

impl Place<'_> {
    /// Writes at an offset into it if it still holds the same; returns whether it does.
    fn replace(self, file: &File, offset: u64, bytes: &[u8]) -> Result<bool> {
        let mut holds = vec![0; self.holds.len()];
        match file.read_exact_at(&mut holds, self.at) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let is_same = holds == self.holds;
        if is_same {
            file.write_all_at(bytes, self.at + offset)?;
        }
        Ok(is_same)
    }
}

fn fd_path(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, rounds: &[&[&str]]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, text).unwrap();
        let (file, inode) = open(&path).unwrap();
        for lines in rounds {
            let lines: Vec<_> = lines.iter().map(|line| format!("{line}{MARK}")).collect();
            let lines: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
            edit(&file, &lines, Change::Retire).unwrap();
            edit(&file, &lines, Change::All).unwrap();
        }
        assert_eq!(open(&path).unwrap().1, inode);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_appended_retired_and_taken_back_in_place() {
        let engine = "127.0.0.1 localhost\n10.0.0.2 algo-1\n";
        assert_eq!(after(engine, &[&["10.0.0.3 algo-2"]]), format!("{engine}10.0.0.3 algo-2{MARK}\n"));
        assert_eq!(after(engine, &[&["10.0.0.3 algo-2"], &[]]), format!("{engine}#0.0.0.3 algo-2{MARK}\n"));
        assert_eq!(
            after(engine, &[&["10.0.0.3 algo-2"], &[], &["10.0.0.3 algo-2"], &["10.0.0.3 algo-2"]]),
            format!("{engine}10.0.0.3 algo-2{MARK}\n")
        );
        assert_eq!(
            after(engine, &[&["10.0.0.3 algo-2"], &["10.0.0.4 algo-2", "fd00::4 algo-2"]]),
            format!("{engine}10.0.0.4 algo-2{MARK}\nfd00::4 algo-2{MARK}\n")
        );
        // A comment that is long enough is used again, and kept as it is found again.
        assert_eq!(
            after(engine, &[&["10.0.0.33 algo-2"], &[], &["10.0.0.4 b"], &["10.0.0.4 b"]]),
            format!("{engine}10.0.0.4 b      {MARK}\n")
        );
        assert_eq!(
            after(engine, &[&["10.0.0.3 a"], &[], &["10.0.0.4 algo-2"]]),
            format!("{engine}#0.0.0.3 a{MARK}\n10.0.0.4 algo-2{MARK}\n")
        );
        assert_eq!(after("127.0.0.1 x", &[&["10.0.0.3 y"]]), format!("127.0.0.1 x\n10.0.0.3 y{MARK}\n"));
        assert_eq!(after("", &[&[]]), "");
        assert_eq!(after(MARK, &[&[]]), format!("#{}", &MARK[1..]));
    }

    #[test]
    fn a_pod_has_the_names_that_kubelet_writes_if_they_are_its_own() {
        let kubelet = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n\
                       10.88.1.5\ttwo-1.svc-a.team-a.svc.cluster.local\ttwo-1\n";
        let names = |text: &str, pod, host_name| names_of_pod(text, pod, host_name, "team-a").join(" ");
        assert_eq!(
            names(kubelet, "two-1-x7", "two-1"),
            "two-1.svc-a.team-a.svc.cluster.local two-1.svc-a.team-a.svc two-1.svc-a.team-a two-1.svc-a two-1 two-1-x7"
        );
        for (text, host_name) in [
            (kubelet, "two-2"),
            ("10.88.1.5\ttwo-1\n", "two-1"),
            ("10.88.1.5\ttwo-1.s3.amazonaws.com\n", "two-1"),
            ("10.88.1.5\ttwo-1.svc-a.team-b.svc.cluster.local\n", "two-1"),
            ("10.88.1.5\ttwo-1.svc-a.team-a.svc.\n", "two-1"),
            ("10.88.1.5 two-1.svc-a.team-a.svc.cluster.local # oci-isolate job\n", "two-1"),
        ] {
            assert_eq!(names(text, host_name, host_name), "", "{text}");
        }
    }

    #[test]
    fn a_file_has_its_lines_if_it_has_all_of_them_once_and_no_others() {
        let lines = ["10.0.0.3 a", "10.0.0.4 b"].map(|line| format!("{line}{MARK}"));
        let wanted: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
        let [a, b] = &lines;
        let engine = "127.0.0.1 localhost\n10.0.0.9 c\n";
        let filled = format!("10.0.0.4 b    {MARK}");
        for text in
            [format!("{engine}{a}\n{b}\n"), format!("{b}\n#0.0.0.5 d{MARK}\n{a}"), format!("{a}\n{filled}\n")]
        {
            assert!(has(text.as_bytes(), &wanted), "{text}");
        }
        for text in [
            format!("{engine}{a}\n"),
            format!("{a}\n#{}\n", &b[1..]),
            format!("{a}\n{b}\n{a}\n"),
            format!("{a}\n{b}\n10.0.0.5 d{MARK}\n"),
            format!("{a}\n{b}\n{MARK}\n"),
        ] {
            assert!(!has(text.as_bytes(), &wanted), "{text}");
        }
        assert!(has(engine.as_bytes(), &BTreeSet::new()));
    }

    #[test]
    fn what_is_retired_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, format!("#0.0.0.3 a{MARK}\n10.0.0.4 b{MARK}\n")).unwrap();
        let lines: [String; 2] = ["10.0.0.3 a", "10.0.0.5 c"].map(|line| format!("{line}{MARK}"));
        let lines: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
        edit(&open(&path).unwrap().0, &lines, Change::Retire).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), format!("#0.0.0.3 a{MARK}\n#0.0.0.4 b{MARK}\n"));
    }

    #[test]
    fn a_line_is_used_again_by_a_later_call_and_where_it_is_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let old = format!("10.0.0.33 algo-2{MARK}\n");
        std::fs::write(&path, &old).unwrap();
        let file = open(&path).unwrap().0;
        let line = format!("10.0.0.4 b{MARK}");
        edit(&file, &[line.as_str()].into(), Change::All).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("#{}{line}\n", &old[1..]));

        // It lies in two blocks.
        let text = format!("{}\n#{}", "#".repeat(4080), &old[1..]);
        std::fs::write(&path, &text).unwrap();
        edit(&file, &[line.as_str()].into(), Change::All).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{text}{line}\n"));

        let in_place = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let holds = format!("#{}", &old[1..]);
        let place = Place { at: 0, holds: holds.as_bytes() };
        for now in [holds.replace("algo", "mine"), String::new(), holds[..9].to_owned()] {
            std::fs::write(&path, &now).unwrap();
            assert!(!place.replace(&in_place, 1, b"x").unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), now);
        }
        std::fs::write(&path, &holds).unwrap();
        assert!(place.replace(&in_place, 1, b"x").unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("#x{}", &holds[2..]));
    }

    #[test]
    fn no_file_grows_beyond_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let lines = [format!("10.0.0.3 a{MARK}"), format!("10.0.0.4 b{MARK}")];
        let add = |line: &str| edit(&open(&path).unwrap().0, &[lines[0].as_str(), line].into(), Change::All);
        let mut text = format!("{}\n{}\n", lines[0], lines[1]);
        let fill = usize::try_from(LIMIT).unwrap() - text.len();
        text = format!("#{}\n{}\n", "x".repeat(fill - 2), lines[0]);
        std::fs::write(&path, &text).unwrap();
        let larger = format!("10.0.0.4 bb{MARK}");
        let error = add(&larger).unwrap_err().to_string();
        assert_eq!(error, "with 1 new lines it would have 1048577 bytes, at most 1048576 are read");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        // What is there can still be retired.
        add(&lines[1]).unwrap();
        edit(&open(&path).unwrap().0, &BTreeSet::new(), Change::All).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(&format!("#0.0.0.4 b{MARK}\n")));
    }

    #[test]
    fn names_are_those_of_rfc_1123() {
        for name in ["algo-1", "a", "3d", "node.example.com", "10-0-0-1", &"a".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in [
            "",
            "-a",
            "a-",
            "a..b",
            ".",
            "a b",
            "a_b",
            "a\n",
            "localhost",
            "LOCALHOST",
            "x.localhost",
            "10.0.0.1",
            "7",
            "ü",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn links_fifos_and_the_host_s_own_file_are_left() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("hosts");
        std::os::unix::fs::symlink(HOSTS, &link).unwrap();
        assert!(open(&link).is_err());
        let hard = open(Path::new(HOSTS));
        assert!(hard.is_err(), "{hard:?}");
        assert!(open(dir.path()).is_err());
    }
}
