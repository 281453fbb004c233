//! The exit statuses of `isolatectl`. The manual page has the same, and a test compares them.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Ok,
    Failed,
    Usage,
    PassedThrough,
}

impl Exit {
    /// [`Self::Ok`] or [`Self::Failed`].
    pub(super) fn ok_if(all_is_well: bool) -> Self {
        if all_is_well { Self::Ok } else { Self::Failed }
    }

    fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::PassedThrough => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_manual_has_every_exit_status_and_no_other() {
        let meaning = |exit: Exit| match exit {
            Exit::Ok => {
                "Success: everything that was checked holds; for `check`, the container would be isolated."
            }
            Exit::Failed => {
                "Something does not hold, could not be checked, is not running, would be refused, or went wrong."
            }
            Exit::Usage => {
                "Unknown command line; for `statement verify`, statements that cannot be relied on."
            }
            Exit::PassedThrough => {
                "`check` only: the container would be passed through or observed, or is a platform container of a pod."
            }
        };
        let all = [Exit::Ok, Exit::Failed, Exit::Usage, Exit::PassedThrough];
        let wanted: Vec<_> =
            all.iter().map(|exit| format!("{}\n: {}", exit.status(), meaning(*exit))).collect();
        let page = include_str!("../../../docs/man/isolatectl.8.md");
        let section = page.split("# EXIT STATUS\n").nth(1).unwrap().split("\n# ").next().unwrap();
        assert_eq!(section.trim(), wanted.join("\n\n"), "docs/man/isolatectl.8.md, EXIT STATUS");
    }
}
