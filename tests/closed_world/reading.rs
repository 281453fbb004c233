//! Reading: members, strings and annotations that are on no list.
