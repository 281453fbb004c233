//! Mounts: options, file systems, layers and terminals that are on no list.
