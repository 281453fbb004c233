//! `isolatectl doctor` says before the first container what the kernel lacks, since it seals namespaces of its own.

use crate::lacks::Lacks;
use test_support::command::{Finished, say};
use test_support::host::Kind;
use test_support::isolatectl;
use test_support::life::Life;

/// The line of a check.
fn line<'s>(said: &'s Finished, check: &str) -> &'s str {
    let mut lines = said.out.lines();
    let found = lines.find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(check)));
    found.unwrap_or_else(|| panic!("no {check}: {said}"))
}

#[test]
fn doctor_says_what_the_kernel_lacks_and_the_remedy() {
    let lacks = Lacks::now();
    let life = Life::of(Kind::Machine);
    let program = isolatectl();
    let doctor = || say(life.bench.host.command(program.to_str().unwrap()).arg("doctor"));
    let said = doctor();
    eprintln!("{said}");
    if lacks != Lacks::NfTables {
        for check in ["seal: ", "allow-list: "] {
            assert!(line(&said, check).starts_with("ok "), "{said}");
        }
        return;
    }
    let seal = line(&said, "seal: ");
    assert!(seal.starts_with("FAIL") && seal.contains("this kernel has no nf_tables"), "{said}");
    assert!(seal.contains("modprobe nf_tables, or set firewall = \"if-available\""), "{said}");
    assert!(line(&said, "allow-list: ").starts_with("warn"), "{said}");
    life.settings("firewall = \"if-available\"\n");
    let said = doctor();
    eprintln!("{said}");
    let seal = line(&said, "seal: ");
    assert!(seal.starts_with("warn") && seal.contains("modprobe nf_tables"), "{said}");
}
