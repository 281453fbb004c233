//! What a container tried to reach, as a line of the audit log when it is deleted, and for the statement about it. The network namespace is held until
//! the runtime has ended the container, so that nothing is missing.

use std::fmt::Write;
use std::os::fd::AsFd;

use anyhow::{Result, bail};

use crate::audit::{self, Line, Outcome};
use crate::bundle;
use crate::nft::Direction;
use crate::record::{Record, Slot};
use crate::seal::{self, Attempts, OpenNetns};

/// The namespace of a container whose attempts are to be written down.
pub(super) struct Held<'r> {
    slot: &'r Slot,
    record: &'r Record,
    netns: Result<Option<OpenNetns>>,
}

/// `None` if they are not counted, there is neither a log nor a statement, or the container has joined another's namespace.
pub(super) fn hold<'r>(slot: &'r Slot, record: &'r Record) -> Option<Held<'r>> {
    let is_read = record.audit.is_kept() || record.statement.is_some();
    let is_told = is_read && record.attempts.is_some() && record.sealed.is_some();
    is_told.then(|| Held { slot, record, netns: bundle::sealed_netns(slot, record) })
}

/// A container that the runtime has ended, and what was counted.
pub(super) struct Ended<'r> {
    slot: &'r Slot,
    record: &'r Record,
    pub(super) attempts: Result<Attempts>,
}

impl<'r> Held<'r> {
    pub(super) fn count(self) -> Ended<'r> {
        Ended { slot: self.slot, record: self.record, attempts: self.netns.and_then(counted) }
    }
}

impl Ended<'_> {
    /// Writes the line. The container is gone whether or not it can be written.
    pub(super) fn write(&self) {
        let why = match &self.attempts {
            Ok(attempts) => summary(attempts),
            Err(error) => format!("not available: {error:#}"),
        };
        let line = self.record.audit_line(self.slot, Outcome::Attempts);
        let _ = audit::write(&self.record.audit, &Line { verb: Some("delete"), why: Some(&why), ..line });
    }
}

fn counted(netns: Option<OpenNetns>) -> Result<Attempts> {
    let Some(netns) = netns else { bail!("the network namespace is gone") };
    match seal::attempts(netns.as_fd())? {
        Some(attempts) => Ok(attempts),
        None => bail!("the table of the network namespace does not count"),
    }
}

fn summary(attempts: &Attempts) -> String {
    let all = &attempts.destinations;
    let packets: u64 = all.iter().map(|attempt| attempt.packets).sum();
    let mut text = format!("{} destinations, {packets} packets", all.len());
    let mut listed = String::new();
    let mut left = all.len();
    for attempt in all {
        let from = if attempt.direction == Direction::In { "from " } else { "" };
        let one = format!("{from}{} {}", attempt.destination, attempt.packets);
        if listed.len() + one.len() > LIST {
            break;
        }
        let _ = write!(listed, "{}{one}", if listed.is_empty() { ": " } else { ", " });
        left -= 1;
    }
    text.push_str(&listed);
    let more = [
        (left as u64, "more destinations"),
        (attempts.not_kept, "packets out not kept"),
        (attempts.arrivals_not_kept, "packets in not kept"),
    ];
    for (count, of) in more.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "; {count} {of}");
    }
    for missing in &attempts.missing {
        let _ = write!(text, "; incomplete: {missing}");
    }
    text
}

/// The most of a line that the destinations take, in bytes.
const LIST: usize = 2048;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::SystemTime;

    use super::*;
    use crate::nft::Destination;
    use crate::seal::Attempt;

    fn attempt(direction: Direction, address: IpAddr, port: Option<u16>) -> Attempt {
        let protocol = if port.is_some() { 6 } else { 1 };
        let destination = Destination { address, protocol, port };
        let (first, last) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        Attempt { direction, destination, packets: 2, first, last }
    }

    #[test]
    fn the_first_destinations_are_named_and_the_others_counted() {
        let destinations = vec![
            attempt(Direction::Out, "1.2.3.4".parse().unwrap(), Some(443)),
            attempt(Direction::Out, "1.2.3.4".parse().unwrap(), None),
            attempt(Direction::In, "2001:db8::1".parse().unwrap(), Some(80)),
        ];
        let mut attempts = Attempts { destinations, not_kept: 7, ..Attempts::default() };
        let list = "tcp 1.2.3.4:443 2, icmp 1.2.3.4 2, from tcp [2001:db8::1]:80 2";
        assert_eq!(summary(&attempts), format!("3 destinations, 6 packets: {list}; 7 packets out not kept"));
        let many =
            (0..1024_u32).map(|n| attempt(Direction::Out, IpAddr::V4((n + (10 << 24)).into()), Some(1)));
        attempts.destinations = many.collect();
        let text = summary(&attempts);
        assert!(text.starts_with("1024 destinations, 2048 packets: tcp 10.0.0.0:1 2, "), "{text}");
        assert!(text.ends_with(" more destinations; 7 packets out not kept") && text.len() < 2300, "{text}");
        assert_eq!(summary(&Attempts::default()), "0 destinations, 0 packets");
    }
}
