//! A step into the container: its objects become the files of one directory, which appears when all of them are whole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;

use super::report::Report;
use super::{Transfer, client};
use crate::plan::{
    Access, BadKey, Case, Files, Form, Manifest, PlannedFile, from_manifest, from_prefix, manifest, shard,
};
use crate::progress::{Amount, Failure};
use crate::request::Distribution;
use crate::s3::{Bucket, Object, Piece};
use crate::tree::{Stage, StagedFile};

/// The most bytes of a manifest.
const MOST_OF_MANIFEST: u64 = 32 << 20;

impl Transfer<'_> {
    pub(super) fn download(&self, report: &mut Report) -> Result<Amount, Failure> {
        let step = self.step;
        let (parent, name) = self.place()?;
        let case = if parent.ignores_case()? { Case::Ignored } else { Case::Kept };
        let bucket = self.bucket(&step.uri.bucket, &step.accesses)?;
        let stage = Stage::begin(parent, &name, &self.ready.quota)?;
        let amount = match step.form {
            Form::Prefix(distribution) => {
                let objects = bucket.list(&step.uri.key)?;
                // A job begins without checkpoints.
                if objects.is_empty() && step.name != "checkpoints" {
                    return Err(self.nothing());
                }
                // As in SageMaker, which takes folders of its console in channels only.
                let folder = objects.iter().find(|object| object.key.ends_with('/'));
                if let Some(folder) = folder.filter(|_| step.name == "model") {
                    let why = "is a folder, which a model does not have; delete the object";
                    return Err(client(format!("key {:?} {why}", folder.key)));
                }
                let planned = objects.iter().map(planned).collect();
                let files = from_prefix(&step.uri.key, planned, case).map_err(|bad| bad_keys(&bad))?;
                self.files(&bucket, &objects, files, distribution, &stage, report)?
            }
            Form::Manifest(distribution) => {
                let (manifest, bucket, objects) = self.named(&bucket)?;
                let sizes: Vec<_> = objects.iter().map(|object| object.size).collect();
                let files = from_manifest(&manifest, &sizes, case).map_err(|bad| bad_keys(&bad))?;
                self.files(&bucket, &objects, files, distribution, &stage, report)?
            }
            Form::Object => {
                let object = one(bucket.look(vec![step.uri.key.clone()])?)?;
                let path = step.uri.key.rsplit('/').next().unwrap_or_default().to_owned();
                let file = PlannedFile { key: object.key.clone(), path, size: object.size };
                let files = Files { files: vec![file], directories: Vec::new() };
                self.files(&bucket, &[object], files, Distribution::FullyReplicated, &stage, report)?
            }
            Form::Archive => {
                let object = one(bucket.look(vec![step.uri.key.clone()])?)?;
                let amount = Amount { files: 1, bytes: object.size };
                report.total(amount)?;
                let mut reading = bucket.read(&object);
                let unpacked = stage.unpack(Counted { reader: &mut reading, report });
                // Of both errors, the one that led to the other.
                reading.error().map_or(Ok(()), Err)?;
                unpacked?;
                amount
            }
            Form::Augmented(_) => {
                return Err(super::internal("an augmented manifest is only streamed".to_owned()));
            }
            Form::Tree => return Err(super::internal("a tree is only written".to_owned())),
        };
        stage.publish()?;
        Ok(amount)
    }

    /// The error of a prefix without objects.
    pub(super) fn nothing(&self) -> Failure {
        client(format!("No S3 objects found under S3 URL {:?}", self.step.uri.to_string()))
    }

    /// The manifest that the step's object is.
    pub(super) fn manifest(&self, bucket: &Bucket) -> Result<Vec<u8>, Failure> {
        let own = one(bucket.look(vec![self.step.uri.key.clone()])?)?;
        Ok(bucket.small(&own, MOST_OF_MANIFEST)?)
    }

    /// The objects that a ManifestFile names, and their bucket.
    pub(super) fn named(&self, bucket: &Bucket) -> Result<(Manifest, Bucket, Vec<Object>), Failure> {
        let bad = |error| client(format!("{}: {error}", self.step.uri));
        let manifest = manifest(&self.manifest(bucket)?).map_err(bad)?;
        let bucket = self.bucket(&manifest.prefix.bucket, &[Access::Below(manifest.prefix.clone())])?;
        let keys = manifest.entries.iter().map(|entry| format!("{}{entry}", manifest.prefix.key));
        let objects = bucket.look(keys.collect())?;
        Ok((manifest, bucket, objects))
    }

    fn files(
        &self,
        bucket: &Bucket,
        objects: &[Object],
        files: Files,
        distribution: Distribution,
        stage: &Stage,
        report: &mut Report,
    ) -> Result<Amount, Failure> {
        let by_key: HashMap<_, _> = objects.iter().map(|object| (object.key.as_str(), object)).collect();
        let all = files.files.into_iter();
        let own: Vec<_> = match distribution {
            Distribution::FullyReplicated => all.collect(),
            Distribution::ShardedByS3Key => shard(all, self.job.container, self.job.containers),
        };
        let bytes = own.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
        let amount = Amount { files: own.len() as u64, bytes };
        report.total(amount)?;
        stage.fits(bytes)?;
        for directory in &files.directories {
            stage.directory(directory)?;
        }
        let report = RefCell::new(report);
        let finish = |file: StagedFile| -> Result<(), Failure> {
            file.finish()?;
            Ok(report.borrow_mut().add(1, 0)?)
        };
        let pieces = own.iter().flat_map(|file| {
            let begin = || -> Result<Vec<_>, Failure> {
                let object = by_key.get(file.key.as_str()).copied();
                let object = object.ok_or_else(|| super::internal(format!("{} is not listed", file.key)))?;
                let staged = stage.file(&file.path, file.size)?;
                if file.size == 0 {
                    return finish(staged).map(|()| Vec::new());
                }
                let staged = Rc::new(staged);
                let piece = |range| Ok(Piece { object, range, into: Rc::clone(&staged) });
                Ok(bucket.ranges(object).map(piece).collect())
            };
            begin().unwrap_or_else(|failure| vec![Err(failure)])
        });
        bucket.fetch(
            pieces,
            |file, content, at| {
                file.write_at(content, at)?;
                Ok(report.borrow_mut().add(0, content.len() as u64)?)
            },
            // The last of its pieces.
            |file| Rc::into_inner(file).map_or(Ok(()), &finish),
        )?;
        Ok(amount)
    }
}

fn planned(object: &Object) -> crate::plan::Object {
    crate::plan::Object { key: object.key.clone(), size: object.size }
}

fn one(objects: Vec<Object>) -> Result<Object, Failure> {
    objects.into_iter().next().ok_or_else(|| super::internal("no answer".to_owned()))
}

fn bad_keys(bad: &[BadKey]) -> Failure {
    client(bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Reports what is read.
struct Counted<'r, R> {
    reader: R,
    report: &'r mut Report,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.report.add(0, count as u64)?;
        Ok(count)
    }
}
