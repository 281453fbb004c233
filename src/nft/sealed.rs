//! *Sealed*: the table that lets nothing pass but loopback traffic, and none of that to foreign sockets.
//!
//! In the notation of nft(8); sets without elements are left out, with their rules:
//!
//! ```text
//! table inet oci_isolate {
//!     set foreign4 { type ipv4_addr . inet_proto . inet_service; flags constant; }  # bound to an address
//!     set foreign6 { type ipv6_addr . inet_proto . inet_service; flags constant; }
//!     set foreign_any { type inet_proto . inet_service; flags constant; }           # bound to every address
//!     set foreign_protocols { type inet_proto; flags constant; }                    # raw, ping, SCTP
//!     chain input {
//!         type filter hook input priority -300; policy drop;
//!         ip daddr 127.0.0.11 drop
//!         ip daddr . meta l4proto . th dport @foreign4 drop                         # and so for each set
//!         iif "lo" accept
//!     }
//!     chain output {
//!         type filter hook output priority -300; policy drop;
//!         ip daddr 127.0.0.11 goto refuse
//!         ip daddr . meta l4proto . th dport @foreign4 goto refuse
//!         oif "lo" accept
//!         goto refuse
//!     }
//!     chain forward { type filter hook forward priority -300; policy drop; }
//!     chain postrouting { type filter hook postrouting priority 300; policy drop; oif "lo" accept }
//!     chain refuse {
//!         meta l4proto tcp reject with tcp reset
//!         reject with icmpx type admin-prohibited
//!     }
//! }
//! ```
//!
//! -300 is before all address translation (Docker's rules for 127.0.0.11 are at -100, dstnat), so `output`
//! sees the destination that the program asked for. `input` sees the destination after translation, so a
//! foreign socket is matched by its real address and port. `postrouting` catches a translation that sends
//! loopback traffic to a link after `output` has accepted it. TCP is reset because an ICMP error is only a
//! hint to a connect(2) in progress, which continues for a second (tcp(7), "Error handling"). lo always has
//! index 1 (`LOOPBACK_IFINDEX`).

use std::net::{IpAddr, Ipv4Addr};

use super::expr::{
    Compare, Expr, META_IIF, META_L4PROTO, META_OIF, NETWORK, SET_CONSTANT, TCP, UDP, equals, in_set,
    interface, meta, port, protocol,
};
use super::family::FAMILIES;
use super::foreign::ForeignSocket;
use super::keys::Keys;
use super::table::{Base, Chain, Set, Table};

impl Table {
    /// For a namespace with these foreign sockets.
    pub fn sealed<'a>(foreign: impl IntoIterator<Item = &'a ForeignSocket>) -> Self {
        Self::default().sealed_also(foreign)
    }

    /// Made anew, blocking what this one blocks and these sockets.
    pub(super) fn sealed_also<'a>(&self, foreign: impl IntoIterator<Item = &'a ForeignSocket>) -> Self {
        let mut keys = SETS.map(|_| Vec::new());
        for (position, (name, ..)) in SETS.iter().enumerate() {
            let sets = self.sets.iter().filter(|set| set.name == *name);
            keys[position].extend(sets.flat_map(|set| set.keys.iter().map(<[u8]>::to_vec)));
        }
        for (set, key) in foreign.into_iter().filter_map(key_of) {
            keys[set].push(key);
        }
        Self::with_keys(keys)
    }

    /// Whether the sets hold this socket (127.0.0.11 is blocked by a rule of its own).
    pub fn blocks(&self, foreign: &ForeignSocket) -> bool {
        key_of(foreign).is_some_and(|(set, key)| {
            self.sets.iter().any(|s| s.name == SETS[set].0 && s.keys.contains(&key))
        })
    }

    fn with_keys(keys: [Vec<Vec<u8>>; 4]) -> Self {
        let mut sets = Vec::new();
        let mut input = vec![[to_engine_dns(), vec![Expr::Drop]].concat()];
        let mut output = vec![[to_engine_dns(), vec![refuse()]].concat()];
        for ((name, key_type, key_length, load), keys) in SETS.into_iter().zip(keys) {
            let keys = Keys::new(key_length as usize, keys);
            if keys.is_empty() {
                continue;
            }
            input.push([load(name), vec![Expr::Drop]].concat());
            output.push([load(name), vec![refuse()]].concat());
            sets.push(Set {
                name: name.into(),
                key_type,
                key_length,
                flags: SET_CONSTANT,
                size: keys.len() as u32,
                keys,
                ends: Keys::none(key_length as usize),
            });
        }
        input.push([interface(META_IIF, Compare::Equal), vec![Expr::Accept]].concat());
        output.push([interface(META_OIF, Compare::Equal), vec![Expr::Accept]].concat());
        output.push(vec![refuse()]);
        let postrouting = vec![[interface(META_OIF, Compare::Equal), vec![Expr::Accept]].concat()];
        let chains = vec![
            Chain { name: "forward".into(), base: base(2, FIRST), rules: vec![] },
            Chain { name: "input".into(), base: base(1, FIRST), rules: input },
            Chain { name: "output".into(), base: base(3, FIRST), rules: output },
            Chain { name: "postrouting".into(), base: base(4, LAST), rules: postrouting },
            Chain {
                name: REFUSE.into(),
                base: None,
                rules: vec![[protocol(TCP), vec![Expr::Reset]].concat(), vec![Expr::Prohibit]],
            },
        ];
        Self { flags: 0, sets, chains }
    }
}

/// Name, key type, key length, and the expressions that load and look up such a key. A key fills registers of
/// four bytes, from 8 on; one at the start of a register of sixteen bytes has that register's number (8 is 1,
/// 12 is 2), because that is how the kernel reports it (`nft_dump_register` in
/// net/netfilter/nf_tables_api.c).
type SetKind = (&'static str, u32, u32, fn(&str) -> Vec<Expr>);

const SETS: [SetKind; 4] = [
    ("foreign4", concat_type(&[7, 12, 13]), 12, |set| {
        let [v4, _] = &FAMILIES;
        let key = [v4.address(NETWORK, v4.destination), meta(META_L4PROTO, 9), port(10), in_set(1, set)];
        [&v4.matches(), &key[..]].concat()
    }),
    ("foreign6", concat_type(&[8, 12, 13]), 24, |set| {
        let [_, v6] = &FAMILIES;
        let key = [v6.address(NETWORK, v6.destination), meta(META_L4PROTO, 2), port(13), in_set(1, set)];
        [&v6.matches(), &key[..]].concat()
    }),
    ("foreign_any", concat_type(&[12, 13]), 8, |set| vec![meta(META_L4PROTO, 1), port(9), in_set(1, set)]),
    ("foreign_protocols", 12, 1, |set| vec![meta(META_L4PROTO, 1), in_set(1, set)]),
];

/// Which set blocks it, and by which key; `None` if blocking it would take all loopback traffic.
fn key_of(foreign: &ForeignSocket) -> Option<(usize, Vec<u8>)> {
    match *foreign {
        ForeignSocket::Port { protocol, address, port } => {
            let address = address.map(|a| a.to_canonical());
            let (set, mut key) = match address {
                Some(IpAddr::V4(a)) => (0, a.octets().to_vec()),
                Some(IpAddr::V6(a)) => (1, a.octets().to_vec()),
                None => (2, vec![]),
            };
            key.extend([protocol, 0, 0, 0]);
            key.extend(port.to_be_bytes());
            key.extend([0, 0]);
            Some((set, key))
        }
        ForeignSocket::Protocol(TCP | UDP) | ForeignSocket::Packet => None,
        ForeignSocket::Protocol(protocol) => Some((3, vec![protocol])),
    }
}

fn to_engine_dns() -> Vec<Expr> {
    let [v4, _] = &FAMILIES;
    [v4.matches(), vec![v4.address(NETWORK, v4.destination), equals(1, &ENGINE_DNS.octets())]].concat()
}

pub(super) fn refuse() -> Expr {
    Expr::Goto(REFUSE.into())
}

pub(super) fn base(hook: u32, priority: i32) -> Option<Base> {
    Some(Base { kind: "filter".into(), hook, priority, policy: 0, flags: 0 })
}

pub(super) const fn concat_type(parts: &[u32]) -> u32 {
    let mut all = 0;
    let mut i = 0;
    while i < parts.len() {
        all = all << 6 | parts[i];
        i += 1;
    }
    all
}

/// dockerd's DNS server inside the namespace; blocked in every container, whatever listens there.
pub(crate) const ENGINE_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The sets of sockets with a port, which no packet of another protocol is blocked by.
pub(super) const FOREIGN_PORTS: [&str; 3] = [SETS[0].0, SETS[1].0, SETS[2].0];
pub(super) const REFUSE: &str = "refuse";
const FIRST: i32 = -300;
const LAST: i32 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, port: u16) -> ForeignSocket {
        ForeignSocket::Port { protocol: UDP, address: address.parse().ok(), port }
    }

    #[test]
    fn each_kind_of_socket_finds_its_set() {
        let all = [
            socket("127.0.0.1", 53),
            socket("::1", 53),
            socket("", 53),
            socket("::ffff:10.0.0.1", 53),
            ForeignSocket::Protocol(1),
        ];
        let table = Table::sealed(&all);
        assert_eq!(
            table.sets.iter().map(|s| (s.name.as_str(), s.keys.len())).collect::<Vec<_>>(),
            [("foreign4", 2), ("foreign6", 1), ("foreign_any", 1), ("foreign_protocols", 1)]
        );
        assert!(all.iter().all(|foreign| table.blocks(foreign)));
        assert!(!table.blocks(&socket("127.0.0.1", 54)));
        let key = table.sets[0].keys.iter().last();
        assert_eq!(key, Some(&[127, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0][..]));
    }

    #[test]
    fn what_cannot_be_blocked_is_never_called_blocked() {
        for foreign in [ForeignSocket::Protocol(TCP), ForeignSocket::Protocol(UDP), ForeignSocket::Packet] {
            assert!(!Table::sealed([&foreign]).blocks(&foreign));
        }
    }
}
