//! A throw-away host on which a recording runtime replaces runc.

pub mod host;
pub mod output;
pub mod recorder;
pub mod spec;
