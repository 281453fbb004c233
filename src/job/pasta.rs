//! The options of pasta(1) that bypass the firewall of a network namespace, into it or out of it.
//!
//! Most of what pasta carries goes through its tap device, where the firewall filters it. Two paths do not:
//! for them pasta has a socket inside the namespace, and its traffic on the loopback looks like the
//! container's own. Connections from the host's loopback to a forwarded port are spliced; `-T` and `-U`
//! forward ports of the namespace's loopback to the host's, with `auto` also ports that are bound later.
//!
//! Only listed options are known, from pasta of October 2026. Pure: it accesses no process.

use crate::policy::{Ingress, Protocol};

/// The effect of an option on isolation.
#[derive(Clone, Copy)]
enum OptionEffect {
    /// None: it concerns the tap device, or pasta itself. Takes no value.
    Nothing,
    /// The same, with a value.
    Value,
    /// Forwards ports of the host into the namespace.
    Inward(Protocol),
    /// Forwards ports of the namespace to the host.
    Outward,
    /// Forwards inward through the tap device only.
    NoSplice,
}

use OptionEffect::{Inward, NoSplice, Nothing, Outward, Value};

/// Long name, short name or 0, effect. `--conf-path`, by which forwards change later, and `--splice-only` are
/// omitted.
const OPTIONS: &[(&str, u8, OptionEffect)] = &[
    ("tcp-ports", b't', Inward(Protocol::Tcp)),
    ("udp-ports", b'u', Inward(Protocol::Udp)),
    ("tcp-ns", b'T', Outward),
    ("udp-ns", b'U', Outward),
    ("no-splice", 0, NoSplice),
    ("address", b'a', Value),
    ("chroot-fallback", 0, Nothing),
    ("config-net", 0, Nothing),
    ("debug", b'd', Nothing),
    ("dhcp-dns", 0, Nothing),
    ("dhcp-search", 0, Nothing),
    ("dns", b'D', Value),
    ("dns-forward", 0, Value),
    ("dns-host", 0, Value),
    ("foreground", b'f', Nothing),
    ("fqdn", 0, Value),
    ("freebind", 0, Nothing),
    ("gateway", b'g', Value),
    ("host-lo-to-ns-lo", 0, Nothing),
    ("hostname", b'H', Value),
    ("interface", b'i', Value),
    ("ipv4-only", b'4', Nothing),
    ("ipv6-only", b'6', Nothing),
    ("log-file", b'l', Value),
    ("log-size", 0, Value),
    ("mac-addr", b'M', Value),
    ("map-guest-addr", 0, Value),
    ("map-host-loopback", 0, Value),
    ("mtu", b'm', Value),
    ("netmask", b'n', Value),
    ("netns", 0, Value),
    ("netns-only", 0, Nothing),
    ("no-copy-addrs", 0, Nothing),
    ("no-copy-routes", 0, Nothing),
    ("no-dhcp", 0, Nothing),
    ("no-dhcpv6", 0, Nothing),
    ("no-icmp", 0, Nothing),
    ("no-map-gw", 0, Nothing),
    ("no-ndp", 0, Nothing),
    ("no-netns-quit", 0, Nothing),
    ("no-ra", 0, Nothing),
    ("no-tcp", 0, Nothing),
    ("no-udp", 0, Nothing),
    ("ns-ifname", b'I', Value),
    ("ns-mac-addr", 0, Value),
    ("outbound", b'o', Value),
    ("outbound-if4", 0, Value),
    ("outbound-if6", 0, Value),
    ("pcap", b'p', Value),
    ("pid", b'P', Value),
    ("quiet", b'q', Nothing),
    ("runas", 0, Value),
    ("search", b'S', Value),
    ("stats", 0, Value),
    ("trace", 0, Nothing),
    ("userns", 0, Value),
];

/// Why pasta with these arguments (without its own name) opens a namespace more than `ingress`; `None` if it
/// does not.
pub(super) fn bypass(arguments: &[&str], ingress: &[Ingress]) -> Option<String> {
    let given = match parse(arguments) {
        Ok(given) => given,
        Err(option) => return Some(format!("option {option} of pasta is not known; drop it")),
    };
    let outward = |long: &str| {
        // Without the option pasta forwards all ports that are bound.
        let values: Vec<_> =
            given.iter().filter(|(name, ..)| *name == long).map(|(.., value)| *value).collect();
        if values.is_empty() { Some("auto") } else { values.into_iter().find(|value| *value != "none") }
    };
    for (option, long) in [("-T", "tcp-ns"), ("-U", "udp-ns")] {
        if let Some(value) = outward(long) {
            return Some(format!(
                "pasta leads from the container's loopback to the host's ({option} {value}); drop {option}"
            ));
        }
    }
    if given.iter().any(|(_, does, _)| matches!(does, NoSplice)) {
        return None;
    }
    for (_, does, value) in &given {
        let Inward(protocol) = does else { continue };
        if !is_open(value, *protocol, ingress) {
            let option = if *protocol == Protocol::Tcp { "-t" } else { "-u" };
            return Some(format!(
                "pasta leads from the host's loopback to ports that ingress does not open to all \
                 ({option} {value}); publish none but those, or use --network=pasta:--no-splice"
            ));
        }
    }
    None
}

/// The given options, parsed as by getopt_long(3) but without abbreviations; or the first unknown one.
fn parse<'a>(arguments: &[&'a str]) -> Result<Vec<(&'static str, OptionEffect, &'a str)>, String> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().copied();
    while let Some(argument) = rest.next() {
        if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, attached) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let option = OPTIONS.iter().find(|(long, ..)| *long == name);
            let (long, _, does) = option.ok_or_else(|| format!("--{name}"))?;
            let value = match (does, attached) {
                (Nothing | NoSplice, None) => "",
                (Nothing | NoSplice, Some(_)) => return Err(argument.to_owned()),
                (_, attached) => attached.or_else(|| rest.next()).ok_or_else(|| argument.to_owned())?,
            };
            found.push((*long, *does, value));
        } else if let Some(mut short) =
            argument.strip_prefix('-').filter(|_| argument.len() > 1 && argument != "--")
        {
            while let Some(letter) = short.chars().next() {
                let option = OPTIONS.iter().find(|(_, short, _)| *short != 0 && char::from(*short) == letter);
                let (long, _, does) = option.ok_or_else(|| format!("-{letter}"))?;
                short = &short[letter.len_utf8()..];
                let value = match does {
                    Nothing | NoSplice => "",
                    _ if short.is_empty() => rest.next().ok_or_else(|| format!("-{letter}"))?,
                    _ => std::mem::take(&mut short),
                };
                found.push((*long, *does, value));
            }
        } else {
            // A command, a process or a namespace: no option follows it.
            break;
        }
    }
    Ok(found)
}

/// Whether every target of a forward is open to all: `none`, or `[ADDRESS/]PORT[-PORT][:PORT[-PORT]]`, joined
/// by commas.
fn is_open(forwards: &str, protocol: Protocol, ingress: &[Ingress]) -> bool {
    if forwards == "none" {
        return true;
    }
    let ports = forwards.rsplit_once('/').map_or(forwards, |(_, ports)| ports);
    ports.split(',').all(|forward| {
        let target = forward.split_once(':').map_or(forward, |(_, target)| target);
        let (first, last) = target.split_once('-').unwrap_or((target, target));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
        let opened = |port: u16| {
            let is_it =
                |open: &&Ingress| open.protocol == protocol && (open.first..=open.last).contains(&port);
            ingress.iter().filter(is_it).any(|open| open.from.is_none())
        };
        first <= last && (first..=last).all(opened)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Podman 5.8 starts it for `-p 8081:80`, with something in front.
    fn judged(options: &str) -> Option<String> {
        let by_podman = "--dns-forward 169.254.1.1 -T none -U none --no-map-gw --quiet --netns /n \
                         --map-guest-addr 169.254.1.2";
        let all = format!("--config-net {options} {by_podman}");
        bypass(&all.split_whitespace().collect::<Vec<_>>(), &open())
    }

    fn open() -> Vec<Ingress> {
        let open = |protocol, first, last, from: Option<&str>| Ingress {
            protocol,
            first,
            last,
            from: from.map(|from| from.parse().unwrap()),
        };
        vec![
            open(Protocol::Tcp, 80, 82, None),
            open(Protocol::Udp, 90, 90, None),
            open(Protocol::Tcp, 443, 443, Some("10.0.0.0/8")),
        ]
    }

    #[test]
    fn what_podman_does_by_itself_is_let_through() {
        for options in [
            "-t none -u none",
            "-t 8081-8081:80-80 -u none",
            "-t 127.0.0.1/8080-8082:80-82 -t 80 -u 90",
            "-t ::1/80,81:82 -u9000:90",
            "--tcp-ports=81 -4q -o 198.51.100.2",
            "--no-splice -t 8083-8083:83-83 -t auto -t ~25",
        ] {
            assert_eq!(judged(options), None, "{options}");
        }
    }

    #[test]
    fn a_forward_to_what_is_not_open_is_named() {
        for (options, named) in [
            ("-t 8083-8083:83-83", "(-t 8083-8083:83-83)"),
            ("-t 8080-8083:80-83", "(-t 8080-8083:80-83)"),
            ("-t 443", "(-t 443)"),
            ("-u 80", "(-u 80)"),
            ("-t auto", "(-t auto)"),
            ("-t all", "(-t all)"),
            ("-t 80,auto", "(-t 80,auto)"),
            ("-t 80-82,~81", "(-t 80-82,~81)"),
            ("-t 82-80", "(-t 82-80)"),
        ] {
            let why = judged(options).unwrap_or_default();
            assert!(why.contains(named) && why.contains("--no-splice"), "{options}: {why}");
        }
    }

    #[test]
    fn a_way_to_the_hosts_loopback_is_named() {
        for (options, named) in [
            ("-T 9999", "(-T 9999); drop -T"),
            ("-qT9999 --no-splice", "(-T 9999)"),
            ("--udp-ns=auto", "(-U auto)"),
            ("--no-splice -U 1-2 -U none", "(-U 1-2)"),
        ] {
            let why = judged(options).unwrap_or_default();
            assert!(why.contains(named), "{options}: {why}");
        }
        let by_default = bypass(&["--netns", "/n"], &open()).unwrap();
        assert!(by_default.contains("(-T auto)"), "{by_default}");
    }

    #[test]
    fn what_is_on_no_list_is_named() {
        for (options, named) in [
            ("-c /run/x", "option -c of pasta is not known; drop it"),
            ("--conf-path=/run/x", "--conf-path"),
            ("--splice-only", "--splice-only"),
            ("--tcp-n 9999", "--tcp-n"),
            ("--quiet=1", "--quiet=1"),
            ("-ä", "-ä"),
        ] {
            let why = judged(options).unwrap_or_default();
            assert!(why.contains(named), "{options}: {why}");
        }
    }
}
