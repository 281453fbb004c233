//! What is in a bucket.

use aws_sdk_s3::types::EncodingType;
use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::percent_decode_str;

use super::{Bucket, Error, Object};

impl Bucket {
    /// The objects whose keys begin so, sorted by key.
    ///
    /// # Errors
    /// The service's.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let place = self.uri(prefix);
        // XML cannot have every character of a key.
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = request.encoding_type(EncodingType::Url).into_paginator().send();
        self.runtime.block_on(async {
            let mut objects = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| Error::of(&place, &error))?;
                let is_encoded = page.encoding_type == Some(EncodingType::Url);
                for object in page.contents.unwrap_or_default() {
                    let mut key = object.key.unwrap_or_default();
                    if is_encoded {
                        key = decoded(&place, &key)?;
                    }
                    let size = size(&self.uri(&key), object.size)?;
                    objects.push(Object { key, size, etag: object.e_tag.unwrap_or_default() });
                }
            }
            objects.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(objects)
        })
    }

    /// The objects with these keys, in their order.
    ///
    /// # Errors
    /// One is not there; the service's.
    pub fn look(&self, keys: Vec<String>) -> Result<Vec<Object>, Error> {
        let look = |key: String| async move {
            let place = self.uri(&key);
            let head = self.client.head_object().bucket(&self.name).key(&key).send().await;
            let head = head.map_err(|error| Error::of(&place, &error))?;
            let size = size(&place, head.content_length)?;
            Ok(Object { key, size, etag: head.e_tag.unwrap_or_default() })
        };
        let all = stream::iter(keys).map(look).buffered(self.parallel).try_collect();
        self.runtime.block_on(all)
    }
}

/// Services encode a space as a plus sign, and a plus sign.
fn decoded(place: &str, key: &str) -> Result<String, Error> {
    let key = key.replace('+', " ");
    let decoded = percent_decode_str(&key).decode_utf8();
    decoded.map(Into::into).map_err(|_| Error::client(place, format!("key {key:?} is not UTF-8; rename it")))
}

fn size(place: &str, size: Option<i64>) -> Result<u64, Error> {
    let size = size.and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| Error::internal(place, "the service does not say its size"))
}
