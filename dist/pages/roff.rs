//! Markdown to man(7), as far as our pages use it: headings, paragraphs, lists, definitions, tables of two or more
//! columns (an entry for each row), code, emphasis, links (their text).

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The body of a page, without `.TH`.
pub(crate) fn of(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    let mut page = Page::default();
    Parser::new_ext(markdown, options).for_each(|event| page.take(event));
    page.out.trim_end().to_owned() + "\n"
}

#[derive(Default)]
struct Page {
    out: String,
    /// How many lists we are in.
    depth: usize,
    /// Whether the next paragraph is the first of its section or item, which has a request already.
    begun: bool,
    in_heading: bool,
    in_head: bool,
    /// The cell of its row.
    column: usize,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_head => drop(text),
            Event::Text(text) if self.in_heading => self.text(&text.to_uppercase()),
            Event::Text(text) => self.text(&text),
            Event::Code(code) if !self.in_head => {
                self.out.push_str("\\fB");
                self.text(&code);
                self.out.push_str("\\fR");
            }
            Event::SoftBreak => self.out.push('\n'),
            Event::HardBreak => self.request("br"),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level: pulldown_cmark::HeadingLevel::H1, .. } => {
                self.request_with("SH ");
                self.in_heading = true;
            }
            Tag::Heading { .. } => self.request_with("SS "),
            Tag::Paragraph if self.begun => self.begun = false,
            Tag::Paragraph if self.depth > 0 => self.request("IP"),
            Tag::Paragraph => self.request("PP"),
            Tag::List(_) => {
                if self.depth > 0 {
                    self.request("RS 2");
                }
                self.depth += 1;
            }
            Tag::Item => {
                self.request("IP \\(bu 2");
                self.begun = true;
            }
            Tag::DefinitionListTitle => {
                self.begun = false;
                self.request("TP");
            }
            Tag::DefinitionListDefinition => {
                self.line();
                self.begun = true;
                self.depth += 1;
            }
            Tag::CodeBlock(_) => {
                if !std::mem::take(&mut self.begun) {
                    self.request("PP");
                }
                self.request("RS 4");
                self.request("nf");
            }
            Tag::TableHead => {
                self.begun = false;
                self.in_head = true;
            }
            Tag::TableRow => {
                self.request("TP");
                self.column = 0;
            }
            Tag::TableCell if self.column > 1 => self.out.push_str("; "),
            Tag::Emphasis => self.out.push_str("\\fI"),
            Tag::Strong => self.out.push_str("\\fB"),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.in_heading = false;
                self.begun = true;
                self.line();
            }
            TagEnd::List(_) => {
                self.depth -= 1;
                if self.depth > 0 {
                    self.request("RE");
                }
            }
            TagEnd::Item => self.begun = false,
            TagEnd::DefinitionListDefinition => {
                self.begun = false;
                self.depth -= 1;
            }
            TagEnd::CodeBlock => {
                self.request("fi");
                self.request("RE");
            }
            TagEnd::TableHead => self.in_head = false,
            TagEnd::TableCell if !self.in_head => {
                self.column += 1;
                if self.column == 1 {
                    self.line();
                }
            }
            TagEnd::Emphasis | TagEnd::Strong => self.out.push_str("\\fR"),
            _ => {}
        }
    }

    /// Ends the line, if one was begun.
    fn line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn request(&mut self, name: &str) {
        self.request_with(name);
        self.out.push('\n');
    }

    fn request_with(&mut self, name: &str) {
        self.line();
        self.out.push('.');
        self.out.push_str(name);
    }

    fn text(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            // A leading dot or quote would be a request.
            if self.out.ends_with('\n') && line.starts_with(['.', '\'']) {
                self.out.push_str("\\&");
            }
            for c in line.chars() {
                match c {
                    '\\' => self.out.push_str("\\e"),
                    '-' => self.out.push_str("\\-"),
                    '~' => self.out.push_str("\\(ti"),
                    '^' => self.out.push_str("\\(ha"),
                    '\'' => self.out.push_str("\\(aq"),
                    '`' => self.out.push_str("\\(ga"),
                    '"' => self.out.push_str("\\(dq"),
                    c => self.out.push(c),
                }
            }
        }
    }
}
