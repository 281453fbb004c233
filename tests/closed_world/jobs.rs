//! Jobs belong to a tenant, and name servers are nobody's peers.
