//! Metric values, extracted from log lines by MetricDefinitions.

use regex_lite::Regex;

use crate::request::MetricDefinition;

/// Reads lines, and remembers the last value of each metric.
#[derive(Debug)]
pub struct Metrics {
    defined: Vec<(String, Regex)>,
    last: Vec<Option<(f64, usize)>>,
    lines: usize,
}

/// The last value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The number of the line, from 0.
    pub line: usize,
}

impl Metrics {
    /// The definitions are those of a valid request; others are left out.
    #[must_use]
    pub fn new(definitions: &[MetricDefinition]) -> Self {
        let compiled =
            |metric: &MetricDefinition| Some((metric.name.clone(), Regex::new(&metric.regex).ok()?));
        let defined: Vec<_> = definitions.iter().filter_map(compiled).collect();
        Self { last: vec![None; defined.len()], defined, lines: 0 }
    }

    /// Reads the next line. A value is the match of the first group, if that is a finite number.
    pub fn line(&mut self, line: &str) {
        for ((_, regex), last) in self.defined.iter().zip(&mut self.last) {
            for captures in regex.captures_iter(line) {
                let value = captures.get(1).and_then(|group| group.as_str().trim().parse::<f64>().ok());
                if let Some(value) = value.filter(|value| value.is_finite()) {
                    *last = Some((value, self.lines));
                }
            }
        }
        self.lines += 1;
    }

    /// The last value of each metric that had one.
    #[must_use]
    pub fn last(&self) -> Vec<MetricValue> {
        let found = self.defined.iter().zip(&self.last);
        found
            .filter_map(|((name, _), last)| {
                last.map(|(value, line)| MetricValue { name: name.clone(), value, line })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts() {
        let define =
            |name: &str, regex: &str| MetricDefinition { name: name.to_owned(), regex: regex.to_owned() };
        let mut metrics = Metrics::new(&[
            define("loss", "loss=(.*?);"),
            define("accuracy", "#quality_metric: host=\\S+, train accuracy <value>=([0-9\\.]+)"),
            define("never", "never=(\\d+)"),
        ]);
        for line in [
            "loss=0.5; loss=0.25;",
            "#quality_metric: host=algo-1, train accuracy <value>=0.75",
            "loss=nan; loss=word; loss=inf;",
            "\u{fffd} loss= 1e-3 ;",
        ] {
            metrics.line(line);
        }
        let found = |name: &str, value, line| MetricValue { name: name.to_owned(), value, line };
        assert_eq!(metrics.last(), [found("loss", 0.001, 3), found("accuracy", 0.75, 1)]);
    }
}
