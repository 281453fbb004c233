//! Splits an object into requests, none of which is longer than MaxPayloadInMB.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, bail};

/// What a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// The object.
    Whole,
    /// One line, without its end.
    Line,
    /// As many lines as it may have.
    Lines,
}

/// The requests of an object.
pub(super) struct Records<R> {
    object: R,
    split: Split,
    most: usize,
    /// A line that did not fit any more.
    next: Option<Vec<u8>>,
    is_over: bool,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(object: R, split: Split, most: usize) -> Self {
        Self { object, split, most, next: None, is_over: false }
    }

    fn whole(&mut self) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.object
            .by_ref()
            .take(self.most as u64 + 1)
            .read_to_end(&mut bytes)
            .context("cannot read the object")?;
        self.is_over = true;
        self.fits(&bytes, "the object")?;
        Ok(Some(bytes))
    }

    /// A line with its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        // The end of a line does not count if it is not sent.
        let most = self.most as u64 + 2;
        self.object.by_ref().take(most).read_until(b'\n', &mut bytes).context("cannot read the object")?;
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    fn single(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(mut line) = self.line()? else { return Ok(None) };
        if line.ends_with(b"\n") {
            line.pop();
        }
        self.fits(&line, "a record")?;
        Ok(Some(line))
    }

    fn lines(&mut self) -> Result<Option<Vec<u8>>> {
        let mut all = match self.next.take() {
            Some(line) => line,
            None => match self.line()? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        self.fits(&all, "a record")?;
        while let Some(line) = self.line()? {
            if all.len() + line.len() > self.most {
                self.next = Some(line);
                break;
            }
            all.extend_from_slice(&line);
        }
        Ok(Some(all))
    }

    fn fits(&self, bytes: &[u8], what: &str) -> Result<()> {
        if bytes.len() > self.most {
            bail!("{what} is longer than MaxPayloadInMB, {} MB; give more, or split it", self.most >> 20);
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = match self.split {
            Split::Whole => self.whole(),
            Split::Line => self.single(),
            Split::Lines => self.lines(),
        };
        self.is_over |= !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(object: &str, split: Split, most: usize) -> Vec<String> {
        let text = |record: Result<Vec<u8>>| {
            record.map_or_else(|error| error.to_string(), |record| String::from_utf8(record).unwrap())
        };
        Records::new(object.as_bytes(), split, most).map(text).collect()
    }

    #[test]
    fn lines_are_sent_one_by_one_or_as_many_as_fit() {
        assert_eq!(split("a\nbb\n\nccc", Split::Line, 3), ["a", "bb", "", "ccc"]);
        assert_eq!(split("a\nbb\nc\nd", Split::Lines, 5), ["a\nbb\n", "c\nd"]);
        assert_eq!(split("a\nbb\nc\nd\n", Split::Lines, 1 << 20), ["a\nbb\nc\nd\n"]);
        assert_eq!(split("a\nbb", Split::Whole, 4), ["a\nbb"]);
        for way in [Split::Line, Split::Lines] {
            assert_eq!(split("", way, 4), [""; 0]);
        }
        assert_eq!(split("", Split::Whole, 4), [""]);
    }

    #[test]
    fn what_is_too_long_is_an_error_and_the_last() {
        for (way, what) in
            [(Split::Whole, "the object"), (Split::Line, "a record"), (Split::Lines, "a record")]
        {
            let all = split("aaaaa\nb", way, 3);
            assert!(
                all.len() == 1 && all[0].starts_with(&format!("{what} is longer than MaxPayloadInMB")),
                "{all:?}"
            );
        }
        assert_eq!(split("a\nbbbbbb\nc", Split::Lines, 3)[0], "a\n");
        assert!(split("a\nbbbbbb\nc", Split::Lines, 3)[1].starts_with("a record is longer"));
    }
}
