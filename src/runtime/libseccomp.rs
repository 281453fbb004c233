//! What the libseccomp of a runtime can put into a filter. A call whose name it does not know is left out by runtimes, in
//! silence: of a profile that allows what it does not name, the call is then open. And a crun that was built without it
//! starts containers without any filter.
//!
//! Runtimes are asked by `RUNTIME features` (runtime-spec, features.md; runc since 1.1, crun since 1.8.6). Of those that do
//! not know the verb the library is searched, or the program if nothing is linked to it. The answer is kept in the state
//! directory for as long as the runtime's file is the same.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Runtime;
use crate::files;

/// What a runtime's filters can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libseccomp {
    /// Which one it is, in words.
    by: String,
    knows: KnownCalls,
}

/// Which of the calls that the rule `seccomp` closes can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownCalls {
    All,
    /// io_uring was new in libseccomp 2.4.2; the others are older than the library's first release.
    NoIoUring,
    /// There are no filters at all.
    Nothing,
}

/// The first version that knows io_uring (its CHANGELOG).
const FIRST: [u32; 3] = [2, 4, 2];

/// The youngest name of those that are closed.
const YOUNGEST: &[u8] = b"io_uring_setup\0";

/// The library's name as programs are linked to it.
const LIBRARY: &str = "libseccomp.so.2";

/// No runtime and no library is larger.
const LIMIT: u64 = 256 << 20;

impl Libseccomp {
    /// Asks the runtime, or looks it up in `cache`, where the answer is left.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn of(runtime: &Runtime, cache: Option<&Path>) -> Result<Self> {
        let shown = runtime.path().display();
        let meta = std::fs::metadata(runtime.path()).with_context(|| format!("cannot look at {shown}"))?;
        let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
        let key = format!("{shown:?} {dev} {ino} {size} {}.{}", meta.mtime(), meta.mtime_nsec());
        let kept = cache.and_then(|cache| std::fs::read_to_string(cache).ok());
        if let Some(kept) = kept.and_then(|kept| Self::from_cache(&kept, &key)) {
            return Ok(kept);
        }
        let found = Self::from_features(runtime)?.map_or_else(|| Self::from_binary(runtime.path()), Ok)?;
        // What was not found may have been out of reach for once (no descriptor was left, no process could be made).
        if let Some(cache) = cache.filter(|_| found.knows == KnownCalls::All) {
            let text = format!("{key}\n{}\n", found.by);
            // Without it the next one asks again.
            let _ = files::remove(cache).and_then(|()| files::create(cache, text.as_bytes(), 0o600));
        }
        Ok(found)
    }

    /// Whether the filters hold what they have to; `names_what_it_denies` of a profile that allows what it does not name.
    ///
    /// # Errors
    /// They do not; the message is what the container's user is told.
    pub fn check(&self, runtime: &Path, names_what_it_denies: bool) -> Result<()> {
        let shown = runtime.display();
        match self.knows {
            KnownCalls::Nothing => bail!(
                "seccomp: {shown} has no seccomp ({}), so that the container would run without a filter; install \
                 one that was built with it",
                self.by
            ),
            KnownCalls::NoIoUring if names_what_it_denies => bail!(
                "seccomp: {shown} has {}, which does not know io_uring, and leaves it open in a profile that allows \
                 what it does not name; update it to libseccomp 2.4.2 or later, or give the container a profile that \
                 denies by default, such as Docker's",
                self.by
            ),
            _ => Ok(()),
        }
    }

    fn from_features(runtime: &Runtime) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Features {
            linux: LinuxFeatures,
            annotations: std::collections::BTreeMap<String, String>,
        }
        #[derive(Deserialize)]
        struct LinuxFeatures {
            seccomp: Option<SeccompFeatures>,
        }
        #[derive(Deserialize)]
        struct SeccompFeatures {
            enabled: Option<bool>,
        }
        let said = runtime.stdout_of(&["features".into()])?;
        let Ok(features) = serde_json::from_slice::<Features>(&said) else { return Ok(None) };
        let enabled = features.linux.seccomp.and_then(|seccomp| seccomp.enabled);
        if enabled == Some(false) {
            return Ok(Some(Self { by: "by its features".into(), knows: KnownCalls::Nothing }));
        }
        let version = features.annotations.get("io.github.seccomp.libseccomp.version");
        Ok(version.and_then(|version| {
            let numbers: Option<Vec<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
            let knows = if *numbers? < FIRST[..] { KnownCalls::NoIoUring } else { KnownCalls::All };
            Some(Self { by: format!("libseccomp {version}"), knows })
        }))
    }

    /// Looks for the youngest name in the libraries that the program may be linked to, all of which have to know it, or in
    /// the program itself.
    fn from_binary(runtime: &Path) -> Result<Self> {
        let has = |path: &Path, word: &[u8]| -> Result<bool> {
            let bytes = files::read(path, LIMIT)?.bytes;
            Ok(bytes.windows(word.len()).any(|window| window == word))
        };
        let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
        let below = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];
        let directories = below.iter().flat_map(|dir| [PathBuf::from(dir), Path::new(dir).join(&triple)]);
        let libraries: Vec<PathBuf> = match has(runtime, LIBRARY.as_bytes())? {
            true => directories.map(|dir| dir.join(LIBRARY)).filter(|path| path.exists()).collect(),
            false => vec![runtime.to_owned()],
        };
        let Some(first) = libraries.first() else {
            bail!(
                "seccomp: cannot tell which {LIBRARY} {} uses: it does not know the verb `features`, and the library is \
                 not where libraries are; update the runtime",
                runtime.display()
            )
        };
        let mut knows = KnownCalls::All;
        for library in &libraries {
            if !has(library, YOUNGEST)? {
                knows = if library == runtime { KnownCalls::Nothing } else { KnownCalls::NoIoUring };
            }
        }
        Ok(Self { by: first.display().to_string(), knows })
    }

    /// What is kept is that all can be named.
    fn from_cache(text: &str, wanted: &str) -> Option<Self> {
        let [key, by] = text.lines().collect::<Vec<_>>()[..] else { return None };
        (key == wanted).then(|| Self { by: by.to_owned(), knows: KnownCalls::All })
    }
}

impl fmt::Display for Libseccomp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by.fmt(f)
    }
}
