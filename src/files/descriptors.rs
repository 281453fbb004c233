//! Whether a process has run out of file descriptors, and what its user can do.

use std::io;

use anyhow::{Error, anyhow};
use nix::errno::Errno;

/// Whether something failed because this process may not open another file.
#[must_use]
pub fn is_out_of_descriptors(error: &Error) -> bool {
    error.chain().any(|cause| {
        let of_io = || cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        let number = cause.downcast_ref::<Errno>().map(|errno| *errno as i32).or_else(of_io);
        number == Some(Errno::EMFILE as i32)
    })
}

/// Names the limit, if that is why.
#[must_use]
pub fn name_limit(error: Error) -> Error {
    if is_out_of_descriptors(&error) {
        return anyhow!("{error:#}; raise the limit of open files (RLIMIT_NOFILE, `ulimit -n`)");
    }
    error
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn only_a_lack_of_descriptors_is_one() {
        let of_io = |number| Err::<(), _>(io::Error::from_raw_os_error(number)).context("a").unwrap_err();
        let of_nix = |errno: Errno| Err::<(), _>(errno).context("b").context("c").unwrap_err();
        for (error, expected) in [
            (of_io(Errno::EMFILE as i32), true),
            (of_nix(Errno::EMFILE), true),
            (of_io(Errno::ENFILE as i32), false),
            (of_nix(Errno::EPERM), false),
            (anyhow!("EMFILE"), false),
        ] {
            assert_eq!(is_out_of_descriptors(&error), expected, "{error:#}");
            assert_eq!(name_limit(error).to_string().ends_with("(RLIMIT_NOFILE, `ulimit -n`)"), expected);
        }
    }
}
