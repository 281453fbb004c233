//! Every way out and in that a rule closes, tried from real containers: open without the rule, closed with it, and
//! what programs need works as before. A kernel without virtual sockets (vsock) fails: nothing would be shown of them.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "the tables of what was open and is closed are the proof")]

mod compared;
mod documented;
mod seccomp;
mod tried;
mod ways;
