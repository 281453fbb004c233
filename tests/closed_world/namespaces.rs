//! Namespaces: joined only when a live record owns them, and by isolated containers only.
