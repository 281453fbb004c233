//! The watches of the API server, and the file that they keep up to date.
//!
//! One task per watch sends its events to one loop, which starts and ends the tasks as the jobs of this node come and go,
//! and replaces the file when its content changes, or to tell that the API server was in contact since. A watch that fails is tried again for ever; what was known stays.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Debug;
use std::future::ready;
use std::io::{self, ErrorKind, Write};
use std::iter::successors;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kube::client::{ClientBuilder, DynBody};
use kube::core::{ApiResource, GroupVersionKind, Resource};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector::Lookup};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::util::MapResponseLayer;

use crate::cluster::{Cluster, Document, Report, Source};
use crate::members::Change;
use crate::metrics::Metrics;
use crate::names::Selector;
use crate::nodes::Nodes;
use crate::pod::{Candidate, JOB, Pod, Service};

/// How many events wait; then the watches do.
const QUEUE: usize = 256;

/// After how many seconds the API server is to end a watch, which then goes on by another request.
const WATCH: u32 = 290;

/// How long contacts with the API server go untold if nothing else changes. A lease (`job.lease` in the settings of
/// oci-isolate) takes longer.
const CONTACT: Duration = Duration::from_secs(20);

/// What is watched, and where what was found goes.
pub struct Watch {
    /// The API server.
    pub api: kube::Config,
    /// The pods of this node, and the jobs.
    pub cluster: Cluster,
    /// This node's name.
    pub node: String,
    /// Which RuntimeClasses isolate.
    pub runtime_classes: Vec<String>,
    /// How long the API server may send a watch nothing; then it goes on by another request. Nothing else would show a
    /// connection that is broken without being closed. Usually a bookmark comes every minute, but after a restart the API
    /// server may have none to send.
    pub silence: Duration,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

/// An event, or the failure of a watch.
pub type Message = (Source, Result<Report, String>);

impl Watch {
    /// Watches until the process ends.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn run(mut self, file: &Path) -> Result<()> {
        let (sender, mut receiver) = channel(QUEUE);
        let start = Instant::now();
        let mut tasks: BTreeMap<Source, JoinHandle<()>> = BTreeMap::new();
        let mut written = Vec::new();
        let mut written_contact = 0;
        let mut refused = BTreeMap::new();
        let client = Client::try_from(self.api.clone()).context("cannot use the API server")?;
        let nodes = Nodes::new(client, &resource("Node", "nodes"));
        loop {
            let wanted = self.cluster.wanted();
            tasks.retain(|source, task| {
                let keep = wanted.contains(source);
                if !keep {
                    task.abort();
                    self.metrics.ended(source);
                }
                keep
            });
            for source in wanted {
                if let Entry::Vacant(place) = tasks.entry(source) {
                    let task = self.spawn(place.key().clone(), sender.clone(), &nodes)?;
                    place.insert(task);
                }
            }
            let now = start.elapsed();
            let before = std::mem::replace(&mut refused, self.cluster.refused(now));
            for (pod, why) in refused.iter().filter(|(pod, why)| before.get(*pod) != Some(why)) {
                let _ = writeln!(std::io::stderr(), "isolate-node: pod {pod} is no member of its job: {why}");
            }
            let watches = tasks.keys().filter(|source| !matches!(source, Source::Ranges(_))).count();
            self.metrics.update(self.cluster.figures(now), watches);
            if let Some(document) = self.cluster.document(now) {
                let text = serde_json::to_vec(&document).context("cannot write JSON")?;
                let contact = self.metrics.last_contact().as_secs();
                if text != written || contact >= written_contact + CONTACT.as_secs() {
                    replace(file, &with_contact(contact, document)?)?;
                    written_contact = contact;
                }
                if text != written {
                    self.metrics.written();
                    written = text;
                }
            }
            let due = self.cluster.due(now).unwrap_or(Duration::MAX).min(now + CONTACT);
            self.receive(&mut receiver, start + due, start).await;
        }
    }

    /// Takes the next event and all that have come with it; or waits until then, when an address has settled or the file
    /// has to tell of a contact.
    async fn receive(&mut self, receiver: &mut Receiver<Message>, due: Instant, start: Instant) {
        let mut next = tokio::time::timeout_at(due, receiver.recv()).await.ok().flatten();
        while let Some((source, report)) = next {
            match report {
                Ok(report) => {
                    // An attempt to list is no answer yet.
                    if !matches!(report, Report::Pods(Change::Begin) | Report::Services(Change::Begin)) {
                        self.metrics.heard(&source);
                    }
                    self.cluster.take(&source, report, start.elapsed());
                }
                Err(why) => self.metrics.failed(&source, &why),
            }
            next = receiver.try_recv().ok();
        }
        self.cluster.prune();
    }

    /// A client for one watch, so that what the API server sends tells which of them it serves.
    fn client(&self, source: &Source) -> Result<Client> {
        let mut api = self.api.clone();
        api.read_timeout = Some(self.silence);
        // Not for how long a connection was not in use.
        api.reset_reader_on_write = true;
        let (metrics, source) = (Arc::clone(&self.metrics), source.clone());
        metrics.listing(&source);
        let heard = move |response: http::Response<_>| {
            let (metrics, source) = (Arc::clone(&metrics), source.clone());
            // An error is no contact; a list is one when it is complete, as `forward` tells.
            let is_fine = response.status().is_success();
            if is_fine {
                metrics.contact(&source);
            }
            let contact = move |frame| {
                if is_fine {
                    metrics.contact(&source);
                }
                frame
            };
            response.map(|body: Box<DynBody>| body.map_frame(contact))
        };
        let builder = ClientBuilder::try_from(api).context("cannot use the API server")?;
        Ok(builder.with_layer(&MapResponseLayer::new(heard)).build())
    }

    fn spawn(&self, source: Source, sender: Sender<Message>, nodes: &Nodes) -> Result<JoinHandle<()>> {
        let (classes, metrics) = (self.runtime_classes.clone(), Arc::clone(&self.metrics));
        let candidate = move |pod: Pod| Candidate::of(&pod, &classes).map(|found| (found.uid.clone(), found));
        let pods = resource("Pod", "pods");
        Ok(match &source {
            Source::Node(namespace) => {
                let client = self.client(&source)?;
                let api = match namespace {
                    Some(namespace) => Api::namespaced_with(client, namespace, &pods),
                    None => Api::all_with(client, &pods),
                };
                let which = config().labels(JOB).fields(&format!("spec.nodeName={}", self.node));
                tokio::spawn(forward(api, which, source, sender, metrics, candidate, Report::Pods))
            }
            Source::Job(scope) => {
                let api = Api::namespaced_with(self.client(&source)?, &scope.namespace, &pods);
                let which = config().labels(&format!("{JOB}={}", scope.job));
                tokio::spawn(forward(api, which, source, sender, metrics, candidate, Report::Pods))
            }
            Source::Services(namespace) => {
                let services = resource("Service", "services");
                let api = Api::namespaced_with(self.client(&source)?, namespace, &services);
                let selector = |service: Service| {
                    let name = service.metadata.name.clone()?;
                    Some((service.metadata.uid?, Selector { name, labels: service.spec.selector }))
                };
                tokio::spawn(forward(api, config(), source, sender, metrics, selector, Report::Services))
            }
            Source::Ranges(node) => tokio::spawn(nodes.clone().ask(node.clone(), sender)),
        })
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH)
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

/// Sends the events of one watch until nobody receives them.
async fn forward<K, T>(
    api: Api<K>,
    which: watcher::Config,
    source: Source,
    sender: Sender<Message>,
    metrics: Arc<Metrics>,
    convert: impl Fn(K) -> Option<(String, T)>,
    report: fn(Change<T>) -> Report,
) where
    K: Resource<DynamicType = ApiResource> + Lookup + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher(api, which)
        .filter(|event| ready(!event.as_ref().is_err_and(is_silence)))
        .default_backoff()
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
        .boxed();
    while let Some(event) = events.next().await {
        if matches!(event, Ok(Event::Init)) {
            metrics.listing(&source);
        }
        let is_listed = matches!(event, Ok(Event::InitDone));
        let change = match event {
            Ok(Event::Init) => Ok(Some(Change::Begin)),
            Ok(Event::InitApply(object)) => Ok(convert(object).map(|(uid, new)| Change::Listed(uid, new))),
            Ok(Event::InitDone) => Ok(Some(Change::Complete)),
            Ok(Event::Apply(object)) => Ok(convert(object).map(|(uid, new)| Change::Set(uid, new))),
            Ok(Event::Delete(object)) => Ok(object.meta().uid.clone().map(Change::Gone)),
            Err(why) => Err(why),
        };
        let message = match change {
            Ok(Some(change)) => Ok(report(change)),
            Ok(None) => continue,
            Err(why) => Err(why),
        };
        if sender.send((source.clone(), message)).await.is_err() {
            return;
        }
        // All of it is in the queue, and the watch is asked for after this.
        if is_listed {
            metrics.listed(&source);
        }
    }
}

/// Whether a watch has only been sent nothing for a while. If the API server is away, the next request fails.
fn is_silence(error: &watcher::Error) -> bool {
    let watcher::Error::WatchFailed(error) = error else { return false };
    let sources = successors(Some(error as &dyn std::error::Error), |error| error.source());
    sources
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::TimedOut)
}

/// The file: the document, and when the API server was last heard by all watches, in seconds since the machine has started.
fn with_contact(contact: u64, document: Document<'_>) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Contact<'c> {
        contact: u64,
        #[serde(flatten)]
        document: Document<'c>,
    }
    serde_json::to_vec(&Contact { contact, document }).context("cannot write JSON")
}

/// A reader sees the old content or the new one. It holds addresses and names, no secret, and its reader is another user.
fn replace(file: &Path, text: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let new = file.with_extension("new");
    let shown = file.display();
    std::fs::write(&new, text).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot replace {shown}"))
}

/// How long a watch may fail before `/readyz` tells it.
pub const PATIENCE: Duration = Duration::from_secs(60);
