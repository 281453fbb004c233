//! What is stated about an isolated container when it is deleted ([`Facts`]), and the directory in which it waits for a
//! signature ([`spool`]). `isolatectl statement` signs it; nothing here does. Names of variables and their values are in
//! none of it.

mod attempts;
mod digest;
mod facts;
pub mod spool;
mod time;

pub use attempts::{Counted, NotKept, Tried, TriedDestination};
pub use digest::{Digest, hexadecimal};
pub use facts::{Beginning, Container, Facts, Host, Look, Period, ShimProgram, UsedFile};
pub use time::Time;
