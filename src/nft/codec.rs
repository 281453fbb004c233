//! Encodes an expression for the kernel, and decodes what the kernel reports.
//!
//! What cannot be decoded becomes [`Expr::Other`], which equals nothing of ours. Must not judge. Wire format:
//! linux/netfilter/nf_tables.h.

use std::ffi::CStr;

use netlink_bindings::nftables::{
    DataAttrs, ExprCmpAttrs, ExprCtAttrs, ExprFibAttrs, ExprImmediateAttrs, ExprMetaAttrs, ExprOps,
    ExprPayloadAttrs, ExprRejectAttrs, IterableDataAttrs, IterableExprAttrs, IterableVerdictAttrs,
    PushExprListAttrs, VerdictAttrs,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{IterableChunks, parse_be_u32, push_header};

use super::dynset;
use super::expr::{Compare, Expr};

pub(super) fn encode<P: Pusher>(list: PushExprListAttrs<P>, expr: &Expr) -> PushExprListAttrs<P> {
    let element = list.nested_elem();
    let verdict = |code: u32, chain: Option<&str>| (code, chain.map(str::to_owned));
    let (code, chain) = match expr {
        Expr::Meta { key, register } => {
            return element.nested_data_meta().push_key(*key).push_dreg(*register).end_nested().end_nested();
        }
        Expr::Payload { base, offset, length, register } => {
            let payload = element.nested_data_payload().push_dreg(*register).push_base(*base);
            return payload.push_offset(*offset).push_len(*length).end_nested().end_nested();
        }
        Expr::Compare { register, op, value } => {
            let op = COMPARE.iter().find(|(of, _)| of == op).map_or(u32::MAX, |(_, code)| *code);
            let cmp = element.nested_data_cmp().push_sreg(*register).push_op(op);
            return cmp.nested_data().push_value(value).end_nested().end_nested().end_nested();
        }
        Expr::Immediate { register, value } => {
            let immediate = element.nested_data_immediate().push_dreg(*register);
            return immediate.nested_data().push_value(value).end_nested().end_nested().end_nested();
        }
        Expr::Ct { key, register } => {
            return element.nested_data_ct().push_dreg(*register).push_key(*key).end_nested().end_nested();
        }
        Expr::SetCt { key, register } => {
            return element.nested_data_ct().push_key(*key).push_sreg(*register).end_nested().end_nested();
        }
        Expr::Fib { flags, result, register } => {
            let fib = element.nested_data_fib().push_dreg(*register).push_result(*result);
            return fib.push_flags(*flags).end_nested().end_nested();
        }
        Expr::InSet { register, set, inverted } => {
            let mut lookup = element.nested_data_lookup().push_set_bytes(set.as_bytes());
            push_header(lookup.as_vec_mut(), LOOKUP_SREG, 4);
            lookup.as_vec_mut().extend(register.to_be_bytes());
            if *inverted {
                push_header(lookup.as_vec_mut(), LOOKUP_FLAGS, 4);
                lookup.as_vec_mut().extend(LOOKUP_INVERTED.to_be_bytes());
            }
            return lookup.end_nested().end_nested();
        }
        Expr::Reset => {
            return element
                .nested_data_reject()
                .push_type(REJECT_TCP_RST)
                .push_icmp_code(0)
                .end_nested()
                .end_nested();
        }
        Expr::Prohibit => {
            let reject = element.nested_data_reject().push_type(REJECT_ICMPX);
            return reject.push_icmp_code(ADMIN_PROHIBITED).end_nested().end_nested();
        }
        Expr::Remember { register, set, count } => {
            let mut element = element.push_name_bytes(dynset::NAME);
            dynset::encode(element.as_vec_mut(), *register, set, *count);
            return element.end_nested();
        }
        Expr::Counter => return element.nested_data_counter().end_nested().end_nested(),
        Expr::Accept => verdict(ACCEPT, None),
        Expr::Drop => verdict(DROP, None),
        Expr::Goto(chain) => verdict(GOTO, Some(chain)),
        Expr::Jump(chain) => verdict(JUMP, Some(chain)),
        Expr::Return => verdict(RETURN, None),
        // The kernel has no expression of that name and refuses the whole transaction.
        Expr::Other(name) => return element.push_name_bytes(name.as_bytes()).end_nested(),
    };
    let mut encoder =
        element.nested_data_immediate().push_dreg(0).nested_data().nested_verdict().push_code(code);
    if let Some(chain) = chain {
        encoder = encoder.push_chain_bytes(chain.as_bytes());
    }
    encoder.end_nested().end_nested().end_nested().end_nested()
}

pub(super) fn decode_element(
    element: Result<netlink_bindings::nftables::ExprListAttrs<'_>, netlink_bindings::utils::ErrorContext>,
) -> Expr {
    let Ok(netlink_bindings::nftables::ExprListAttrs::Elem(element)) = element else {
        return Expr::Other(String::new());
    };
    decode(&element).unwrap_or_else(|| Expr::Other(element.get_name().map(text).unwrap_or_default()))
}

/// None for anything but exactly what [`encode`] writes and the kernel's own defaults.
fn decode(element: &IterableExprAttrs<'_>) -> Option<Expr> {
    if element.get_name().map(CStr::to_bytes) == Ok(dynset::NAME) {
        return dynset::decode(element.get_buf());
    }
    let (mut a, mut b, mut c, mut d) = (None, None, None, None);
    match element.get_data().ok()? {
        ExprOps::Meta(attributes) => {
            for attribute in attributes {
                match attribute.ok()? {
                    ExprMetaAttrs::Key(key) => a = Some(key),
                    ExprMetaAttrs::Dreg(register) => b = Some(register),
                    _ => return None,
                }
            }
            Some(Expr::Meta { key: a?, register: b? })
        }
        ExprOps::Payload(attributes) => {
            for attribute in attributes {
                match attribute.ok()? {
                    ExprPayloadAttrs::Base(base) => a = Some(base),
                    ExprPayloadAttrs::Offset(offset) => b = Some(offset),
                    ExprPayloadAttrs::Len(length) => c = Some(length),
                    ExprPayloadAttrs::Dreg(register) => d = Some(register),
                    _ => return None,
                }
            }
            Some(Expr::Payload { base: a?, offset: b?, length: c?, register: d? })
        }
        ExprOps::Cmp(attributes) => {
            let mut bytes = None;
            for attribute in attributes {
                match attribute.ok()? {
                    ExprCmpAttrs::Sreg(register) => a = Some(register),
                    ExprCmpAttrs::Op(op) => b = Some(op),
                    ExprCmpAttrs::Data(data) => bytes = value(data),
                }
            }
            let (op, _) = COMPARE.iter().find(|(_, code)| Some(*code) == b)?;
            Some(Expr::Compare { register: a?, op: *op, value: bytes? })
        }
        ExprOps::Ct(attributes) => {
            for attribute in attributes {
                match attribute.ok()? {
                    ExprCtAttrs::Key(key) => a = Some(key),
                    ExprCtAttrs::Dreg(register) => b = Some(register),
                    ExprCtAttrs::Sreg(register) => c = Some(register),
                    ExprCtAttrs::Direction(_) => return None,
                }
            }
            match (b, c) {
                (Some(register), None) => Some(Expr::Ct { key: a?, register }),
                (None, Some(register)) => Some(Expr::SetCt { key: a?, register }),
                _ => None,
            }
        }
        ExprOps::Fib(attributes) => {
            for attribute in attributes {
                match attribute.ok()? {
                    ExprFibAttrs::Flags(flags) => a = Some(flags),
                    ExprFibAttrs::Result(result) => b = Some(result),
                    ExprFibAttrs::Dreg(register) => c = Some(register),
                }
            }
            Some(Expr::Fib { flags: a?, result: b?, register: c? })
        }
        ExprOps::Lookup(attributes) => {
            let mut set = None;
            for (header, bytes) in IterableChunks::new(attributes.get_buf()) {
                match header.r#type {
                    LOOKUP_SET => set = Some(text(CStr::from_bytes_until_nul(bytes).ok()?)),
                    LOOKUP_SREG => a = parse_be_u32(bytes),
                    LOOKUP_FLAGS => b = parse_be_u32(bytes),
                    _ => return None,
                }
            }
            let inverted = match b {
                None | Some(0) => false,
                Some(LOOKUP_INVERTED) => true,
                Some(_) => return None,
            };
            Some(Expr::InSet { register: a?, set: set?, inverted })
        }
        ExprOps::Counter(_) => Some(Expr::Counter),
        ExprOps::Reject(attributes) => {
            for attribute in attributes {
                match attribute.ok()? {
                    ExprRejectAttrs::Type(kind) => a = Some(kind),
                    ExprRejectAttrs::IcmpCode(code) => b = Some(u32::from(code)),
                }
            }
            match (a?, b) {
                (REJECT_TCP_RST, _) => Some(Expr::Reset),
                (REJECT_ICMPX, Some(code)) if code == u32::from(ADMIN_PROHIBITED) => Some(Expr::Prohibit),
                _ => None,
            }
        }
        ExprOps::Immediate(attributes) => {
            let mut verdict = None;
            let mut bytes = None;
            for attribute in attributes {
                match attribute.ok()? {
                    ExprImmediateAttrs::Dreg(register) => a = Some(register),
                    ExprImmediateAttrs::Data(mut data) => match data.next()?.ok()? {
                        DataAttrs::Verdict(given) => verdict = decode_verdict(given),
                        DataAttrs::Value(given) => bytes = Some(given.to_vec()),
                    },
                }
            }
            match (a?, bytes) {
                (0, None) => verdict,
                (register, Some(value)) => Some(Expr::Immediate { register, value }),
                _ => None,
            }
        }
        _ => None,
    }
}

fn decode_verdict(attributes: IterableVerdictAttrs<'_>) -> Option<Expr> {
    let (mut code, mut chain) = (None, None);
    for attribute in attributes {
        match attribute.ok()? {
            VerdictAttrs::Code(given) => code = Some(given),
            VerdictAttrs::Chain(name) => chain = Some(text(name)),
            VerdictAttrs::ChainId(_) => return None,
        }
    }
    match (code?, chain) {
        (ACCEPT, None) => Some(Expr::Accept),
        (DROP, None) => Some(Expr::Drop),
        (GOTO, Some(chain)) => Some(Expr::Goto(chain)),
        (JUMP, Some(chain)) => Some(Expr::Jump(chain)),
        (RETURN, None) => Some(Expr::Return),
        _ => None,
    }
}

fn value(data: IterableDataAttrs<'_>) -> Option<Vec<u8>> {
    bytes(data).map(<[u8]>::to_vec)
}

pub(super) fn bytes(mut data: IterableDataAttrs<'_>) -> Option<&[u8]> {
    match data.next()?.ok()? {
        DataAttrs::Value(bytes) => Some(bytes),
        DataAttrs::Verdict(_) => None,
    }
}

pub(super) fn text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

/// `NFT_CMP_*`.
const COMPARE: [(Compare, u32); 4] =
    [(Compare::Equal, 0), (Compare::NotEqual, 1), (Compare::AtMost, 3), (Compare::AtLeast, 5)];
/// `NFTA_LOOKUP_*`. By hand: netlink-bindings 0.3.5 numbers them in another order than the kernel (its
/// source, the kernel's Documentation/netlink/specs/nftables.yaml, has `set-id` before `sreg`).
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_FLAGS: u16 = 5;
const LOOKUP_INVERTED: u32 = 1;
const REJECT_TCP_RST: u32 = 1;
const REJECT_ICMPX: u32 = 2;
const ADMIN_PROHIBITED: u8 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const JUMP: u32 = -3i32 as u32;
const GOTO: u32 = -4i32 as u32;
const RETURN: u32 = -5i32 as u32;

#[cfg(test)]
mod tests {
    use netlink_bindings::nftables::{Nfgenmsg, Request};

    use super::super::table::Table;
    use super::*;

    #[test]
    fn every_expression_survives_the_way_to_netlink_and_back() {
        let socket = super::super::ForeignSocket::Protocol(1);
        let mut allow = super::super::AllowList::default();
        let from = Some("10.0.0.0/8".parse().unwrap());
        for protocol in [crate::policy::Protocol::Udp, crate::policy::Protocol::Tcp] {
            allow.ingress.push(crate::policy::Ingress { protocol, first: 1, last: 2, from });
        }
        let table = Table::default().blocking_also(&[socket], Some(&allow), Some(1));
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            let mut request = Request::new().op_newrule_do(&Nfgenmsg::new());
            let list = request.encode().nested_expressions();
            drop(rule.iter().fold(list, encode));
            let bytes = netlink_bindings::traits::NetlinkRequest::payload(&request).to_vec();
            let (_, attributes) = netlink_bindings::nftables::OpNewruleDo::decode_request(&bytes);
            let back: Vec<_> = attributes.get_expressions().unwrap().map(decode_element).collect();
            assert_eq!(&back, rule);
        }
    }

    #[test]
    fn an_expression_with_something_extra_is_another() {
        let mut request = Request::new().op_newrule_do(&Nfgenmsg::new());
        let list = request.encode().nested_expressions();
        let inverted = list.nested_elem().nested_data_lookup().push_set_bytes(b"s").push_flags(2);
        drop(inverted.end_nested().end_nested().nested_elem().nested_data_numgen());
        let bytes = netlink_bindings::traits::NetlinkRequest::payload(&request).to_vec();
        let (_, attributes) = netlink_bindings::nftables::OpNewruleDo::decode_request(&bytes);
        let back: Vec<_> = attributes.get_expressions().unwrap().map(decode_element).collect();
        assert_eq!(back, [Expr::Other("lookup".into()), Expr::Other("numgen".into())]);
    }
}
