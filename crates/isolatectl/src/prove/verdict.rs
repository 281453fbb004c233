//! What two containers show of a way.

use std::collections::BTreeMap;

use super::deed::Reply;
use super::way::Way;

/// How a container ended.
#[derive(Debug)]
pub(super) enum ContainerOutcome {
    /// It reported, by the names of the ways.
    Ran(BTreeMap<String, Reply>),
    /// oci-isolate did not let it start, in its words.
    Refused(String),
    /// It did not start, or did not report, for another reason.
    Failed(String),
}

/// What is shown of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Open without the annotation, closed with it; how.
    Closed(String),
    /// Nothing, since it is not open without the annotation either; why.
    NotShown(String),
    /// It is open with the annotation; how.
    Open(String),
    /// It could not be tried, or is closed by something else; why.
    Failed(String),
}

/// Fails closed: what is not clearly one of the other three is [`Verdict::Failed`].
pub(super) fn judge(
    way: &Way,
    word: &str,
    control: &ContainerOutcome,
    isolated: &ContainerOutcome,
) -> Verdict {
    let is_proof = |reply: &Reply| match reply {
        Reply::Done(_) => true,
        Reply::Reached(text) | Reply::Read(text) => text.contains(word),
        Reply::Shut(_) | Reply::Late | Reply::Untried(_) => false,
    };
    let reply = |outcome: &ContainerOutcome| match outcome {
        ContainerOutcome::Ran(replies) => match replies.get(way.name) {
            Some(Reply::Untried(why)) => Err(format!("not tried: {why}")),
            reply => reply.cloned().ok_or("it was not reported".to_owned()),
        },
        ContainerOutcome::Refused(why) => Err(format!("it is refused: {why}")),
        ContainerOutcome::Failed(why) => Err(why.clone()),
    };
    let (was, is) = (reply(control), reply(isolated));
    match &is {
        Ok(Reply::Done(how)) if !how.is_empty() => return Verdict::Open(how.clone()),
        Ok(reply) if is_proof(reply) => return Verdict::Open("it leads out".into()),
        // Whatever it is, it is outside.
        Ok(Reply::Reached(_)) => {
            return Verdict::Open("it leads out, and another answer or none came".into());
        }
        _ => (),
    }
    match &was {
        Err(why) => return Verdict::Failed(format!("without the annotation: {why}")),
        Ok(reply) if is_proof(reply) => (),
        Ok(Reply::Shut(why)) => return Verdict::NotShown(format!("not open without the annotation: {why}")),
        Ok(Reply::Late) => {
            return Verdict::NotShown("not open without the annotation: no answer in time".into());
        }
        Ok(_) => return Verdict::NotShown("without the annotation, another answer came".into()),
    }
    match (isolated, is) {
        (ContainerOutcome::Refused(why), _)
            if way.refused
                && why
                    .split_once(": ")
                    .is_some_and(|(rule, _)| [way.closed_by, way.or_by].contains(&rule)) =>
        {
            Verdict::Closed(format!("refused: {why}"))
        }
        (_, Err(why)) => Verdict::Failed(why),
        (_, Ok(_)) if way.refused => {
            Verdict::Failed(format!("{} did not refuse the container", way.closed_by))
        }
        (_, Ok(Reply::Shut(why))) => Verdict::Closed(why),
        (_, Ok(Reply::Read(text))) if text.is_empty() => Verdict::Closed("empty".into()),
        (_, Ok(Reply::Late)) => Verdict::Failed("no answer in time, which shows nothing".into()),
        (_, Ok(_)) => Verdict::Failed("another answer came".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::way::Way;
    use super::super::ways;
    use super::{ContainerOutcome, Reply, Verdict, judge};

    fn way(name: &str) -> &'static Way {
        ways::all().find(|way| way.name == name).unwrap()
    }

    fn ran(name: &str, reply: Reply) -> ContainerOutcome {
        ContainerOutcome::Ran([(name.to_owned(), reply)].into())
    }

    fn tcp(reply: Reply) -> ContainerOutcome {
        ran("tcp", reply)
    }

    fn judged(control: &ContainerOutcome, isolated: &ContainerOutcome) -> Verdict {
        judge(way("tcp"), "word", control, isolated)
    }

    fn reached(text: &str) -> ContainerOutcome {
        tcp(Reply::Reached(text.into()))
    }

    fn shut() -> ContainerOutcome {
        tcp(Reply::Shut("unreachable".into()))
    }

    #[test]
    fn a_way_is_closed_only_if_it_was_open_and_something_closed_it() {
        let open = reached("word");
        assert_eq!(judged(&open, &shut()), Verdict::Closed("unreachable".into()));
        for control in
            [shut(), reached("another"), reached(""), tcp(Reply::Late), tcp(Reply::Read("".into()))]
        {
            assert!(matches!(judged(&control, &shut()), Verdict::NotShown(_)), "{control:?}");
        }
        let read = |text: &str| ran("credential-file", Reply::Read(text.into()));
        let emptied = judge(way("credential-file"), "word", &read("a word"), &read(""));
        assert_eq!(emptied, Verdict::Closed("empty".into()));
    }

    /// Whatever the control: what is open is open. With the annotation, another side need not say anything.
    #[test]
    fn a_way_is_open_if_there_is_another_side() {
        let replies = ["word", "another", ""].map(reached).into_iter().chain([tcp(Reply::Done("".into()))]);
        for isolated in replies {
            for control in [reached("word"), shut(), tcp(Reply::Late), ContainerOutcome::Failed("no".into())]
            {
                let verdict = judged(&control, &isolated);
                assert!(matches!(verdict, Verdict::Open(_)), "{control:?}, {isolated:?}: {verdict:?}");
            }
        }
    }

    #[test]
    fn everything_else_has_failed() {
        let (open, nothing) = (reached("word"), || ContainerOutcome::Ran([].into()));
        let failed = || ContainerOutcome::Failed("cannot connect to the daemon".into());
        let refused = || ContainerOutcome::Refused("host-pid: the pid namespace is the host's".into());
        for (control, isolated) in [
            (&open, failed()),
            (&failed(), shut()),
            (&refused(), shut()),
            (&open, refused()),
            (&open, nothing()),
            (&nothing(), shut()),
            (&open, tcp(Reply::Read("another".into()))),
            (&open, tcp(Reply::Late)),
            (&open, tcp(Reply::Untried("verify did not end".into()))),
            (&tcp(Reply::Untried("verify did not end".into())), shut()),
        ] {
            let verdict = judged(control, &isolated);
            assert!(matches!(verdict, Verdict::Failed(_)), "{control:?}, {isolated:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_refusal_counts_if_it_is_by_the_rule_of_the_way() {
        let (pid, open) = (way("host-pid-root"), ran("host-pid-root", Reply::Read("word".into())));
        let judged = |isolated: &ContainerOutcome| judge(pid, "word", &open, isolated);
        let refused = |why: &str| ContainerOutcome::Refused(why.to_owned());
        assert!(matches!(judged(&refused("host-pid: the pid namespace is the host's")), Verdict::Closed(_)));
        for other in ["mount-system: the source is /", "not-host-pid: no", "mount-system: it is host-pid: no"]
        {
            assert!(matches!(judged(&refused(other)), Verdict::Failed(_)), "{other}");
        }
        // Its name ends with that of the rule of another way.
        let tun = judge(
            way("tun-device"),
            "word",
            &ran("tun-device", Reply::Done(String::new())),
            &refused("net-devices: moves an interface of the host"),
        );
        assert!(matches!(tun, Verdict::Failed(_)), "{tun:?}");
        let tun = judge(
            way("tun-device"),
            "word",
            &ran("tun-device", Reply::Done(String::new())),
            &refused("mount-system: the source /dev/net/tun of /dev/net/tun is the device c 10:200"),
        );
        assert!(matches!(tun, Verdict::Closed(_)), "{tun:?}");
        // It started, so the rule is waived, whatever came of it.
        let ran = ran("host-pid-root", Reply::Shut("permission denied".into()));
        assert_eq!(judged(&ran), Verdict::Failed("host-pid did not refuse the container".into()));
    }
}
