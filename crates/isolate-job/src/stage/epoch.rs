//! One epoch of a channel: the content of its objects goes into a FIFO, decompressed and wrapped as the channel has it, until its end or
//! until the program closes the FIFO. What is held in memory is bounded, however large an object is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;

use super::report::Report;
use super::source::{Item, Source};
use super::{client, internal};
use crate::plan::{MOST_OF_RECORD, Pipe, header, padding};
use crate::progress::Failure;
use crate::s3::{Ahead, Bucket, Object, Reading};

/// Why an epoch was not written to its end.
pub(super) enum Cut {
    /// The program has closed the FIFO.
    Closed,
    /// It cannot be read, or not be written.
    Failed(Failure),
}

/// A reader's error, of which the cause is known elsewhere.
enum Broken {
    Read(io::Error),
    Cut(Cut),
}

/// An epoch.
pub(super) struct Epoch<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) pipe: &'a Pipe,
    pub(super) fifo: &'a mut File,
    pub(super) report: &'a Mutex<Report>,
    pub(super) ahead: Ahead,
    /// The most of a decompressed record that is held until its length is known; a larger one is decompressed twice.
    pub(super) held: u64,
}

/// As much is decompressed at a time.
const DECOMPRESSED: usize = 256 << 10;

impl Epoch<'_> {
    /// Writes these lines or objects of the source.
    pub(super) fn write(mut self, order: Vec<usize>) -> Result<(), Cut> {
        let source = Arc::clone(self.source);
        let mut reading = source.buckets[0].read_all(source.objects(order.clone()), self.ahead);
        for item in source.items(&order) {
            match item {
                Item::Value(text) => self.record(text.as_bytes())?,
                Item::Object(bucket, object) => {
                    self.object(&source.buckets[*bucket], object, &mut reading)?;
                    self.report(1, 0)?;
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, bucket: &Bucket, object: &Object, reading: &mut Reading) -> Result<(), Cut> {
        let uri = bucket.uri(&object.key);
        let mut content = Read::take(&mut *reading, object.size);
        let done = match (self.pipe.is_gzip, self.pipe.is_wrapped) {
            (false, false) => self.whole(&mut content, object.size),
            (false, true) => self.wrap(&uri, object.size, &mut content),
            (true, false) => self.copy(&mut decompressed(&mut content)).map(drop),
            (true, true) => self.decompress_and_wrap(bucket, object, &mut content),
        };
        done.map_err(|broken| match (broken, reading.error()) {
            (Broken::Cut(cut), _) => cut,
            // Of both errors, the one that led to the other.
            (Broken::Read(_), Some(error)) => Cut::Failed(error.into()),
            (Broken::Read(error), None) if self.pipe.is_gzip => {
                let why = "cannot be decompressed, as CompressionType Gzip demands";
                Cut::Failed(client(format!("{uri}: {why}: {error}")))
            }
            (Broken::Read(error), None) => Cut::Failed(internal(format!("{uri}: {error}"))),
        })
    }

    /// The length of a record goes before it, and is that of the decompressed content.
    fn decompress_and_wrap(
        &mut self,
        bucket: &Bucket,
        object: &Object,
        content: &mut impl BufRead,
    ) -> Result<(), Broken> {
        let mut decoder = MultiGzDecoder::new(content);
        let mut held = Vec::new();
        Read::take(&mut decoder, self.held + 1).read_to_end(&mut held).map_err(Broken::Read)?;
        if held.len() as u64 <= self.held {
            return self.record(&held).map_err(Broken::Cut);
        }
        let rest = io::copy(&mut Read::take(&mut decoder, MOST_OF_RECORD), &mut io::sink());
        let length = held.len() as u64 + rest.map_err(Broken::Read)?;
        drop(held);
        let mut again = bucket.read_all(iter::once((bucket.clone(), object.clone())), self.ahead);
        let done = self.wrap(&bucket.uri(&object.key), length, &mut decompressed(&mut again));
        match (done, again.error()) {
            (Err(Broken::Read(_)), Some(error)) => Err(Broken::Cut(Cut::Failed(error.into()))),
            (done, _) => done,
        }
    }

    fn wrap(&mut self, uri: &str, length: u64, content: &mut impl BufRead) -> Result<(), Broken> {
        self.put(&framed(uri, length).map_err(Broken::Cut)?).map_err(Broken::Cut)?;
        self.whole(content, length)?;
        self.put(padding(length)).map_err(Broken::Cut)
    }

    /// A value that is held: a record, if the channel has such.
    fn record(&mut self, content: &[u8]) -> Result<(), Cut> {
        let length = content.len() as u64;
        if !self.pipe.is_wrapped {
            return self.put(content);
        }
        self.put(&framed("a value", length)?)?;
        self.put(content)?;
        self.put(padding(length))
    }

    /// Exactly so many bytes.
    fn whole(&mut self, content: &mut impl BufRead, length: u64) -> Result<(), Broken> {
        if self.copy(content)? == length {
            Ok(())
        } else {
            Err(Broken::Read(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    fn copy(&mut self, content: &mut impl BufRead) -> Result<u64, Broken> {
        let mut copied = 0;
        loop {
            let part = content.fill_buf().map_err(Broken::Read)?;
            if part.is_empty() {
                return Ok(copied);
            }
            self.put(part).map_err(Broken::Cut)?;
            let count = part.len();
            content.consume(count);
            copied += count as u64;
        }
    }

    fn put(&mut self, part: &[u8]) -> Result<(), Cut> {
        self.fifo.write_all(part).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Cut::Closed,
            _ => Cut::Failed(error.into()),
        })?;
        self.report(0, part.len() as u64)
    }

    fn report(&self, files: u64, bytes: u64) -> Result<(), Cut> {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.add(files, bytes).map_err(|error| Cut::Failed(error.into()))
    }
}

fn decompressed<R: BufRead>(content: R) -> BufReader<MultiGzDecoder<R>> {
    BufReader::with_capacity(DECOMPRESSED, MultiGzDecoder::new(content))
}

fn framed(what: &str, length: u64) -> Result<[u8; crate::plan::HEADER], Cut> {
    header(length).ok_or_else(|| Cut::Failed(too_large(what)))
}

pub(super) fn too_large(what: &str) -> Failure {
    let why = "the most of a RecordIO record; divide the object";
    client(format!("{what}: has more than {MOST_OF_RECORD} bytes, {why}"))
}
