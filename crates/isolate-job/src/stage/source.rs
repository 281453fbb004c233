//! What a channel in Pipe mode has: the objects that are listed or named by a manifest, or the attributes in the lines of an augmented
//! manifest and the objects that they name. All of them are known, and may be read, before the container starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::epoch::too_large;
use super::{Transfer, client, internal};
use crate::plan::{Access, Attribute, Form, MOST_OF_RECORD, Pipe, augmented, prefixes};
use crate::progress::{Amount, Failure};
use crate::request::S3Uri;
use crate::s3::{Bucket, Object};

/// The most buckets that a manifest names: each has a session of its own.
const MOST_OF_BUCKETS: usize = 100;

/// The content of a channel.
#[derive(Debug)]
pub(super) struct Source {
    /// That of the prefix or the manifest, and those of the objects.
    pub(super) buckets: Vec<Bucket>,
    items: Vec<Item>,
    /// So many items stay together when they are shuffled or sharded: those of a line.
    together: usize,
}

/// What goes into a FIFO as a whole.
#[derive(Debug)]
pub(super) enum Item {
    /// An object of one of the buckets.
    Object(usize, Object),
    /// A value in a manifest.
    Value(String),
}

impl Source {
    /// How many lines or objects it has.
    pub(super) fn count(&self) -> usize {
        self.items.len() / self.together
    }

    /// The items of these lines or objects.
    pub(super) fn items(&self, order: &[usize]) -> impl Iterator<Item = &Item> {
        order.iter().flat_map(|index| &self.items[index * self.together..(index + 1) * self.together])
    }

    /// The objects among them, with their buckets.
    pub(super) fn objects(
        self: &Arc<Self>,
        order: Vec<usize>,
    ) -> impl Iterator<Item = (Bucket, Object)> + use<> {
        let source = Arc::clone(self);
        let indices = order.into_iter().flat_map({
            let together = self.together;
            move |index| index * together..(index + 1) * together
        });
        indices.filter_map(move |index| match &source.items[index] {
            Item::Object(bucket, object) => Some((source.buckets[*bucket].clone(), object.clone())),
            Item::Value(_) => None,
        })
    }

    /// Whether each object is within a record's bounds, as it is stored.
    pub(super) fn fits_records(&self) -> Result<(), Failure> {
        let too_long = self.items.iter().find_map(|item| match item {
            Item::Object(bucket, object) if object.size > MOST_OF_RECORD => {
                Some(self.buckets[*bucket].uri(&object.key))
            }
            _ => None,
        });
        too_long.map_or(Ok(()), |uri| Err(too_large(&uri)))
    }

    /// How much an epoch of these has, as it is stored.
    pub(super) fn amount(&self, order: &[usize]) -> Amount {
        self.items(order).fold(Amount::default(), |sum, item| match item {
            Item::Object(_, object) => {
                Amount { files: sum.files + 1, bytes: sum.bytes.saturating_add(object.size) }
            }
            Item::Value(text) => Amount { bytes: sum.bytes.saturating_add(text.len() as u64), ..sum },
        })
    }
}

impl Transfer<'_> {
    /// Finds out what the step's channel has.
    pub(super) fn source(&self, pipe: &Pipe) -> Result<Source, Failure> {
        let step = self.step;
        let own = self.bucket(&step.uri.bucket, &step.accesses)?;
        match step.form {
            Form::Prefix(_) => {
                let mut objects = own.list(&step.uri.key)?;
                // Folders of the console have no content.
                objects.retain(|object| object.size > 0 || !object.key.ends_with('/'));
                if objects.is_empty() {
                    return Err(self.nothing());
                }
                Ok(Source::of_objects(own, objects))
            }
            Form::Manifest(_) => {
                let (_, bucket, objects) = self.named(&own)?;
                Ok(Source::of_objects(bucket, objects))
            }
            Form::Augmented(_) => self.lines(own, &pipe.attributes),
            _ => Err(internal(format!("{} is not streamed", step.name))),
        }
    }

    fn lines(&self, own: Bucket, names: &[String]) -> Result<Source, Failure> {
        let uri = &self.step.uri;
        let text = String::from_utf8(self.manifest(&own)?);
        let text = text.map_err(|_| client(format!("{uri}: is not UTF-8, which JSON lines are")))?;
        let lines = augmented(&text, names).map_err(|error| client(format!("{uri}: {error}")))?;
        drop(text);
        if lines.is_empty() {
            return Err(client(format!("{uri}: has no lines")));
        }
        let named = |attribute: &Attribute| match attribute {
            Attribute::Object(uri) => Some(uri.clone()),
            Attribute::Value(_) => None,
        };
        let uris: Vec<S3Uri> = lines.iter().flatten().filter_map(named).collect();
        let prefixes = prefixes(&uris);
        if prefixes.len() > MOST_OF_BUCKETS {
            let count = prefixes.len();
            return Err(client(format!("{uri}: names {count} buckets; at most {MOST_OF_BUCKETS} are read")));
        }
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for uri in uris {
            keys.entry(uri.bucket).or_default().push(uri.key);
        }
        let mut buckets = vec![own];
        // By name: its index, and its objects in the order in which they are named.
        let mut found = BTreeMap::new();
        for prefix in prefixes {
            let name = prefix.bucket.clone();
            let bucket = self.bucket(&name, &[Access::Below(prefix)])?;
            let objects = bucket.look(keys.remove(&name).unwrap_or_default())?;
            found.insert(name, (buckets.len(), objects.into_iter()));
            buckets.push(bucket);
        }
        let item = |attribute| match attribute {
            Attribute::Value(text) => Ok(Item::Value(text)),
            Attribute::Object(uri) => {
                let next = found.get_mut(&uri.bucket).and_then(|(index, all)| Some((*index, all.next()?)));
                let (bucket, object) = next.ok_or_else(|| internal(format!("{uri} was not looked at")))?;
                Ok(Item::Object(bucket, object))
            }
        };
        let items = lines.into_iter().flatten().map(item).collect::<Result<_, Failure>>()?;
        Ok(Source { buckets, items, together: names.len() })
    }
}

impl Source {
    fn of_objects(bucket: Bucket, objects: Vec<Object>) -> Self {
        let items = objects.into_iter().map(|object| Item::Object(0, object)).collect();
        Self { buckets: vec![bucket], items, together: 1 }
    }
}
