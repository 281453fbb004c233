//! The jobs that this node has a part in, from the events of all watches, and the document that `isolatectl jobs` reads. Pure.
//!
//! A node watches its own pods, and the pods of each job that one of them is in; so its cost follows its own jobs, not the
//! size of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::members::{Change, Listing, Member};
use crate::names::{Selector, names};
use crate::pod::{Candidate, Scope, Standing};
use crate::ranges::{Ranges, Verdict};

/// How long the ranges of nodes are waited for at the start. Then members on nodes whose ranges are not known are none, and
/// those that have left are members no more.
const RANGES: Duration = Duration::from_secs(30);

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// This node's pods with a job; in one namespace, or in all.
    Node(Option<String>),
    /// The pods of one job.
    Job(Scope),
    /// The Services of a namespace.
    Services(String),
    /// The ranges of a node's pods, which are asked for until there are some.
    Ranges(String),
}

/// An event of a watch.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "is taken at once; most are the large one")]
pub enum Report {
    /// Of pods.
    Pods(Change<Candidate>),
    /// Of Services.
    Services(Change<Selector>),
    /// Of a node's pods.
    Ranges(Vec<IpNet>),
}

/// What is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    node: String,
    domain: String,
    here: BTreeMap<Option<String>, Listing<Candidate>>,
    jobs: BTreeMap<Scope, Listing<Member>>,
    services: BTreeMap<String, Listing<Selector>>,
    ranges: Ranges,
    /// When all pods that were there at the start were known.
    listed: Option<Duration>,
    synced: bool,
}

/// `jobs.json`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Document<'c> {
    version: u32,
    synced: bool,
    node: &'c str,
    jobs: BTreeMap<String, JobEntry<'c>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct JobEntry<'c> {
    members: Vec<MemberEntry<'c>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct MemberEntry<'c> {
    uid: &'c str,
    pod: &'c str,
    node: &'c str,
    addresses: BTreeSet<IpAddr>,
    names: Vec<String>,
}

/// Figures for `/metrics`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Members on this node.
    pub here: usize,
    /// Members on other nodes.
    pub elsewhere: usize,
    /// Pods that are no members, by reason.
    pub refused: BTreeMap<&'static str, usize>,
}

impl Cluster {
    /// Nothing is known yet. `namespaces` limits what is looked at; without it, all are. `ranges` limits which addresses count.
    #[must_use]
    pub fn new(node: String, domain: String, namespaces: &[String], ranges: Ranges) -> Self {
        let all = namespaces.iter().cloned().map(Some).chain(namespaces.is_empty().then_some(None));
        let here = all.map(|namespace| (namespace, Listing::default())).collect();
        let (jobs, services) = (BTreeMap::new(), BTreeMap::new());
        Self { node, domain, here, jobs, services, ranges, listed: None, synced: false }
    }

    /// Forgets jobs that no pod of this node is in any more, once all events that came together are taken: a pod that another
    /// one has replaced leaves its job's watch, and what it found, as they are.
    pub fn prune(&mut self) {
        let scopes = self.scopes();
        self.jobs.retain(|scope, _| scopes.contains(scope));
        let namespaces: BTreeSet<&String> = scopes.iter().map(|scope| &scope.namespace).collect();
        self.services.retain(|namespace, _| namespaces.contains(namespace));
        // A node may be replaced by another one of its name, whose pods are others.
        if let Some(mut known) = self.ranges.nodes.take() {
            let nodes = self.nodes();
            known.retain(|node, _| nodes.contains(node));
            self.ranges.nodes = Some(known);
        }
    }

    /// The nodes whose ranges have to be known: those of members, also before they have an address.
    fn nodes(&self) -> BTreeSet<String> {
        let pods = self.jobs.values().flat_map(|job| job.all.values()).map(|member| &member.candidate);
        let counts = |pod: &&Candidate| matches!(pod.standing, Standing::Member | Standing::Coming);
        pods.filter(counts).map(|pod| pod.node.clone()).filter(|node| !node.is_empty()).collect()
    }

    /// What has to be watched now.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<Source> {
        let nodes = self.here.keys().cloned().map(Source::Node);
        let jobs = self.scopes();
        let services: BTreeSet<_> =
            jobs.iter().map(|scope| Source::Services(scope.namespace.clone())).collect();
        let ranges = self.ranges.nodes.iter().flat_map(|_| self.nodes()).map(Source::Ranges);
        nodes.chain(jobs.into_iter().map(Source::Job)).chain(services).chain(ranges).collect()
    }

    fn scopes(&self) -> BTreeSet<Scope> {
        let pods = self.here.values().flat_map(|listing| listing.all.values());
        let takes_part = |pod: &&Candidate| !matches!(pod.standing, Standing::Refused(_) | Standing::Ended);
        pods.filter(takes_part).map(|pod| pod.scope.clone()).collect()
    }

    /// Takes an event. One of a watch that is no longer wanted is ignored. [`Self::prune`] ends a batch of them.
    pub fn take(&mut self, source: &Source, report: Report, now: Duration) {
        match (source, report) {
            (Source::Node(namespace), Report::Pods(change)) => {
                if let Some(listing) = self.here.get_mut(namespace) {
                    listing.take(change, |_, new| new);
                }
                for scope in self.scopes() {
                    self.services.entry(scope.namespace.clone()).or_default();
                    self.jobs.entry(scope).or_default();
                }
            }
            (Source::Job(scope), Report::Pods(change)) => {
                if let Some(listing) = self.jobs.get_mut(scope) {
                    listing.take(change, |before, new| Member::observe(before, new, now));
                }
            }
            (Source::Services(namespace), Report::Services(change)) => {
                if let Some(listing) = self.services.get_mut(namespace) {
                    listing.take(change, |_, new| new);
                }
            }
            (Source::Ranges(node), Report::Ranges(ranges)) => {
                if let Some(known) = &mut self.ranges.nodes {
                    known.insert(node.clone(), ranges);
                }
            }
            _ => {}
        }
        if self.here.values().all(|listing| listing.synced) && self.jobs.values().all(|job| job.synced) {
            self.listed.get_or_insert(now);
            let known =
                |nodes: &BTreeMap<String, _>| self.nodes().iter().all(|node| nodes.contains_key(node));
            self.synced = self.synced || self.ranges.nodes.as_ref().is_none_or(known);
        }
    }

    /// When ranges are waited for no longer, if they are.
    fn end_of_wait(&self) -> Option<Duration> {
        self.listed.filter(|_| !self.synced).map(|listed| listed + RANGES)
    }

    /// The document, once everything that was there at the start is known, but for ranges that take too long. A job that is not yet listed is left out: its
    /// container here is new, and has no members on other nodes.
    #[must_use]
    pub fn document(&self, now: Duration) -> Option<Document<'_>> {
        let listed = self.jobs.iter().filter(|(_, job)| job.synced);
        let jobs = listed.map(|(scope, job)| {
            (
                format!("{}/{}", scope.namespace, scope.job),
                JobEntry { members: self.members(scope, job, now) },
            )
        });
        let is_over = self.end_of_wait().is_some_and(|end| end <= now);
        (self.synced || is_over).then(|| Document {
            version: 1,
            synced: true,
            node: &self.node,
            jobs: jobs.collect(),
        })
    }

    fn members<'c>(&'c self, scope: &Scope, job: &'c Listing<Member>, now: Duration) -> Vec<MemberEntry<'c>> {
        let services = self.services.get(&scope.namespace);
        let services = || services.into_iter().flat_map(|listing| listing.all.values());
        let holders = self.holders(job, now);
        let entries = job.all.values().filter(|member| member.candidate.scope == *scope).map(|member| {
            let pod = &member.candidate;
            let has = |address: &IpAddr| holders.get(address).is_some_and(|holder| holder.uid == pod.uid);
            let addresses = self.addresses(member, now).into_iter().filter(has).collect();
            let names = names(pod, &self.domain, services());
            MemberEntry { uid: &pod.uid, pod: &pod.pod, node: &pod.node, addresses, names }
        });
        entries.filter(|entry| !entry.addresses.is_empty()).collect()
    }

    /// The addresses of a member that are in range: all of them or none.
    fn addresses(&self, member: &Member, now: Duration) -> BTreeSet<IpAddr> {
        match self.ranges.judge(&member.candidate) {
            Verdict::Within => member.addresses(now),
            Verdict::Unknown | Verdict::Outside(_) => BTreeSet::new(),
        }
    }

    /// Who has each address: of two members that report the same one, the one that was started last.
    fn holders<'c>(&self, job: &'c Listing<Member>, now: Duration) -> BTreeMap<IpAddr, &'c Candidate> {
        let mut newest: BTreeMap<IpAddr, &Candidate> = BTreeMap::new();
        for member in job.all.values() {
            let new = &member.candidate;
            for address in self.addresses(member, now) {
                let holder = newest.entry(address).or_insert(new);
                if (&holder.started, &holder.uid) < (&new.started, &new.uid) {
                    *holder = new;
                }
            }
        }
        newest
    }

    /// When the document changes without another event.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let members = self.jobs.values().flat_map(|job| job.all.values());
        let wait = self.end_of_wait().filter(|end| *end > now);
        members.filter_map(|member| member.due(now)).chain(wait).min()
    }

    /// Pods that are no members, and why.
    #[must_use]
    pub fn refused(&self, now: Duration) -> BTreeMap<String, &'static str> {
        let name = |pod: &Candidate| format!("{}/{}", pod.scope.namespace, pod.pod);
        let here = self.here.values().flat_map(|listing| listing.all.values());
        let here = here.filter_map(|pod| Some((name(pod), self.refusal(pod)?)));
        let of_jobs = self.of_jobs(now).filter_map(|(member, why)| Some((name(&member.candidate), why?)));
        here.chain(of_jobs).collect()
    }

    fn refusal(&self, pod: &Candidate) -> Option<&'static str> {
        match (pod.standing, self.ranges.judge(pod)) {
            (Standing::Refused(why), _) | (Standing::Member, Verdict::Outside(why)) => Some(why),
            _ => None,
        }
    }

    /// The pods of all jobs, and why each is no member, if it is refused.
    fn of_jobs(&self, now: Duration) -> impl Iterator<Item = (&Member, Option<&'static str>)> {
        self.jobs.values().flat_map(move |job| {
            let holders = self.holders(job, now);
            job.all.values().map(move |member| {
                let is_another = |address: &IpAddr| holders[address].uid != member.candidate.uid;
                let taken = self.addresses(member, now).iter().any(is_another).then_some("same-address");
                (member, self.refusal(&member.candidate).or(taken))
            })
        })
    }

    /// Figures for `/metrics`.
    #[must_use]
    pub fn figures(&self, now: Duration) -> Figures {
        let mut figures = Figures::default();
        for (member, refused) in self.of_jobs(now) {
            match refused {
                Some(why) => *figures.refused.entry(why).or_default() += 1,
                None if self.addresses(member, now).is_empty() => {}
                None if member.candidate.node == self.node => figures.here += 1,
                None => figures.elsewhere += 1,
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::tests::{candidate, member};

    const NOW: Duration = Duration::from_secs(100);

    fn pod(name: &str, node: &str, address: &str) -> Value {
        let mut pod = member();
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(format!("uid-{name}"));
        pod["spec"]["nodeName"] = json!(node);
        pod["spec"]["hostname"] = json!(name);
        pod["status"]["podIPs"] = json!([{"ip": address}]);
        pod
    }

    fn list(cluster: &mut Cluster, source: &Source, pods: &[Value]) {
        cluster.take(source, Report::Pods(Change::Begin), NOW);
        for pod in pods {
            let candidate = candidate(pod).unwrap();
            cluster.take(source, Report::Pods(Change::Listed(candidate.uid.clone(), candidate)), NOW);
        }
        cluster.take(source, Report::Pods(Change::Complete), NOW);
    }

    fn scope() -> Scope {
        Scope { namespace: "team-a".into(), job: "train".into() }
    }

    fn cluster() -> Cluster {
        Cluster::new("node1".into(), "cluster.local".into(), &[], Ranges::default())
    }

    fn text(cluster: &Cluster) -> Value {
        serde_json::to_value(cluster.document(NOW).unwrap()).unwrap()
    }

    #[test]
    fn a_node_watches_the_jobs_of_its_own_pods_and_no_others() {
        let mut cluster = cluster();
        assert_eq!(cluster.wanted(), [Source::Node(None)].into());
        assert_eq!(cluster.document(NOW), None);
        let here = pod("two-0", "node1", "10.88.1.5");
        list(&mut cluster, &Source::Node(None), std::slice::from_ref(&here));
        let of_job = [Source::Node(None), Source::Job(scope()), Source::Services("team-a".into())];
        assert_eq!(cluster.wanted(), of_job.into());
        // Nothing is written before the job's list is complete, too.
        assert_eq!(cluster.document(NOW), None);
        list(&mut cluster, &Source::Job(scope()), &[here, pod("two-1", "node2", "10.88.2.5")]);
        assert_eq!(text(&cluster)["jobs"]["team-a/train"]["members"].as_array().unwrap().len(), 2);
        assert_eq!(cluster.figures(NOW), Figures { here: 1, elsewhere: 1, refused: BTreeMap::new() });
        cluster.take(&Source::Node(None), Report::Pods(Change::Gone("uid-two-0".into())), NOW);
        cluster.prune();
        assert_eq!(cluster.wanted(), [Source::Node(None)].into());
        assert_eq!(text(&cluster)["jobs"], json!({}));
    }

    #[test]
    fn a_job_whose_only_pod_here_is_replaced_at_once_keeps_its_members() {
        let mut cluster = cluster();
        let two = [pod("two-0", "node1", "10.88.1.5"), pod("two-1", "node2", "10.88.2.5")];
        list(&mut cluster, &Source::Node(None), &two[..1]);
        list(&mut cluster, &Source::Job(scope()), &two);
        let (before, wanted) = (text(&cluster), cluster.wanted());
        cluster.take(&Source::Node(None), Report::Pods(Change::Gone("uid-two-0".into())), NOW);
        let new = candidate(&pod("two-0b", "node1", "10.88.1.6")).unwrap();
        cluster.take(&Source::Node(None), Report::Pods(Change::Set("uid-two-0b".into(), new)), NOW);
        cluster.prune();
        assert_eq!((text(&cluster), cluster.wanted()), (before, wanted));
    }

    #[test]
    fn the_document_is_what_isolatectl_reads() {
        let mut cluster = cluster();
        let mut two = pod("two-1", "node2", "10.88.2.5");
        two["metadata"]["labels"]["role"] = json!("master");
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
        list(&mut cluster, &Source::Job(scope()), &[two]);
        for (name, labels) in
            [("master", json!({"role": "master"})), ("all", json!({})), ("other", json!({"role": "x"}))]
        {
            let selector = Selector { name: name.into(), labels: serde_json::from_value(labels).unwrap() };
            let change = Report::Services(Change::Set(name.into(), selector));
            cluster.take(&Source::Services("team-a".into()), change, NOW);
        }
        let names = [
            "two-1.svc.team-a.svc.cluster.local",
            "two-1.svc.team-a.svc",
            "two-1.svc.team-a",
            "two-1.svc",
            "two-1",
            "master.team-a.svc.cluster.local",
            "master.team-a.svc",
            "master.team-a",
            "master",
        ];
        let member = json!({"uid": "uid-two-1", "pod": "two-1", "node": "node2", "addresses": ["10.88.2.5"], "names": names});
        assert_eq!(
            text(&cluster),
            json!({"version": 1, "synced": true, "node": "node1", "jobs": {"team-a/train": {"members": [member]}}})
        );
    }

    #[test]
    fn no_member_has_more_names_than_isolatectl_takes() {
        let mut cluster = cluster();
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
        list(&mut cluster, &Source::Job(scope()), &[pod("two-1", "node2", "10.88.2.5")]);
        for n in 0..20 {
            let labels = serde_json::from_value(json!({"io.oci-isolate.job": "train"})).unwrap();
            let change = Change::Set(n.to_string(), Selector { name: format!("service-{n}"), labels });
            cluster.take(&Source::Services("team-a".into()), Report::Services(change), NOW);
        }
        let document = text(&cluster);
        let names = document["jobs"]["team-a/train"]["members"][0]["names"].as_array().unwrap();
        assert_eq!(
            (names.len(), &names[4], &names[5]),
            (64, &json!("two-1"), &json!("service-0.team-a.svc.cluster.local"))
        );
    }

    #[test]
    fn refused_pods_are_named() {
        let mut cluster = cluster();
        let mut bad = pod("bad", "node1", "10.88.1.6");
        bad["spec"]["hostNetwork"] = json!(true);
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5"), bad]);
        assert_eq!(cluster.refused(NOW), [("team-a/bad".to_owned(), "host-network")].into());
    }

    #[test]
    fn of_two_with_one_address_the_one_started_last_has_it() {
        let mut cluster = cluster();
        let mut old = pod("old", "node2", "10.88.2.5");
        old["status"]["startTime"] = json!("2026-11-29T13:00:00Z");
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
        list(&mut cluster, &Source::Job(scope()), &[old, pod("a-new", "node3", "10.88.2.5")]);
        let document = text(&cluster);
        let members = document["jobs"]["team-a/train"]["members"].as_array().unwrap();
        assert_eq!(members.iter().map(|member| &member["pod"]).collect::<Vec<_>>(), ["a-new"]);
        // The other one is refused, and counted.
        assert_eq!(cluster.refused(NOW), [("team-a/old".to_owned(), "same-address")].into());
        assert_eq!(
            cluster.figures(NOW),
            Figures { here: 0, elsewhere: 1, refused: [("same-address", 1)].into() }
        );
    }

    fn shown(cluster: &Cluster) -> Vec<String> {
        let document = text(cluster);
        let members = document["jobs"]["team-a/train"]["members"].as_array().unwrap();
        members.iter().map(|member| member["pod"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_address_that_a_kubelet_reports_has_to_be_one_of_pods() {
        // With the node agent's default, and with the cluster's range: a member's kubelet reports a database as its pod's address.
        for (pods, expected) in [(vec![], vec!["rogue", "two-1"]), (vec!["10.88.0.0/16"], vec!["two-1"])] {
            let pods = pods.into_iter().map(|range| range.parse().unwrap()).collect();
            let ranges = Ranges { pods, nodes: None };
            let mut cluster = Cluster::new("node1".into(), "cluster.local".into(), &[], ranges);
            list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
            let two = [pod("two-1", "node2", "10.88.2.5"), pod("rogue", "node3", "10.0.0.9")];
            list(&mut cluster, &Source::Job(scope()), &two);
            assert_eq!(shown(&cluster), expected);
            let refused =
                if expected.len() == 1 { BTreeMap::from([("pod-cidrs", 1)]) } else { BTreeMap::new() };
            assert_eq!(cluster.figures(NOW), Figures { here: 0, elsewhere: expected.len(), refused });
        }
    }

    #[test]
    fn with_the_ranges_of_nodes_a_kubelet_reports_addresses_of_its_own_pods_only() {
        let ranges = Ranges { pods: Vec::new(), nodes: Some(BTreeMap::new()) };
        let mut cluster = Cluster::new("node1".into(), "cluster.local".into(), &[], ranges);
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
        // The kubelet of node3 reports the address of a pod of node2 that is no member.
        let pods = [
            pod("two-0", "node1", "10.88.1.5"),
            pod("two-1", "node2", "10.88.2.5"),
            pod("rogue", "node3", "10.88.2.9"),
        ];
        list(&mut cluster, &Source::Job(scope()), &pods);
        let ranges = |n: u8| Report::Ranges(vec![format!("10.88.{n}.0/24").parse().unwrap()]);
        for n in 1..=3 {
            // Nothing is written before they are known: a restart removes no member.
            assert_eq!(cluster.document(NOW), None);
            let source = Source::Ranges(format!("node{n}"));
            assert!(cluster.wanted().contains(&source));
            cluster.take(&source, ranges(n), NOW);
        }
        assert_eq!(shown(&cluster), ["two-0", "two-1"]);
        assert_eq!(cluster.refused(NOW), [("team-a/rogue".to_owned(), "node-ranges")].into());
        // A member on a node that is not known yet has to wait, and costs the others nothing.
        let new = candidate(&pod("new", "node4", "10.88.4.5")).unwrap();
        cluster.take(&Source::Job(scope()), Report::Pods(Change::Set(new.uid.clone(), new)), NOW);
        assert_eq!(shown(&cluster), ["two-0", "two-1"]);
        cluster.take(&Source::Ranges("node4".into()), ranges(4), NOW);
        assert_eq!(shown(&cluster), ["new", "two-0", "two-1"]);
        // What was asked for is forgotten with the last member of the node.
        cluster.take(&Source::Job(scope()), Report::Pods(Change::Gone("uid-new".into())), NOW);
        cluster.prune();
        assert!(!cluster.wanted().contains(&Source::Ranges("node4".into())));
        assert_eq!(cluster.ranges.nodes.unwrap().keys().collect::<Vec<_>>(), ["node1", "node2", "node3"]);
    }

    #[test]
    fn a_node_that_cannot_be_asked_about_keeps_no_member_that_has_left() {
        let ranges = Ranges { pods: Vec::new(), nodes: Some(BTreeMap::new()) };
        let mut cluster = Cluster::new("node1".into(), "cluster.local".into(), &[], ranges);
        let [here, two, three] = [(1, "here"), (2, "two"), (3, "three")]
            .map(|(n, name)| pod(name, &format!("node{n}"), &format!("10.88.{n}.5")));
        list(&mut cluster, &Source::Node(None), std::slice::from_ref(&here));
        // Ranges of nodes are not waited for before it is known which nodes there are.
        assert_eq!((cluster.document(NOW + RANGES), cluster.due(NOW)), (None, None));
        list(&mut cluster, &Source::Job(scope()), &[here, two, three]);
        let range = |n: u8| Report::Ranges(vec![format!("10.88.{n}.0/24").parse().unwrap()]);
        for n in 1..=2 {
            cluster.take(&Source::Ranges(format!("node{n}")), range(n), NOW);
        }
        assert_eq!((cluster.document(NOW), cluster.due(NOW)), (None, Some(NOW + RANGES)));
        let at = |cluster: &Cluster, now| {
            let document = serde_json::to_value(cluster.document(now).unwrap()).unwrap();
            let members = document["jobs"]["team-a/train"]["members"].as_array().unwrap().clone();
            members.iter().map(|member| member["pod"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(at(&cluster, NOW + RANGES), ["here", "two"]);
        assert_eq!(cluster.due(NOW + RANGES), None);
        cluster.take(&Source::Ranges("node3".into()), range(3), NOW + RANGES);
        assert_eq!(at(&cluster, NOW + RANGES), ["here", "three", "two"]);
    }

    #[test]
    fn a_new_job_is_left_out_until_it_is_listed_and_the_others_stay() {
        let mut cluster = cluster();
        list(&mut cluster, &Source::Node(None), &[pod("two-0", "node1", "10.88.1.5")]);
        list(&mut cluster, &Source::Job(scope()), &[pod("two-1", "node2", "10.88.2.5")]);
        let mut new = pod("x-0", "node1", "10.88.1.6");
        new["metadata"]["labels"] = json!({"io.oci-isolate.job": "new"});
        new["metadata"]["annotations"]["io.oci-isolate.job"] = json!("new");
        let new = candidate(&new).unwrap();
        cluster.take(&Source::Node(None), Report::Pods(Change::Set("uid-x-0".into(), new)), NOW);
        assert_eq!(text(&cluster)["jobs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["team-a/train"]);
        assert_eq!(text(&cluster)["synced"], json!(true));
    }
}
