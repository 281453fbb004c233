//! Pods, as kubelet asks CRI-O for them: `OCI_ISOLATE_CRIO=DIR cargo test --test crio`. Not a part of `cargo test`, for no
//! package has what is needed (crio.rs).

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod crio;
#[allow(dead_code, reason = "some of it is for containerd")]
mod node;
#[allow(dead_code, reason = "some of it is for containerd")]
mod pods;

use serde_json::json;

use node::{Node, Release, exec, isolated};
use pods::SLEEP;
use test_support::command::say;
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report};

macro_rules! claims {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() { pods::$name(Release::Crio); }
    )* };
}

claims! {
    the_containers_of_an_isolated_pod_share_localhost_and_reach_nothing_else
    probes_exec_logs_and_a_restart_work_and_removal_leaves_nothing
    an_ingress_pod_answers_on_its_address_and_to_probes_and_reaches_nobody
    peer_pods_reach_each_other_and_nobody_else
    no_token_that_the_platform_mounts_is_in_an_isolated_container
    what_cannot_be_isolated_is_refused_in_words
    containers_of_an_isolated_pod_share_processes_and_volumes
}

#[test]
fn pods_go_through_it_from_its_installation_until_it_is_taken_out() {
    let node = Node::plain(Release::Crio);
    let host = &node.host;
    let mut findings = Findings::default();
    let script = "cp $BUILT/isolatectl $BUILT/oci-isolate /usr/local/bin/";
    let built = test_support::isolatectl().parent().unwrap().to_owned();
    host.sh(&script.replace("$BUILT", built.to_str().unwrap())).must();
    let ctl = |args: &[&str]| say(host.command("/usr/local/bin/isolatectl").args(args));
    let look = || host.sh("cd /etc/crio; find . -type f | sort | xargs md5sum").must();
    let restart = || {
        host.sh(&node.replace()).must();
        node.wait();
    };
    let before = look();
    let said = ctl(&["install", "crio"]).must();
    findings.claim(
        said.starts_with("changed  /etc/crio/crio.conf.d/oci-isolate.conf\n"),
        format!("install says {said:?}"),
    );
    restart();
    for (name, annotations) in [("isolated", isolated()), ("open", json!({}))] {
        let pod = node.pod("oci-isolate", name, &annotations);
        let id = pod.run("main", &SLEEP, &json!({}));
        let report = Report::parse(&exec(&node, &id, &["probe", name]).1);
        findings.about(name, if name == "open" { report.reaches(&OPEN) } else { report.sealed(&ITSELF) });
        pod.remove();
    }
    let doctor = ctl(&["doctor"]);
    findings.claim(doctor.out.contains("crio"), format!("doctor: {doctor}"));
    ctl(&["install", "crio", "--uninstall"]).must();
    findings.claim(look() == before, "the files are not as before");
    restart();
    let (said, _) = node.ask("oci-isolate", "gone", &isolated());
    findings.claim(!said.well() && said.err.contains("runtime handler"), format!("uninstalled: {said}"));
    findings.settle();
}
