//! A text is scanned once and the spans of its values are kept; reading and editing work on those spans.
//! Strings and numbers are decoded by serde_json.

use std::ops::Range;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::scan::{self, NotJson, Span, Spans};
use super::{Text, Unreadable};

/// A JSON text and the spans of its values.
#[derive(Debug, Clone)]
pub(super) struct ParsedJson<'a> {
    text: &'a str,
    spans: Arc<Vec<Span>>,
    /// The offset of the first `\u0000` in a string.
    nul: Option<u32>,
}

/// One value, or the name of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonValue<'j, 'a> {
    text: &'a str,
    node: &'j Span,
    below: &'j [Span],
}

impl<'a> ParsedJson<'a> {
    /// Parses a text. Values are available for `levels` levels from the root; deeper ones appear to be
    /// missing.
    ///
    /// # Errors
    /// Not JSON, or trailing text.
    pub(super) fn parse(text: &'a str, levels: usize) -> Result<Self, Unreadable> {
        match scan::spans(text, levels) {
            Ok(Spans { all, nul }) => Ok(Self { text, spans: Arc::new(all), nul }),
            // Its message is better, with line and column.
            Err(NotJson) => Err(match serde_json::from_str::<IgnoredAny>(text) {
                Err(error) => error.into(),
                Ok(_) => Unreadable::new("not JSON"),
            }),
        }
    }

    /// Refuses NUL in strings: to crun a string ends there, to other decoders it does not.
    ///
    /// # Errors
    /// There is one, at any depth.
    pub(super) fn without_nul(&self) -> Result<(), Unreadable> {
        match self.nul {
            Some(at) => Err(Unreadable::behind(
                "a string holds a NUL (\\u0000), at which it ends for some decoders",
                &self.text[..at as usize + 6],
            )),
            None => Ok(()),
        }
    }

    pub(super) fn root(&self) -> JsonValue<'_, 'a> {
        let (node, below) = self.spans.split_first().expect("a text that was read has a value");
        JsonValue { text: self.text, node, below }
    }

    /// The whole text, all spans, and which of them are below a value of this text.
    pub(super) fn spans_below(&self, value: JsonValue) -> (&'a str, Arc<Vec<Span>>, Range<usize>) {
        let first = (value.below.as_ptr().addr() - self.spans.as_ptr().addr()) / size_of::<Span>();
        (self.text, Arc::clone(&self.spans), first..first + value.below.len())
    }
}

impl<'j, 'a> JsonValue<'j, 'a> {
    /// Its text.
    pub(super) fn raw(self) -> &'a str {
        &self.text[self.node.start as usize..self.node.end as usize]
    }

    /// The first byte, which determines the type: `{`, `[`, `"`, `t`, `f`, `n`; with any other it is a
    /// number.
    pub(super) fn first(self) -> u8 {
        self.text.as_bytes()[self.node.start as usize]
    }

    /// A string.
    ///
    /// # Errors
    /// It is not a string, or has an invalid escape.
    pub(super) fn string(self) -> Result<Text<'a>, Unreadable> {
        if self.first() != b'"' || self.node.is_escaped() {
            return self.by_serde();
        }
        Ok(self.text[self.node.start as usize + 1..self.node.end as usize - 1].into())
    }

    /// Whether it is a string without escapes.
    pub(super) fn is_plain_string(self) -> bool {
        self.first() == b'"' && !self.node.is_escaped()
    }

    /// Whether [`Self::string`] of a string is one: with an invalid escape it is not.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check_string(self) -> Result<(), Unreadable> {
        if self.node.is_escaped() { self.string().map(drop) } else { Ok(()) }
    }

    /// A number.
    ///
    /// # Errors
    /// It is not a number, or out of range.
    pub(super) fn number(self) -> Result<serde_json::Number, Unreadable> {
        self.by_serde()
    }

    fn by_serde<T: serde::Deserialize<'a>>(self) -> Result<T, Unreadable> {
        serde_json::from_str(self.raw()).map_err(|error| self.error(&Unreadable::from(error).why))
    }

    /// The items of a list, or the names and values of an object in turn.
    pub(super) fn children(self) -> Children<'j, 'a> {
        Children { text: self.text, below: self.below }
    }

    /// The members of an object.
    pub(super) fn members(self) -> impl Iterator<Item = (Self, Self)> {
        let mut children = self.children();
        std::iter::from_fn(move || children.next().zip(children.next()))
    }

    /// The member of an object with exactly this name.
    pub(super) fn member(self, wanted: &str) -> Option<Self> {
        let mut members = self.members();
        members.find(|(name, _)| name.string().is_ok_and(|name| *name == *wanted)).map(|(_, value)| value)
    }

    /// An error at this value: at its end, or at the beginning of an object or a list.
    pub(super) fn error(self, why: &str) -> Unreadable {
        let at = if matches!(self.first(), b'{' | b'[') { self.node.start + 1 } else { self.node.end };
        Unreadable::behind(why, &self.text[..at as usize])
    }
}

/// The iterator of [`JsonValue::children`].
pub(super) struct Children<'j, 'a> {
    text: &'a str,
    below: &'j [Span],
}

impl Children<'_, '_> {
    /// How many are left, if they are scalars: a list of them is of nothing else.
    pub(super) fn scalars(&self) -> Option<usize> {
        self.below.first().filter(|first| first.size() == 1).map(|_| self.below.len())
    }
}

impl<'j, 'a> Iterator for Children<'j, 'a> {
    type Item = JsonValue<'j, 'a>;

    fn next(&mut self) -> Option<JsonValue<'j, 'a>> {
        let (node, behind) = self.below.split_first()?;
        let (below, behind) = behind.split_at(node.size() - 1);
        self.below = behind;
        Some(JsonValue { text: self.text, node, below })
    }
}
