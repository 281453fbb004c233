//! Uploads of objects: in one request, or in parts if they are large. An object appears only when it is complete. The memory for
//! content that waits to be sent is bounded.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::types::CompletedPart;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::{Bucket, Error};

/// The most parts of an object.
const MOST_OF_PARTS: usize = 10_000;

/// The most parts in memory: one that is filled, and those that are sent.
const IN_MEMORY: usize = 4;

/// Objects that are sent, several at a time.
#[derive(Debug)]
pub struct Uploads {
    bucket: Bucket,
    kms: Option<String>,
    /// KiB.
    memory: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Error>>,
    failed: Arc<AtomicBool>,
}

impl Bucket {
    /// Nothing is sent yet. `kms` is the key with which objects are encrypted.
    #[must_use]
    pub fn uploads(&self, kms: Option<&str>) -> Uploads {
        Uploads {
            bucket: self.clone(),
            kms: kms.map(str::to_owned),
            memory: Arc::new(Semaphore::new(self.in_memory())),
            requests: Arc::new(Semaphore::new(self.parallel)),
            tasks: JoinSet::new(),
            failed: Arc::default(),
        }
    }

    /// The memory of all uploads, in KiB.
    fn in_memory(&self) -> usize {
        IN_MEMORY * (self.part_size >> 10)
    }
}

impl Uploads {
    /// Begins an object of exactly this many bytes.
    pub fn file(&mut self, key: String, size: u64) -> Upload<'_> {
        let part = self.part(size);
        Upload { uploads: self, key, left: size, part, buffer: Buffer::default(), multipart: None }
    }

    /// Begins an object of about this many bytes.
    pub fn stream(&mut self, key: String, about: u64) -> Upload<'_> {
        let part = self.part(about);
        Upload { uploads: self, key, left: u64::MAX, part, buffer: Buffer::default(), multipart: None }
    }

    /// The size of an object's parts, so that there are not too many.
    fn part(&self, about: u64) -> usize {
        let part = usize::try_from(about.div_ceil(MOST_OF_PARTS as u64 * 9 / 10)).unwrap_or(usize::MAX);
        part.max(self.bucket.part_size)
    }

    /// Waits until all objects are complete.
    ///
    /// # Errors
    /// The first error; the objects that failed do not appear.
    pub fn finish(mut self) -> Result<(), Error> {
        let runtime = self.bucket.runtime.clone();
        runtime.block_on(async {
            let mut first = Ok(());
            while let Some(done) = self.tasks.join_next().await {
                first = first.and(flat(done));
            }
            first
        })
    }

    fn spawn(&mut self, task: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let failed = Arc::clone(&self.failed);
        let task = async move { task.await.inspect_err(|_| failed.store(true, Ordering::Relaxed)) };
        self.tasks.spawn_on(task, &self.bucket.runtime);
    }
}

fn flat<T>(done: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    done.unwrap_or_else(|error| Err(Error::internal("upload", error)))
}

/// Content that waits to be sent, and its share of the memory.
#[derive(Debug, Default)]
struct Buffer {
    content: Vec<u8>,
    most: usize,
    permit: Option<OwnedSemaphorePermit>,
}

/// An object that is being written.
#[derive(Debug)]
pub struct Upload<'u> {
    uploads: &'u mut Uploads,
    key: String,
    /// The expected size in bytes.
    left: u64,
    /// The size of its parts.
    part: usize,
    buffer: Buffer,
    multipart: Option<Multipart>,
}

#[derive(Debug)]
struct Multipart {
    id: String,
    parts: Vec<JoinHandle<Result<CompletedPart, Error>>>,
}

impl Upload<'_> {
    /// Ends the content; the object appears soon. [`Uploads::finish`] returns its error, if there is one.
    ///
    /// # Errors
    /// The service's.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.multipart.is_some() {
            self.ship()?;
        }
        let content = std::mem::take(&mut self.buffer);
        let (bucket, key) = (self.uploads.bucket.clone(), self.key.clone());
        let (kms, requests) = (self.uploads.kms.clone(), Arc::clone(&self.uploads.requests));
        match self.multipart.take() {
            None => self.uploads.spawn(async move {
                let _turn = requests.acquire().await;
                let done = bucket.put(&key, content.content, kms.as_deref()).await;
                drop(content.permit);
                done
            }),
            Some(multipart) => self.uploads.spawn(multipart.complete(bucket, key)),
        }
        Ok(())
    }

    /// Appends what is read, up to the expected size, without another copy of it.
    ///
    /// # Errors
    /// The reader's; the content is shorter; the upload has failed.
    pub fn read(&mut self, from: &mut impl Read) -> io::Result<()> {
        while self.left > 0 {
            let room = self.room()?;
            let count = from.take(room as u64).read_to_end(&mut self.buffer.content)?;
            self.left -= count as u64;
            if count < room {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// How much the buffer takes, which is sent and replaced if it is full.
    fn room(&mut self) -> io::Result<usize> {
        // The task that failed has the reason.
        if self.uploads.failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the upload has failed"));
        }
        if self.buffer.content.len() == self.buffer.most {
            if !self.buffer.content.is_empty()
                && let Err(error) = self.ship()
            {
                let text = error.to_string();
                self.uploads.spawn(async { Err(error) });
                return Err(io::Error::other(text));
            }
            self.begin_buffer();
        }
        Ok(self.buffer.most - self.buffer.content.len())
    }

    /// Sends the buffer as a part.
    fn ship(&mut self) -> Result<(), Error> {
        let (bucket, key) = (self.uploads.bucket.clone(), self.key.clone());
        if self.multipart.is_none() {
            let id = bucket.runtime.block_on(bucket.begin(&key, self.uploads.kms.as_deref()))?;
            self.multipart = Some(Multipart { id, parts: Vec::new() });
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        if multipart.parts.len() == MOST_OF_PARTS {
            let why = format!("has more than {MOST_OF_PARTS} parts; set a larger part-size");
            return Err(Error::internal(&bucket.uri(&key), why));
        }
        let buffer = std::mem::take(&mut self.buffer);
        let (id, number) = (multipart.id.clone(), multipart.parts.len() + 1);
        let requests = Arc::clone(&self.uploads.requests);
        let failed = Arc::clone(&self.uploads.failed);
        multipart.parts.push(self.uploads.bucket.runtime.spawn(async move {
            let _turn = requests.acquire().await;
            let done = bucket.part(&key, &id, number, buffer.content).await;
            drop(buffer.permit);
            done.inspect_err(|_| failed.store(true, Ordering::Relaxed))
        }));
        Ok(())
    }

    /// Waits for the memory of a new buffer.
    fn begin_buffer(&mut self) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.part);
        let all = self.uploads.bucket.in_memory();
        let kib = u32::try_from(most.div_ceil(1024).min(all)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.uploads.memory).acquire_many_owned(kib);
        let permit = self.uploads.bucket.runtime.block_on(memory).ok();
        self.buffer = Buffer { content: Vec::with_capacity(most), most, permit };
    }
}

impl Write for Upload<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let count = content.len().min(self.room()?);
        self.buffer.content.extend_from_slice(&content[..count]);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload<'_> {
    /// Aborts an incomplete upload. The error that caused it is already reported.
    fn drop(&mut self) {
        if let Some(multipart) = self.multipart.take() {
            multipart.parts.iter().for_each(JoinHandle::abort);
            let (bucket, key) = (self.uploads.bucket.clone(), self.key.clone());
            self.uploads.spawn(async move {
                // A part that has failed is the reason, and its error is reported.
                let mut reason = Ok(());
                for part in multipart.parts {
                    if let Ok(done) = part.await {
                        reason = reason.and(done.map(drop));
                    }
                }
                bucket.abort(&key, &multipart.id).await;
                reason
            });
        }
    }
}

impl Multipart {
    async fn complete(self, bucket: Bucket, key: String) -> Result<(), Error> {
        let mut parts = Ok(Vec::with_capacity(self.parts.len()));
        for part in self.parts {
            let part = flat(part.await);
            parts = parts.and_then(|mut parts| {
                parts.push(part?);
                Ok(parts)
            });
        }
        let done = match parts {
            Ok(parts) => bucket.complete(&key, &self.id, parts).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            bucket.abort(&key, &self.id).await;
        }
        done
    }
}
