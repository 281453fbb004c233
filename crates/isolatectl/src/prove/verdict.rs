//! What two containers show of a way.

use std::collections::BTreeMap;

use super::deed::{DONE, Reply};
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
    let is_proof = |text: &str| text.starts_with(DONE) || text.contains(word);
    let answer = |outcome: &ContainerOutcome| match outcome {
        ContainerOutcome::Ran(answers) => {
            answers.get(way.name).cloned().ok_or("it was not reported".to_owned())
        }
        ContainerOutcome::Refused(why) => Err(format!("it is refused: {why}")),
        ContainerOutcome::Failed(why) => Err(why.clone()),
    };
    let (was, is) = (answer(control), answer(isolated));
    if let Ok(Ok(text)) = &is
        && is_proof(text)
    {
        let how = text.strip_prefix(DONE).unwrap_or_default().trim_start_matches(": ");
        return Verdict::Open(if how.is_empty() { "it leads out".into() } else { how.to_owned() });
    }
    match &was {
        Err(why) => return Verdict::Failed(format!("without the annotation: {why}")),
        Ok(Err(why)) => return Verdict::NotShown(format!("not open without the annotation: {why}")),
        Ok(Ok(text)) if !is_proof(text) => {
            return Verdict::NotShown("without the annotation, another answer came".into());
        }
        Ok(Ok(_)) => (),
    }
    match (isolated, is) {
        (ContainerOutcome::Refused(why), _)
            if way.refused && why.contains(&format!("{}: ", way.closed_by)) =>
        {
            Verdict::Closed(format!("refused: {why}"))
        }
        (ContainerOutcome::Ran(_), Ok(Err(why))) if !way.refused => Verdict::Closed(why),
        (ContainerOutcome::Ran(_), Ok(Ok(text))) if !way.refused && text.is_empty() => {
            Verdict::Closed("empty".into())
        }
        (ContainerOutcome::Ran(_), Ok(Ok(_))) => Verdict::Failed("another answer came".into()),
        (ContainerOutcome::Ran(_), Ok(_)) => {
            Verdict::Failed(format!("{} did not refuse the container", way.closed_by))
        }
        (_, Err(why)) => Verdict::Failed(why),
        (_, Ok(_)) => Verdict::Failed("it is not known what became of it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::way::Way;
    use super::super::ways;
    use super::{ContainerOutcome, DONE, Verdict, judge};

    fn way(name: &str) -> &'static Way {
        ways::all().find(|way| way.name == name).unwrap()
    }

    fn ran(name: &str, answer: Result<&str, &str>) -> ContainerOutcome {
        let answer = answer.map(str::to_owned).map_err(str::to_owned);
        ContainerOutcome::Ran([(name.to_owned(), answer)].into())
    }

    #[test]
    fn a_way_is_closed_only_if_it_was_open_and_something_closed_it() {
        let (tcp, open) = (way("tcp"), ran("tcp", Ok("word")));
        let judged =
            |control: &ContainerOutcome, isolated: &ContainerOutcome| judge(tcp, "word", control, isolated);
        let shut = ran("tcp", Err("unreachable"));
        assert_eq!(judged(&open, &shut), Verdict::Closed("unreachable".into()));
        assert_eq!(judged(&open, &ran("tcp", Ok(""))), Verdict::Closed("empty".into()));
        assert!(matches!(judged(&shut, &shut), Verdict::NotShown(_)));
        assert!(matches!(judged(&ran("tcp", Ok("another")), &shut), Verdict::NotShown(_)));
        // Whatever the control: what is open is open.
        for control in [&open, &shut, &ContainerOutcome::Failed("no such runtime".into())] {
            assert!(matches!(judged(control, &open), Verdict::Open(_)));
            assert!(matches!(judged(control, &ran("tcp", Ok(DONE))), Verdict::Open(_)));
        }
    }

    #[test]
    fn everything_else_has_failed() {
        let (tcp, open, shut) = (way("tcp"), ran("tcp", Ok("word")), ran("tcp", Err("unreachable")));
        let failed = ContainerOutcome::Failed("cannot connect to the daemon".into());
        let refused = ContainerOutcome::Refused("host-pid: the pid namespace is the host's".into());
        for (control, isolated) in [
            (&open, &failed),
            (&failed, &shut),
            (&refused, &shut),
            (&open, &refused),
            (&open, &ContainerOutcome::Ran([].into())),
            (&ContainerOutcome::Ran([].into()), &shut),
            (&open, &ran("tcp", Ok("another"))),
        ] {
            let verdict = judge(tcp, "word", control, isolated);
            assert!(matches!(verdict, Verdict::Failed(_)), "{control:?}, {isolated:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_refusal_counts_if_it_is_by_the_rule_of_the_way() {
        let (pid, open) = (way("host-pid-root"), ran("host-pid-root", Ok("word")));
        let judged = |isolated: &ContainerOutcome| judge(pid, "word", &open, isolated);
        let refused = |why: &str| ContainerOutcome::Refused(why.to_owned());
        assert!(matches!(judged(&refused("host-pid: the pid namespace is the host's")), Verdict::Closed(_)));
        assert!(matches!(judged(&refused("mount-system: the source is /")), Verdict::Failed(_)));
        // It started, so the rule is waived, whatever came of it.
        let ran = ran("host-pid-root", Err("permission denied"));
        assert_eq!(judged(&ran), Verdict::Failed("host-pid did not refuse the container".into()));
    }
}
