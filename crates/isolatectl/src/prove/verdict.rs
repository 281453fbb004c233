//! What two containers show of a way.

use std::collections::BTreeMap;

use super::deed::{Answer, DONE};
use super::ways::Way;

/// How a container ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It reported, by the names of the ways.
    Ran(BTreeMap<String, Answer>),
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
pub(super) fn judge(way: &Way, word: &str, control: &Outcome, isolated: &Outcome) -> Verdict {
    let is_proof = |text: &str| text.starts_with(DONE) || text.contains(word);
    let answer = |outcome: &Outcome| match outcome {
        Outcome::Ran(answers) => answers.get(way.name).cloned().ok_or("it was not reported".to_owned()),
        Outcome::Refused(why) => Err(format!("it is refused: {why}")),
        Outcome::Failed(why) => Err(why.clone()),
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
        (Outcome::Refused(why), _) if way.refused && why.contains(&format!("{}: ", way.closed_by)) => {
            Verdict::Closed(format!("refused: {why}"))
        }
        (Outcome::Ran(_), Ok(Err(why))) if !way.refused => Verdict::Closed(why),
        (Outcome::Ran(_), Ok(Ok(text))) if !way.refused && text.is_empty() => Verdict::Closed("empty".into()),
        (Outcome::Ran(_), Ok(Ok(_))) => Verdict::Failed("another answer came".into()),
        (Outcome::Ran(_), Ok(_)) => {
            Verdict::Failed(format!("{} did not refuse the container", way.closed_by))
        }
        (_, Err(why)) => Verdict::Failed(why),
        (_, Ok(_)) => Verdict::Failed("it is not known what became of it".into()),
    }
}
