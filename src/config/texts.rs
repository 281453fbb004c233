//! A list of strings of a document by the spans of its text, which it shares with the document: a process may have
//! hundreds of thousands of variables, and a [`Text`] takes twice the memory of a span.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;

use super::json::{JsonValue, ParsedJson};
use super::scan::Span;
use super::{Text, Unreadable};

/// A list of strings of a document.
#[derive(Debug, Clone, Default)]
pub struct Texts<'a> {
    text: &'a str,
    spans: Arc<Vec<Span>>,
    /// Those of the list's items.
    items: Range<usize>,
    /// Strings with escapes, by their index.
    decoded: BTreeMap<usize, String>,
}

impl<'a> Texts<'a> {
    /// Reads a list of this document; `null` is an empty one.
    ///
    /// # Errors
    /// It is not a list, or one of its items is not a string.
    pub(super) fn read(json: &ParsedJson<'a>, list: JsonValue<'_, 'a>) -> Result<Self, Unreadable> {
        match list.first() {
            b'n' => return Ok(Self::default()),
            b'[' => (),
            _ => return Err(list.error("wrong type, expected a list")),
        }
        let mut decoded = BTreeMap::new();
        for (index, item) in list.children().enumerate() {
            if !item.is_plain_string() {
                decoded.insert(index, Cow::from(Text::deserialize(item)?).into_owned());
            }
        }
        let (text, spans, items) = json.spans_below(list);
        Ok(Self { text, spans, items, decoded })
    }

    /// The strings, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        let plain = |span: &Span| &self.text[span.start as usize + 1..span.end as usize - 1];
        let items = self.spans[self.items.clone()].iter().enumerate();
        items.map(move |(index, span)| match span.is_escaped() {
            true => &*self.decoded[&index],
            false => plain(span),
        })
    }
}
