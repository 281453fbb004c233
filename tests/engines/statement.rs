//! The statement about a container of Docker that has ended by itself: its image, what it tried, and that isolation held.

use serde_json::{Value, json};

use test_support::command::say;
use test_support::docker::{Docker, Release};

#[test]
fn a_container_of_docker_is_stated_with_its_image_and_what_it_tried() {
    let docker = Docker::start_with(Release::Docker28, Some(""));
    let file = docker.host.at("statements");
    docker.host.write("settings.toml", &format!("[attempts]\ncount = true\n[statement]\nfile = {file:?}\n"));
    let nonce = ["-d", "--name=web", "--annotation=io.oci-isolate.nonce=7f3a-01"];
    let program = "until [ -e /go ]; do sleep 0.05; done; for n in 1 2; do (exec 3<>/dev/tcp/1.2.3.4/443) 2>/dev/null; done; true";
    docker.run(&[&nonce, docker.isolation(), &["probe", "bash", "-c", program]]).must();
    let isolatectl = docker.host.at("isolatectl");
    std::fs::copy(test_support::isolatectl(), &isolatectl).unwrap();
    let ctl = |args: &[&str]| {
        let mut ctl = docker.host.command(&isolatectl);
        ctl.args(args).env("OCI_ISOLATE_CONFIG", docker.host.at("settings.toml"));
        say(&mut ctl)
    };
    ctl(&["verify", "--all"]).must();
    let image = docker.must(&["inspect", "-f", "{{.Image}}", "web"]);
    let id = docker.must(&["inspect", "-f", "{{.Id}}", "web"]);
    docker.must(&["exec", "web", "touch", "/go"]);
    docker.must(&["wait", "web"]);
    docker.must(&["rm", "web"]);
    let (key, public) = (docker.host.at("key"), docker.host.at("pub"));
    docker
        .host
        .sh(&format!(
            "openssl genpkey -algorithm ed25519 -out {key}; openssl pkey -in {key} -pubout -out {public}"
        ))
        .must();
    ctl(&["statement", "sign", "--key", &key]).must();
    let said = ctl(&["--json", "statement", "verify", &file, "--key", &public, "--nonce", "7f3a-01"]).must();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["held"], &said[0]["doubts"]), (&json!(true), &json!([])));
    assert_eq!(said[0]["attempts"], json!("1 destinations, 2 packets"));
    assert_eq!((&said[0]["container"]["id"], &said[0]["image"]), (&json!(id), &json!("probe")));
    let lines = std::fs::read_to_string(&file).unwrap();
    let payload: Value = serde_json::from_str(&lines).unwrap();
    let payload = docker.host.sh(&format!("echo {} | base64 -d", payload["payload"])).must();
    let statement: Value = serde_json::from_str(&payload).unwrap();
    let subject =
        json!({"name": "probe (image id)", "digest": {"sha256": image.trim_start_matches("sha256:")}});
    assert_eq!(statement["subject"][0], subject);
}
