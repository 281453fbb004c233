//! Asks the API server for the ranges of a node's pods until it has some: then they do not change while the node is there.

use std::sync::Arc;
use std::time::Duration;

use kube::core::ApiResource;
use kube::{Api, Client, Error};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use crate::cluster::{Report, Source};
use crate::ranges::{Node, of_node};
use crate::watch::Message;

/// Requests at a time.
const REQUESTS: usize = 4;

/// How long to wait after a failure, or an answer without ranges; twice as long after the next.
const FIRST: Duration = Duration::from_secs(1);

/// How long to wait at most.
const LONGEST: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone)]
pub struct Nodes {
    api: Api<Node>,
    places: Arc<Semaphore>,
}

impl Nodes {
    /// By this client.
    #[must_use]
    pub fn new(client: Client, resource: &ApiResource) -> Self {
        Self { api: Api::all_with(client, resource), places: Arc::new(Semaphore::new(REQUESTS)) }
    }

    /// Sends the ranges of a node; before that, failures, and that it has none: a node may not be there yet, or get them later.
    pub async fn ask(self, node: String, sender: Sender<Message>) {
        let mut wait = FIRST;
        loop {
            // It is never closed.
            let Ok(place) = self.places.acquire().await else { return };
            let answer = self.api.get(&node).await;
            drop(place);
            let report = match answer {
                Ok(found) => Ok(Report::Ranges(of_node(&found))),
                Err(Error::Api(status)) if status.code == 404 => Ok(Report::Ranges(Vec::new())),
                Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
            };
            let is_known = matches!(&report, Ok(Report::Ranges(ranges)) if !ranges.is_empty());
            if sender.send((Source::Ranges(node.clone()), report)).await.is_err() || is_known {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = LONGEST.min(wait * 2);
        }
    }
}
