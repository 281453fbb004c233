//! Which table a namespace should have: sealed, or with an allow-list; and given the one it has, what that
//! should be.
//!
//! What a table blocks stays blocked in the one that takes its place.

use super::allow_list::AllowList;
use super::foreign::ForeignSocket;
use super::table::Table;

impl Table {
    /// The allow-list, or sealed without one.
    pub fn new<'a>(foreign: impl IntoIterator<Item = &'a ForeignSocket>, allow: Option<&AllowList>) -> Self {
        Self::sealed(foreign).opened(allow)
    }

    /// What this table should be, given what its sets say it blocks and what is allowed.
    pub fn intended(&self, allow: Option<&AllowList>) -> Self {
        self.sealed_again().opened(allow)
    }

    /// The intended table, with these sockets blocked too.
    pub fn blocking_also(&self, foreign: &[ForeignSocket], allow: Option<&AllowList>) -> Self {
        self.sealed_also(foreign).opened(allow)
    }

    fn opened(self, allow: Option<&AllowList>) -> Self {
        match allow {
            Some(allow) => self.with_allow_list(allow),
            None => self,
        }
    }
}
