//! Planning, without I/O: keys to files, shards, the transfer steps with their session policies, configuration files,
//! hyperparameters of tuning jobs, metrics.

mod documents;
mod keys;
mod manifest;
mod metrics;
mod random;
mod recordio;
mod session_policy;
mod steps;
mod streams;
mod tuning;

pub use documents::{Host, documents, environment, hosts};
pub use keys::{BadKey, Case, Files, Object, PlannedFile, Why, from_manifest, from_prefix, shard};
pub use manifest::{Attribute, BadManifest, Manifest, augmented, manifest};
pub use metrics::{MetricValue, Metrics};
pub use recordio::{HEADER, MOST_OF_RECORD, header, padding};
pub use session_policy::{Access, Grantee, PolicyTooLong, session_policy};
pub use steps::{
    Direction, Form, Pipe, Step, of_model as steps_of_model, of_training as steps_of_training,
    of_transform as steps_of_transform,
};
pub use streams::{epoch, prefixes};
pub use tuning::Sampler;
