//! Why a document is refused: the path of a member, and what to do.

use std::fmt;

/// One reason, with the path of the member that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `InputDataConfig[1].DataSource.S3DataSource.S3Uri`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl Refused {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.why),
            path => write!(formatter, "{path}: {}", self.why),
        }
    }
}

/// Every reason that was found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refused>);

impl From<Refused> for Refusals {
    fn from(one: Refused) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for (index, refused) in self.0.iter().enumerate() {
            write!(formatter, "{}{refused}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}

/// A position in a document. Its path is formatted only when an error needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'p> {
    above: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Member(&'p str),
    Key(&'p str),
    Item(usize),
}

impl<'p> At<'p> {
    pub(super) const ROOT: At<'static> = At { above: None, step: Step::Root };

    pub(super) fn member(&'p self, name: &'p str) -> At<'p> {
        At { above: Some(self), step: Step::Member(name) }
    }

    pub(super) fn key(&'p self, key: &'p str) -> At<'p> {
        At { above: Some(self), step: Step::Key(key) }
    }

    pub(super) fn item(&'p self, index: usize) -> At<'p> {
        At { above: Some(self), step: Step::Item(index) }
    }

    pub(super) fn refuse(&self, why: impl Into<String>) -> Refused {
        Refused::new(self.to_string(), why)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(formatter)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Item(index) => write!(formatter, "[{index}]"),
            Step::Key(key) => write!(formatter, "[{:?}]", shortened(key)),
            Step::Member(name) => {
                let is_first = self.above.is_none_or(|above| matches!(above.step, Step::Root));
                formatter.write_str(if is_first { "" } else { "." })?;
                let name = shortened(name);
                if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    formatter.write_str(&name)
                } else {
                    write!(formatter, "{name:?}")
                }
            }
        }
    }
}

/// The beginning of a text, as long as errors show it.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
