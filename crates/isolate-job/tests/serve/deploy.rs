//! `isolate-job deploy`, end to end.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::command::wait_for;

use crate::site::Site;
use crate::site::canaries::{CANARIES, only_in};

/// Puts a model into the bucket.
const MODEL: &str = r#"
import boto3, io, tarfile
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    entry = tarfile.TarInfo("weights")
    entry.size = 6
    tar.addfile(entry, io.BytesIO(b"1,2,3\n"))
boto3.client("s3", endpoint_url="http://127.0.0.1:5000").put_object(Bucket="data", Key="model.tar.gz", Body=archive.getvalue())
print("done")
"#;

pub(crate) fn invoked(site: &Site, body: &str) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'POST /invocations HTTP/1.1\\r\\nContent-Length: {}\\r\\n\\r\\n{body}' >&3; cat <&3",
        body.len()
    );
    let mut command = site.host().command("bash");
    test_support::command::say(command.args(["-c", &script])).must()
}

#[test]
fn a_model_is_served_isolated_until_sigterm() {
    let site = Site::new();
    site.python(MODEL);
    let request = site.model("boston", &json!({}));
    // Credentials are where the model is downloaded.
    let rule = "INPUT -i lo -p tcp --dport 5000 -j DROP";
    site.host().sh(&format!("iptables -I {rule}")).must();
    site.background("deploy", &["deploy", &request]);
    let downloads = || site.host().sh("pgrep -f '[s]tage in'").well().then_some(());
    assert!(wait_for(Duration::from_secs(20), downloads).is_some());
    only_in(site.host(), &[" deploy ", " stage in "]);
    site.host().sh(&format!("iptables -D {rule}")).must();
    let log = site.until_logged("deploy", "is served on");
    assert!(log.contains("boston is served on http://127.0.0.1:8080"), "{log}");
    let answer = invoked(&site, "4,5,6");
    let lines: Vec<_> = answer.lines().skip_while(|line| !line.starts_with("weights")).collect();
    assert_eq!(
        (lines[0], lines[1], &lines[3..]),
        ("weights 1,2,3", "body 4,5,6", &["secrets 0"][..]),
        "{answer}"
    );
    // It has no more lines: without isolation the same program reaches what it tries.
    let open = site.docker().must(&["run", "--rm", "--runtime=bare", "model", "/bin/answer"]);
    assert!(open.contains("reached 203.0.113.7/80") && open.contains("reached 169.254.169.254/80"), "{open}");

    // They are in no process any more: the one that had them has become one without.
    only_in(site.host(), &[]);
    let inspected = site.docker().must(&["inspect", "isolate-boston-model"]);
    assert!(CANARIES.iter().all(|(_, value)| !inspected.contains(value)), "{inspected}");

    // The name is taken while it is served.
    let again = site.job(&["deploy", &request]);
    assert!(again.status == Some(2) && again.err.contains("ResourceInUse: boston exists"), "{again}");
    let described: Value = serde_json::from_str(&site.job(&["describe", "boston"]).must()).unwrap();
    assert_eq!(described["EndpointStatus"], "InService");
    assert_eq!(site.job(&["remove", "boston"]).status, Some(2));

    site.host().sh("pkill -TERM --full 'bin/isolate-jo[b] .* serve '").must();
    let gone = || site.containers("boston").is_empty().then_some(());
    assert!(wait_for(Duration::from_secs(20), gone).is_some(), "{:?}", site.containers("boston"));
    let removed = || (!site.path("jobs/boston").exists()).then_some(());
    assert!(wait_for(Duration::from_secs(30), removed).is_some());
}

#[test]
fn of_two_at_once_one_serves_and_the_other_is_refused() {
    let site = Site::new();
    site.python(MODEL);
    let request = site.model("race", &json!({}));
    for round in 0..4 {
        let names = [format!("one-{round}"), format!("two-{round}")];
        for name in &names {
            site.background(name, &["deploy", "--listen", "127.0.0.1:0", &request]);
        }
        let has = |name: &String, text: &str| {
            fs::read_to_string(site.path(&format!("{name}.log"))).unwrap().contains(text)
        };
        let decided = || {
            let all = |text| names.iter().filter(|name| has(name, text)).count();
            (all("race is served on") + all("ResourceInUse: race exists") == 2).then(|| all("is served on"))
        };
        let served = wait_for(Duration::from_secs(60), decided);
        assert_eq!(served, Some(1), "{}{}", site.host().log("one-0.log"), site.host().log("two-0.log"));
        assert_eq!(site.containers("isolate-race"), ["isolate-race-model"]);
        let all: Vec<_> =
            fs::read_dir(site.path("jobs")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(all, ["race"], "one is half made");
        site.job(&["stop", "race"]).must();
        let removed = || (!site.path("jobs/race").exists()).then_some(());
        assert!(wait_for(Duration::from_secs(20), removed).is_some());
        assert_eq!(site.containers("isolate-race"), [""; 0]);
    }
}

#[test]
fn what_cannot_be_served_is_an_error_and_leaves_no_container() {
    let site = Site::new();
    site.python(MODEL);
    // Refused before anything is created.
    let open = site.model("open", &json!({ "EnableNetworkIsolation": false }));
    let done = site.job(&["deploy", &open]);
    assert!(done.status == Some(2) && done.err.contains("EnableNetworkIsolation: is not true"), "{done}");
    site.settings("bare");
    let request = site.model("model", &json!({}));
    let done = site.job(&["deploy", &request]);
    assert!(done.status == Some(2) && done.err.contains("is not oci-isolate"), "{done}");
    site.settings("shim");
    assert!(!site.path("jobs/open").exists() && !site.path("jobs/model").exists());

    // No data.
    let missing = site.model(
        "missing",
        &json!({ "PrimaryContainer": { "Image": "model", "ModelDataUrl": "s3://data/none.tar.gz" } }),
    );
    let done = site.job(&["deploy", &missing]);
    assert!(
        done.status == Some(1) && done.err.contains("ClientError: Data download failed: model"),
        "{done}"
    );
    // A container that ends: its image has no `serve`, or its server ends by itself.
    let other = site.model("other", &json!({ "PrimaryContainer": { "Image": "probe" } }));
    let done = site.job(&["deploy", &other]);
    assert!(done.status == Some(1) && done.err.contains("serve"), "{done}");
    site.background("deploy", &["deploy", &request]);
    site.until_logged("deploy", "is served on");
    invoked(&site, "end");
    let log = site.until_logged("deploy", "the container ended with status");
    assert!(log.lines().count() == 2, "{log}");
    assert_eq!(site.containers("isolate-"), [""; 0]);
    let status = fs::read_to_string(site.path("jobs/model/status.json")).unwrap();
    assert!(status.contains("\"Failed\"") && !site.path("jobs/model/opt-ml").exists(), "{status}");
    // What failed is replaced by the next attempt, and can be removed.
    site.background("again", &["deploy", &request]);
    site.until_logged("again", "is served on");
    site.job(&["stop", "model"]).must();
    let removed = || (!site.path("jobs/model").exists()).then_some(());
    assert!(wait_for(Duration::from_secs(20), removed).is_some());
    site.job(&["remove", "other"]).must();
    assert!(!site.path("jobs/other").exists());
}

/// The engine of the settings fails to remove containers this many times.
pub(crate) fn removals_fail(site: &Site, times: u32) {
    let (host, left) = (site.host(), site.host().write("removals", &times.to_string()));
    let script = format!(
        "#!/bin/sh\nleft=$(cat {left})\n[ \"$1\" != rm ] || [ \"$left\" = 0 ] || {{ echo $((left - 1)) >{left}; echo no removal >&2; exit 1; }}\n\
         exec /usr/bin/docker \"$@\"\n"
    );
    let program = host.write("bin/engine", &script);
    host.sh(&format!("chmod 755 {program}")).must();
    let settings = fs::read_to_string(site.path("job.toml")).unwrap();
    host.write("job.toml", &settings.replace("\"/usr/bin/docker\"", &format!("{program:?}")));
}

/// A runtime that is taken for the shim and is not: the container is removed, and nothing is served.
#[test]
fn a_container_that_is_not_isolated_is_removed() {
    let site = Site::new();
    site.python(MODEL);
    let host = site.host();
    let fake = host.at("fake");
    let mark = "oci-isolate is a shim before a runtime and is not one itself";
    host.sh(&format!("cp /usr/sbin/runc {fake}; printf '%s' '{mark}' >>{fake}")).must();
    let file = site.path("daemon.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["runtimes"]["fake"] = json!({ "path": fake });
    fs::write(&file, config.to_string()).unwrap();
    site.docker().restart();
    site.settings("fake");
    let request = site.model("open", &json!({}));
    let done = site.job(&["deploy", &request]);
    assert_eq!(done.status, Some(1), "{done}");
    assert!(done.err.contains("the isolation of the container does not hold: "), "{done}");
    assert_eq!(site.containers("isolate-"), [""; 0]);
    assert!(host.sh("exec 3<>/dev/tcp/127.0.0.1/8080").status != Some(0));
    // An engine that answers, and does not remove it at first.
    removals_fail(&site, 3);
    let done = site.job(&["deploy", &request]);
    assert_eq!(done.status, Some(1), "{done}");
    let [note, reason] = done.err.lines().collect::<Vec<_>>()[..] else { panic!("{done}") };
    assert!(
        note.contains("rm: no removal; isolate-open-model may run without proof of its isolation"),
        "{note}"
    );
    assert!(reason.contains("the isolation of the container does not hold: "), "{reason}");
    assert_eq!(site.containers("isolate-"), [""; 0]);
    // One that is known not to run is not waited for, and the reason has both.
    removals_fail(&site, 1_000_000);
    let ends = site.model("ends", &json!({ "PrimaryContainer": { "Image": "probe" } }));
    let done = site.job(&["deploy", &ends]);
    assert_eq!(done.status, Some(1), "{done}");
    assert!(done.err.contains("serve") && done.err.contains("; the container cannot be removed: "), "{done}");
    assert_eq!(site.containers("isolate-"), ["isolate-ends-model"]);
    crate::transform::an_unproven_container_is_removed_after_its_user_has_left(&site);
    // The same model behind the shim.
    site.settings("shim");
    site.background("deploy", &["deploy", &request]);
    site.until_logged("deploy", "is served on");
    site.job(&["stop", "open"]).must();
}
