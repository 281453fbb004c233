//! What is done to the namespace of a sealed container, and that `verify` names it.

use super::sealed::Sealed;

/// What the table says when it was changed.
const CHANGED: &str = "seal: table inet oci_isolate was changed: ";

#[track_caller]
fn nft(change: &str, says: &[&str]) {
    let says: Vec<_> = says.iter().map(|says| format!("{CHANGED}{says}")).collect();
    let says: Vec<_> = says.iter().map(String::as_str).collect();
    Sealed::new().sabotaged(&format!("nsenter -t $P -n nft {change}"), &says);
}

#[test]
fn a_sealed_container_holds() {
    Sealed::new().holds(&["web"]);
}

#[test]
fn a_link_that_was_moved_in_is_named() {
    let moved = "ip link add v0 type veth peer name eth7 netns /proc/$P/ns/net";
    let up = format!("{moved}; nsenter -t $P -n ip link set eth7 up");
    Sealed::new().sabotaged(&up, &["seal: link eth7 is up"]);
    let bridge = "nsenter -t $P -n ip link add br7 type bridge";
    Sealed::new().sabotaged(bridge, &["seal: link br7 is still there"]);
}

#[test]
fn lo_that_is_down_is_named() {
    Sealed::new().sabotaged("nsenter -t $P -n ip link set lo down", &["seal: lo is not up"]);
}

#[test]
fn an_address_that_was_taken_is_named() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    sealed
        .sh("P=$(cat /run/oci-isolate/containers$R/web.pid)
            ip link add v0 type veth peer name eth0 netns /proc/$P/ns/net
            nsenter -t $P -n ip addr add 10.9.9.9/24 dev eth0; $SHIM --root $R start web")
        .must();
    sealed.sabotaged(
        "nsenter -t $P -n ip addr del 10.9.9.9/32 dev lo",
        &["seal: address 10.9.9.9 is not on lo"],
    );
}

#[test]
fn a_deleted_table_is_named() {
    let delete = "nsenter -t $P -n nft delete table inet oci_isolate";
    Sealed::new().sabotaged(delete, &["seal: table inet oci_isolate is not loaded"]);
}

#[test]
fn a_flushed_table_is_named() {
    nft(
        "flush table inet oci_isolate",
        &[
            "chain input has 0 rules instead of 2",
            "chain output has 0 rules instead of 3",
            "chain postrouting has 0 rules instead of 1",
            "chain refuse has 0 rules instead of 2",
        ],
    );
}

#[test]
fn a_dormant_table_is_named() {
    nft("add table inet oci_isolate '{ flags dormant; }'", &["it is dormant"]);
}

#[test]
fn a_rule_that_was_deleted_is_named() {
    let handle = "$(nsenter -t $P -n nft -a list chain inet oci_isolate output | sed -n 's/.*goto.*# handle //p' | tail -1)";
    nft(
        &format!("delete rule inet oci_isolate output handle {handle}"),
        &["chain output has 2 rules instead of 3"],
    );
}

#[test]
fn a_rule_that_was_added_is_named() {
    nft(
        "insert rule inet oci_isolate output accept",
        &["chain output has 4 rules instead of 3", "rule 1 of chain output was changed"],
    );
}

#[test]
fn a_policy_that_was_changed_is_named() {
    nft(
        "chain inet oci_isolate output '{ policy accept; }'",
        &["type, hook, priority or policy of chain output was changed"],
    );
}

#[test]
fn a_chain_that_was_added_is_named() {
    nft("add chain inet oci_isolate more", &["chain more is not ours"]);
}
