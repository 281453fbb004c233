//! The plain samples, applied as they are.

use crate::cluster::{INSTALLED, cluster, hack, is_ready};
use test_support::findings::Findings;

#[test]
fn the_sample_pod_and_job_do_what_their_comments_say() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("samples");
    let mut findings = Findings::default();
    namespace.apply_file(&hack("pod.yaml"));
    namespace.apply_file(&hack("job.yaml"));
    namespace.pod("isolated", is_ready);
    let wait = ["wait", "--for=condition=complete", "--timeout=90s", "job/isolated"];
    let said = namespace.kubectl(&wait);
    findings.claim(said.well(), format!("the job: {said}\n{}", namespace.kubectl(&["describe", "pods"]).out));
    let look = namespace.kubectl(&["logs", "job/isolated", "--container=look"]).must();
    let train = namespace.kubectl(&["logs", "job/isolated", "--container=train"]).must();
    findings.claim(train.contains("/data/input"), format!("the job computes: {train}"));
    findings.claim(look.contains("lo:") && !look.contains("eth0"), format!("the links of the job: {look}"));
    let names = namespace.kubectl(&[
        "exec",
        "isolated",
        "--container=client",
        "--",
        "wget",
        "-qO-",
        "http://127.0.0.1:8080/hostname",
    ]);
    findings.claim(names.well() && names.out == "isolated", format!("the client of the pod: {names}"));
    findings.settle();
}
