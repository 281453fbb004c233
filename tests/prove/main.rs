//! `isolatectl prove` on Docker 28: what it shows of an installation that isolates, what it finds in some that do not, and
//! that nothing of it is left. Other engines and installations: `on_engines`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "the tables are the proof")]

mod called;
mod sabotaged;
mod whole;
