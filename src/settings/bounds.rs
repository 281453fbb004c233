//! How far annotations may open an isolated container: `[ingress]` and `[peers]`.

use ipnet::IpNet;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// Whether containers may have open ports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IngressBounds {
    /// If not, a container that asks for one is refused.
    pub allowed: bool,
}

/// Which addresses may be peers. Link-local, loopback, multicast and metadata addresses never are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeerBounds {
    /// A peer's prefix must be within one of these.
    pub within: Vec<IpNet>,
    /// The shortest prefix lengths, of IPv4 and of IPv6.
    #[serde(deserialize_with = "pair")]
    pub widest: (u8, u8),
}

impl Default for IngressBounds {
    fn default() -> Self {
        Self { allowed: true }
    }
}

impl Default for PeerBounds {
    /// The private addresses of RFC 1918 and RFC 4193.
    fn default() -> Self {
        let within = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];
        let mut within: Vec<_> =
            within.map(|(address, length)| IpNet::new_assert(address.into(), length)).into();
        within.push(IpNet::new_assert([0xfc00, 0, 0, 0, 0, 0, 0, 0].into(), 7));
        Self { within, widest: (24, 64) }
    }
}

impl PeerBounds {
    /// Checks the values; the message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(prefix) = self.within.iter().find(|prefix| prefix.trunc() != **prefix) {
            return Err(format!("peers.within: {prefix} has host bits set; write {}", prefix.trunc()));
        }
        let (v4, v6) = self.widest;
        if v4 > 32 || v6 > 128 {
            return Err(format!(
                "peers.widest: [{v4}, {v6}] are not prefix lengths; the largest are [32, 128]"
            ));
        }
        Ok(())
    }

    /// The shortest prefix length of a peer of this prefix's family.
    #[must_use]
    pub fn widest_like(&self, prefix: &IpNet) -> u8 {
        if prefix.addr().is_ipv4() { self.widest.0 } else { self.widest.1 }
    }
}

/// Exactly two numbers; a tuple would ignore a third.
fn pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u8, u8), D::Error> {
    match Vec::deserialize(deserializer)?[..] {
        [v4, v6] => Ok((v4, v6)),
        _ => Err(D::Error::custom("expected two prefix lengths, of IPv4 and of IPv6")),
    }
}
