//! A step out of the container: a directory that it wrote becomes one archive, or an object for each file. An object appears when it is
//! complete. What the container left is untrusted (`tree::walk`).

use std::io;

use super::record::Sent;
use super::report::Report;
use super::{Transfer, client};
use crate::plan::Form;
use crate::progress::{Amount, Failure};
use crate::s3::Uploads;
use crate::tree::{Dir, Error, Kind, pack, walk};

impl Transfer<'_> {
    pub(super) fn upload(&self, report: &mut Report) -> Result<Amount, Failure> {
        let step = self.step;
        let (parent, name) = self.place()?;
        // The container may have removed it, and then it is empty; it is not a link that the container made.
        let (directory, _) = parent.make(&name)?;
        let total = count(&directory)?;
        report.total(total)?;
        let mut uploads = self.bucket(&step.uri.bucket, &step.accesses)?.uploads(step.kms.as_deref());
        let done = match step.form {
            Form::Archive => {
                // A file of holes can be of any size; what is packed is bounded.
                let about = total.bytes.min(self.ready.quota.left());
                let mut upload = uploads.stream(step.uri.key.clone(), about);
                let done = pack(&directory, &mut upload, &self.ready.quota, &mut |files, bytes| {
                    report.add(files, bytes)
                });
                done.map_err(Failure::from).and_then(|packed| {
                    upload.finish()?;
                    for (path, what) in packed.skipped {
                        report.skipped(&path, &what.to_string())?;
                    }
                    Ok((Amount { files: packed.files, bytes: packed.bytes }, Sent::new()))
                })
            }
            _ => self.tree(&directory, &mut uploads, report),
        };
        // Of both errors, the one that led to the other.
        uploads.finish()?;
        let (amount, sent) = done?;
        if let Some(record) = &self.ready.record {
            record.replace(&sent)?;
        }
        Ok(amount)
    }

    fn tree(
        &self,
        directory: &Dir,
        uploads: &mut Uploads,
        report: &mut Report,
    ) -> Result<(Amount, Sent), Failure> {
        let mut amount = Amount::default();
        let mut sent = Sent::new();
        walk(directory, &mut |entry| {
            let system = |error| Error::system(&entry.path, error);
            match entry.kind {
                Kind::Directory => {}
                Kind::Link(_) => {
                    let why = "is a symbolic link; write a file, or set CompressionType to GZIP";
                    return Err(Error::refused(&entry.path, why));
                }
                Kind::Skipped(what) => report.skipped(&entry.path, &what.to_string()).map_err(system)?,
                Kind::File(size, mut content) => {
                    if entry.version.is_settled() {
                        sent.insert(entry.path.clone(), entry.version);
                    }
                    let record = self.ready.record.as_ref();
                    if record.is_some_and(|record| record.has(&entry.path, &entry.version)) {
                        return Ok(());
                    }
                    self.ready.quota.bytes(size).map_err(system)?;
                    let mut upload = uploads.file(format!("{}{}", self.step.uri.key, entry.path), size);
                    upload.read(&mut content).map_err(system)?;
                    upload.finish().map_err(|error| system(io::Error::other(error)))?;
                    report.add(1, size).map_err(system)?;
                    amount.files += 1;
                    amount.bytes += size;
                }
            }
            Ok(())
        })?;
        Ok((amount, sent))
    }
}

/// What there is.
fn count(directory: &Dir) -> Result<Amount, Failure> {
    let mut total = Amount::default();
    walk(directory, &mut |entry| {
        if let Kind::File(size, _) = entry.kind {
            total.files += 1;
            total.bytes = total.bytes.saturating_add(size);
        }
        Ok(())
    })?;
    if total.bytes > i64::MAX as u64 {
        return Err(client("the files are too large".to_owned()));
    }
    Ok(total)
}
