//! A job's data is stated by digest, beside its container, and a statement is held to what it was.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};

use crate::site::{Engine, Site, asked};

/// A host whose shim and whose jobs have one file of statements.
fn stating() -> Site {
    let docker = Docker::start_with(Release::Docker28, Some(""));
    let site = Site::new(Engine::Docker(docker));
    let file = site.host().at("statements");
    site.host().write("settings.toml", &format!("[statement]\nfile = {file:?}\n"));
    site.settings(&format!("engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\nstatement = {file:?}\n"));
    let keys = "openssl genpkey -algorithm ed25519 -out key; openssl pkey -in key -pubout -out pub";
    site.host().sh(&format!("cd {}; {keys}", site.host().at(""))).must();
    site
}

fn ctl(site: &Site, args: &[&str]) -> Finished {
    let mut ctl = site.host().command(&site.host().at("bin/isolatectl"));
    say(ctl.args(args).env("OCI_ISOLATE_CONFIG", site.host().at("settings.toml")))
}

fn verify(site: &Site, more: &[&str]) -> Finished {
    let (file, key) = (site.host().at("statements"), site.host().at("pub"));
    ctl(site, &[&["--json", "statement", "verify", &file, "--key", &key], more].concat())
}

/// `dirHash1` as docs/statement.md has it.
fn by_tools(site: &Site, directory: &str) -> String {
    let all = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum | cut -d ' ' -f 1";
    site.host().sh(&format!("cd {}; {all}", site.host().at(directory))).must()
}

#[test]
fn what_a_job_was_given_and_left_is_stated() {
    let site = stating();
    fs::create_dir(site.path("s3/data/train/sub")).unwrap();
    fs::write(site.path("s3/data/train/sub/y.csv"), "4\n").unwrap();
    // Looked at while it runs, however slow the machine.
    let script = "echo up; mkdir /opt/ml/model/a; cp /opt/ml/input/data/train/x.csv /opt/ml/model/a/w; \
                  until [ -e /opt/ml/output/data/go ]; do sleep 0.1; done";
    site.detach(&asked("stated", script));
    site.until_logged("stated", "algo-1", "up");
    let id = site.engine(&["ps", "--quiet", "--no-trunc"]).must();
    let seen = || ctl(&site, &["verify", &id]).well().then_some(());
    assert!(wait_for(Duration::from_secs(40), seen).is_some());
    fs::write(site.path("jobs/stated/algo-1/opt-ml/output/data/go"), "").unwrap();
    site.until("stated", &["Completed"]);
    site.until_left("stated");

    let said = ctl(&site, &["statement", "sign", "--key", &site.host().at("key")]).must();
    assert!(said.contains(": statements added: 2; the last is statement 2, "), "{said}");
    let said = verify(&site, &[]);
    let reports: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (said.status, &reports[0]["held"], &reports[1]["held"]),
        (Some(0), &json!(true), &json!(true))
    );
    assert_eq!((&reports[0]["container"]["id"], &reports[1]["job"]["name"]), (&json!(id), &json!("stated")));
    let data = |way: &str, name: &str| -> Value {
        let all = reports[1][way].as_array().unwrap();
        all.iter().find(|data| data["name"] == name).unwrap_or_else(|| panic!("{name}: {all:?}")).clone()
    };
    let train = data("inputs", "channel train");
    assert_eq!(train["directory"], "/opt/ml/input/data/train");
    assert_eq!(train["digest"]["dirHash1"], json!(by_tools(&site, "s3/data/train")));
    site.host()
        .sh(&format!(
            "cd {}; mkdir model; tar -xzf s3/results/out/stated/output/model.tar.gz -C model",
            site.host().at("")
        ))
        .must();
    assert_eq!(data("outputs", "model")["digest"]["dirHash1"], json!(by_tools(&site, "model")));

    // Without the statement of its container, in which nobody says that isolation held, and with another digest.
    let file = fs::read_to_string(site.path("statements")).unwrap();
    let lines: Vec<_> = file.split_inclusive('\n').collect();
    let first = site
        .host()
        .sh(&format!("head -n 1 {} | sha256sum | cut -d ' ' -f 1", site.host().at("statements")))
        .must();
    site.host().write("statements", lines[1]);
    let said = verify(&site, &["--after", &first]);
    let reports: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (said.status, &reports[0]["doubts"]),
        (Some(1), &json!(["there is no statement of its container algo-1"]))
    );
    let digest = by_tools(&site, "s3/data/train");
    let envelope: Value = serde_json::from_str(lines[1]).unwrap();
    let text = site.host().sh(&format!("echo {} | base64 -d", envelope["payload"])).must();
    assert!(text.contains(&digest));
    let other = text.replace(&digest, &"0".repeat(64));
    site.host().write("payload", &other);
    let other = site.host().sh(&format!("base64 -w 0 {}", site.host().at("payload"))).must();
    let changed = lines[1].replace(envelope["payload"].as_str().unwrap(), &other);
    site.host().write("statements", &format!("{}{changed}", lines[0]));
    let said = verify(&site, &[]);
    assert_eq!((said.status, said.out.as_str()), (Some(2), ""));
    assert!(said.err.ends_with("line 2: its signature is not of what it has"), "{said}");
}

#[test]
fn a_job_that_had_no_container_leaves_no_facts() {
    let site = stating();
    fs::create_dir(site.path("statements.d")).unwrap();
    fs::write(site.path("s3/slow"), "30").unwrap();
    site.detach(&asked("never", "true"));
    site.until("never", &["Downloading"]);
    // As a supervisor leaves it that is killed when the inputs were read.
    let kept = json!({"left": false, "containers": [], "inputs": [], "outputs": []});
    fs::write(site.path("jobs/never/stated.json"), kept.to_string()).unwrap();
    site.job(&["stop", "never"]).must();
    site.until("never", &["Stopped"]);
    site.until_left("never");
    assert_eq!(fs::read_dir(site.path("statements.d")).unwrap().count(), 0);
}

/// Facts that cannot be left change nothing for the job.
#[test]
fn without_statements_nothing_is_kept_and_without_their_directory_the_job_completes() {
    let site = stating();
    site.settings("engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\n");
    assert_eq!(site.train(&asked("plain", "true")).status, Some(0));
    assert!(!site.path("jobs/plain/stated.json").exists());
    site.settings(
        "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\nstatement = \"/nonexistent/statements\"\n",
    );
    let done = site.train(&asked("lost", "true"));
    assert_eq!(done.status, Some(0), "{done}");
    assert!(
        done.err
            .contains("there will be no statement of lost: cannot write /nonexistent/statements.d/job-lost-"),
        "{done}"
    );
    assert!(site.path("jobs/lost/stated.json").exists());
    // What is not known to be all is stated as such, where the shim has left facts about the containers.
    assert!(site.path("statements.d").is_dir());
    let own = format!(
        "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\nstatement = {:?}\n",
        site.host().at("statements")
    );
    site.settings(&own);
    let script = "echo up; until [ -e /opt/ml/output/data/go ]; do sleep 0.1; done";
    site.detach(&asked("torn", script));
    site.until_logged("torn", "algo-1", "up");
    let kept = fs::read_to_string(site.path("jobs/torn/stated.json")).unwrap();
    let mut kept: Value = serde_json::from_str(&kept).unwrap();
    kept["inputs"] = json!([]);
    fs::write(site.path("jobs/torn/stated.json"), kept.to_string()).unwrap();
    fs::write(site.path("jobs/torn/algo-1/opt-ml/output/data/go"), "").unwrap();
    site.until("torn", &["Completed"]);
    site.until_left("torn");
    let facts = site.host().sh(&format!("cat {}/job-torn-*.json", site.host().at("statements.d"))).must();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["inputs"][0]["digest"], json!({"unknown": "it could not be kept"}));
    assert_eq!(facts["containers"].as_array().unwrap().len(), 1);
}
