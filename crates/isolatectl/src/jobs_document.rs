//! `jobs.json`: the members of the jobs that a node has a part in, on all nodes. `isolate-node watch` writes it. Pure.
//!
//! ```json
//! {"version": 1, "synced": true, "node": "node1", "contact": 5120,
//!  "jobs": {"team-a/train-7": {"members": [
//!    {"uid": "6f0c…", "pod": "two-1-x7", "node": "node2", "addresses": ["10.88.2.5"], "names": ["two-1.svc-a", "two-1"]}]}}}
//! ```
//!
//! `contact` is when the API server was last heard by all watches, in seconds since the machine has started: clocks that are set
//! prolong no lease.
//!
//! It is complete: a member that is not in it is no member. Until all of them are known, `synced` is false, and it changes
//! nothing. What a tenant can cause costs that tenant's members only: a job or member beyond a limit is left out, and so
//! closed, and the others are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use oci_isolate::job::JobsOfCluster;
use oci_isolate::record::{Pod, RemoteMember};

/// The format that this version reads.
const VERSION: u64 = 1;

/// The largest document, in bytes.
pub(super) const LIMIT: u64 = 32 << 20;

/// The most members of one job; each gets a line in the `/etc/hosts` of all others.
const MEMBERS_LIMIT: usize = 4096;

/// The most addresses and the most names of one member.
const EACH_LIMIT: usize = 64;

#[derive(Deserialize)]
struct DocumentVersion {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsDocument {
    #[allow(dead_code, reason = "was compared before")]
    version: u64,
    synced: bool,
    node: String,
    contact: Option<u64>,
    jobs: BTreeMap<String, JobEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobEntry {
    members: Vec<MemberEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberEntry {
    uid: String,
    pod: String,
    node: String,
    addresses: BTreeSet<IpAddr>,
    names: Vec<String>,
}

/// What a document has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The members.
    pub(super) cluster: JobsOfCluster,
    /// Jobs and members that were left out, and why.
    pub(super) refused: Vec<String>,
}

/// Parses a document. `None`: it is not complete yet.
///
/// # Errors
/// It is of another version, or not in this format.
pub(super) fn parse(text: &[u8]) -> Result<Option<Parsed>> {
    let DocumentVersion { version } = serde_json::from_slice(text).context("it is not a document of jobs")?;
    if version != VERSION {
        bail!("it is of version {version}, not {VERSION}; use isolatectl and isolate-node of one release");
    }
    let document: JobsDocument = serde_json::from_slice(text).context("it is not a document of jobs")?;
    if !document.synced {
        return Ok(None);
    }
    let contact = document.contact.map(Duration::from_secs);
    let cluster = JobsOfCluster { node: document.node, jobs: BTreeMap::new(), contact };
    let mut parsed = Parsed { cluster, refused: Vec::new() };
    for (scope, job) in document.jobs {
        let done = parsed.take(&scope, job).with_context(|| format!("job {scope:?}"));
        parsed.refused.extend(done.err().map(|error| format!("{error:#}")));
    }
    Ok(Some(parsed))
}

impl Parsed {
    fn take(&mut self, scope: &str, JobEntry { members }: JobEntry) -> Result<()> {
        let (namespace, name) = scope.split_once('/').context("it has no namespace")?;
        ensure!(
            members.len() <= MEMBERS_LIMIT,
            "it has {} members, at most {MEMBERS_LIMIT} are taken",
            members.len()
        );
        let mut taken = Vec::new();
        for member in members {
            match member.checked() {
                Ok(member) => taken.push(member),
                Err(error) => self.refused.push(format!("job {scope:?}: {error:#}")),
            }
        }
        check_addresses(&taken)?;
        self.cluster.jobs.insert((namespace.to_owned(), name.to_owned()), taken);
        Ok(())
    }
}

impl MemberEntry {
    fn checked(self) -> Result<RemoteMember> {
        let Self { uid, pod, node, addresses, names } = self;
        let printable = |text: &String| {
            !text.is_empty() && text.len() <= 253 && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if let Some(strange) = [&uid, &pod, &node].into_iter().find(|text| !printable(text)) {
            bail!("{strange:?} is no uid, pod or node");
        }
        if addresses.len() > EACH_LIMIT || names.len() > EACH_LIMIT {
            bail!("member {pod} has more than {EACH_LIMIT} addresses or names");
        }
        Ok(RemoteMember { pod: Pod { name: pod, uid: Some(uid) }, node, addresses, names })
    }
}

/// An address identifies one member.
fn check_addresses(members: &[RemoteMember]) -> Result<()> {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for member in members {
        for address in &member.addresses {
            if let Some(other) = owners.insert(*address, &member.pod.name) {
                bail!("members {other} and {} have the same address, {address}", member.pod.name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"synced":true,"node":"node1","jobs":{"team-a/train-7":{"members":[
        {"uid":"u","pod":"two-1","node":"node2","addresses":["10.88.2.5","fd00::5"],"names":["two-1.svc","two-1"]}]}}}"#;

    #[test]
    fn the_members_of_each_job_are_read() {
        let Parsed { cluster: read, refused } = parse(GOOD.as_bytes()).unwrap().unwrap();
        assert_eq!((&*read.node, refused), ("node1", Vec::new()));
        let [member] = &read.jobs[&("team-a".to_owned(), "train-7".to_owned())][..] else {
            panic!("{read:?}")
        };
        assert_eq!((&*member.pod.name, &*member.node, member.addresses.len()), ("two-1", "node2", 2));
        assert_eq!(read.contact, None);
        assert_eq!(parse(GOOD.replace("true", "false").as_bytes()).unwrap(), None);
    }

    #[test]
    fn a_contact_is_seconds_or_none() {
        for (contact, expected) in [("5120", Some(5120)), ("0", Some(0)), ("null", None)] {
            let text = GOOD.replacen("\"jobs\"", &format!("\"contact\":{contact},\"jobs\""), 1);
            let Parsed { cluster, .. } = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(cluster.contact, expected.map(Duration::from_secs), "{contact}");
        }
    }

    #[test]
    fn every_other_document_is_an_error_that_tells_why() {
        let with = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        for (text, why) in [
            (GOOD[..GOOD.len() / 2].to_owned(), "EOF while parsing"),
            (String::new(), "EOF while parsing"),
            ("[]".to_owned(), "invalid length 0"),
            (with("1", "0"), "it is of version 0, not 1"),
            (with("1", "2"), "it is of version 2, not 1; use isolatectl and isolate-node of one release"),
            (with("\"version\":1,", ""), "missing field `version`"),
            (with("\"synced\":true,", ""), "missing field `synced`"),
            (with("synced", "lease\":null,\"synced"), "unknown field `lease`"),
            (with("10.88.2.5", "10.88.2.0/24"), "invalid IP address syntax"),
            (with("10.88.2.5", "two-2"), "invalid IP address syntax"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(why), "{error}: {text:.200}");
        }
    }

    /// A document with job `team-a/train-7` of [`GOOD`], and this one.
    fn beside(scope: &str, members: &[String]) -> String {
        GOOD.replacen(
            "\"jobs\":{",
            &format!("\"jobs\":{{\"{scope}\":{{\"members\":[{}]}},", members.join(",")),
            1,
        )
    }

    fn entry(pod: &str, addresses: &str, names: usize) -> String {
        let names = vec!["\"n\""; names].join(",");
        format!(r#"{{"uid":"u","pod":"{pod}","node":"m","addresses":[{addresses}],"names":[{names}]}}"#)
    }

    #[test]
    fn a_job_or_member_that_is_refused_costs_the_others_nothing() {
        let fine = entry("fine", "\"10.0.0.9\"", 64);
        let addresses = (0..=EACH_LIMIT).map(|n| format!("\"10.0.1.{n}\"")).collect::<Vec<_>>().join(",");
        for (bad, why) in [
            (entry("p", "\"10.0.0.1\"", 65), "member p has more than 64 addresses or names"),
            (entry("p", &addresses, 0), "member p has more than 64 addresses or names"),
            (entry("a\\nb", "", 0), "is no uid, pod or node"),
            (entry("", "", 0), "is no uid, pod or node"),
        ] {
            let read = parse(beside("a/b", &[bad, fine.clone()]).as_bytes()).unwrap().unwrap();
            let pods = |scope: (&str, &str)| {
                let members = &read.cluster.jobs[&(scope.0.to_owned(), scope.1.to_owned())];
                members.iter().map(|member| member.pod.name.clone()).collect::<Vec<_>>()
            };
            assert_eq!(
                (pods(("team-a", "train-7")), pods(("a", "b"))),
                (vec!["two-1".into()], vec!["fine".into()])
            );
            assert_eq!(read.refused.len(), 1);
            assert!(
                read.refused[0].starts_with("job \"a/b\": ") && read.refused[0].ends_with(why),
                "{read:?}"
            );
        }
        let same = vec![entry("p", "\"10.0.0.1\"", 0); 2];
        let many = vec![entry("p", "", 0); MEMBERS_LIMIT + 1];
        for (scope, bad, why) in [
            ("a/b", same, "job \"a/b\": members p and p have the same address, 10.0.0.1"),
            ("a/b", many, "job \"a/b\": it has 4097 members, at most 4096 are taken"),
            ("a-b", Vec::new(), "job \"a-b\": it has no namespace"),
        ] {
            let read = parse(beside(scope, &bad).as_bytes()).unwrap().unwrap();
            assert_eq!(read.refused, [why]);
            assert_eq!(read.cluster, parse(GOOD.as_bytes()).unwrap().unwrap().cluster);
        }
    }
}
