//! The floor in Rust: what std brings along before `main`, and the exec.
use std::os::unix::process::CommandExt;

fn main() {
    let error = std::process::Command::new(env!("RUNTIME")).args(std::env::args_os().skip(1)).exec();
    panic!("cannot exec: {error}");
}
