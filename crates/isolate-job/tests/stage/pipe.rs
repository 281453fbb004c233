//! Channels in Pipe mode: what a program reads, epoch after epoch, and what a container can put in the place of a FIFO.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use isolate_job::plan::epoch;
use isolate_job::progress::{Amount, Event, Fault, Line};
use nix::libc;
use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};

use crate::faulty::{self, Faulty};
use crate::run::{Ended, Place, training};
use crate::server::{Moto, shared};
use crate::transfers::noise;

/// A stream that runs.
struct Stream {
    place: Place,
    child: Child,
}

impl Stream {
    /// With channels, each with its members; it waits until the FIFO of the last one is there.
    fn open(channels: &[(&str, Value)], server: std::net::SocketAddr) -> Self {
        let place = place(channels, server);
        let child = place.command(&["stream"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stream = Self { place, child };
        stream.until(&format!("{}_0", channels.last().unwrap().0));
        stream
    }

    #[track_caller]
    fn until(&mut self, name: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.place.path("input/data").join(name).exists() {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < end, "there is no {name}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A FIFO as the program opens it: it is there.
    fn fifo(&self, name: &str) -> File {
        File::open(self.place.path("input/data").join(name)).unwrap()
    }

    /// All of an epoch.
    fn read(&self, name: &str) -> Vec<u8> {
        let mut content = Vec::new();
        self.fifo(name).read_to_end(&mut content).unwrap();
        content
    }

    /// The container has ended.
    fn finish(mut self) -> Ended {
        drop(self.child.stdin.take());
        Ended::of(self.child.wait_with_output().unwrap())
    }

    /// It ends by itself, with an error.
    #[track_caller]
    fn failed(mut self, fault: Fault, text: &str) -> Place {
        // Its stdin is open until then.
        let stdin = self.child.stdin.take();
        let ended = Ended::of(self.child.wait_with_output().unwrap());
        drop(stdin);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        let Some(Line { event: Event::Failed(failure), .. }) = ended.lines.last() else {
            panic!("{}", ended.stdout)
        };
        assert!(failure.message.contains(text), "{failure:?}");
        assert_eq!(failure.fault, fault, "{failure:?}");
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
        self.place
    }
}

fn place(channels: &[(&str, Value)], server: std::net::SocketAddr) -> Place {
    let mut request = training("bucket");
    let all = channels.iter().map(|(name, members)| {
        let mut channel = members.clone();
        channel["ChannelName"] = json!(name);
        channel["InputMode"] = json!("Pipe");
        channel
    });
    request["InputDataConfig"] = all.collect();
    Place::new(request, server)
}

fn source(kind: &str, uri: &str) -> Value {
    json!({ "DataSource": { "S3DataSource": { "S3DataType": kind, "S3Uri": uri } } })
}

fn with(mut channel: Value, members: Value) -> Value {
    channel.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
    channel
}

fn gzip(members: &[&[u8]]) -> Vec<u8> {
    let one = |content: &&[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    members.iter().flat_map(one).collect()
}

/// The records of a stream, as SageMaker's own readers read them.
fn records(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !stream.is_empty() {
        assert_eq!(stream[..4], 0xced7_230a_u32.to_le_bytes());
        let length = u32::from_le_bytes(stream[4..8].try_into().unwrap()) as usize;
        records.push(stream[8..8 + length].to_vec());
        stream = &stream[8 + length.next_multiple_of(4)..];
    }
    records
}

#[test]
fn every_epoch_is_all_objects_in_the_order_of_their_keys() {
    let moto = shared();
    moto.bucket("piped");
    let large = noise((3 << 20) + 5);
    moto.put("piped", "t/b", &large);
    moto.put("piped", "t/a", b"first");
    moto.put("piped", "t/../c", b"a key is no path here");
    moto.put("piped", "t/empty", b"");
    moto.put("piped", "t/folder/", b"");
    moto.put("piped", "m", br#"[{"prefix": "s3://piped/t/"}, "b", "a"]"#);
    let channels =
        [("train", source("S3Prefix", "s3://piped/t/")), ("test", source("ManifestFile", "s3://piped/m"))];
    let stream = Stream::open(&channels, moto.address);
    let all = [b"a key is no path here".as_slice(), b"first", &large].concat();
    for number in 0..3 {
        assert!(stream.read(&format!("train_{number}")) == all, "epoch {number}");
        // The next one is there when the program has seen the end.
        assert!(stream.place.path(&format!("input/data/train_{}", number + 1)).exists());
    }
    assert!(stream.read("test_0") == [large.as_slice(), b"first"].concat());
    let ended = stream.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    let of = |name: &str| -> Vec<_> {
        let lines = ended.lines.iter().filter(|line| line.step == name);
        lines.filter(|line| !matches!(line.event, Event::Transferred(_))).map(|line| &line.event).collect()
    };
    let bytes = all.len() as u64;
    let complete = Event::Complete(Amount { files: 12, bytes: 3 * bytes });
    assert_eq!(of("channel train"), [&Event::Total(Amount { files: 4, bytes }), &complete]);
}

#[test]
fn a_program_may_end_an_epoch_early_or_never_begin_one() {
    let moto = shared();
    moto.bucket("early");
    let content = noise(8 << 20);
    moto.put("early", "t/a", &content);
    let channel = source("S3Prefix", "s3://early/t/");
    let mut stream = Stream::open(&[("train", channel.clone()), ("unread", channel)], moto.address);
    let mut beginning = [0; 10];
    stream.fifo("train_0").read_exact(&mut beginning).unwrap();
    assert_eq!(beginning, content[..10]);
    stream.until("train_1");
    assert!(stream.read("train_1") == content);
    assert!(!stream.place.path("input/data/unread_1").exists());
    assert_eq!(stream.finish().code, Some(0));
}

#[test]
fn objects_are_decompressed_wrapped_shuffled_and_sharded() {
    let moto = shared();
    moto.bucket("forms");
    let large = noise((9 << 20) + 1);
    // The first has two members, the last is not held in memory.
    moto.put("forms", "g/a", &gzip(&[b"one", b"two"]));
    moto.put("forms", "g/b", &gzip(&[b""]));
    moto.put("forms", "g/c", &gzip(&[&large]));
    for key in 0..9 {
        moto.put("forms", &format!("s/{key}"), key.to_string().as_bytes());
    }
    let (zipped, plain) = (source("S3Prefix", "s3://forms/g/"), source("S3Prefix", "s3://forms/s/"));
    let is_gzip = json!({ "CompressionType": "Gzip" });
    let wrapped = json!({ "RecordWrapperType": "RecordIO" });
    let mut sharded = with(plain.clone(), json!({ "ShuffleConfig": { "Seed": 5 } }));
    sharded["DataSource"]["S3DataSource"]["S3DataDistributionType"] = json!("ShardedByS3Key");
    let channels = [
        ("gzip", with(zipped.clone(), is_gzip.clone())),
        ("both", with(with(zipped, is_gzip), wrapped.clone())),
        ("wrapped", with(plain, wrapped)),
        ("shuffled", sharded),
    ];
    let stream = Stream::open(&channels, moto.address);
    assert!(stream.read("gzip_0") == [b"onetwo".as_slice(), &large].concat());
    for number in 0..2 {
        let found = records(&stream.read(&format!("both_{number}")));
        assert!(found == [b"onetwo".to_vec(), Vec::new(), large.clone()]);
    }
    let digits: Vec<_> = (0..9).map(|key| key.to_string().into_bytes()).collect();
    assert_eq!(records(&stream.read("wrapped_0")), digits);
    for number in 0..3 {
        let order = epoch(9, Some(5), number, 0, 1);
        let expected: String = order.iter().map(ToString::to_string).collect();
        assert_eq!(stream.read(&format!("shuffled_{number}")), expected.into_bytes());
    }
    assert_eq!(stream.finish().code, Some(0));
}

#[test]
fn lines_of_an_augmented_manifest_are_their_attributes_in_order() {
    let moto = shared();
    moto.bucket("lines");
    moto.bucket("images");
    moto.put("images", "x/1.jpg", b"image 1");
    moto.put("images", "x/2.jpg", b"image two");
    moto.put("lines", "text/1", b"text");
    let lines = r#"{"image-ref": "s3://images/x/1.jpg", "is-a-cat": 1, "text-ref": "s3://lines/text/1"}
{"is-a-cat": "no", "more": {}, "text-ref": "s3://lines/text/1", "image-ref": "s3://images/x/2.jpg"}
"#;
    moto.put("lines", "m", lines.as_bytes());
    let mut channel = source("AugmentedManifestFile", "s3://lines/m");
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = json!(["image-ref", "is-a-cat", "text-ref"]);
    let wrapped = with(channel.clone(), json!({ "RecordWrapperType": "RecordIO" }));
    let stream = Stream::open(&[("plain", channel.clone()), ("wrapped", wrapped)], moto.address);
    assert_eq!(stream.read("plain_0"), b"image 11textimage twonotext");
    let expected = ["image 1", "1", "text", "image two", "no", "text"].map(|text| text.as_bytes().to_vec());
    assert_eq!(records(&stream.read("wrapped_0")), expected);
    assert_eq!(stream.finish().code, Some(0));
    // What is missing is known before a program starts.
    moto.put("lines", "gone", br#"{"image-ref": "s3://images/x/3.jpg"}"#);
    channel["DataSource"]["S3DataSource"] = json!({
        "S3DataType": "AugmentedManifestFile", "S3Uri": "s3://lines/gone", "AttributeNames": ["image-ref"],
    });
    place(&[("train", channel.clone())], moto.address).failed(
        &["stream"],
        Fault::Client,
        "s3://images/x/3.jpg: NotFound",
    );
    channel["DataSource"]["S3DataSource"]["S3Uri"] = json!("s3://lines/m");
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = json!(["label"]);
    place(&[("train", channel)], moto.address).failed(
        &["stream"],
        Fault::Client,
        "s3://lines/m: line 1: has no attribute \"label\"",
    );
}

#[test]
fn what_cannot_be_streamed_is_an_error_with_its_name() {
    let moto = shared();
    moto.bucket("wrong");
    moto.put("wrong", "t/plain", b"this is not compressed");
    moto.put("wrong", "folder/", b"");
    let channel = with(source("S3Prefix", "s3://wrong/t/"), json!({ "CompressionType": "Gzip" }));
    let stream = Stream::open(&[("train", channel)], moto.address);
    stream.read("train_0");
    stream.failed(Fault::Client, "s3://wrong/t/plain: cannot be decompressed");
    for (uri, text) in [
        ("s3://wrong/folder/", "No S3 objects found under S3 URL \"s3://wrong/folder/\""),
        ("s3://nowhere/t/", "NoSuchBucket"),
    ] {
        let place = place(&[("train", source("S3Prefix", uri))], moto.address);
        place.failed(&["stream"], Fault::Client, text);
    }
}

#[test]
fn a_failure_is_reported_before_the_program_sees_an_end() {
    // A fifth of the answers are whole.
    let server = Faulty::start(faulty::Fault::Changed, noise(100));
    let stream = Stream::open(&[("train", source("S3Prefix", "s3://bucket/t/"))], server.address);
    assert_eq!(stream.read("train_0"), b"");
    stream.failed(Fault::Client, "changed since it was listed");
    // A connection that breaks is no failure.
    let content = noise(3 << 20);
    let server = Faulty::start(faulty::Fault::Cut(2), content.clone());
    let stream = Stream::open(&[("train", source("S3Prefix", "s3://bucket/t/"))], server.address);
    assert!(stream.read("train_0") == content);
    assert_eq!(stream.finish().code, Some(0));
}

/// What a container makes to put it in the place of a FIFO, and the error.
type Act = (fn(&Path), &'static str);

const ACTS: [Act; 6] = [
    (|path| symlink(path.parent().unwrap().join("../../../outside"), path).unwrap(), "is a symbolic link"),
    (|path| fs::write(path, "mine").unwrap(), "is a regular file"),
    (|path| fs::create_dir(path).unwrap(), "is a directory"),
    (|path| drop(UnixListener::bind(path).unwrap()), "is a socket"),
    (|path| made("mknod", path, &["c", "1", "3"]), "is a device node"),
    (|path| made("mkfifo", path, &[]), "was replaced by another FIFO"),
];

fn made(program: &str, path: &Path, words: &[&str]) {
    assert!(Command::new(program).arg(path).args(words).status().unwrap().success());
}

#[test]
fn what_takes_the_place_of_a_fifo_is_an_error_and_is_not_written_to() {
    let moto = shared();
    moto.bucket("acts");
    moto.put("acts", "t/a", b"content");
    let open = || {
        let stream = Stream::open(&[("train", source("S3Prefix", "s3://acts/t/"))], moto.address);
        assert_eq!(stream.read("train_0"), b"content");
        let path = stream.place.path("input/data/train_1");
        (stream, path)
    };
    for (act, text) in ACTS {
        let (stream, path) = open();
        let outside = stream.place.directory.path().join("outside");
        fs::write(&outside, "untouched").unwrap();
        let other = path.with_extension("other");
        act(&other);
        let (from, to) = (&other, &path);
        rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).unwrap();
        let place = stream.failed(Fault::Client, &format!("\"train_1\": {text}"));
        assert_eq!(fs::read(&outside).unwrap(), b"untouched");
        if path.symlink_metadata().unwrap().is_file() {
            assert_eq!(fs::read(&path).unwrap(), b"mine");
        }
        drop(place);
    }
    let (stream, path) = open();
    fs::remove_file(path).unwrap();
    stream.failed(Fault::Client, "\"train_1\": was removed");
    // By another name it could be that of another epoch.
    let (stream, path) = open();
    fs::hard_link(&path, path.with_extension("other")).unwrap();
    stream.failed(Fault::Client, "\"train_1\": has another name");
    // One that the container has made before.
    let (stream, path) = open();
    made("mkfifo", &path.with_file_name("train_2"), &[]);
    stream.read("train_1");
    stream.failed(Fault::Client, "\"train_2\": exists");
}

#[test]
fn what_was_requested_for_an_epoch_ends_with_it() {
    // An answer takes ten seconds.
    let server = Faulty::start(faulty::Fault::Slow, noise(100));
    let wrapped = json!({ "RecordWrapperType": "RecordIO" });
    let channel = with(source("S3Prefix", "s3://bucket/t/"), wrapped);
    let mut stream = Stream::open(&[("train", channel)], server.address);
    for number in 0..12 {
        let path = stream.place.path(&format!("input/data/train_{number}"));
        let fifo = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
        // Full, so that the header of the first record waits, and is told that there is no reader.
        rustix::pipe::fcntl_setpipe_size(&fifo, 1 << 20).unwrap();
        while (&fifo).write(&[0; 4096]).is_ok() {}
        stream.until(&format!("train_{}", number + 1));
        drop(fifo);
    }
    let descriptors = fs::read_dir(format!("/proc/{}/fd", stream.child.id())).unwrap();
    let targets = descriptors.filter_map(|found| fs::read_link(found.unwrap().path()).ok());
    let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count();
    assert!(sockets < 6, "{sockets} sockets");
    assert_eq!(stream.finish().code, Some(0));
}

#[test]
fn a_directory_that_is_replaced_leads_nowhere() {
    let moto = shared();
    moto.bucket("moved");
    moto.put("moved", "t/a", b"content");
    let stream = Stream::open(&[("train", source("S3Prefix", "s3://moved/t/"))], moto.address);
    let outside = stream.place.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let data = stream.place.path("input/data");
    fs::rename(&data, stream.place.path("input/moved")).unwrap();
    symlink(&outside, &data).unwrap();
    // The program finds its FIFO where it has moved it to.
    let mut content = Vec::new();
    File::open(stream.place.path("input/moved/train_0")).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, b"content");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(stream.finish().code, Some(0));
}

fn resident(stream: &Stream) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stream.child.id())).unwrap();
    // Its own: the pages of a program with symbols are many.
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_slow_program_holds_the_stream_up_and_not_its_memory() {
    let content = noise(1 << 20).repeat(100);
    let (is_gzip, wrapped) =
        (json!({ "CompressionType": "Gzip" }), json!({ "RecordWrapperType": "RecordIO" }));
    let channel = source("S3Prefix", "s3://bucket/t/");
    // A record of that size is decompressed twice, and is not held either.
    let zipped = with(with(channel.clone(), is_gzip), wrapped);
    for (stored, channel) in [(content.clone(), channel), (gzip(&[&content]), zipped)] {
        let server = Faulty::start(faulty::Fault::None, stored);
        let stream = Stream::open(&[("train", channel)], server.address);
        let mut fifo = stream.fifo("train_0");
        let mut read = vec![0; 1 << 20];
        fifo.read_exact(&mut read).unwrap();
        thread::sleep(Duration::from_secs(1));
        fifo.read_to_end(&mut read).unwrap();
        let found = if read.len() == content.len() { read } else { records(&read).remove(0) };
        assert!(found == content);
        let resident = resident(&stream);
        assert!(resident < 48 << 10, "{resident} KiB of {}", found.len());
        assert_eq!(stream.finish().code, Some(0));
    }
}

/// A bucket of objects of these sizes.
fn objects(moto: &Moto, bucket: &str, sizes: &[usize]) -> Vec<Vec<u8>> {
    moto.bucket(bucket);
    let contents: Vec<_> = sizes.iter().map(|size| noise(*size)).collect();
    for (index, content) in contents.iter().enumerate() {
        moto.put(bucket, &format!("t/{index:03}"), content);
    }
    contents
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_sizes_a_program_reads_the_concatenation(
        sizes in proptest::collection::vec(prop_oneof![Just(0), 1..100usize, 1..3_000_000usize], 1..5),
        seed: Option<i32>, is_wrapped: bool, part in 1..100_000usize, id: u64,
    ) {
        let moto = shared();
        let bucket = format!("sizes-{id}");
        let contents = objects(moto, &bucket, &sizes);
        let mut channel = source("S3Prefix", &format!("s3://{bucket}/t/"));
        if let Some(seed) = seed {
            channel["ShuffleConfig"] = json!({ "Seed": seed });
        }
        if is_wrapped {
            channel["RecordWrapperType"] = json!("RecordIO");
        }
        let stream = Stream::open(&[("train", channel)], moto.address);
        for number in 0..2 {
            // In reads of any size.
            let (mut fifo, mut read, mut buffer) = (stream.fifo(&format!("train_{number}")), Vec::new(), vec![0; part]);
            loop {
                let count = fifo.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                read.extend_from_slice(&buffer[..count]);
            }
            let order = epoch(sizes.len(), seed.map(i64::from), number, 0, 1);
            let expected: Vec<_> = order.iter().map(|index| contents[*index].clone()).collect();
            let is_same = if is_wrapped { records(&read) == expected } else { read == expected.concat() };
            prop_assert!(is_same, "epoch {}", number);
        }
        prop_assert_eq!(stream.finish().code, Some(0));
    }
}
