//! Finds the spans of the values in a JSON text. Accepts exactly what serde_json accepts
//! (`tests/reading.rs`).

/// The span of a value or of a member's name, and the number of spans in it, itself included.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    size: u32,
}

/// Set in the size of a string with escapes.
const ESCAPED: u32 = 1 << 31;

impl Span {
    pub(super) fn size(&self) -> usize {
        (self.size & !ESCAPED) as usize
    }

    pub(super) fn is_escaped(&self) -> bool {
        self.size & ESCAPED != 0
    }
}

/// 1 in each byte.
const ONES: u64 = u64::MAX / 255;

/// The text is not JSON.
#[derive(Debug)]
pub(super) struct NotJson;

/// The spans of a text.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    /// In the order in which the values begin, down to the requested level; each member's name comes before
    /// its value.
    pub(super) all: Vec<Span>,
    /// The offset of the first `\u0000` in a string, at any depth.
    pub(super) nul: Option<u32>,
}

/// Scans the whole text.
pub(super) fn spans(text: &str, levels: usize) -> Result<Spans, NotJson> {
    u32::try_from(text.len()).ok().filter(|length| *length < ESCAPED).ok_or(NotJson)?;
    // Enough for a configuration without indentation; memory that is not touched costs nothing.
    let most = if levels > 2 { text.len() / 8 } else { 0 };
    let mut scan = Scan { text: text.as_bytes(), at: 0, nodes: Vec::with_capacity(most), nul: None };
    scan.document(levels)?;
    Ok(Spans { all: scan.nodes, nul: scan.nul })
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Span>,
    nul: Option<u32>,
}

/// An object or a list that is not closed yet: its closing bracket, and its span.
struct Unclosed {
    end: u8,
    node: usize,
}

impl Scan<'_> {
    fn document(&mut self, levels: usize) -> Result<(), NotJson> {
        let mut open = Vec::<Unclosed>::new();
        loop {
            let is_kept = open.len() < levels;
            match self.peek() {
                first @ (b'{' | b'[') => {
                    // In ASCII the closing bracket is the opening one plus two.
                    open.push(Unclosed { end: first + 2, node: self.nodes.len() });
                    self.at += 1;
                    if is_kept {
                        self.nodes.push(Span { start: self.at as u32 - 1, end: 0, size: 0 });
                    }
                    if self.peek() != first + 2 {
                        self.name(first + 2, open.len() < levels)?;
                        continue;
                    }
                }
                first => self.scalar(first, is_kept)?,
            }
            // A value has ended, or is an empty object or list.
            while let Some(Unclosed { end, node }) = open.last() {
                let found = self.peek();
                self.at += 1;
                if found == b',' {
                    self.name(*end, open.len() < levels)?;
                    break;
                }
                if found != *end {
                    return Err(NotJson);
                }
                let size = self.nodes.len() - node;
                if let Some(node) = self.nodes.get_mut(*node).filter(|_| open.len() <= levels) {
                    (node.end, node.size) = (self.at as u32, size as u32);
                }
                open.pop();
            }
            if open.is_empty() {
                self.peek();
                return if self.at == self.text.len() { Ok(()) } else { Err(NotJson) };
            }
        }
    }

    /// The name of a member and the colon; nothing in a list.
    fn name(&mut self, end: u8, is_kept: bool) -> Result<(), NotJson> {
        if end == b']' {
            return Ok(());
        }
        if self.peek() != b'"' {
            return Err(NotJson);
        }
        self.scalar(b'"', is_kept)?;
        if self.peek() != b':' {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is not white space; 0, which JSON cannot contain, at the end.
    fn peek(&mut self) -> u8 {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
            // Eight at a time, since most of a text may be its indentation.
            while let Some(eight) = self.next_eight() {
                let spaces = (eight ^ (ONES * u64::from(b' '))).trailing_zeros() as usize / 8;
                self.at += spaces;
                if spaces < 8 {
                    break;
                }
            }
        }
    }

    fn next_eight(&self) -> Option<u64> {
        self.text.get(self.at..)?.first_chunk().copied().map(u64::from_le_bytes)
    }

    /// A string, number, boolean or null that begins here.
    fn scalar(&mut self, first: u8, is_kept: bool) -> Result<(), NotJson> {
        let start = self.at;
        let size = match first {
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        };
        if is_kept {
            self.nodes.push(Span { start: start as u32, end: self.at as u32, size });
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<u32, NotJson> {
        let is_it = self.text[self.at..].starts_with(word);
        self.at += word.len();
        if is_it { Ok(1) } else { Err(NotJson) }
    }

    fn string(&mut self) -> Result<u32, NotJson> {
        self.at += 1;
        let mut size = 1;
        loop {
            self.skip_plain();
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(size);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(NotJson),
            }
            size = 1 | ESCAPED;
        }
    }

    /// Skips to the next quotation mark, backslash or control character, eight bytes at a time: subtracting
    /// from a byte that is smaller borrows from its highest bit (Warren, Hacker's Delight, "Find First
    /// 0-Byte").
    fn skip_plain(&mut self) {
        let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes;
        let is = |bytes: u64, byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
        while let Some(eight) = self.next_eight() {
            let found = (below(eight, b' ') | is(eight, b'"') | is(eight, b'\\')) & (ONES << 7);
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.text.get(self.at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..b' ')) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let (length, is_one) = match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (2, true),
            Some(b'u') => {
                let code = self.text.get(self.at + 2..self.at + 6);
                if code == Some(b"0000") {
                    self.nul.get_or_insert(self.at as u32);
                }
                (6, code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)))
            }
            _ => (0, false),
        };
        self.at += length;
        if is_one { Ok(()) } else { Err(NotJson) }
    }

    fn number(&mut self) -> Result<u32, NotJson> {
        self.eat(|byte| byte == b'-');
        if !self.eat(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.eat(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.eat(|byte| matches!(byte, b'e' | b'E')) {
            self.eat(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(1)
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if !self.eat(is_digit) {
            return Err(NotJson);
        }
        while self.eat(is_digit) {}
        Ok(())
    }

    fn eat(&mut self, is_it: impl Fn(u8) -> bool) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| is_it(*byte));
        self.at += usize::from(found);
        found
    }
}
