//! Containers that share a sealed namespace.

use serde_json::json;

use super::sealed::Sealed;
use super::spec::put;

#[test]
fn a_container_that_joined_a_sealed_namespace_holds_and_so_does_the_first() {
    let sealed = Sealed::new();
    let namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"},
        {"type": "network", "path": format!("/proc/{}/ns/net", sealed.pid("web"))}]);
    sealed.start("member", |config| put(config, "/linux/namespaces", namespaces));
    assert_eq!(sealed.host.read_record("member")["joins_sealed"], json!(true));
    sealed.holds(&["member", "web"]);

    let inspect = sealed.ctl(&["inspect", "member"]).must();
    assert!(inspect.contains("\nseal       joins a namespace that was sealed before\n"), "{inspect}");

    // What is done to one is done to both.
    sealed.sabotage("nsenter -t $P -n nft delete table inet oci_isolate");
    let all = sealed.ctl(&["verify", "--all"]);
    let gone = "does not hold\n  seal: table inet oci_isolate is not loaded\n";
    assert_eq!((all.status, all.out), (1, format!("member: {gone}web: {gone}")));
}
