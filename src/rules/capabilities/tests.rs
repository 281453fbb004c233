//! The table against the kernel's numbers and the documentation, and names in all spellings.

use super::*;

fn against_of(name: &str, confined: bool) -> Option<(&'static str, Fate)> {
    judge_name(name, confined).map(|forbidden| (forbidden.rule.name, forbidden.fate))
}

#[test]
fn names_are_found_in_any_case_and_with_and_without_their_prefix() {
    for name in ["CAP_SYS_TIME", "cap_sys_time", "SYS_TIME", "sys_time", "Cap_Sys_Time"] {
        assert_eq!(against_of(name, false), Some((HOST.name, Fate::Refused)), "{name}");
        assert_eq!(against_of(name, true), None, "{name}");
    }
    for name in ["CAP_NET_ADMIN", "net_raw"] {
        assert_eq!(against_of(name, true), Some((NETWORK.name, Fate::Removed)), "{name}");
    }
    assert_eq!(against_of("CAP_SYS_PTRACE", true), Some((HOST.name, Fate::Removed)));
    assert_eq!(against_of("CAP_CHOWN", false), None);
}

#[test]
fn what_libcap_takes_for_a_capability_and_is_no_name_is_refused() {
    let odd =
        ["12", "0xc", "014", "CAP_NET_ADMIN,x", "cap_net_admin=ep", "CAP_NET_ADMIN ", "CAP_NET_ADMIN\0x", ""];
    for name in odd.into_iter().chain(["CAP_", "CAP_21", "CAP_NET\u{2d}ADMIN"]) {
        for confined in [false, true] {
            assert_eq!(against_of(name, confined), Some((NETWORK.name, Fate::Refused)), "{name:?}");
        }
    }
}

#[test]
fn what_is_in_no_table_is_refused() {
    for confined in [false, true] {
        assert_eq!(against_of("CAP_FUTURE", confined), Some((HOST.name, Fate::Refused)));
        assert_eq!(against_of("CAP_ALL", confined), Some((HOST.name, Fate::Refused)));
        let unknown: Vec<_> = forbidden(1 << 41 | 1 << 63, confined).collect();
        assert_eq!(unknown, [(HOST.name, "41".into()), (HOST.name, "63".into())]);
    }
}

#[test]
fn bits_are_the_kernels() {
    let named = |bit: u32| forbidden(1 << bit, false).map(|(_, name)| name).next();
    for (bit, name) in [(2, "DAC_READ_SEARCH"), (12, "NET_ADMIN"), (13, "NET_RAW"), (19, "SYS_PTRACE")] {
        assert_eq!(named(bit).as_deref(), Some(name));
    }
    for (bit, name) in [(21, "SYS_ADMIN"), (25, "SYS_TIME"), (34, "SYSLOG"), (40, "CHECKPOINT_RESTORE")] {
        assert_eq!(named(bit).as_deref(), Some(name));
    }
    // Docker's default set.
    let docker: Vec<_> = forbidden(0xa804_25fb, false).collect();
    assert_eq!(docker, [(NETWORK.name, "NET_RAW".into()), (HOST.name, "MKNOD".into())]);
}

#[test]
fn the_documentation_has_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = std::fs::read_to_string(path).unwrap();
    let word = |fate| match fate {
        Fate::Stays => "stays",
        Fate::Removed => "removed",
        Fate::Refused => "refused",
    };
    let row = |it: &Capability| {
        format!("| CAP_{} | {} | {} | {} |", it.name, word(it.plain), word(it.confined), it.why)
    };
    let rows: Vec<String> = TABLE.iter().map(row).collect();
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("| CAP_")).collect();
    assert_eq!(found, rows, "docs/rules.md should have:\n{}", rows.join("\n"));
}
