//! `jobs.json`: the members of the jobs that a node has a part in, on all nodes. `isolate-node watch` writes it. Pure.
//!
//! ```json
//! {"version": 1, "synced": true, "node": "node1",
//!  "jobs": {"team-a/train-7": {"members": [
//!    {"uid": "6f0c…", "pod": "two-1-x7", "node": "node2", "addresses": ["10.88.2.5"], "names": ["two-1.svc-a", "two-1"]}]}}}
//! ```
//!
//! It is complete: a member that is not in it is no member. Until all of them are known, `synced` is false, and it changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
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
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsDocument {
    #[allow(dead_code, reason = "was compared before")]
    version: u64,
    synced: bool,
    node: String,
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

/// Parses a document. `None`: it is not complete yet.
///
/// # Errors
/// It is of another version, not in this format, or too large.
pub(super) fn parse(text: &[u8]) -> Result<Option<JobsOfCluster>> {
    let Versioned { version } = serde_json::from_slice(text).context("it is not a document of jobs")?;
    if version != VERSION {
        bail!("it is of version {version}, not {VERSION}; use isolatectl and isolate-node of one release");
    }
    let document: JobsDocument = serde_json::from_slice(text).context("it is not a document of jobs")?;
    if !document.synced {
        return Ok(None);
    }
    let mut jobs = BTreeMap::new();
    for (scope, JobEntry { members }) in document.jobs {
        let (namespace, name) =
            scope.split_once('/').with_context(|| format!("job {scope:?} has no namespace"))?;
        if members.len() > MEMBERS_LIMIT {
            bail!("job {scope:?} has {} members, at most {MEMBERS_LIMIT} are taken", members.len());
        }
        let members = members.into_iter().map(MemberEntry::checked).collect::<Result<Vec<_>>>();
        let members = members.with_context(|| format!("job {scope:?}"))?;
        check_addresses(&members).with_context(|| format!("job {scope:?}"))?;
        jobs.insert((namespace.to_owned(), name.to_owned()), members);
    }
    Ok(Some(JobsOfCluster { node: document.node, jobs }))
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
        let read = parse(GOOD.as_bytes()).unwrap().unwrap();
        assert_eq!(read.node, "node1");
        let [member] = &read.jobs[&("team-a".to_owned(), "train-7".to_owned())][..] else {
            panic!("{read:?}")
        };
        assert_eq!((&*member.pod.name, &*member.node, member.addresses.len()), ("two-1", "node2", 2));
        assert_eq!(parse(GOOD.replace("true", "false").as_bytes()).unwrap(), None);
    }

    #[test]
    fn every_other_document_is_an_error_that_tells_why() {
        let with = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        let twice = format!(
            r#"{{"version":1,"synced":true,"node":"n","jobs":{{"a/b":{{"members":[{0},{0}]}}}}}}"#,
            r#"{"uid":"u","pod":"p","node":"m","addresses":["10.0.0.1"],"names":[]}"#
        );
        let one = r#"{"uid":"u","pod":"p","node":"m","addresses":[],"names":[]}"#;
        let many = vec![one; MEMBERS_LIMIT + 1].join(",");
        let many =
            format!(r#"{{"version":1,"synced":true,"node":"n","jobs":{{"a/b":{{"members":[{many}]}}}}}}"#);
        for (text, why) in [
            (GOOD[..GOOD.len() / 2].to_owned(), "EOF while parsing"),
            (String::new(), "EOF while parsing"),
            ("[]".to_owned(), "invalid length 0"),
            (with("1", "0"), "it is of version 0, not 1"),
            (with("1", "2"), "it is of version 2, not 1; use isolatectl and isolate-node of one release"),
            (with("\"version\":1,", ""), "missing field `version`"),
            (with("\"synced\":true,", ""), "missing field `synced`"),
            (with("synced", "lease\":null,\"synced"), "unknown field `lease`"),
            (with("team-a/train-7", "train-7"), "has no namespace"),
            (with("10.88.2.5", "10.88.2.0/24"), "invalid IP address syntax"),
            (with("10.88.2.5", "two-2"), "invalid IP address syntax"),
            (with("\"pod\":\"two-1\"", "\"pod\":\"a\\nb\""), "is no uid, pod or node"),
            (with("\"uid\":\"u\"", "\"uid\":\"\""), "is no uid, pod or node"),
            (twice, "members p and p have the same address, 10.0.0.1"),
            (many, "has 4097 members, at most 4096 are taken"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(why), "{error}: {text:.200}");
        }
    }
}
