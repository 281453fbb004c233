//! Hyperparameters of the training jobs of a tuning job: random search or grid search. The same seed gives the same sequence.

use std::collections::BTreeMap;

use super::random::SplitMix;
use crate::request::{ParameterRange, ParameterRanges, Scaling, Strategy, TuningConfig};

/// Chooses hyperparameters, one set for each training job; an iterator that ends.
#[derive(Debug)]
pub struct Sampler<'c> {
    ranges: &'c ParameterRanges,
    is_grid: bool,
    next: u64,
    count: u64,
    random: SplitMix,
}

impl<'c> Sampler<'c> {
    /// A seed of the request's own goes before the one given.
    #[must_use]
    pub fn new(config: &'c TuningConfig, seed: u64) -> Self {
        let ranges = &config.parameter_ranges;
        let is_grid = config.strategy == Strategy::Grid;
        let most = config.resource_limits.max_number_of_training_jobs.map(u64::from);
        let count = if is_grid { ranges.grid() } else { most.unwrap_or(1) };
        let seed = config.random_seed.map_or(seed, u64::from);
        Self { ranges, is_grid, next: 0, count, random: SplitMix(seed) }
    }

    /// How many there are.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.count
    }

    /// The n-th combination, the last range changing fastest.
    fn grid(&self, n: u64) -> BTreeMap<String, String> {
        let mut rest = n;
        let mut chosen = BTreeMap::new();
        for range in self.ranges.categorical_parameter_ranges.iter().rev() {
            let count = range.values.len() as u64;
            chosen.insert(range.name.clone(), range.values[(rest % count) as usize].clone());
            rest /= count;
        }
        chosen
    }

    fn random(&mut self) -> BTreeMap<String, String> {
        let mut chosen = BTreeMap::new();
        for range in &self.ranges.integer_parameter_ranges {
            chosen.insert(range.name.clone(), integer(range, &mut self.random).to_string());
        }
        for range in &self.ranges.continuous_parameter_ranges {
            chosen.insert(range.name.clone(), continuous(range, self.random.unit()).to_string());
        }
        for range in &self.ranges.categorical_parameter_ranges {
            let index = self.random.below(range.values.len() as u64) as usize;
            chosen.insert(range.name.clone(), range.values[index].clone());
        }
        chosen
    }
}

impl Iterator for Sampler<'_> {
    type Item = BTreeMap<String, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let n = self.next;
        self.next += 1;
        Some(if self.is_grid { self.grid(n) } else { self.random() })
    }
}

/// How Auto is understood: SageMaker does not say how it chooses. Over three decades a logarithm is what people take.
fn scaling(range: &ParameterRange, min: f64, max: f64) -> Scaling {
    match range.scaling_type.unwrap_or_default() {
        Scaling::Auto if min > 0.0 && max / min >= 1000.0 => Scaling::Logarithmic,
        Scaling::Auto => Scaling::Linear,
        asked => asked,
    }
}

fn integer(range: &ParameterRange, random: &mut SplitMix) -> i64 {
    let (min, max) = range.bounds(true).unwrap_or_default();
    if scaling(range, min, max) == Scaling::Logarithmic {
        // As wide as what is rounded to each end, so that the ends are not chosen half as often.
        let value = scaled(Scaling::Logarithmic, min - 0.5, max + 0.5, random.unit()).round();
        return value.clamp(min, max) as i64;
    }
    min as i64 + random.below((max - min) as u64 + 1) as i64
}

fn continuous(range: &ParameterRange, unit: f64) -> f64 {
    let (min, max) = range.bounds(false).unwrap_or_default();
    scaled(scaling(range, min, max), min, max, unit).clamp(min, max)
}

fn scaled(scaling: Scaling, min: f64, max: f64, unit: f64) -> f64 {
    // Not min + unit * (max - min): the difference may be more than a number can be.
    let between = |min: f64, max: f64| min * (1.0 - unit) + max * unit;
    match scaling {
        Scaling::Auto | Scaling::Linear => between(min, max),
        Scaling::Logarithmic => between(min.ln(), max.ln()).exp(),
        Scaling::ReverseLogarithmic => 1.0 - between((1.0 - min).ln(), (1.0 - max).ln()).exp(),
    }
}

#[cfg(test)]
mod tests;
