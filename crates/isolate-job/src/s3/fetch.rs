//! The content of objects, in ranges, several at a time. A connection that breaks within an answer is followed by a request for the
//! rest, while the object is the same (If-Match).

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{sleep, timeout};

use super::connect::{ANSWER, ATTEMPTS};
use super::{Bucket, Error, Object};

/// A range of an object, and what it is for.
#[derive(Debug)]
pub struct Piece<'o, T> {
    /// The object.
    pub object: &'o Object,
    /// Which of its bytes.
    pub range: Range<u64>,
    /// What they are for.
    pub into: T,
}

impl Bucket {
    /// The ranges in which an object is fetched.
    pub fn ranges(&self, object: &Object) -> impl Iterator<Item = Range<u64>> + use<> {
        // Nothing is held in memory, and fewer requests take less.
        split(object.size, 2 * self.part_size as u64)
    }

    /// Fetches pieces. `write` gets content and where in the object it stands, `done` each piece that is complete.
    ///
    /// # Errors
    /// The first error of the pieces, the service, `write` and `done`.
    pub fn fetch<'o, T, E: From<Error>>(
        &self,
        pieces: impl Iterator<Item = Result<Piece<'o, T>, E>>,
        write: impl Fn(&T, &[u8], u64) -> Result<(), E>,
        done: impl Fn(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let (write, done) = (&write, &done);
        let fetch = |piece: Result<Piece<'o, T>, E>| async move {
            let Piece { object, range, into } = piece?;
            let mut at = range.start;
            let mut take = |content: &[u8]| {
                write(&into, content, at)?;
                at += content.len() as u64;
                Ok::<_, E>(())
            };
            self.get(object, range, &mut take).await?;
            done(into)
        };
        let all = stream::iter(pieces).map(fetch).buffer_unordered(self.parallel);
        self.runtime.block_on(all.try_for_each(|()| async { Ok(()) }))
    }

    /// The content of a small object.
    ///
    /// # Errors
    /// It is larger; the service's.
    pub fn small(&self, object: &Object, most: u64) -> Result<Vec<u8>, Error> {
        if object.size > most {
            let why = format!("has {} bytes; the most is {most}", object.size);
            return Err(Error::client(&self.uri(&object.key), why));
        }
        let mut content = Vec::new();
        self.runtime.block_on(self.get(object, object.whole(), &mut append(&mut content)))?;
        Ok(content)
    }

    /// Exactly this range.
    pub(super) async fn get<E: From<Error>>(
        &self,
        object: &Object,
        range: Range<u64>,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.uri(&object.key);
        let mut at = range.start;
        let mut attempts = 0;
        while at < range.end {
            let mut body = self.request(object, at..range.end, &place).await?;
            let before = at;
            let broken = loop {
                match timeout(ANSWER, body.next()).await {
                    Ok(Some(Ok(content))) => {
                        if content.len() as u64 > range.end - at {
                            let why = "the answer has more bytes than were asked for";
                            return Err(Error::internal(&place, why).into());
                        }
                        take(&content)?;
                        at += content.len() as u64;
                    }
                    Ok(Some(Err(error))) => break error.to_string(),
                    Ok(None) => break "the answer is too short".to_owned(),
                    Err(_) => break format!("nothing arrived for {} s", ANSWER.as_secs()),
                }
            };
            attempts = if at > before { 1 } else { attempts + 1 };
            if at < range.end {
                if attempts == ATTEMPTS {
                    return Err(Error::internal(&place, format!("{broken}, {ATTEMPTS} times")).into());
                }
                sleep(Duration::from_millis(100) * 2u32.pow(attempts)).await;
            }
        }
        Ok(())
    }

    async fn request(&self, object: &Object, range: Range<u64>, place: &str) -> Result<ByteStream, Error> {
        let mut request = self.client.get_object().bucket(&self.name).key(&object.key);
        if !object.etag.is_empty() {
            request = request.if_match(&object.etag);
        }
        if range != object.whole() {
            request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        }
        let answer = request.send().await.map_err(|error| Error::of(place, &error))?;
        // Of a server without If-Match.
        let is_other = |etag: &String| !object.etag.is_empty() && *etag != object.etag;
        if answer.e_tag.as_ref().is_some_and(is_other) {
            return Err(Error::client(place, "changed since it was listed"));
        }
        let expected = range.end - range.start;
        let length = answer.content_length.and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length != expected) {
            let length = length.unwrap_or_default();
            let why = format!("the answer has {length} bytes; {expected} were asked for");
            return Err(Error::internal(place, why));
        }
        Ok(answer.body)
    }
}

pub(super) fn append(content: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), Error> {
    |part| {
        content.extend_from_slice(part);
        Ok(())
    }
}

pub(super) fn split(size: u64, part: u64) -> impl Iterator<Item = Range<u64>> {
    (0..size.div_ceil(part)).map(move |index| index * part..size.min((index + 1) * part))
}
