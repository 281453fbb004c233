//! What was shown: a table for people, JSON and JUnit for programs.

use std::fmt::Write;

use serde::Serialize;

use super::verdict::Verdict;
use super::way::Way;

/// An engine and the verdicts on it.
#[derive(Debug, Serialize)]
pub(super) struct EngineReport {
    pub(super) engine: &'static str,
    pub(super) version: String,
    pub(super) runtime: String,
    pub(super) ways: Vec<Row>,
    /// Why the engine could not be used, or what is left on it.
    pub(super) error: Option<String>,
}

/// A way.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    way: &'static str,
    closed_by: &'static str,
    state: State,
    /// How it is closed, or why nothing is shown.
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Closed,
    NotShown,
    Open,
    Failed,
}

impl EngineReport {
    /// A row for each way.
    pub(super) fn rows(verdicts: Vec<(&'static Way, Verdict)>) -> Vec<Row> {
        let row = |(way, verdict): (&Way, Verdict)| {
            let (state, says) = match verdict {
                Verdict::Closed(how) => (State::Closed, how),
                Verdict::NotShown(why) => (State::NotShown, why),
                Verdict::Open(how) => (State::Open, how),
                Verdict::Failed(why) => (State::Failed, why),
            };
            Row { way: way.name, closed_by: way.closed_by, state, says }
        };
        verdicts.into_iter().map(row).collect()
    }

    fn count(&self, state: State) -> usize {
        self.ways.iter().filter(|row| row.state == state).count()
    }

    /// Whether something was shown, and nothing else was found.
    pub(super) fn is_well(&self) -> bool {
        self.error.is_none()
            && self.count(State::Closed) > 0
            && self.count(State::Open) + self.count(State::Failed) == 0
    }

    pub(super) fn table(&self) -> String {
        let mut text = format!("{} {}, runtime {}\n", self.engine, self.version, self.runtime);
        if !self.ways.is_empty() {
            let _ =
                writeln!(text, "  {:<24} {:<21} {:<8} with the annotation", "way", "closed by", "without");
        }
        for Row { way, closed_by, state, says } in &self.ways {
            let (without, with) = match state {
                State::Closed => ("open", "closed"),
                State::NotShown => ("-", "NOT SHOWN"),
                State::Open => ("-", "OPEN"),
                State::Failed => ("-", "FAILED"),
            };
            let _ = writeln!(
                text,
                "  {way:<24} {closed_by:<21} {without:<8} {with}: {}",
                says.replace('\n', " ")
            );
        }
        let _ = writeln!(
            text,
            "{}: {} ways open without the annotation and closed with it, {} not shown, {} open, {} failed",
            self.engine,
            self.count(State::Closed),
            self.count(State::NotShown),
            self.count(State::Open),
            self.count(State::Failed),
        );
        if let Some(error) = &self.error {
            let _ = writeln!(text, "{}: ERROR: {}", self.engine, error.replace('\n', " "));
        }
        text
    }
}

/// One suite for each engine; a way that is not shown counts as skipped.
pub(super) fn junit(reports: &[EngineReport]) -> String {
    let mut text =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"isolatectl prove\">\n".to_owned();
    for report in reports {
        let failures = report.count(State::Open) + report.count(State::Failed);
        let errors = usize::from(report.error.is_some());
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{}\">",
            report.engine,
            report.ways.len() + errors,
            report.count(State::NotShown),
        );
        for Row { way, closed_by, state, says } in &report.ways {
            let says = escape(says);
            let (open, close) = match state {
                State::Closed => (format!("<system-out>{says}"), "</system-out>"),
                State::NotShown => (format!("<skipped message=\"{says}\">"), "</skipped>"),
                State::Open | State::Failed => (format!("<failure message=\"{says}\">"), "</failure>"),
            };
            let _ = writeln!(
                text,
                "    <testcase classname=\"{}.{closed_by}\" name=\"{way}\">{open}{close}</testcase>",
                report.engine
            );
        }
        if let Some(error) = &report.error {
            let _ = writeln!(
                text,
                "    <testcase classname=\"{0}\" name=\"{0}\"><error message=\"{1}\"></error></testcase>",
                report.engine,
                escape(error)
            );
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// For an attribute or the text of an element; XML has no control characters.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::ways;
    use super::{EngineReport, Verdict, junit};

    fn report(verdicts: Vec<Verdict>, error: Option<&str>) -> EngineReport {
        EngineReport {
            engine: "docker",
            version: "28".into(),
            runtime: "oci-isolate".into(),
            ways: EngineReport::rows(ways::all().zip(verdicts).collect()),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn only_closed_ways_and_no_others_but_those_not_shown_are_well() {
        let (closed, not_shown) = (|| Verdict::Closed("x".into()), || Verdict::NotShown("x".into()));
        assert!(report(vec![closed(), not_shown()], None).is_well());
        for (verdicts, error) in [
            (vec![], None),
            (vec![not_shown()], None),
            (vec![closed(), Verdict::Open("x".into())], None),
            (vec![closed(), Verdict::Failed("x".into())], None),
            (vec![closed()], Some("containers are left")),
        ] {
            let report = report(verdicts, error);
            assert!(!report.is_well(), "{report:?}");
        }
    }

    #[test]
    fn junit_counts_and_escapes() {
        let verdicts = vec![
            Verdict::Closed("a <b> & \"c\"\u{1b}".into()),
            Verdict::NotShown("n".into()),
            Verdict::Open("o".into()),
            Verdict::Failed("f".into()),
        ];
        let text = junit(&[report(verdicts, Some("e"))]);
        assert!(text.contains("tests=\"5\" failures=\"2\" errors=\"1\" skipped=\"1\""), "{text}");
        assert!(text.contains("<system-out>a &lt;b&gt; &amp; &quot;c&quot; </system-out>"), "{text}");
        assert_eq!(text.matches("<testcase ").count(), 5);
    }
}
