//! An API server of one kind of object: list and watch of pods and Services, with selectors, bookmarks, 410 and broken
//! connections. A thread per connection; each connection is one request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// An event: its resource version, and what a watch sends.
type Event = (u64, &'static str, Value);

#[derive(Default)]
struct State {
    version: u64,
    pods: Vec<Value>,
    events: Vec<Event>,
    /// Watches of earlier versions are answered with 410.
    oldest: u64,
    /// Changes when open watches are to be broken off.
    epoch: u64,
    /// Changes when open watches are to be sent nothing more, without an end.
    muted: u64,
    /// Whether lists are answered.
    lists: bool,
    /// Whether the pages of a list after the first are answered.
    pages: bool,
    /// `spec.podCIDRs` of the nodes.
    nodes: BTreeMap<String, Vec<String>>,
    requests: Vec<String>,
    sent: u64,
}

/// After how many events of others a watch gets a bookmark.
const BOOKMARK: u64 = 1000;

/// The server; it ends with the process.
#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<(Mutex<State>, Condvar)>,
    address: SocketAddr,
}

impl Api {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { version: 1, lists: true, pages: true, ..State::default() };
        let api = Self {
            state: Arc::new((Mutex::new(state), Condvar::new())),
            address: listener.local_addr().unwrap(),
        };
        let server = api.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (server.clone(), stream.unwrap());
                // A client that has gone away is no failure.
                std::thread::spawn(move || server.answer(stream));
            }
        });
        api
    }

    /// The client's configuration.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        })
        .to_string()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
        result
    }

    pub(crate) fn set(&self, mut pod: Value) {
        self.change(|state| {
            state.version += 1;
            pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let old = state.pods.iter().position(|old| old["metadata"]["uid"] == pod["metadata"]["uid"]);
            match old {
                Some(old) => state.pods[old] = pod.clone(),
                None => state.pods.push(pod.clone()),
            }
            state.events.push((state.version, if old.is_some() { "MODIFIED" } else { "ADDED" }, pod));
        });
    }

    pub(crate) fn delete(&self, name: &str) {
        self.change(|state| {
            state.version += 1;
            let at = state.pods.iter().position(|pod| pod["metadata"]["name"] == name).unwrap();
            let mut pod = state.pods.remove(at);
            pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.events.push((state.version, "DELETED", pod));
        });
    }

    /// Fills the server without events.
    pub(crate) fn fill(&self, pods: Vec<Value>) {
        self.change(|state| state.pods = pods);
    }

    /// Breaks off every watch; those that begin again are told that their version is too old.
    pub(crate) fn forget(&self) {
        self.change(|state| (state.oldest, state.epoch) = (state.version + 1, state.epoch + 1));
    }

    /// Breaks off every watch.
    pub(crate) fn disconnect(&self) {
        self.change(|state| state.epoch += 1);
    }

    /// Sends the open watches nothing more. Their connections stay.
    pub(crate) fn mute(&self) {
        self.change(|state| state.muted += 1);
    }

    /// Whether lists are answered, or with 503.
    pub(crate) fn answer_lists(&self, lists: bool) {
        self.change(|state| state.lists = lists);
    }

    /// Whether the pages of a list after the first are answered, or with 503.
    pub(crate) fn answer_pages(&self, pages: bool) {
        self.change(|state| state.pages = pages);
    }

    /// Gives a node its range of pods.
    pub(crate) fn node(&self, name: &str, range: &str) {
        self.change(|state| state.nodes.insert(name.to_owned(), vec![range.to_owned()]));
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.change(|state| state.requests.clone())
    }

    /// How many bytes were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.change(|state| state.sent)
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let target = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
        while !lines.next()?.ok()?.is_empty() {}
        self.change(|state| state.requests.push(target.clone()));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.replace("%3D", "=").replace("%2F", "/")))
            .collect();
        let value = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let is_asked = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            let label = value("labelSelector").is_none_or(|selector| match selector.split_once('=') {
                Some((key, value)) => labels[key] == value,
                None => !labels[selector].is_null(),
            });
            let node = value("fieldSelector").and_then(|selector| selector.strip_prefix("spec.nodeName="));
            let namespace = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split('/').next());
            path.ends_with("/pods")
                && label
                && node.is_none_or(|node| pod["spec"]["nodeName"] == node)
                && namespace.is_none_or(|namespace| pod["metadata"]["namespace"] == namespace)
        };
        if let Some(name) = path.strip_prefix("/api/v1/nodes/") {
            return self.get_node(&mut stream, name);
        }
        if value("watch").is_none() {
            return self.list(&mut stream, value("limit")?.parse().ok()?, value("continue"), is_asked);
        }
        self.watch(&mut stream, value("resourceVersion")?.parse().ok()?, is_asked)
    }

    fn get_node(&self, stream: &mut TcpStream, name: &str) -> Option<()> {
        let (status, text) = match self.change(|state| state.nodes.get(name).cloned()) {
            Some(ranges) => {
                let (meta, spec) = (json!({"name": name}), json!({"podCIDRs": ranges}));
                ("200 OK", json!({"kind": "Node", "apiVersion": "v1", "metadata": meta, "spec": spec}))
            }
            None => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"});
                ("404 Not Found", status)
            }
        };
        let text = text.to_string();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n");
        self.send(stream, &format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()))
    }

    fn list(
        &self,
        stream: &mut TcpStream,
        limit: usize,
        from: Option<&str>,
        is_asked: impl Fn(&Value) -> bool,
    ) -> Option<()> {
        let from: usize = from.map_or(Some(0), |from| from.parse().ok())?;
        let text = self.change(|state| {
            if !state.lists || from > 0 && !state.pages {
                return Err(());
            }
            let mut asked = state.pods.iter().filter(|pod| is_asked(pod)).skip(from);
            let items: Vec<&Value> = asked.by_ref().take(limit).collect();
            let next = asked.next().map(|_| (from + items.len()).to_string());
            let meta = json!({"resourceVersion": state.version.to_string(), "continue": next});
            Ok(json!({"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": items}).to_string())
        });
        let Ok(text) = text else {
            return self.send(stream, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
        };
        self.send(
            stream,
            &format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
        )
    }

    fn watch(
        &self,
        stream: &mut TcpStream,
        mut version: u64,
        is_asked: impl Fn(&Value) -> bool,
    ) -> Option<()> {
        self.send(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        let (epoch, muted) = self.change(|state| (state.epoch, state.muted));
        let mut bookmarked = version;
        loop {
            let mut state = self.state.0.lock().unwrap();
            while state.muted != muted
                || state.version <= version && state.epoch == epoch && state.oldest <= version
            {
                state = self.state.1.wait_timeout(state, Duration::from_secs(60)).unwrap().0;
            }
            if version < state.oldest {
                drop(state);
                let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
                return self.send(stream, &format!("{}\n", json!({"type": "ERROR", "object": gone})));
            }
            if state.epoch != epoch {
                return None;
            }
            let from = state.events.partition_point(|(at, ..)| *at <= version);
            let new = state.events[from..].iter().filter(|(_, _, pod)| is_asked(pod));
            let mut text: String =
                new.map(|(_, kind, pod)| format!("{}\n", json!({"type": kind, "object": pod}))).collect();
            version = state.version;
            drop(state);
            // Now and then, as a real one.
            if !text.is_empty() || version >= bookmarked + BOOKMARK {
                bookmarked = version;
                let meta = json!({"resourceVersion": version.to_string()});
                let bookmark = json!({"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {}});
                text.push_str(&format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark})));
            }
            self.send(stream, &text)?;
        }
    }

    fn send(&self, stream: &mut TcpStream, text: &str) -> Option<()> {
        self.change(|state| state.sent += text.len() as u64);
        stream.write_all(text.as_bytes()).ok()
    }
}

/// A member of `job` in namespace `team-a`.
pub(crate) fn pod(job: &str, name: &str, node: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "team-a", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": {"io.oci-isolate.job": job},
            "annotations": {"io.oci-isolate.job": job, "io.oci-isolate.network-isolation": "true"}},
        "spec": {"nodeName": node, "runtimeClassName": "oci-isolate", "subdomain": "svc", "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "startTime": "2026-11-29T14:00:00Z", "podIPs": [{"ip": address}],
            "conditions": [{"type": "PodReadyToStartContainers", "status": "True"}],
            "containerStatuses": [{"name": "c", "state": {"running": {}}}]},
    })
}
