//! Writes the manual pages and the shells' completions into a directory: `cargo run --example pages -- DIR`.
//!
//! Nothing that is known to the source is written twice: commands and flags of isolatectl come from its clap
//! definition, its examples from docs/isolatectl.md, rules from docs/rules.md, settings from dist/config.toml. The
//! tests below see to it that a flag, a setting, an annotation or a variable without a page fails.

#![allow(clippy::print_stdout, reason = "it says what it wrote")]

mod command;
mod roff;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap_complete::Shell;

/// A manual page: its text is `docs/man/NAME.SECTION.md`.
struct Page {
    name: &'static str,
    section: u8,
}

const PAGES: [Page; 6] = [
    Page { name: "oci-isolate", section: 8 },
    Page { name: "isolatectl", section: 8 },
    Page { name: "isolate-job", section: 8 },
    Page { name: "isolate-node", section: 8 },
    Page { name: "oci-isolate.toml", section: 5 },
    Page { name: "oci-isolate-rules", section: 7 },
];

/// The project's directory.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: pages DIR")?);
    fs::create_dir_all(&directory)?;
    for page in PAGES {
        let path = directory.join(format!("{}.{}", page.name, page.section));
        fs::write(&path, page.roff(&date()?)?)?;
        println!("{}", path.display());
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = isolatectl::command();
        println!("{}", clap_complete::generate_to(shell, &mut command, "isolatectl", &directory)?.display());
    }
    Ok(())
}

impl Page {
    /// The page's Markdown, with what the source knows put in.
    fn text(&self) -> Result<String, Box<dyn Error>> {
        let root = project();
        let read = |name: &str| {
            fs::read_to_string(root.join(name)).map_err(|error| format!("cannot read {name}: {error}"))
        };
        let mut text = read(&format!("docs/man/{}.{}.md", self.name, self.section))?;
        if text.contains(SETTINGS) {
            text = text.replace(SETTINGS, &format!("```\n{}```\n", read("dist/config.toml")?));
        }
        if text.contains(RULES) {
            text = text.replace(RULES, &read("docs/rules.md")?);
        }
        if text.contains(EXAMPLES) {
            let page = read("docs/isolatectl.md")?;
            let (_, sections) = page.split_once("\n## ").ok_or("docs/isolatectl.md has no section")?;
            text = text.replace(EXAMPLES, &format!("## {sections}"));
        }
        Ok(text.replace(COMMANDS, &command::markdown(&isolatectl::command())))
    }

    fn roff(&self, date: &str) -> Result<String, Box<dyn Error>> {
        let version = concat!("oci-isolate ", env!("CARGO_PKG_VERSION"));
        let title = self.name.to_uppercase();
        // Long paths cannot be broken, and a line with one cannot be filled up to the margin.
        let head = format!(".TH \"{title}\" {} {date} \"{version}\"\n.ad l\n", self.section);
        Ok(head + &roff::of(&self.text()?))
    }
}

/// The day of the release (reproducible-builds.org, "SOURCE_DATE_EPOCH"), or today.
fn date() -> Result<String, Box<dyn Error>> {
    let at = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse()?),
        Err(_) => SystemTime::now(),
    };
    Ok(humantime::format_rfc3339_seconds(at).to_string()[..10].to_owned())
}

const COMMANDS: &str = "<!-- commands -->\n";
const EXAMPLES: &str = "<!-- isolatectl -->\n";
const RULES: &str = "<!-- rules -->\n";
const SETTINGS: &str = "<!-- settings -->\n";

#[cfg(test)]
mod tests;
