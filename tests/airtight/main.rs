//! Every escape path that a rule closes, tried from real containers: open without the rule and closed with it, while
//! ordinary programs work as before. On a kernel without virtual sockets (vsock) the tests fail, since nothing would be
//! shown of them.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "the tables of what was open and is closed are the proof")]

mod compared;
mod documented;
mod seccomp;
mod tried;
mod ways;
