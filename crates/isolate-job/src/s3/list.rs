//! What is in a bucket.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Bucket, Error, Object};

impl Bucket {
    /// The objects whose keys begin so, sorted by key.
    ///
    /// # Errors
    /// The service's.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let place = self.uri(prefix);
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        self.runtime.block_on(async {
            let mut objects = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| Error::of(&place, &error))?;
                for object in page.contents.unwrap_or_default() {
                    let key = object.key.unwrap_or_default();
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

fn size(place: &str, size: Option<i64>) -> Result<u64, Error> {
    let size = size.and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| Error::internal(place, "the service does not say its size"))
}
