//! A throw-away host on which a recording runtime stands where runc would.

pub mod host;
pub mod recorder;
pub mod said;
pub mod spec;
