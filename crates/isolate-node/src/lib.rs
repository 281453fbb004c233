//! `isolate-node`: watches the pods of jobs through the API server of a cluster, and writes down who is a member of the jobs
//! that this node has a part in. It needs no privilege, and can change nothing: `isolatectl jobs`, which has no token, reads
//! what it writes.

pub mod pod;

pub mod members;
pub mod names;
pub mod ranges;

pub mod cluster;

pub mod metrics;
pub mod nodes;
pub mod serve;
pub mod watch;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ipnet::IpNet;

use cluster::Cluster;
use metrics::Metrics;
use ranges::Ranges;
use watch::Watch;

/// Tells a node who the members of its jobs on other nodes are
#[derive(Debug, Parser)]
#[command(name = "isolate-node", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watches the pods of this node's jobs, and writes jobs.json
    Watch(WatchArguments),
}

#[derive(Debug, clap::Args)]
struct WatchArguments {
    /// The name of this node (spec.nodeName)
    #[arg(long)]
    node_name: String,
    /// The directory in which jobs.json is replaced
    #[arg(long)]
    directory: PathBuf,
    /// The namespaces that may have jobs; all of them by default
    #[arg(long, value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The RuntimeClasses that isolate
    #[arg(long, value_delimiter = ',', default_value = "oci-isolate")]
    runtime_class: Vec<String>,
    /// The cluster's DNS domain
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// The addresses that pods may have; those of other pods do not count. Any by default
    #[arg(long, value_delimiter = ',')]
    pod_cidrs: Vec<IpNet>,
    /// Addresses have to be in spec.podCIDRs of the pod's node, too. The token has to allow `get` of nodes
    #[arg(long)]
    node_ranges: bool,
    /// Where /metrics, /healthz and /readyz are
    #[arg(long, default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Where they are, too, for the probes of the pod: other pods cannot occupy it
    #[arg(long, default_value = "127.0.0.1:9465")]
    probes: SocketAddr,
    /// Figures of `isolatectl jobs follow`, which /metrics has, too
    #[arg(long, value_name = "FILE")]
    put_metrics: Option<PathBuf>,
    /// How long the API server may send a watch nothing, in seconds
    #[arg(long, default_value_t = 75, hide = true)]
    silence: u64,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let Verb::Watch(arguments) = match Arguments::try_parse() {
        Ok(arguments) => arguments.verb,
        Err(asked) => {
            let _ = asked.print();
            return if asked.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("cannot start").and_then(|runtime| runtime.block_on(watch(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "isolate-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn watch(arguments: WatchArguments) -> Result<()> {
    let WatchArguments { node_name, directory, namespaces, runtime_class, cluster_domain, .. } = arguments;
    let WatchArguments { listen, probes, silence, pod_cidrs, node_ranges, put_metrics, .. } = arguments;
    let ranges = Ranges { pods: pod_cidrs, nodes: node_ranges.then(BTreeMap::new) };
    let api = kube::Config::infer().await.context("cannot find the API server")?;
    let metrics = Arc::new(Metrics::new(put_metrics));
    let watch = Watch {
        api,
        cluster: Cluster::new(node_name.clone(), cluster_domain, &namespaces, ranges),
        node: node_name,
        runtime_classes: runtime_class,
        silence: Duration::from_secs(silence),
        metrics: Arc::clone(&metrics),
    };
    let file = directory.join("jobs.json");
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = watch.run(&file) => done,
        done = serve::serve(listen, Arc::clone(&metrics)) => done.map(|_| ()),
        done = serve::serve(probes, metrics) => done.map(|_| ()),
        _ = ended.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_is_in_the_manual_page() {
        let page = include_str!("../../../docs/man/isolate-node.8.md");
        let command = Arguments::command();
        let watch = command.find_subcommand("watch").unwrap();
        let shown = watch.get_arguments().filter(|argument| !argument.is_hide_set());
        let flags: Vec<_> = shown.filter_map(|argument| argument.get_long()).collect();
        assert!(flags.len() > 5);
        for flag in flags.into_iter().filter(|flag| *flag != "help") {
            assert!(page.contains(&format!("\n**--{flag}**")), "--{flag}");
        }
    }
}
