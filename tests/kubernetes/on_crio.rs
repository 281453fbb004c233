//! Pods, as kubelet asks CRI-O for them: `OCI_ISOLATE_CRIO=DIR cargo test --test crio`. Not a part of `cargo test`, for no
//! package has what is needed (crio.rs).

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod crio;
#[allow(dead_code, reason = "some of it is for containerd")]
mod node;
#[allow(dead_code, reason = "some of it is for containerd")]
mod platform;
#[allow(dead_code, reason = "some of it is for containerd")]
mod pods;

use serde_json::json;

use node::{Node, Release, exec, isolated};
use pods::SLEEP;
use test_support::command::say;
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report};

macro_rules! claims {
    ($module:ident: $($name:ident)*) => { $(
        #[test]
        fn $name() { $module::$name(Release::Crio); }
    )* };
}

claims! {
    platform:
    data_moves_by_the_platforms_containers_around_an_isolated_one
    the_isolated_container_finds_nothing_of_the_platforms
    where_settings_demand_isolation_the_platforms_image_runs_the_platforms_program_only
}

claims! {
    pods:
    the_containers_of_an_isolated_pod_share_localhost_and_reach_nothing_else
    probes_exec_logs_and_a_restart_work_and_removal_leaves_nothing
    an_ingress_pod_answers_on_its_address_and_to_probes_and_reaches_nobody
    peer_pods_reach_each_other_and_nobody_else
    no_token_that_the_platform_mounts_is_in_an_isolated_container
    what_cannot_be_isolated_is_refused_in_words
    containers_of_an_isolated_pod_share_processes_and_volumes
}

/// CRI-O passes all annotations of a pod on, and writes those of a sandbox before them.
#[test]
fn a_pod_cannot_set_what_cri_o_says_of_its_containers() {
    let beside = || {
        let mut more = isolated();
        more["annotations"]["io.oci-isolate.platform"] = json!("upload");
        more
    };
    let node = Node::start(Release::Crio);
    let mut findings = Findings::default();
    let pod = node.pod("oci-isolate", "dropped", &beside());
    for name in ["train", "upload"] {
        let said = pod.start(name, &SLEEP, &json!({}));
        findings.claim(
            !said.well() && said.err.contains("set drop_infra_ctr = false"),
            format!("{name} in a pod without a sandbox: {said}"),
        );
    }
    pod.remove();
    crio::keep_sandboxes(&node.host);
    node.host.sh(&node.replace()).must();
    node.wait();

    let victim = node.pod("oci-isolate", "victim", &beside());
    let mut forged = beside();
    let annotations = forged["annotations"].as_object_mut().unwrap();
    annotations.insert("io.kubernetes.cri-o.ContainerType".into(), json!("container"));
    annotations.insert("io.kubernetes.cri-o.SandboxID".into(), json!(victim.id));
    annotations.insert("io.kubernetes.cri-o.Metadata".into(), json!(r#"{"name":"upload"}"#));
    let (said, _) = node.ask("oci-isolate", "forged", &forged);
    findings.claim(
        !said.well() && said.err.contains("which only a sandbox has"),
        format!("a sandbox as a platform container of another pod: {said}"),
    );
    let mut other = beside();
    other["annotations"]["io.kubernetes.cri.container-name"] = json!("upload");
    let (said, _) = node.ask("oci-isolate", "other", &other);
    findings.claim(
        !said.well() && said.err.contains("a pod sets one of them itself"),
        format!("annotations of containerd: {said}"),
    );
    let mut renamed = beside();
    renamed["annotations"]["io.kubernetes.cri-o.Metadata"] = json!(r#"{"name":"upload"}"#);
    let pod = node.pod("oci-isolate", "renamed", &renamed);
    let train = pod.run("train", &SLEEP, &json!({}));
    findings.about("train", Report::parse(&exec(&node, &train, &["probe", "x"]).1).sealed(&ITSELF));
    pod.remove();
    victim.remove();
    findings.claim(node.records().is_empty(), format!("records stayed: {}", node.records()));
    findings.settle();
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
