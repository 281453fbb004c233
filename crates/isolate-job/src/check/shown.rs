//! How steps and command lines are shown to a person.

use crate::plan::{Direction, Form, Step};
use crate::request::Distribution;

pub(super) fn titled(step: &Step) -> String {
    match step.direction {
        Direction::In => format!("{} in", step.name),
        Direction::Out => format!("{} out", step.name),
        Direction::Stream => format!("{} stream", step.name),
    }
}

pub(super) fn shown(step: &Step) -> String {
    let key = step.kms.as_ref().map_or(String::new(), |key| format!(", encrypted with {key}"));
    let (from, to) = (step.uri.to_string(), step.directory.clone());
    let (from, to) = match step.direction {
        Direction::In => (from, to),
        Direction::Out => (to, from),
        Direction::Stream => (from, format!("{to}_0, {to}_1, ...")),
    };
    let mut how = form(step.form).to_owned();
    if let Some(pipe) = &step.pipe {
        how += ", streamed";
        for (is_so, word) in [
            (pipe.seed.is_some(), ", shuffled"),
            (pipe.is_gzip, ", decompressed"),
            (pipe.is_wrapped, ", as RecordIO"),
        ] {
            how += if is_so { word } else { "" };
        }
    }
    format!("{}: {from} -> {to} ({how}{key})", step.name)
}

pub(super) fn form(form: Form) -> &'static str {
    match form {
        Form::Prefix(Distribution::FullyReplicated) => "all objects with this key prefix",
        Form::Prefix(Distribution::ShardedByS3Key) => {
            "objects with this key prefix, sharded over the containers"
        }
        Form::Manifest(Distribution::FullyReplicated) => "the objects in this manifest",
        Form::Manifest(Distribution::ShardedByS3Key) => {
            "the objects in this manifest, sharded over the containers"
        }
        Form::Augmented(Distribution::FullyReplicated) => "attributes in this augmented manifest",
        Form::Augmented(Distribution::ShardedByS3Key) => {
            "attributes in this augmented manifest, whose lines are sharded over the containers"
        }
        Form::Object => "one object",
        Form::Archive => "tar.gz",
        Form::Tree => "one object per file",
    }
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_=+./:,@%".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
