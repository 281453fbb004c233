//! Parameter ranges of tuning jobs.

use serde::{Deserialize, Serialize};

/// What hyperparameters are chosen from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ParameterRanges {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub integer_parameter_ranges: Vec<ParameterRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continuous_parameter_ranges: Vec<ParameterRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categorical_parameter_ranges: Vec<CategoricalRange>,
}

/// Numbers from one to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ParameterRange {
    pub name: String,
    pub min_value: String,
    pub max_value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_type: Option<Scaling>,
}

/// How numbers are spread over a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum Scaling {
    #[default]
    Auto,
    Linear,
    Logarithmic,
    ReverseLogarithmic,
}

/// One of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct CategoricalRange {
    pub name: String,
    pub values: Vec<String>,
}

impl ParameterRange {
    /// The least and the most.
    ///
    /// # Errors
    /// What is no number, no range, or none that can be scaled as asked.
    pub fn bounds(&self, whole: bool) -> Result<(f64, f64), String> {
        let number = |text: &str| match whole {
            // Beyond, not every integer is a number.
            true => text.parse::<i64>().ok().filter(|n| n.unsigned_abs() <= 1 << 53).map(|n| n as f64),
            false => text.parse::<f64>().ok().filter(|n| n.is_finite()),
        };
        let kind = if whole { "an integer" } else { "a number" };
        let (Some(min), Some(max)) = (number(&self.min_value), number(&self.max_value)) else {
            return Err(format!(
                "MinValue {:?} or MaxValue {:?} is not {kind}",
                self.min_value, self.max_value
            ));
        };
        if min > max {
            return Err(format!("MinValue {min} is above MaxValue {max}"));
        }
        match self.scaling_type.unwrap_or_default() {
            Scaling::Logarithmic if min <= 0.0 => {
                Err("Logarithmic takes a MinValue above 0; give that or Linear".to_owned())
            }
            Scaling::ReverseLogarithmic if whole || min < 0.0 || max >= 1.0 => {
                Err("ReverseLogarithmic takes continuous values from 0 to below 1; give that or Linear"
                    .to_owned())
            }
            _ => Ok((min, max)),
        }
    }
}

impl ParameterRanges {
    /// How many combinations there are of the categorical values.
    #[must_use]
    pub fn grid(&self) -> u64 {
        let counts = self.categorical_parameter_ranges.iter().map(|range| range.values.len() as u64);
        counts.fold(1, u64::saturating_mul)
    }

    /// The names of all hyperparameters, with their places.
    pub(super) fn names(&self) -> Vec<(String, &str)> {
        let mut names = Vec::new();
        let mut add = |list: &str, index: usize, name| names.push((format!("{list}[{index}]"), name));
        for (index, range) in self.integer_parameter_ranges.iter().enumerate() {
            add("IntegerParameterRanges", index, range.name.as_str());
        }
        for (index, range) in self.continuous_parameter_ranges.iter().enumerate() {
            add("ContinuousParameterRanges", index, range.name.as_str());
        }
        for (index, range) in self.categorical_parameter_ranges.iter().enumerate() {
            add("CategoricalParameterRanges", index, range.name.as_str());
        }
        names
    }
}
