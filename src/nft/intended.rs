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
        Self::default().opened(Self::sealed(foreign), allow)
    }

    /// What this table should be, given what its sets say it blocks and what is allowed. A set of peers that is there
    /// stays, also without elements, and so does its size if that is enough.
    pub fn intended(&self, allow: Option<&AllowList>) -> Self {
        self.opened(self.sealed_also([]), allow)
    }

    /// The intended table, with these sockets blocked too.
    pub fn blocking_also(&self, foreign: &[ForeignSocket], allow: Option<&AllowList>) -> Self {
        self.opened(self.sealed_also(foreign), allow)
    }

    fn opened(&self, sealed: Self, allow: Option<&AllowList>) -> Self {
        match allow {
            Some(allow) => sealed.with_allow_list(allow, self),
            None => sealed,
        }
    }
}
