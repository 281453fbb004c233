//! Credential files, values and hooks: found wherever a home is.
