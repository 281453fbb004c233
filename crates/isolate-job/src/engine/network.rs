//! The subnet of a job's network, and the addresses in it.

use core::net::Ipv4Addr;

use serde::Deserialize;

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    length: u32,
}

#[derive(Deserialize)]
struct Answer {
    /// Docker has its subnets here.
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    /// Podman has its subnets here.
    #[serde(default)]
    subnets: Vec<Range>,
}

#[derive(Deserialize)]
struct Ipam {
    #[serde(rename = "Config", default)]
    config: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(alias = "Subnet")]
    subnet: String,
}

impl Subnet {
    /// Reads the output of `network inspect`: the first IPv4 subnet.
    ///
    /// # Errors
    /// The output is something else, or there is no such subnet.
    pub fn read(answer: &str) -> Result<Self, String> {
        let all: Vec<Answer> = serde_json::from_str(answer)
            .map_err(|error| format!("the engine's answer is not a network: {error}"))?;
        let docker =
            |one: Answer| one.ipam.map(|ipam| ipam.config).unwrap_or_default().into_iter().chain(one.subnets);
        let found = all.into_iter().flat_map(docker).find_map(|range| Self::parse(&range.subnet));
        found.ok_or_else(|| "the engine gave the job's network no IPv4 subnet".to_owned())
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length = length.parse().ok().filter(|length| *length <= 30)?;
        let base = u32::from(address.parse::<Ipv4Addr>().ok()?) & (u32::MAX << (32 - length));
        Some(Self { base, length })
    }

    /// The addresses of this many containers; the subnet's first address is the gateway's.
    ///
    /// # Errors
    /// The subnet has fewer.
    pub fn addresses(self, count: usize) -> Result<Vec<Ipv4Addr>, String> {
        // Without the addresses of the network and the gateway, and the broadcast address.
        let most = (1usize << (32 - self.length)) - 3;
        if count > most {
            return Err(format!("the engine's subnet {self} has {most} addresses for {count} containers"));
        }
        Ok((2..).take(count).map(|number| Ipv4Addr::from(self.base + number)).collect())
    }
}

impl core::fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut core::fmt::Formatter) -> core::fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_read_from_both_engines() {
        let docker = r#"[{"Name":"j","IPAM":{"Driver":"default","Config":[{"Subnet":"fd00::/64"},{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}]}}]"#;
        let podman = r#"[{"name":"j","subnets":[{"subnet":"10.89.0.0/24","gateway":"10.89.0.1"}]}]"#;
        for (answer, shown) in [(docker, "172.18.0.0/16"), (podman, "10.89.0.0/24")] {
            assert_eq!(Subnet::read(answer).unwrap().to_string(), shown);
        }
        for answer in ["", "[]", "[{}]", r#"[{"subnets":[{"subnet":"10.0.0.0/33"}]}]"#] {
            assert!(Subnet::read(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn addresses_begin_after_the_gateways_and_end_before_the_broadcast() {
        let subnet = Subnet::parse("10.89.3.7/29").unwrap();
        assert_eq!(subnet.to_string(), "10.89.3.0/29");
        let all = subnet.addresses(5).unwrap();
        assert_eq!((all[0], all[4]), ([10, 89, 3, 2].into(), [10, 89, 3, 6].into()));
        assert!(subnet.addresses(6).unwrap_err().contains("has 5 addresses for 6 containers"));
    }
}
