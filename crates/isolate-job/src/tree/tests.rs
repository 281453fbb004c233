//! A hostile zoo: what archives, keys and containers can come up with.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::*;

const PLENTY: u64 = 1 << 30;

fn untold(_files: u64, _bytes: u64) -> std::io::Result<()> {
    Ok(())
}

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A directory of its own, with something beside it that nothing may reach.
fn beneath() -> (TempDir, Dir) {
    let place = place();
    fs::create_dir(place.path().join("in")).unwrap();
    fs::write(place.path().join("secret"), "secret").unwrap();
    let dir = Dir::open(&place.path().join("in")).unwrap();
    (place, dir)
}

/// Everything below, as text.
fn listing(path: &Path) -> Vec<String> {
    fn below(path: &Path, above: &str, lines: &mut Vec<String>) {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{above}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                lines.push(format!("{name}/"));
                below(&entry.path(), &format!("{name}/"), lines);
            } else if kind.is_symlink() {
                lines.push(format!("{name} -> {}", fs::read_link(entry.path()).unwrap().display()));
            } else {
                lines.push(format!("{name}: {}", fs::read_to_string(entry.path()).unwrap_or_default()));
            }
        }
    }
    let mut lines = Vec::new();
    below(path, "", &mut lines);
    lines
}

/// An entry as no honest writer would make it.
fn raw(kind: EntryType, path: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    gz(&[entries.concat(), vec![0; 1024]].concat())
}

fn file(path: &str, content: &str) -> Vec<u8> {
    raw(EntryType::Regular, path.as_bytes(), b"", content.as_bytes())
}

fn link(path: &str, target: &str) -> Vec<u8> {
    raw(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"")
}

/// That unpacking is refused with these words, and nothing is outside or changed there.
#[track_caller]
fn assert_refused(entries: &[Vec<u8>], expected: &str) {
    let (place, dir) = beneath();
    let error = unpack(Cursor::new(archive(entries)), &dir, &Quota::new(PLENTY)).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}, not {expected}");
    assert!(matches!(error.cause, Cause::Refused(_)), "{error:?}");
    let outside: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 2, "{outside:?}");
    assert_eq!(fs::read_to_string(place.path().join("secret")).unwrap(), "secret");
}

#[test]
fn an_honest_archive_is_unpacked() {
    let (place, dir) = beneath();
    let entries = [
        raw(EntryType::Directory, b"./", b"", b""),
        raw(EntryType::Directory, b"./code/", b"", b""),
        file("./code/inference.py", "print()"),
        file("model.bin", "1234"),
        file("deep/er/x", ""),
        link("latest", "model.bin"),
        link("code/up", "../model.bin"),
        link("code/here", "./inference.py"),
        raw(EntryType::Link, b"same", b"./model.bin", b""),
        raw(EntryType::XGlobalHeader, b"", b"", b"12 comment=x"),
    ];
    unpack(Cursor::new(archive(&entries)), &dir, &Quota::new(PLENTY)).unwrap();
    let expected = [
        "code/",
        "code/here -> ./inference.py",
        "code/inference.py: print()",
        "code/up -> ../model.bin",
        "deep/",
        "deep/er/",
        "deep/er/x: ",
        "latest -> model.bin",
        "model.bin: 1234",
        "same: 1234",
    ];
    assert_eq!(listing(&place.path().join("in")), expected);
    let mode = |name: &str| fs::metadata(place.path().join("in").join(name)).unwrap().mode();
    assert_eq!(mode("model.bin") & 0o7777, 0o755, "without setuid");
    assert_eq!(mode("same") & 0o7777, 0o755);
}

#[test]
fn what_tar_and_python_make_is_unpacked() {
    let place = place();
    let from = place.path().join("from");
    fs::create_dir(&from).unwrap();
    let long = "n".repeat(200);
    fs::create_dir_all(from.join("a").join(&long)).unwrap();
    fs::write(from.join("a").join(&long).join("ünïcode"), "x").unwrap();
    symlink(format!("{long}/ünïcode"), from.join("a/link")).unwrap();
    let big = "y".repeat(100_000);
    fs::write(from.join("big"), &big).unwrap();
    let python =
        "import sys, tarfile; t = tarfile.open(sys.argv[1], 'w:gz'); t.add(sys.argv[2], '.'); t.close()";
    for (index, command) in [
        ["tar", "--format=gnu", "-czf", "OUT", "-C", "FROM", "."].as_slice(),
        &["tar", "--format=pax", "-czf", "OUT", "-C", "FROM", "."],
        &["tar", "--format=gnu", "-czf", "OUT", "-C", "FROM", "a", "big"],
        &["python3", "-c", python, "OUT", "FROM"],
    ]
    .iter()
    .enumerate()
    {
        let out = place.path().join(format!("{index}.tar.gz"));
        let words = command.iter().map(|word| match *word {
            "OUT" => out.display().to_string(),
            "FROM" => from.display().to_string(),
            word => word.to_owned(),
        });
        let words: Vec<_> = words.collect();
        assert!(Command::new(&words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
        let into = place.path().join(format!("{index}"));
        fs::create_dir(&into).unwrap();
        unpack(fs::File::open(out).unwrap(), &Dir::open(&into).unwrap(), &Quota::new(PLENTY)).unwrap();
        assert_eq!(listing(&into), listing(&from), "{words:?}");
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    for (path, expected) in [
        ("/etc/cron.d/x", "is an absolute path"),
        ("//x", "is an absolute path"),
        ("../secret", "leaves the directory"),
        ("a/../../secret", "leaves the directory"),
        ("a/..", "leaves the directory"),
        ("..", "leaves the directory"),
        ("./../secret", "leaves the directory"),
        ("a//b", "is not a valid path"),
        ("a/./b", "is not a valid path"),
    ] {
        assert_refused(&[file(path, "x")], expected);
        assert_refused(&[raw(EntryType::Directory, path.as_bytes(), b"", b"")], expected);
    }
    assert_refused(&[raw(EntryType::Regular, b"a\xff", b"", b"")], "is not UTF-8");
    let long = raw(EntryType::GNULongName, b"././@LongLink", b"", "n".repeat(256).as_bytes());
    assert_refused(&[long, file("short", "x")], "is the beginning of a name that is too long");
    let deep = raw(EntryType::GNULongName, b"././@LongLink", b"", "n/".repeat(600).as_bytes());
    assert_refused(&[deep, file("short", "x")], "is the beginning of a name that is too long");
    let pax = raw(EntryType::XHeader, b"pax", b"", b"18 path=../secret\n");
    assert_refused(&[pax, file("short", "x")], "leaves the directory");
    let nul = raw(EntryType::XHeader, b"pax", b"", b"12 path=a\0b\n");
    assert_refused(&[nul, file("short", "x")], "is not a valid path");
}

#[test]
fn links_that_lead_out_are_refused() {
    for target in ["/etc/passwd", "..", "../secret", "a/../../secret", "./../x", "a/..", ""] {
        assert_refused(&[link("a", target)], "is a link that leaves the directory");
    }
    assert_refused(&[link("d/a", "../../secret")], "is a link that leaves the directory");
    // Down a link and up again is somewhere else than it reads.
    assert_refused(
        &[link("m/n", ".."), link("z", "m/n/../secret")],
        "\"z\": is a link that leaves the directory",
    );
    assert_refused(&[raw(EntryType::Link, b"a", b"../secret", b"")], "is a link that leaves the directory");
    assert_refused(&[raw(EntryType::Link, b"a", b"/etc/passwd", b"")], "is a link that leaves the directory");
    assert_refused(
        &[raw(EntryType::Link, b"a", b"none", b"")],
        "is a hard link to a file that does not precede it",
    );
    assert_refused(
        &[link("l", "x"), raw(EntryType::Link, b"a", b"l", b"")],
        "is a hard link to something other than a file",
    );
    // Through a link, where it leads beneath, too.
    assert_refused(&[link("d", "e"), file("d/x", "x")], "has a parent that is a symbolic link");
    assert_refused(
        &[file("e/y", ""), link("d", "e"), file("d/x", "x")],
        "has a parent that is a symbolic link",
    );
    assert_refused(&[link("d", "x"), file("d", "x")], "is in the archive twice");
    assert_refused(&[link("d", "x"), link("d", "y")], "is in the archive twice");
    assert_refused(&[file("d", "x"), file("d", "y")], "is in the archive twice");
    assert_refused(&[file("d", "x"), file("d/x", "y")], "has a parent that is a file");
    assert_refused(&[file("d/x", "x"), file("d", "y")], "is in the archive twice");
    let dir = raw(EntryType::Directory, b"d", b"", b"");
    assert_refused(&[link("d", "."), dir], "has a parent that is a symbolic link");
}

#[test]
fn what_is_neither_file_nor_directory_nor_link_is_refused() {
    assert_refused(&[raw(EntryType::Char, b"null", b"", b"")], "is a device node");
    assert_refused(&[raw(EntryType::Block, b"sda", b"", b"")], "is a device node");
    assert_refused(&[raw(EntryType::Fifo, b"fifo", b"", b"")], "is a FIFO");
    assert_refused(&[raw(EntryType::GNUSparse, b"sparse", b"", b"")], "create it without --sparse");
    assert_refused(&[raw(EntryType::new(b'M'), b"multi", b"", b"")], "is of an unknown type");
    assert_refused(
        &[raw(EntryType::Directory, b"d", b"", b"content")],
        "has content but is not a regular file",
    );
}

#[test]
fn broken_archives_are_refused() {
    let whole = archive(&[file("a", "content"), file("b", &"x".repeat(5000))]);
    let tar = [file("a", "content"), vec![0; 1024]].concat();
    let mut sum = tar.clone();
    sum[0] = b'z';
    let mut flipped = whole.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("no gzip", tar.clone()),
        ("checksum", gz(&sum)),
        ("gzip's checksum", flipped),
        ("no end", gz(&file("a", "content"))),
        ("no content", gz(&file("a", "content")[..514])),
        ("pax without equals", archive(&[raw(EntryType::XHeader, b"x", b"", b"9 path 1\n"), file("a", "")])),
        ("pax of length 0", archive(&[raw(EntryType::XHeader, b"x", b"", b"0 path=1\n"), file("a", "")])),
        ("pax beyond its end", archive(&[raw(EntryType::XHeader, b"x", b"", b"99 path=1\n"), file("a", "")])),
        ("pax size", archive(&[raw(EntryType::XHeader, b"x", b"", b"11 size=-1\n"), file("a", "")])),
    ] {
        let (_place, dir) = beneath();
        let error = unpack(Cursor::new(bytes), &dir, &Quota::new(PLENTY)).expect_err(name);
        assert!(error.to_string().starts_with("the archive is broken"), "{name}: {error}");
    }
    for cut in 0..whole.len() {
        let (_place, dir) = beneath();
        assert!(unpack(Cursor::new(&whole[..cut]), &dir, &Quota::new(PLENTY)).is_err(), "{cut}");
    }
}

/// Bytes that are made as they are read.
struct Bomb {
    head: Cursor<Vec<u8>>,
    zeros: u64,
}

impl std::io::Read for Bomb {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.head.read(buffer)?;
        if count > 0 {
            return Ok(count);
        }
        let count = buffer.len().min(self.zeros as usize);
        buffer[..count].fill(0);
        self.zeros -= count as u64;
        Ok(count)
    }
}

#[test]
fn bombs_are_stopped_by_the_quota_before_they_are_written() {
    // A file that says it has more than there is room for is not begun.
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(1 << 40);
    header.set_cksum();
    let (place, dir) = beneath();
    let error = unpack(Cursor::new(gz(header.as_bytes())), &dir, &Quota::new(1 << 20)).unwrap_err();
    assert!(matches!(error.cause, Cause::Full(_)), "{error:?}");
    assert_eq!(error.to_string(), "\"huge\": insufficient disk space");
    assert_eq!(listing(&place.path().join("in")), [""; 0]);
    // Files of nothing are something.
    let many: Vec<_> = (0..1000).map(|n| file(&format!("{n}"), "")).collect();
    let (place, dir) = beneath();
    let error = unpack(Cursor::new(archive(&many)), &dir, &Quota::new(1 << 20)).unwrap_err();
    assert!(matches!(error.cause, Cause::Full(_)), "{error:?}");
    assert_eq!(listing(&place.path().join("in")).len(), 256);
    // A thousandth of its size as an archive: zeros behind the end, and a name without an end.
    for (head, expected) in [
        ([file("a", ""), vec![0; 1024]].concat(), "has data after its end"),
        (
            {
                let mut header = Header::new_gnu();
                header.set_path("././@LongLink").unwrap();
                header.set_entry_type(EntryType::GNULongName);
                header.set_size(1 << 35);
                header.set_cksum();
                header.as_bytes().to_vec()
            },
            "a header is too long",
        ),
    ] {
        let bomb = Bomb { head: Cursor::new(head), zeros: 1 << 26 };
        let bytes = flate2::read::GzEncoder::new(bomb, Compression::fast());
        let (_place, dir) = beneath();
        let error = unpack(bytes, &dir, &Quota::new(PLENTY)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Everything that a container can leave.
fn zoo(path: &Path) {
    fs::create_dir_all(path.join("sub/empty")).unwrap();
    fs::write(path.join("model.bin"), "weights").unwrap();
    fs::set_permissions(path.join("model.bin"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(path.join("model.bin"), path.join("sub/same")).unwrap();
    symlink("/etc/passwd", path.join("leak")).unwrap();
    symlink("sub", path.join("link")).unwrap();
    let make = |kind, name: &str| {
        let device = rustix::fs::makedev(1, 3);
        let dir = fs::File::open(path).unwrap();
        rustix::fs::mknodat(&dir, name, kind, rustix::fs::Mode::RWXU, device).unwrap();
    };
    make(rustix::fs::FileType::Fifo, "fifo");
    make(rustix::fs::FileType::CharacterDevice, "sub/null");
    std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    let sparse = fs::File::create(path.join("sub/sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    sparse.write_all_at(b"data", 5 << 20).unwrap();
}

#[test]
fn a_hostile_tree_is_packed_without_following_or_opening_anything() {
    let (place, dir) = beneath();
    let from = place.path().join("in");
    zoo(&from);
    let mut bytes = Vec::new();
    let mut told = (0, 0);
    let mut tell = |files, bytes| {
        told = (told.0 + files, told.1 + bytes);
        Ok(())
    };
    let packed = pack(&dir, &mut bytes, &Quota::new(PLENTY), &mut tell).unwrap();
    assert_eq!((packed.files, packed.bytes), (2, 7 + (8 << 20)));
    assert_eq!(told, (packed.files, packed.bytes));
    let skipped: Vec<_> = packed.skipped.iter().map(|(name, what)| format!("{name} is {what}")).collect();
    assert_eq!(skipped, ["fifo is a FIFO", "socket is a socket", "sub/null is a device node"]);
    assert!(bytes.len() < 100_000, "holes are zeros: {}", bytes.len());
    // What tar makes of it.
    let to = place.path().join("out");
    fs::create_dir(&to).unwrap();
    let mut tar = Command::new("tar")
        .arg("-xzpf-")
        .arg("-C")
        .arg(&to)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(tar.wait().unwrap().success());
    let there = |name: &str| fs::symlink_metadata(to.join(name)).unwrap();
    assert_eq!(fs::read_link(to.join("leak")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_to_string(to.join("model.bin")).unwrap(), "weights");
    assert_eq!(there("model.bin").mode() & 0o7777, 0o711);
    assert_eq!((there("model.bin").nlink(), there("sub/same").ino()), (2, there("model.bin").ino()));
    assert_eq!(fs::read(to.join("sub/sparse")).unwrap(), fs::read(from.join("sub/sparse")).unwrap());
    assert!(there("sub/empty").is_dir());
    assert!(fs::symlink_metadata(to.join("fifo")).is_err());
    // And Python.
    let python =
        "import sys, tarfile; print(len(tarfile.open(fileobj=sys.stdin.buffer, mode='r|gz').getmembers()))";
    let mut command = Command::new("python3");
    let python = command.args(["-c", python]);
    let mut python =
        python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(python.wait_with_output().unwrap().stdout, b"7\n");
    // A link out, which a container may leave, is not taken in again.
    let (_place, dir) = beneath();
    let error = unpack(Cursor::new(bytes), &dir, &Quota::new(PLENTY)).unwrap_err();
    assert_eq!(error.to_string(), "\"leak\": is a link that leaves the directory");
}

#[test]
fn names_that_no_key_can_have_fail_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (place, dir) = beneath();
    fs::write(place.path().join("in").join(OsStr::from_bytes(b"a\xffb")), "").unwrap();
    let error = pack(&dir, Vec::new(), &Quota::new(PLENTY), &mut untold).unwrap_err();
    assert!(error.to_string().contains("\"a\u{fffd}b\": is not UTF-8"), "{error}");

    let (place, dir) = beneath();
    let mut deep = place.path().join("in");
    for _ in 0..5 {
        deep.push("n".repeat(250));
    }
    fs::create_dir_all(deep).unwrap();
    let error = pack(&dir, Vec::new(), &Quota::new(PLENTY), &mut untold).unwrap_err();
    assert!(error.to_string().contains("is the beginning of a path of more than 1024 bytes"), "{error}");
}

#[test]
fn a_file_of_holes_is_bounded_by_the_quota() {
    let (place, dir) = beneath();
    fs::File::create(place.path().join("in/holes")).unwrap().set_len(1 << 40).unwrap();
    let error = pack(&dir, Vec::new(), &Quota::new(PLENTY), &mut untold).unwrap_err();
    assert!(matches!(error.cause, Cause::Full(_)), "{error}");
}

#[test]
fn a_file_that_becomes_shorter_is_an_error_that_names_it() {
    let (place, dir) = beneath();
    let path = place.path().join("in/log");
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    let walked = walk(&dir, &mut |entry| {
        fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        let Kind::File(_, mut content) = entry.kind else { panic!() };
        let read = std::io::copy(&mut content, &mut std::io::sink());
        read.map(drop).map_err(|error| Error::system(&entry.path, error))
    });
    assert_eq!(walked.unwrap_err().to_string(), "\"log\": became shorter while it was read");
}

#[test]
fn nothing_is_there_until_all_of_it_is() {
    let (place, dir) = beneath();
    let quota = Quota::new(PLENTY);
    let stage = Stage::begin(dir, "train", &quota).unwrap();
    let train = place.path().join("in/train");
    let file = stage.file("a/b", 6).unwrap();
    file.write_at(b"456", 3).unwrap();
    assert!(file.write_at(b"78", 5).unwrap_err().to_string().contains("more than the 6 bytes"));
    file.write_at(b"123", 0).unwrap();
    file.finish().unwrap();
    // One that is given up leaves nothing.
    drop(stage.file("c", 3).unwrap());
    let short = stage.file("d", 3).unwrap();
    assert!(short.finish().unwrap_err().to_string().contains("has 0 of the 3 bytes"));
    stage.directory("empty").unwrap();
    assert!(!train.exists());
    stage.publish().unwrap();
    assert_eq!(
        listing(&place.path().join("in")),
        ["train/", "train/a/", "train/a/b: 123456", "train/empty/"]
    );
}

#[test]
fn what_was_left_of_an_earlier_attempt_is_gone() {
    let (place, dir) = beneath();
    let quota = Quota::new(PLENTY);
    let old = Stage::begin(dir, "train", &quota).unwrap();
    let file = old.file("old", 0).unwrap();
    file.finish().unwrap();
    let half = old.file("half", 10).unwrap();
    half.write_at(b"x", 0).unwrap();
    std::mem::forget(half);
    std::mem::forget(old);
    // Removing does not follow links.
    symlink(place.path(), place.path().join("in/train~partial/files/out")).unwrap();
    let dir = Dir::open(&place.path().join("in")).unwrap();
    fs::create_dir(place.path().join("in/train")).unwrap();
    Stage::begin(dir, "train", &quota).unwrap().publish().unwrap();
    assert_eq!(listing(place.path()), ["in/", "in/train/", "secret: secret"]);
}

#[test]
fn a_tree_that_is_deeper_than_there_are_descriptors_is_removed() {
    let (place, dir) = beneath();
    let script = "import os
for n in range(1200):
    os.mkdir('d'); open('f', 'w').close(); os.symlink('/etc', 'l'); os.mkdir('~1'); os.chdir('d')";
    fs::create_dir(place.path().join("in/deep")).unwrap();
    let made =
        Command::new("python3").args(["-c", script]).current_dir(place.path().join("in/deep")).status();
    assert!(made.unwrap().success());
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(512), ..before }).unwrap();
    let removed = dir.remove("deep");
    setrlimit(Resource::Nofile, before).unwrap();
    removed.unwrap();
    assert_eq!(listing(place.path()), ["in/", "secret: secret"]);
    dir.remove("deep").unwrap();
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn the_umask_has_no_say() {
    let (place, dir) = beneath();
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let quota = Quota::new(PLENTY);
    let stage = Stage::begin(dir, "train", &quota).unwrap();
    stage.file("a/b", 0).unwrap().finish().unwrap();
    stage.publish().unwrap();
    rustix::process::umask(before);
    let mode = |name: &str| fs::metadata(place.path().join("in").join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("train"), mode("train/a"), mode("train/a/b")), (0o755, 0o755, 0o644));
}

#[test]
fn what_is_there_already_is_not_replaced() {
    let (place, dir) = beneath();
    let quota = Quota::new(PLENTY);
    let stage = Stage::begin(dir, "train", &quota).unwrap();
    stage.file("a", 0).unwrap().finish().unwrap();
    assert!(stage.file("a", 0).unwrap_err().to_string().contains("already exists"));
    assert!(stage.file("a/b", 0).unwrap_err().to_string().contains("has a parent that is a file"));
    fs::create_dir(place.path().join("in/train")).unwrap();
    fs::write(place.path().join("in/train/mine"), "").unwrap();
    assert!(stage.publish().unwrap_err().to_string().contains("already exists and is not empty"));
}

#[test]
fn the_same_again_is_complete_and_a_failure_leaves_nothing() {
    let (place, dir) = beneath();
    let quota = Quota::new(PLENTY);
    let staged = |content: &[u8]| {
        let stage = Stage::begin(dir.sub(".").unwrap(), "train", &quota).unwrap();
        let file = stage.file("a/b", content.len() as u64).unwrap();
        file.write_at(content, 0).unwrap();
        file.finish().unwrap();
        stage
    };
    staged(b"one").publish().unwrap();
    staged(b"one").publish().unwrap();
    assert!(staged(b"three").publish().is_err());
    drop(staged(b"four"));
    let names: Vec<_> =
        fs::read_dir(place.path().join("in")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["train"]);
    assert_eq!(fs::read(place.path().join("in/train/a/b")).unwrap(), b"one");
}

#[test]
fn no_path_of_a_staged_file_leads_out() {
    let (place, dir) = beneath();
    let quota = Quota::new(PLENTY);
    let stage = Stage::begin(dir, "train", &quota).unwrap();
    for path in ["", "/x", "../x", "a/../../x", "a//b", "a/.", "a\0b", "x/"] {
        assert!(stage.file(path, 0).is_err(), "{path:?}");
        assert!(stage.directory(path).is_err(), "{path:?}");
    }
    // A link that another process put there is not followed.
    let files = place.path().join("in/train~partial/files");
    symlink(place.path(), files.join("link")).unwrap();
    symlink(place.path().join("secret"), files.join("leaf")).unwrap();
    for path in ["link/x", "leaf"] {
        assert!(stage.file(path, 0).is_err(), "{path}");
    }
    assert_eq!(fs::read_to_string(place.path().join("secret")).unwrap(), "secret");
    assert!(!place.path().join("x").exists());
}

#[test]
fn a_full_volume_is_an_error_before_anything_is_written() {
    let (_place, dir) = beneath();
    let quota = Quota::new(10_000).with_remedy("give more");
    let stage = Stage::begin(dir, "train", &quota).unwrap();
    let error = stage.file("big", 1 << 40).unwrap_err();
    assert_eq!(error.to_string(), "\"big\": insufficient disk space; give more");
    // A quota of the file system is none of the request's.
    let error = Error::system("big", rustix::io::Errno::DQUOT.into());
    assert!(matches!(error.cause, Cause::System(_)), "{error:?}");
    // What is given up makes room for the next attempt.
    for _ in 0..10 {
        drop(stage.file("small", 5000).unwrap());
    }
    stage.file("small", 5000).unwrap().finish().unwrap_err();
    let kept = stage.file("empty", 0).unwrap();
    kept.finish().unwrap();
    stage.file("small", 5000).unwrap_err();
}

#[test]
fn a_mount_is_not_entered() {
    let (_place, _) = beneath();
    let root = Dir::open(Path::new("/")).unwrap();
    assert!(root.sub("proc/self").is_err(), "another mount");
    assert!(root.look("proc/1/root").is_err(), "a magic link");
}

#[test]
fn a_file_system_says_whether_it_tells_case_apart() {
    let (place, dir) = beneath();
    assert!(!dir.ignores_case().unwrap());
    assert_eq!(listing(&place.path().join("in")), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever entries an archive has, nothing is outside, and no link that was made leads there.
    #[test]
    fn no_archive_leads_out(
        entries in prop::collection::vec(
            (
                prop::sample::select(vec![b'0', b'1', b'2', b'5', b'L', b'x', b'6', b'3']),
                prop::collection::vec(prop::sample::select(vec!["a", "b", "..", ".", "", "link"]), 1..4),
                prop::collection::vec(prop::sample::select(vec!["a", "b", "..", ".", "", "link"]), 1..4),
            ),
            1..12,
        ),
    ) {
        let (place, dir) = beneath();
        let entries: Vec<_> = entries
            .iter()
            .map(|(kind, path, link)| {
                let kind = EntryType::new(*kind);
                let content = if kind.is_file() { "overwritten" } else { "" };
                raw(kind, path.join("/").as_bytes(), link.join("/").as_bytes(), content.as_bytes())
            })
            .collect();
        let _ = unpack(Cursor::new(archive(&entries)), &dir, &Quota::new(PLENTY));
        prop_assert_eq!(fs::read_to_string(place.path().join("secret")).unwrap(), "secret");
        prop_assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
        prop_assert_eq!(fs::metadata(place.path().join("secret")).unwrap().nlink(), 1);
        let root = fs::canonicalize(place.path().join("in")).unwrap();
        let mut next = vec![root.clone()];
        while let Some(directory) = next.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_symlink() {
                    if let Ok(led) = fs::canonicalize(&path) {
                        prop_assert!(led.starts_with(&root), "{} leads to {}", path.display(), led.display());
                    }
                } else if path.is_dir() {
                    next.push(path);
                }
            }
        }
    }

    /// What was packed is what is unpacked.
    #[test]
    fn there_and_back(files in prop::collection::btree_map("[a-z]{1,3}(/[a-zà-ü]{1,60}){0,4}", prop::collection::vec(any::<u8>(), 0..2000), 0..8)) {
        let (place, dir) = beneath();
        for (path, content) in &files {
            let path = place.path().join("in").join(path);
            let _ = fs::create_dir_all(path.parent().unwrap());
            let _ = fs::write(path, content);
        }
        let mut bytes = Vec::new();
        pack(&dir, &mut bytes, &Quota::new(PLENTY), &mut untold).unwrap();
        let to = place.path().join("out");
        fs::create_dir(&to).unwrap();
        unpack(Cursor::new(bytes), &Dir::open(&to).unwrap(), &Quota::new(PLENTY)).unwrap();
        prop_assert_eq!(listing(&to), listing(&place.path().join("in")));
    }
}
