//! A transform job from its request to its end. [`accept()`] refuses or creates it. [`attend()`] is the process with the credentials: it downloads
//! the model and the objects, and uploads the answers. Between the two a process without credentials ([`infer()`]) sends the objects to the
//! model's isolated container. An answer is uploaded when all are there.

mod accept;
mod attend;
mod infer;
mod invoke;
mod records;

pub use accept::accept;
pub use attend::attend;
pub use infer::infer;

/// Below the job's directory: the objects, and what the container answered.
const OBJECTS: &str = "batch";

/// The model as it was when the job was created, under the job's name, by which its container is known.
const MODEL: &str = "model.json";
