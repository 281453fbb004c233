//! What the machine lacks, as `hack/kernels` has taken it away, with the proof that it is gone.

use test_support::command::{command, say};

/// Something that isolation, or a container of a user, needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lacks {
    Nothing,
    /// The module nf_tables.
    NfTables,
    /// User namespaces for other users than root: `kernel.unprivileged_userns_clone`, a sysctl of Debian's kernels.
    UnprivilegedUserNamespaces,
    /// User namespaces for everyone: `user.max_user_namespaces`.
    UserNamespaces,
}

impl Lacks {
    /// Of this machine. Panics where that which was taken away is there.
    pub(crate) fn now() -> Self {
        let name = std::env::var("OCI_ISOLATE_TEST_LACKS").unwrap_or_default();
        let lacks = match name.as_str() {
            "" => Self::Nothing,
            "without-nf_tables" => Self::NfTables,
            "restricted" => Self::UnprivilegedUserNamespaces,
            "without-userns" => Self::UserNamespaces,
            other => panic!("OCI_ISOLATE_TEST_LACKS={other}"),
        };
        let goes = |words: &[&str]| say(command(words[0]).args(&words[1..])).well();
        let has_tables = goes(&["unshare", "--net", "nft", "add", "table", "inet", "t"]);
        assert_eq!(has_tables, lacks != Self::NfTables, "{lacks:?}: nf_tables");
        let has_namespaces = goes(&["unshare", "--user", "true"]);
        assert_eq!(has_namespaces, lacks != Self::UserNamespaces, "{lacks:?}: user namespaces of root");
        let user =
            ["setpriv", "--reuid=59999", "--regid=59999", "--clear-groups", "unshare", "--user", "true"];
        let users_have = matches!(lacks, Self::Nothing | Self::NfTables);
        assert_eq!(goes(&user), users_have, "{lacks:?}: user namespaces of a user");
        lacks
    }
}
