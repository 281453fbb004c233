//! Capabilities: what is on no list of those that stay confined is not granted.
