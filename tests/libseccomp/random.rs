//! Random profiles, about the values at which something changes.

use proptest::prelude::*;
use serde_json::{Value, json};

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let names = ["ALLOW", "ALLOW", "ALLOW", "LOG", "TRACE", "ERRNO", "ERRNO", "KILL", "KILL_PROCESS", "TRAP"];
    (prop::sample::select(names.to_vec()), prop::sample::select(vec![None, Some(1), Some(38), Some(97)]))
}

fn args() -> impl Strategy<Value = Value> {
    let ops = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let values = [0, 1, 2, 3, 9, 10, 15, 16, 39, 40, 63, 0xff, 0xffff_ffff, 1 << 32 | 40];
    let value = move || prop::sample::select(values.to_vec());
    let arg = (0..3_u32, prop::sample::select(ops.to_vec()), value(), value());
    prop::collection::vec(arg, 0..3).prop_map(|list| {
        let arg = |(index, op, value, two): (u32, &str, u64, u64)| {
            json!({ "index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two })
        };
        list.into_iter().map(arg).collect()
    })
}

/// A `linux.seccomp`.
pub(crate) fn profile() -> impl Strategy<Value = Value> {
    let names = ["socket", "socket", "socketpair", "socketcall", "keyctl", "io_uring_setup", "connect"];
    let rule = (prop::collection::vec(prop::sample::select(names.to_vec()), 1..4), action(), args());
    (action(), prop::collection::vec(rule, 0..5)).prop_map(|((default, errno), rules)| {
        let rule = |(names, (action, errno), args): (Vec<&str>, (&str, Option<u32>), Value)| {
            json!({ "names": names, "action": format!("SCMP_ACT_{action}"), "errnoRet": errno, "args": args })
        };
        let rules: Vec<Value> = rules.into_iter().map(rule).collect();
        json!({
            "defaultAction": format!("SCMP_ACT_{default}"),
            "defaultErrnoRet": errno,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": rules,
        })
    })
}
