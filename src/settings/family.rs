//! A socket family, by its number or by its name in `linux/socket.h`.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A socket family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(u32);

/// More than the kernel has (AF_MAX is 46) or is likely to get soon; the filter covers the numbers below it.
const END: u32 = 64;

/// By number.
const NAMES: [&str; 46] = [
    "UNSPEC",
    "UNIX",
    "INET",
    "AX25",
    "IPX",
    "APPLETALK",
    "NETROM",
    "BRIDGE",
    "ATMPVC",
    "X25",
    "INET6",
    "ROSE",
    "DECnet",
    "NETBEUI",
    "SECURITY",
    "KEY",
    "NETLINK",
    "PACKET",
    "ASH",
    "ECONET",
    "ATMSVC",
    "RDS",
    "SNA",
    "IRDA",
    "PPPOX",
    "WANPIPE",
    "LLC",
    "IB",
    "MPLS",
    "CAN",
    "TIPC",
    "BLUETOOTH",
    "IUCV",
    "RXRPC",
    "ISDN",
    "PHONET",
    "IEEE802154",
    "CAIF",
    "ALG",
    "NFC",
    "VSOCK",
    "KCM",
    "QIPCRTR",
    "SMC",
    "XDP",
    "MCTP",
];

impl Family {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    fn by_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("AF_")?;
        let at = NAMES.iter().position(|known| *known == name)?;
        Some(Self(at.try_into().ok()?))
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Name(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => {
                u32::try_from(number).ok().filter(|n| *n < END).map(Self).ok_or_else(|| {
                    D::Error::custom(format!(
                        "{number} is not a socket family; they go from 0 to {}",
                        END - 1
                    ))
                })
            }
            Written::Name(name) => Self::by_name(&name).ok_or_else(|| {
                D::Error::custom(format!("{name:?} is not a socket family; write \"AF_CAN\" or its number"))
            }),
        }
    }
}
