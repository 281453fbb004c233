//! A throw-away host on which a recording runtime stands where runc would.

pub mod host;
pub mod output;
pub mod recorder;
pub mod spec;
