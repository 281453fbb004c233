//! What a runtime's libseccomp can put into a filter. Runtimes silently omit a system call whose name it does
//! not know, which leaves the call open in a profile that allows by default. A crun built without it starts
//! containers without any filter.
//!
//! Runtimes are queried with `RUNTIME features` (runtime-spec, features.md; runc since 1.1, crun since
//! 1.8.6). For those without that verb the library is searched, or the program if it is linked statically.
//! The answer is cached in the state directory until the runtime's file changes.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Runtime;
use crate::files;

/// The capabilities of a runtime's filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libseccomp {
    /// The source of the answer, in words.
    by: String,
    knows: KnownCalls,
}

/// Which of the system calls that the rule `seccomp` blocks can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownCalls {
    All,
    /// io_uring was added in libseccomp 2.4.2; the others are older than the library's first release.
    NoIoUring,
    /// Filters are not supported.
    Nothing,
}

/// The first version that knows io_uring (its CHANGELOG).
const FIRST: [u32; 3] = [2, 4, 2];

/// The most recent name among the blocked calls.
const YOUNGEST: &[u8] = b"io_uring_setup\0";

/// The library's name as programs are linked to it.
const LIBRARY: &str = "libseccomp.so.2";

/// The largest answer that is kept: a path and a few numbers.
const CACHE_LIMIT: u64 = 64 << 10;

/// No runtime and no library is larger.
const LIMIT: u64 = 256 << 20;

impl Libseccomp {
    /// Queries the runtime, or reads the answer from `cache`, where it is stored.
    ///
    /// # Errors
    /// It cannot be determined.
    pub fn of(runtime: &Runtime, cache: Option<&Path>) -> Result<Self> {
        let shown = runtime.path().display();
        let meta = std::fs::metadata(runtime.path()).with_context(|| format!("cannot inspect {shown}"))?;
        let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
        let key = format!("{shown:?} {dev} {ino} {size} {}.{}", meta.mtime(), meta.mtime_nsec());
        let kept = cache.and_then(|cache| files::read(cache, CACHE_LIMIT).ok());
        if let Some(kept) =
            kept.and_then(|kept| Self::from_cache(std::str::from_utf8(&kept.bytes).ok()?, &key))
        {
            return Ok(kept);
        }
        let found = Self::from_features(runtime)?.map_or_else(|| Self::from_binary(runtime.path()), Ok)?;
        // A failure may have been temporary (no free descriptor, no process could be started).
        if let Some(cache) = cache.filter(|_| found.knows == KnownCalls::All) {
            let text = format!("{key}\n{}\n", found.by);
            // Without a cache the next call queries again.
            let _ = files::remove(cache).and_then(|()| files::create(cache, text.as_bytes(), 0o600));
        }
        Ok(found)
    }

    /// Whether the filters can hold what they must; `names_what_it_denies` means a profile that allows by
    /// default.
    ///
    /// # Errors
    /// They cannot; the message is shown to the container's user.
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

    /// Searches for the most recent name in the libraries that the program may be linked to, all of which
    /// must have it, or in the program itself.
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
                "seccomp: cannot determine which {LIBRARY} {} uses: it does not know the verb `features`, and the library is \
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

    /// Only the answer that all can be named is cached.
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
