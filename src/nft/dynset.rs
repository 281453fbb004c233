//! The expression `dynset`, by which a packet adds a key to a set: encoded for the kernel, and decoded.
//!
//! By hand, because netlink-bindings 0.3.5 lacks it. Wire format: `nft_dynset_attributes` of
//! linux/netfilter/nf_tables.h.

use std::ffi::CStr;

use netlink_bindings::utils::{
    IterableChunks, finalize_nested_header, find_attr, parse_be_u32, push_header, push_nested_header,
};

use super::expr::Expr;

/// Behind the expression's name.
pub(super) fn encode(buffer: &mut Vec<u8>, register: u32, set: &str, count: bool) {
    let data = push_nested_header(buffer, EXPR_DATA);
    text(buffer, SET_NAME, set.as_bytes());
    for (attribute, value) in [(OP, if count { UPDATE } else { ADD }), (SREG_KEY, register)] {
        push_header(buffer, attribute, 4);
        buffer.extend(value.to_be_bytes());
    }
    if count {
        let expr = push_nested_header(buffer, EXPR);
        text(buffer, EXPR_NAME, COUNTER);
        finalize_nested_header(buffer, expr);
    }
    finalize_nested_header(buffer, data);
}

/// Name and data of the expression; None for anything but what [`encode`] writes and the kernel's own defaults.
pub(super) fn decode(element: &[u8]) -> Option<Expr> {
    let (mut register, mut set, mut op, mut expr) = (None, None, None, None);
    for (header, bytes) in IterableChunks::new(find_attr(element, EXPR_DATA)?) {
        match header.r#type {
            SET_NAME => set = CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok(),
            OP => op = parse_be_u32(bytes),
            SREG_KEY => register = parse_be_u32(bytes),
            EXPR => expr = Some(CStr::from_bytes_until_nul(find_attr(bytes, EXPR_NAME)?).ok()?.to_bytes()),
            TIMEOUT | FLAGS if bytes.iter().all(|byte| *byte == 0) => (),
            PAD => (),
            _ => return None,
        }
    }
    let count = match (op?, expr) {
        (ADD, None) => false,
        (UPDATE, Some(COUNTER)) => true,
        _ => return None,
    };
    Some(Expr::Remember { register: register?, set: set?.into(), count })
}

fn text(buffer: &mut Vec<u8>, attribute: u16, text: &[u8]) {
    push_header(buffer, attribute, text.len() as u16 + 1);
    buffer.extend(text);
    buffer.push(0);
}

pub(super) const NAME: &[u8] = b"dynset";
const COUNTER: &[u8] = b"counter";
/// `NFTA_EXPR_*`.
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
/// `NFTA_DYNSET_*`.
const SET_NAME: u16 = 1;
const OP: u16 = 3;
const SREG_KEY: u16 = 4;
const TIMEOUT: u16 = 6;
const EXPR: u16 = 7;
const PAD: u16 = 8;
const FLAGS: u16 = 9;
/// `NFT_DYNSET_OP_*`.
const ADD: u32 = 0;
const UPDATE: u32 = 1;
