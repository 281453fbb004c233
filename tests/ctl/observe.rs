//! A container that is observed: it runs open, and is nowhere taken for an isolated one.

use serde_json::{Value, json};

use super::sealed::Sealed;
use test_support::recorded::output::ShimOutput;
use test_support::recorded::spec::SWITCH;

#[test]
fn it_runs_open_and_list_verify_and_metrics_know_that_it_is_not_isolated() {
    let sealed = Sealed::empty();
    let log = sealed.host.at("log");
    sealed.host.write("config.toml", format!("runtime = [\"runc\"]\n[audit]\nfile = {log:?}\n"));
    // Where its root is, a record tells.
    sealed.start("web", |_| {});
    sealed.start("open", |config| config["annotations"][SWITCH] = json!("observe"));
    let names = "$SHIM --root $R exec ID /bin/sh -c 'ls /sys/class/net; env | grep -c AWS_SECRET_ACCESS_KEY' </dev/null";
    // Isolated, it has neither the variable nor a table without the firewall's; open, it has the variable.
    let inside = |id: &str| sealed.sh(&format!("{} || true", names.replace("ID", id))).must();
    assert!(inside("web").ends_with("\n0\n") && inside("open").ends_with("\n1\n"));
    let state = sealed.sh("runc --root $R state open").must();
    let pid = serde_json::from_str::<Value>(&state).unwrap()["pid"].to_string();
    assert_eq!(sealed.sh(&format!("nsenter -t {pid} -n nft list tables")).must(), "");
    let list: Value = serde_json::from_str(&sealed.ctl(&["--json", "list"]).must()).unwrap();
    let open = list.as_array().unwrap().iter().find(|line| line["id"] == "open").unwrap();
    assert_eq!((&open["state"], open["pid"].to_string()), (&json!("observed"), pid));
    let why = format!("observed, not isolated (annotation {SWITCH})");
    let said =
        ShimOutput { status: 1, out: format!("open: does not hold\n  record: {why}\n"), err: String::new() };
    assert_eq!(sealed.ctl(&["verify", "open"]), said);
    assert_eq!(sealed.ctl(&["verify", "--all"]).out, format!("web: holds\n{}", said.out));
    let figures = sealed.ctl(&["metrics"]).must();
    for line in ["containers{state=\"observed\"} 1", "decisions_total{decision=\"observed\"} 1"] {
        assert!(figures.contains(&format!("\noci_isolate_{line}\n")), "{figures}");
    }
    // No promise was made for it.
    assert!(figures.contains("\noci_isolate_verified_containers{result=\"broken\"} 0\n"), "{figures}");
}
