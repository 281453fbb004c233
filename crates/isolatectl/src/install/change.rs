//! An engine's configuration file, before and after. A backup is kept next to it until the runtime is
//! uninstalled.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{ConfigEdit, Registration};
use oci_isolate::files::{self, SMALL_LIMIT, Snapshot};

/// Locks the directory of a file against other runs of `install`, each of which relies on what it read. An
/// editor takes no lock; the file is compared again before it is replaced.
///
/// # Errors
/// The directory cannot be opened, or is locked for ten seconds. A missing one needs no lock: a new file
/// never replaces another.
pub(super) fn lock(file: &Path) -> Result<Option<Flock<File>>> {
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = real.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = directory.display();
    let mut opened = match File::open(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {shown}"))?,
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(Some(locked)),
            Err((file, Errno::EWOULDBLOCK)) if Instant::now() < deadline => opened = file,
            Err((_, errno)) => return Err(errno).with_context(|| format!("cannot lock {shown}")),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The change of a file.
pub(super) struct FileChange {
    /// The file itself, behind all links.
    pub(super) file: PathBuf,
    before: Option<Snapshot>,
    /// `None`: the file is removed.
    pub(super) after: Option<String>,
    /// The backup from before the runtime was added, where no engine reads it.
    kept: PathBuf,
    keep: BackupAction,
}

/// What happens to the backup.
enum BackupAction {
    AsItIs,
    Write,
    Remove,
}

impl FileChange {
    /// Adds the runtime to the file.
    pub(super) fn into(edited: &ConfigEdit, wanted: &Registration) -> Result<Self> {
        let (file, before, kept) = locate(&edited.file, &wanted.name)?;
        let text = before.as_ref().map(text_of).transpose()?.unwrap_or_default();
        let after = (edited.add)(text, wanted)?;
        let new = (edited.remove)(text, &wanted.name, text)? == text;
        // A file that already contains the runtime was backed up when that was added, was edited by hand, or
        // was created by us.
        let by_hand = || -> Result<bool> {
            let left = (edited.remove)(text, &wanted.name, "")?;
            Ok(!kept.exists() && !comes_and_goes(edited, wanted, "")?.contains(&left))
        };
        let keep =
            if before.is_some() && (new || by_hand()?) { BackupAction::Write } else { BackupAction::AsItIs };
        Ok(Self { file, before, after: Some(after), kept, keep })
    }

    /// Removes the runtime from the file. If nothing else has changed since it was added, every byte is
    /// restored.
    pub(super) fn out_of(edited: &ConfigEdit, wanted: &Registration) -> Result<Self> {
        let (file, before, kept) = locate(&edited.file, &wanted.name)?;
        let Some(now) = &before else {
            return Ok(Self { file, before, after: None, kept, keep: BackupAction::AsItIs });
        };
        let text = text_of(now)?;
        let old = kept.exists().then(|| files::read(&kept, SMALL_LIMIT)).transpose()?;
        let old = old.as_ref().map(text_of).transpose()?;
        let base = old.unwrap_or_default();
        let left = (edited.remove)(text, &wanted.name, base)?;
        if left == text {
            return Ok(Self { file, after: Some(left), before, kept, keep: BackupAction::AsItIs });
        }
        let untouched = comes_and_goes(edited, wanted, base)?.contains(&left);
        let after = if untouched { old.map(str::to_owned) } else { Some(left) };
        Ok(Self { file, before, after, kept, keep: BackupAction::Remove })
    }

    /// Makes a file of this text, or removes it again. One with another text was changed by the operator, and stays.
    pub(super) fn of_our_own(file: &Path, text: &str, uninstall: bool) -> Result<Self> {
        let (file, before, kept) = locate(file, super::NAME)?;
        let after = match before.as_ref().map(text_of).transpose()? {
            None => (!uninstall).then(|| text.to_owned()),
            Some(now) => (!uninstall || now != text).then(|| now.to_owned()),
        };
        Ok(Self { file, before, after, kept, keep: BackupAction::AsItIs })
    }

    /// Whether there is anything to do.
    pub(super) fn changes(&self) -> bool {
        self.old() != self.after.as_deref()
    }

    /// Whether words are removed from the file.
    pub(super) fn loses(&self, words: &str) -> bool {
        self.old().is_some_and(|old| old.contains(words))
            && !self.after.as_deref().is_some_and(|after| after.contains(words))
    }

    /// The difference, as input for patch(1).
    pub(super) fn diff(&self) -> String {
        let name = |there: bool| if there { self.file.display().to_string() } else { "/dev/null".into() };
        let (old, new) = (self.old(), self.after.as_deref());
        let diff = similar::TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
        diff.unified_diff().header(&name(old.is_some()), &name(new.is_some())).to_string()
    }

    /// Applies the change.
    ///
    /// # Errors
    /// The file was changed since it was read, or cannot be replaced; it is then unchanged.
    pub(super) fn carry_out(&self) -> Result<()> {
        if !self.changes() {
            return Ok(());
        }
        let kept = match (&self.keep, &self.before) {
            (BackupAction::Write, Some(before)) => Some(before.copy(&self.kept)?),
            _ => None,
        };
        if let Err(error) = self.replace() {
            if kept.is_some() {
                // Useless: the file is unchanged.
                let _ = std::fs::remove_file(&self.kept);
            }
            return Err(error);
        }
        if let BackupAction::Remove = self.keep {
            match std::fs::remove_file(&self.kept) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", self.kept.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn replace(&self) -> Result<()> {
        let shown = self.file.display();
        let (before, after) = match (&self.before, &self.after) {
            (None, None) => return Ok(()),
            (None, Some(after)) => {
                let directory = self.file.parent().unwrap_or(Path::new("/"));
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot make the directory {}", directory.display()))?;
                return files::create(&self.file, after.as_bytes(), 0o644);
            }
            (Some(before), after) => (before, after),
        };
        if !before.is_current() {
            bail!("cannot replace {shown}: another process is changing it; try again");
        }
        match after {
            Some(after) => before.replace(after.as_bytes()),
            None => std::fs::remove_file(&self.file).with_context(|| format!("cannot remove {shown}")),
        }
    }

    fn old(&self) -> Option<&str> {
        self.before.as_ref().and_then(|before| text_of(before).ok())
    }
}

/// The texts that remain after the runtime was added and removed: not as the default, and as the default.
fn comes_and_goes(edited: &ConfigEdit, wanted: &Registration, text: &str) -> Result<[String; 2]> {
    let left = |default| -> Result<String> {
        let (name, path) = (wanted.name.clone(), wanted.path.clone());
        let wanted = Registration { name, path, default, flag: None, switches: vec![] };
        (edited.remove)(&(edited.add)(text, &wanted)?, &wanted.name, text)
    };
    Ok([left(false)?, left(true)?])
}

/// The file behind all links, since its owner keeps it elsewhere by a link; its content; the path of its
/// backup.
fn locate(file: &Path, name: &str) -> Result<(PathBuf, Option<Snapshot>, PathBuf)> {
    let file = match std::fs::canonicalize(file) {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound && !file.is_symlink() => std::path::absolute(file)?,
        Err(error) => return Err(error).context("cannot resolve it"),
    };
    let before = file.exists().then(|| files::read(&file, SMALL_LIMIT)).transpose()?;
    let mut kept = file.file_name().map(OsString::from).context("it is not a file")?;
    kept.push(format!(".before-{name}"));
    // In a directory of drop-ins it would be read: CRI-O reads files of any name (UpdateFromPath,
    // pkg/config/config.go), containerd those that match its pattern.
    let directory = file.parent().unwrap_or(Path::new("/"));
    let drop_ins = directory.extension().is_some_and(|suffix| suffix == "d");
    let kept = directory.parent().filter(|_| drop_ins).unwrap_or(directory).join(kept);
    Ok((file, before, kept))
}

fn text_of(snapshot: &Snapshot) -> Result<&str> {
    std::str::from_utf8(&snapshot.bytes)
        .with_context(|| format!("cannot understand {}", snapshot.path().display()))
}
