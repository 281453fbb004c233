//! Prefixes as a record holds them: a list, or, where there are many, their single addresses as base64 of the bytes of
//! all of them. The list of 10,000 takes three times as long to read and to write, at every call for the container.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::prefixes::Prefixes;

/// Prefixes that are packed where they are many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackedPrefixes(#[serde(with = "self")] pub Prefixes);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    List(Prefixes),
    Packed(Packed),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    /// Base64 of four bytes each.
    ipv4: String,
    /// Base64 of sixteen bytes each.
    ipv6: String,
    /// Those that are not single addresses.
    prefixes: Vec<IpNet>,
}

pub(super) fn serialize<S: Serializer>(prefixes: &Prefixes, serializer: S) -> Result<S::Ok, S::Error> {
    if prefixes.len() <= LISTED {
        return prefixes.serialize(serializer);
    }
    let (mut ipv4, mut ipv6, mut wide) = (Vec::with_capacity(4 * prefixes.len()), Vec::new(), Vec::new());
    for prefix in prefixes {
        match prefix.addr() {
            _ if prefix.prefix_len() < prefix.max_prefix_len() => wide.push(*prefix),
            IpAddr::V4(address) => ipv4.extend(address.octets()),
            IpAddr::V6(address) => ipv6.extend(address.octets()),
        }
    }
    let (ipv4, ipv6) = (BASE64.encode(ipv4), BASE64.encode(ipv6));
    Packed { ipv4, ipv6, prefixes: wide }.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Prefixes, D::Error> {
    let packed = match Form::deserialize(deserializer)? {
        Form::List(prefixes) => return Ok(prefixes),
        Form::Packed(packed) => packed,
    };
    let bytes = |text: &str| BASE64.decode(text).map_err(D::Error::custom);
    let (ipv4, ipv6) = (bytes(&packed.ipv4)?, bytes(&packed.ipv6)?);
    let (ipv4, ipv6) = (ipv4.as_chunks::<4>(), ipv6.as_chunks::<16>());
    if !ipv4.1.is_empty() || !ipv6.1.is_empty() {
        return Err(D::Error::custom("a list of addresses ends within one"));
    }
    let single = |address: IpAddr| IpNet::from(address);
    let ipv4 = ipv4.0.iter().map(|octets| single((*octets).into()));
    let ipv6 = ipv6.0.iter().map(|octets| single((*octets).into()));
    Ok(ipv4.chain(ipv6).chain(packed.prefixes).collect())
}

/// A longer list is packed.
const LISTED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: u32) -> Prefixes {
        let ipv4 = (0..count).map(|n| IpNet::from(IpAddr::from((0x0a00_0000 + 2 * n).to_be_bytes())));
        let ipv6 =
            (0..count / 10).map(|n| IpNet::from(IpAddr::from((u128::MAX - u128::from(n)).to_be_bytes())));
        ipv4.chain(ipv6).chain(["172.16.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()]).collect()
    }

    #[test]
    fn few_are_a_list_and_many_are_packed_and_both_are_read_back() {
        for (count, is_list) in [(0, true), (10, true), (300, false), (9000, false)] {
            let packed = PackedPrefixes(many(count));
            let text = serde_json::to_string(&packed).unwrap();
            assert_eq!(text.starts_with('['), is_list, "{text}");
            assert!(text.len() < 100_000, "{}", text.len());
            assert_eq!(serde_json::from_str::<PackedPrefixes>(&text).unwrap(), packed);
        }
    }

    #[test]
    fn what_is_not_whole_is_an_error() {
        for (ipv4, ipv6) in [("AAAA", ""), ("", "AAAAAA=="), ("!", ""), ("AAAAAA", "")] {
            let text = format!(r#"{{"ipv4":"{ipv4}","ipv6":"{ipv6}","prefixes":[]}}"#);
            assert!(serde_json::from_str::<PackedPrefixes>(&text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<PackedPrefixes>(r#"{"ipv4":"","ipv6":""}"#).is_err());
    }
}
