//! A Kubernetes cluster of two real nodes (`hack/kubernetes/cluster`): kubelet, kube-proxy, containerd, CNI, and the
//! DaemonSets installed as a user would install it. What needs no kubelet is tested in `tests/kubernetes`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod cluster;
mod daemonset;
mod inference;
mod isolated;
mod jobs;
mod leaving;
mod member;
mod outage;
mod peers;
mod refused;
mod samples;
