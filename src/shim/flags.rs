//! The shim's own flags. They lead the command line, so that an engine can put them there (Docker's `runtimeArgs`),
//! begin with `--isolate` so that they are no runtime's, and are gone before the runtime sees its arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::rules::{CLOSE_FLAG, FORGET_FLAG, SEAL_FLAG};

/// What the leading flags say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `--isolate=always`: as `mode = "always"` in the settings.
    pub(super) always: bool,
    /// `--isolate-config=PATH`: the settings file.
    pub(super) config: Option<PathBuf>,
    /// The first hook of this record.
    pub(super) close: Option<PathBuf>,
    /// The `createRuntime` hook of this record.
    pub(super) seal: Option<PathBuf>,
    /// The `poststop` hook of this record.
    pub(super) forget: Option<PathBuf>,
}

/// Splits the leading flags from the runtime's arguments.
///
/// # Errors
/// A flag that begins with `--isolate` and is none, or has no value. No flag loosens: there is no
/// `--isolate=annotation`.
pub(super) fn read(args: &[OsString]) -> Result<(Flags, &[OsString])> {
    let mut flags = Flags::default();
    let mut rest = args;
    while let [first, behind @ ..] = rest {
        if !first.as_bytes().starts_with(b"--isolate") {
            break;
        }
        let value = |flag: &str| {
            let value = first.as_bytes().strip_prefix(flag.as_bytes())?;
            (!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value)))
        };
        if first == "--isolate=always" {
            flags.always = true;
        } else if let Some(path) = value("--isolate-config=") {
            flags.config = Some(path);
        } else if let Some(path) = value(CLOSE_FLAG) {
            flags.close = Some(path);
        } else if let Some(path) = value(SEAL_FLAG) {
            flags.seal = Some(path);
        } else if let Some(path) = value(FORGET_FLAG) {
            flags.forget = Some(path);
        } else {
            bail!("{first:?} is no flag of ours; there are --isolate=always and --isolate-config=PATH");
        }
        rest = behind;
    }
    Ok((flags, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn leading_flags_are_taken_and_later_ones_are_the_runtimes() {
        let args = args(&[
            "--isolate=always",
            "--isolate-config=/etc/x",
            "--root",
            "/r",
            "create",
            "--isolate=always",
        ]);
        let (flags, rest) = read(&args).unwrap();
        assert_eq!(flags, Flags { always: true, config: Some("/etc/x".into()), ..Flags::default() });
        assert_eq!(rest, &args[2..]);
    }

    #[test]
    fn every_flag_is_in_the_manual() {
        let source = include_str!("flags.rs").split("#[cfg(test)]").next().unwrap();
        let literals = source.split('"').skip(1).step_by(2).chain([SEAL_FLAG, FORGET_FLAG]);
        let flags: Vec<_> =
            literals.filter(|text| text.starts_with("--isolate") && *text != "--isolate").collect();
        assert!(flags.contains(&"--isolate=always"), "{flags:?}");
        for flag in flags {
            let page = include_str!("../../docs/man/oci-isolate.8.md");
            assert!(
                page.contains(&format!("**{flag}**")),
                "add an entry **{flag}** to docs/man/oci-isolate.8.md, FLAGS"
            );
        }
    }

    #[test]
    fn a_flag_that_is_none_is_an_error() {
        for word in [
            "--isolate",
            "--isolate=",
            "--isolate=annotation",
            "--isolate-config",
            "--isolate-config=",
            "--isolated",
        ] {
            assert!(read(&args(&[word, "state"])).is_err(), "{word}");
        }
    }
}
