//! The directory of jobs on an overlay, as on hosts whose /var/lib is one.

use std::fs;

use serde_json::json;

use crate::site::{Asked, Site, asked};

/// A job whose directory is there; what it read and wrote.
fn runs(site: &Site, state: &str) {
    let text = fs::read_to_string(site.path("job.toml")).unwrap();
    let own = format!("state = {:?}", site.host().at("jobs"));
    site.host().write("job.toml", &text.replace(&own, &format!("state = {state:?}")));
    let name = format!("on{}", state.replace('/', "-"));
    let script = "cat /opt/ml/input/data/train/x.csv; echo trained >/opt/ml/model/weights; echo one >/opt/ml/checkpoints/1; sleep 2";
    let more = json!({ "CheckpointConfig": { "S3Uri": "s3://results/checkpoints" } });
    let done = site.train(&Asked { more, ..asked(&name, script) });
    assert_eq!(done.status, Some(0), "{state}: {done}");
    assert_eq!(site.archive(&name, "model"), "trained");
    assert_eq!(fs::read_to_string(site.path("s3/results/checkpoints/1")).unwrap(), "one\n");
    site.host().write("job.toml", &text);
}

#[test]
fn a_job_runs_where_its_directory_is_on_an_overlay() {
    let site = Site::docker();
    // As /var/lib of this host is.
    runs(&site, "/var/lib/oci-isolate/jobs");
    site.host()
        .sh(&format!(
            "cd {}; mkdir a; mount -t tmpfs tmpfs a; mkdir -p a/lower a/upper a/work a/seen; \
             mount -t overlay -o lowerdir=$PWD/a/lower,upperdir=$PWD/a/upper,workdir=$PWD/a/work overlay a/seen",
            site.host().dir().display()
        ))
        .must();
    runs(&site, &site.host().at("a/seen/jobs"));
}
