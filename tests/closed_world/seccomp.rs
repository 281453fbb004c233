//! System calls and netlink protocols that are on no list.
