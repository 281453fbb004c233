//! Which table a namespace should have: sealed, or with an allow-list, counting attempts or not; and given the one
//! it has, what that should be.
//!
//! What a table blocks stays blocked in the one that takes its place.

use super::allow_list::AllowList;
use super::foreign::ForeignSocket;
use super::table::Table;

impl Table {
    /// The allow-list, or sealed without one.
    pub fn new<'a>(foreign: impl IntoIterator<Item = &'a ForeignSocket>, allow: Option<&AllowList>) -> Self {
        Self::default().opened(Self::sealed(foreign), allow, None)
    }

    /// What this table should be, given what its sets say it blocks and what is allowed. A set of peers that is there
    /// stays, also without elements, and so does its size if that is enough. A table that counts attempts goes on counting.
    pub fn intended(&self, allow: Option<&AllowList>) -> Self {
        self.opened(self.sealed_also([]), allow, None)
    }

    /// The intended table, with these sockets blocked too, and counting the attempts at that many destinations.
    pub fn blocking_also<'a>(
        &self,
        foreign: impl IntoIterator<Item = &'a ForeignSocket>,
        allow: Option<&AllowList>,
        counting: Option<u32>,
    ) -> Self {
        self.opened(self.sealed_also(foreign), allow, counting)
    }

    fn opened(&self, sealed: Self, allow: Option<&AllowList>, counting: Option<u32>) -> Self {
        let table = match allow {
            Some(allow) => sealed.with_allow_list(allow, self),
            None => sealed,
        };
        match self.counts().or(counting) {
            Some(destinations) => table.counting(destinations, allow.is_some()),
            None => table,
        }
    }
}
