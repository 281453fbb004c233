//! Address ranges that are never peers, whatever the settings say.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

/// A prefix, and what it is.
type Reserved = (&'static str, &'static str);

/// Addresses that do not identify one neighbour, or are routed elsewhere (IANA special-purpose registries,
/// RFC 6890).
const SPECIAL: [Reserved; 14] = [
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, with the metadata services of most clouds"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved, with the broadcast address"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "an IPv4 address in the form of IPv6"),
    // RFC 6052, RFC 8215, RFC 3056: translators and tunnels that reach all of IPv4.
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("2002::/16", "6to4"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

/// Metadata services of clouds elsewhere than in 169.254.0.0/16: EC2 User Guide, "Access instance metadata" (and the
/// EKS Pod Identity agent, fd00:ec2::23); Google Cloud, "Metadata server"; Azure, "What is IP address 168.63.129.16?";
/// Alibaba Cloud, "Instance metadata"; Oracle Cloud, "Getting Instance Metadata".
const METADATA: [Reserved; 5] = [
    ("fd00:ec2::/32", "the metadata service of AWS"),
    ("fd20:ce::254/128", "the metadata service of Google Cloud"),
    ("168.63.129.16/32", "the metadata service of Azure"),
    ("100.100.100.200/32", "the metadata service of Alibaba Cloud"),
    ("fd00:c1::a9fe:a9fe/128", "the metadata service of Oracle Cloud"),
];

/// Prefixes that are never peers.
#[derive(Debug)]
pub struct ReservedRanges(Vec<(IpNet, &'static str)>);

impl ReservedRanges {
    /// All of them. They are parsed once: in a job of 100, 20,000 addresses are checked against them at each
    /// change.
    #[must_use]
    pub fn all() -> &'static Self {
        static ALL: LazyLock<ReservedRanges> = LazyLock::new(|| {
            let parsed = SPECIAL.iter().chain(&METADATA);
            ReservedRanges(parsed.filter_map(|(prefix, what)| Some((prefix.parse().ok()?, *what))).collect())
        });
        &ALL
    }

    /// The first one that has an address in common with this prefix, and what it is.
    #[must_use]
    pub fn overlaps(&self, prefix: &IpNet) -> Option<(IpNet, &'static str)> {
        self.0.iter().find(|(never, _)| never.contains(prefix) || prefix.contains(never)).copied()
    }

    /// Whether the address is in one of them.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(never, _)| never.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_the_lists_is_one() {
        let all = ReservedRanges::all();
        assert_eq!(all.0.len(), SPECIAL.len() + METADATA.len());
        assert!(all.0.iter().all(|(prefix, _)| prefix.trunc() == *prefix));
    }
}
