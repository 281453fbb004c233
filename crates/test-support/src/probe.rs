//! The results of `probe.sh` inside a container.

use std::collections::BTreeMap;

use crate::CREDENTIALS;

/// The attempts that would leave the container.
const OUTWARD: [&str; 10] = [
    "tcp",
    "udp",
    "icmp",
    "tcp6",
    "metadata",
    "metadata6",
    "credentials",
    "resolver",
    "nslookup",
    "getaddrinfo",
];
/// A program that is cut off must notice at once. The clients of probe.sh give up after this many milliseconds or more, so what
/// took less was refused, however slow the machine is.
const GIVES_UP: u64 = 2000;

/// One attempt.
struct Attempt {
    status: i32,
    millis: u64,
    said: String,
}

/// The output of one probe.
pub struct Report {
    /// Interfaces in its network namespace that are up.
    pub links: Vec<String>,
    /// `NAME=value` of its process 1, and its own.
    pub environ: Vec<String>,
    attempts: BTreeMap<String, Attempt>,
    raw: String,
}

impl Report {
    /// Reads the probe's output, which may have other lines around it.
    #[track_caller]
    pub fn parse(raw: &str) -> Self {
        assert!(raw.lines().any(|line| line == "done"), "the probe did not run to its end:\n{raw}");
        let after = |word: &str| {
            raw.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut attempts = BTreeMap::new();
        for line in after("attempt ") {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            let said = words.get(3).copied().unwrap_or_default().to_owned();
            let attempt =
                Attempt { status: words[1].parse().unwrap(), millis: words[2].parse().unwrap(), said };
            attempts.insert(words[0].to_owned(), attempt);
        }
        let environ = [after("environ "), after("own-environ ")].concat();
        Self { links: after("link "), environ, attempts, raw: raw.to_owned() }
    }

    /// Complaints unless each of `names` succeeded.
    pub fn reaches(&self, names: &[&str]) -> Vec<String> {
        let failed = names.iter().filter(|name| self.attempts[**name].status != 0);
        failed.map(|name| format!("{name} should work, but: {}", self.attempts[*name].said)).collect()
    }

    /// Complaints unless nothing but the loopback is there, everything outward fails at once, no credential is
    /// in sight, and the container reaches itself by each of `itself`.
    pub fn sealed(&self, itself: &[&str]) -> Vec<String> {
        let mut complaints = self.silent(itself);
        if self.links != ["lo"] {
            complaints.push(format!("interfaces besides lo are up: {:?}", self.links));
        }
        complaints
    }

    /// The same, whatever interfaces it has: a network that is connected later adds one.
    pub fn silent(&self, itself: &[&str]) -> Vec<String> {
        let mut complaints = self.reaches(itself);
        for name in OUTWARD {
            let Attempt { status, millis, said } = &self.attempts[name];
            if *status == 0 {
                complaints.push(format!("{name} gets out: {said}"));
            }
            if *millis >= GIVES_UP {
                complaints.push(format!("{name} hangs for {millis} ms before it fails with: {said}"));
            }
        }
        let net = ["cap CapEff:", "cap CapBnd:"];
        for line in self.raw.lines().filter(|line| net.iter().any(|set| line.starts_with(set))) {
            let bits = line.rsplit('\t').next().and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap();
            // CAP_NET_ADMIN is 12, CAP_NET_RAW 13 (linux/capability.h).
            if bits & (0b11 << 12) != 0 {
                complaints.push(format!("the container could undo it: {line}"));
            }
        }
        complaints.extend(self.has_credentials());
        complaints
    }

    /// Complaints about credentials in the environment; names only, as in the product.
    pub fn has_credentials(&self) -> Vec<String> {
        credentials_in(self.environ.iter().map(String::as_str))
    }
}

/// Complaints about each credential that is among lines of `NAME=value`.
pub fn credentials_in<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut complaints = Vec::new();
    for line in lines {
        if let Some(known) = CREDENTIALS.iter().find(|known| line == **known) {
            let name = known.split('=').next().unwrap_or_default();
            complaints.push(format!("{name} is in its environment"));
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// How a container reaches itself.
pub const ITSELF: [&str; 2] = ["loopback", "hostname"];
/// The same where the engine gives the container no address, and so its name none.
pub const NAMELESS: [&str; 1] = ["loopback"];
/// All that works with an open network behind which there is [`crate::world`].
pub const OPEN: [&str; 8] =
    ["tcp", "udp", "icmp", "metadata", "credentials", "resolver", "nslookup", "getaddrinfo"];
/// What an open network with IPv6 adds.
pub const OPEN6: [&str; 2] = ["tcp6", "metadata6"];
