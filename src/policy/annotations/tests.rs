//! What the three annotations are read as, and every way in which they cannot be.

use super::*;

fn list(value: &str) -> Result<Vec<String>, String> {
    peers(value, &PeerBounds::default()).map(|list| list.iter().map(ToString::to_string).collect())
}

/// Protocol, first, last, from.
type Ports = (Protocol, u16, u16, Option<String>);

fn ports(value: &str) -> Result<Vec<Ports>, String> {
    let shown = |i: Ingress| (i.protocol, i.first, i.last, i.from.map(|from| from.to_string()));
    ingress(value).map(|list| list.into_iter().map(shown).collect())
}

#[test]
fn ports_are_tcp_when_nothing_is_said_and_may_be_ranges_from_somebody() {
    use Protocol::{Tcp, Udp};
    assert_eq!(ports("8080"), Ok(vec![(Tcp, 8080, 8080, None)]));
    assert_eq!(
        ports(" 9000-9010/udp , 8080/tcp from 10.0.0.0/24,1-1 "),
        Ok(vec![(Tcp, 1, 1, None), (Tcp, 8080, 8080, Some("10.0.0.0/24".into())), (Udp, 9000, 9010, None)])
    );
    assert_eq!(ports("65535 from fd00::1"), Ok(vec![(Tcp, 65535, 65535, Some("fd00::1/128".into()))]));
    // The clients of an open port need not be private.
    assert!(ports("80 from 198.51.100.0/24").is_ok());
}

#[test]
fn ranges_that_overlap_or_meet_become_one() {
    use Protocol::{Tcp, Udp};
    assert_eq!(
        ports("5-7,1-3,4,2,100,7/udp,65535,65535,65534"),
        Ok(vec![(Tcp, 1, 7, None), (Tcp, 100, 100, None), (Tcp, 65534, 65535, None), (Udp, 7, 7, None)])
    );
    assert_eq!(ports("80,80 from 10.0.0.1").map(|list| list.len()), Ok(2));
}

#[test]
fn ports_that_are_none() {
    let no_port =
        |item: &str, port: &str| format!("{item:?}: {port:?} is not a valid port; ports go from 1 to 65535");
    for (value, why) in [
        ("", "it is empty; leave it away".to_owned()),
        (" ", "it is empty; leave it away".to_owned()),
        ("80,", "item 2 is empty".to_owned()),
        (",80", "item 1 is empty".to_owned()),
        ("0", no_port("0", "0")),
        ("65536", no_port("65536", "65536")),
        ("+80", no_port("+80", "+80")),
        ("-80", no_port("-80", "")),
        ("80-", no_port("80-", "")),
        ("080", no_port("080", "080")),
        ("0x50", no_port("0x50", "0x50")),
        ("80 81", "\"80 81\" is not PORT[-PORT][/tcp|/udp] [from PREFIX]".to_owned()),
        ("80 from", "\"80 from\" is not PORT[-PORT][/tcp|/udp] [from PREFIX]".to_owned()),
        (
            "80 from 10.0.0.1 x",
            "\"80 from 10.0.0.1 x\" is not PORT[-PORT][/tcp|/udp] [from PREFIX]".to_owned(),
        ),
        ("1-2-3", no_port("1-2-3", "2-3")),
        ("http", no_port("http", "http")),
        ("٨٠", no_port("٨٠", "٨٠")),
        ("90-80", "\"90-80\": the range ends before it begins; write 80-90".to_owned()),
        ("80/sctp", "\"80/sctp\": \"sctp\" is neither tcp nor udp".to_owned()),
        ("80/TCP", "\"80/TCP\": \"TCP\" is neither tcp nor udp".to_owned()),
        ("80/", "\"80/\": \"\" is neither tcp nor udp".to_owned()),
        ("80 from 0.0.0.0/0", "\"0.0.0.0/0\" is every address".to_owned()),
        ("80 from localhost", "\"localhost\" is neither an address nor a prefix".to_owned()),
    ] {
        assert_eq!(ports(value), Err(why), "{value:?}");
    }
    let many = vec!["80"; 65].join(",");
    assert_eq!(ports(&many), Err("it has 65 items; at most 64 are taken".into()));
}

#[test]
fn peers_are_addresses_and_prefixes_without_overlap() {
    assert_eq!(
        list("10.0.1.5, 10.0.1.6 ,fd00:1::/64,10.0.2.0/24,10.0.2.7,fd00:1::5"),
        Ok(vec!["10.0.1.5/32".into(), "10.0.1.6/32".into(), "10.0.2.0/24".into(), "fd00:1::/64".into()])
    );
    // Those that meet stay two, so that one of them can be taken away again.
    assert_eq!(list("10.0.2.0/24,10.0.3.0/24").map(|list| list.len()), Ok(2));
}

#[test]
fn peers_that_are_none() {
    for (value, why) in [
        ("", "it is empty; leave it away"),
        ("10.0.0.1,,10.0.0.2", "item 2 is empty"),
        ("db", "\"db\" is neither an address nor a prefix"),
        ("10.0.0.1 10.0.0.2", "\"10.0.0.1 10.0.0.2\" is neither an address nor a prefix"),
        ("10.0.0.01", "\"10.0.0.01\" is neither an address nor a prefix"),
        ("10.1", "\"10.1\" is neither an address nor a prefix"),
        ("fe80::1%eth0", "\"fe80::1%eth0\" is neither an address nor a prefix"),
        ("[fd00::1]", "\"[fd00::1]\" is neither an address nor a prefix"),
        ("10.0.0.0/33", "\"10.0.0.0/33\": a prefix length goes from 1 to 32"),
        ("10.0.0.0/+24", "\"10.0.0.0/+24\": a prefix length goes from 1 to 32"),
        ("10.0.0.0/", "\"10.0.0.0/\": a prefix length goes from 1 to 32"),
        ("10.0.0.0/255.255.255.0", "\"10.0.0.0/255.255.255.0\": a prefix length goes from 1 to 32"),
        ("fd00::/129", "\"fd00::/129\": a prefix length goes from 1 to 128"),
        ("0.0.0.0/0", "\"0.0.0.0/0\" is every address"),
        ("::/0", "\"::/0\" is every address"),
        ("10.0.1.5/24", "\"10.0.1.5/24\" has host bits set; write 10.0.1.0/24 or 10.0.1.5"),
        ("::ffff:10.0.0.1", "\"::ffff:10.0.0.1\" is an IPv4 address in the form of IPv6"),
        ("127.0.0.1", "\"127.0.0.1\" is loopback"),
        ("::1", "\"::1\" is loopback"),
        ("0.0.0.0", "\"0.0.0.0\" is unspecified"),
        ("::", "\"::\" is unspecified"),
        ("224.0.0.1", "\"224.0.0.1\" is multicast"),
        ("ff02::1", "\"ff02::1\" is multicast"),
        ("fe80::1", "\"fe80::1\" is link-local"),
        ("255.255.255.255", "\"255.255.255.255\" is reserved, with the broadcast address"),
        ("169.254.169.254", "\"169.254.169.254\" is link-local, with the metadata services of most clouds"),
        ("168.63.129.16", "\"168.63.129.16\" is the metadata service of Azure"),
        ("fd00:ec2::254", "\"fd00:ec2::254\" is the metadata service of AWS"),
        (
            "fd20:ce::/64",
            "\"fd20:ce::/64\" contains fd20:ce::254/128, the metadata service of Google Cloud; name smaller prefixes",
        ),
        (
            "10.0.0.0/23",
            "\"10.0.0.0/23\" is wider than /24, the widest that the settings allow (peers.widest)",
        ),
        ("fd00::/63", "\"fd00::/63\" is wider than /64, the widest that the settings allow (peers.widest)"),
        ("8.8.8.8", "\"8.8.8.8\" is not within what the settings allow (peers.within)"),
        ("2001:db8::1", "\"2001:db8::1\" is not within what the settings allow (peers.within)"),
    ] {
        assert_eq!(list(value), Err(why.to_owned()), "{value:?}");
    }
}

#[test]
fn a_long_item_is_shown_in_part() {
    let why = list(&"x".repeat(1000)).unwrap_err();
    assert_eq!(why, format!("\"{}\"... is neither an address nor a prefix", "x".repeat(64)));
}

#[test]
fn ten_thousand_peers_are_taken_and_a_hundred_thousand_are_refused() {
    let many = |count: u32| {
        let addresses = (0..count).map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + 2 * n).to_string());
        addresses.collect::<Vec<_>>().join(",")
    };
    assert_eq!(list(&many(10_000)).map(|list| list.len()), Ok(10_000));
    assert_eq!(list(&many(100_000)), Err("it has 100000 items; at most 16384 are taken".into()));
}

#[test]
fn a_job_has_a_name() {
    for name in ["train-7", "a", "default/Train_7:0.1", &"x".repeat(128)] {
        assert_eq!(job::name(name).map(|job| job.name), Ok(name.to_owned()));
    }
    for name in ["", "a b", "ü", "a,b", "a\n", "../\0", "a*", &"x".repeat(129)] {
        let why = job::name(name).unwrap_err();
        assert!(
            why.ends_with(" is not a valid name of a job: 1 to 128 letters, digits and . _ / : -"),
            "{why}"
        );
    }
}
