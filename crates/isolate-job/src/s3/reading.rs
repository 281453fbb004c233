//! The contents of objects as one stream: of one object, or of many, one after the other. What follows is fetched ahead, up to a bound.

use std::io::{self, BufRead, Read};
use std::iter;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::fetch::{append, split};
use super::{Bucket, Error, Object};

/// How much is fetched ahead of the reader.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// The most bytes of a request.
    pub piece: u64,
    /// So many requests.
    pub pieces: usize,
}

/// Of one object.
const ALONE: Ahead = Ahead { piece: 4 << 20, pieces: 4 };

impl Bucket {
    /// An object, from its beginning to its end.
    #[must_use]
    pub fn read(&self, object: &Object) -> Reading {
        self.read_all(iter::once((self.clone(), object.clone())), ALONE)
    }

    /// Objects of this bucket or of others, one after the other.
    pub fn read_all(
        &self,
        objects: impl Iterator<Item = (Self, Object)> + Send + 'static,
        ahead: Ahead,
    ) -> Reading {
        let (sender, receiver) = mpsc::channel(1);
        let pieces = objects.flat_map(move |(bucket, object)| {
            split(object.size, ahead.piece).map(move |range| (bucket.clone(), object.clone(), range))
        });
        let runtime = self.runtime.clone();
        self.runtime.spawn(async move {
            // Each is a task, so that an answer is received even if the reader lets all wait for hours.
            let fetch = |(bucket, object, range): (Self, Object, std::ops::Range<u64>)| {
                let place = bucket.uri(&object.key);
                let task = runtime.spawn(async move {
                    let size = usize::try_from(range.end - range.start).unwrap_or(0);
                    let mut content = Vec::with_capacity(size);
                    bucket.get(&object, range, &mut append(&mut content)).await?;
                    Ok(content)
                });
                let mut task = Task(task);
                async move { (&mut task.0).await.unwrap_or_else(|error| Err(Error::internal(&place, error))) }
            };
            let mut contents = stream::iter(pieces).map(fetch).buffered(ahead.pieces);
            loop {
                let content = tokio::select! {
                    () = sender.closed() => return,
                    content = contents.next() => content,
                };
                let Some(content) = content else { return };
                let is_last = content.is_err();
                if sender.send(content).await.is_err() || is_last {
                    return;
                }
            }
        });
        Reading { receiver, content: Vec::new(), at: 0, error: None }
    }
}

/// A task that ends when its outcome is not awaited any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The content. What is still fetched ends with it.
#[derive(Debug)]
pub struct Reading {
    receiver: mpsc::Receiver<Result<Vec<u8>, Error>>,
    content: Vec<u8>,
    at: usize,
    error: Option<Error>,
}

impl Reading {
    /// Why it ended early; a reader sees an error of the system only.
    pub fn error(&mut self) -> Option<Error> {
        self.error.take()
    }
}

impl BufRead for Reading {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.content.len() {
            match self.receiver.blocking_recv() {
                None => break,
                Some(Ok(content)) => (self.content, self.at) = (content, 0),
                Some(Err(error)) => {
                    let text = error.to_string();
                    self.error = Some(error);
                    return Err(io::Error::other(text));
                }
            }
        }
        Ok(&self.content[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.fill_buf()?;
        let count = buffer.len().min(content.len());
        buffer[..count].copy_from_slice(&content[..count]);
        self.consume(count);
        Ok(count)
    }
}
