//! The shim's own flags. They precede the runtime's arguments, so that an engine can add them (Docker's
//! `runtimeArgs`), begin with `--isolate` so that they are no runtime's, and are removed before the runtime
//! sees its arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::audit::RELAY_FLAG;
use crate::rules::{CLOSE_FLAG, FORGET_FLAG, SEAL_FLAG};

/// The values of the leading flags.
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
    /// The child that sends a line of the audit log to journald.
    pub(super) journal: bool,
}

/// The effect of a flag.
enum Sets {
    /// The flag is a whole word.
    Switch(fn(&mut Flags) -> &mut bool),
    /// A path, after its `=`.
    Path(fn(&mut Flags) -> &mut Option<PathBuf>),
}

/// All flags; docs/man/oci-isolate.8.md lists the same. No flag loosens: there is no `--isolate=annotation`.
const FLAGS: [(&str, Sets); 6] = [
    ("--isolate=always", Sets::Switch(|flags| &mut flags.always)),
    ("--isolate-config=", Sets::Path(|flags| &mut flags.config)),
    (CLOSE_FLAG, Sets::Path(|flags| &mut flags.close)),
    (SEAL_FLAG, Sets::Path(|flags| &mut flags.seal)),
    (FORGET_FLAG, Sets::Path(|flags| &mut flags.forget)),
    (RELAY_FLAG, Sets::Switch(|flags| &mut flags.journal)),
];

/// Splits the leading flags from the runtime's arguments.
///
/// # Errors
/// A flag that begins with `--isolate` is not in [`FLAGS`], or has no value.
pub(super) fn read(args: &[OsString]) -> Result<(Flags, &[OsString])> {
    let mut flags = Flags::default();
    let mut rest = args;
    while let [first, behind @ ..] = rest {
        if !first.as_bytes().starts_with(b"--isolate") {
            break;
        }
        if !FLAGS.iter().any(|(flag, sets)| set(first, flag, sets, &mut flags)) {
            bail!(
                "{first:?} is not a flag of oci-isolate; its flags are --isolate=always and --isolate-config=PATH"
            );
        }
        rest = behind;
    }
    Ok((flags, rest))
}

/// Sets the flag if the word is this flag; whether it is.
fn set(word: &OsStr, flag: &str, sets: &Sets, flags: &mut Flags) -> bool {
    match (sets, word.as_bytes().strip_prefix(flag.as_bytes())) {
        (Sets::Switch(place), Some([])) => *place(flags) = true,
        (Sets::Path(place), Some(path @ [_, ..])) => *place(flags) = Some(OsStr::from_bytes(path).into()),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::HOOK_FLAGS;

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
    fn the_manual_has_every_flag_and_no_other() {
        let page = include_str!("../../docs/man/oci-isolate.8.md");
        let section = page.split("# FLAGS\n").nth(1).unwrap().split("\n# ").next().unwrap();
        let named: Vec<&str> = section.split("**").filter(|text| text.starts_with("--isolate")).collect();
        assert_eq!(named, FLAGS.map(|(flag, _)| flag), "docs/man/oci-isolate.8.md, FLAGS");
    }

    #[test]
    fn every_flag_is_understood_and_sets_what_is_its_own() {
        let read_all = |flags: &[&str]| {
            let words = flags
                .iter()
                .map(|flag| if flag.ends_with('=') { format!("{flag}/x") } else { (*flag).into() });
            let words: Vec<_> = words.map(OsString::from).collect();
            let (flags, rest) = read(&words).unwrap();
            assert!(rest.is_empty());
            flags
        };
        let all = read_all(&FLAGS.map(|(flag, _)| flag));
        let x = || Some("/x".into());
        assert_eq!(
            all,
            Flags { always: true, config: x(), close: x(), seal: x(), forget: x(), journal: true }
        );
        for (flag, _) in FLAGS {
            assert_eq!(read_all(&[flag, flag]), read_all(&[flag]), "{flag}");
            assert_ne!(read_all(&[flag]), Flags::default(), "{flag}");
        }
        for ours in HOOK_FLAGS {
            assert!(FLAGS.iter().any(|(flag, _)| *flag == ours), "{ours}");
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
