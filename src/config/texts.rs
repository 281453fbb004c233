//! A list of strings of a document by their positions in its text: a process may have hundreds of thousands of
//! variables, and a position takes a third of the memory of a [`Text`].

use std::borrow::Cow;

use serde::Deserialize;

use super::json::JsonValue;
use super::{Text, Unreadable};

/// A list of strings of a document.
#[derive(Debug, Clone, Default)]
pub struct Texts<'a> {
    text: &'a str,
    /// From and to where each is in the text; with [`DECODED`] its index among `decoded`.
    positions: Vec<(u32, u32)>,
    /// Strings with escapes.
    decoded: Vec<String>,
}

/// No position: a text is shorter (`scan`).
const DECODED: u32 = u32::MAX;

impl<'a> Texts<'a> {
    /// Reads a list; `null` is an empty one.
    ///
    /// # Errors
    /// It is not a list, or one of its items is not a string.
    pub(super) fn read(list: JsonValue<'_, 'a>) -> Result<Self, Unreadable> {
        match list.first() {
            b'n' => return Ok(Self::default()),
            b'[' => (),
            _ => return Err(list.error("wrong type, expected a list")),
        }
        let items = list.children();
        let positions = Vec::with_capacity(items.scalars().unwrap_or_default());
        let mut texts = Self { text: list.text(), positions, decoded: Vec::new() };
        for item in items {
            let position = match item.position_of_string() {
                Some(position) => position,
                None => {
                    let index = texts.decoded.len() as u32;
                    texts.decoded.push(Cow::from(Text::deserialize(item)?).into_owned());
                    (DECODED, index)
                }
            };
            texts.positions.push(position);
        }
        Ok(texts)
    }

    /// The strings, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.positions.iter().map(|(from, to)| match *from {
            DECODED => &*self.decoded[*to as usize],
            from => &self.text[from as usize..*to as usize],
        })
    }
}
