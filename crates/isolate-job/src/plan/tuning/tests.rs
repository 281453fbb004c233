//! What is chosen is within its range, spread as was asked for, and the same for one seed.

use std::collections::BTreeSet;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::request::{CategoricalRange, Objective, ObjectiveType, ResourceLimits};

fn config(strategy: Strategy, jobs: u32, ranges: ParameterRanges) -> TuningConfig {
    TuningConfig {
        strategy,
        hyper_parameter_tuning_job_objective: Objective {
            kind: ObjectiveType::Minimize,
            metric_name: "loss".to_owned(),
        },
        resource_limits: ResourceLimits {
            max_number_of_training_jobs: Some(jobs).filter(|_| strategy == Strategy::Random),
            max_parallel_training_jobs: 1,
            max_runtime_in_seconds: None,
        },
        parameter_ranges: ranges,
        training_job_early_stopping_type: None,
        random_seed: None,
    }
}

fn range(min: &str, max: &str, scaling: Scaling) -> ParameterRange {
    let scaling_type = Some(scaling);
    ParameterRange {
        name: "x".to_owned(),
        min_value: min.to_owned(),
        max_value: max.to_owned(),
        scaling_type,
    }
}

/// The share of values below a point.
fn share(range: ParameterRange, whole: bool, below: f64) -> f64 {
    let ranges = match whole {
        true => ParameterRanges { integer_parameter_ranges: vec![range], ..Default::default() },
        false => ParameterRanges { continuous_parameter_ranges: vec![range], ..Default::default() },
    };
    let config = config(Strategy::Random, 20_000, ranges);
    let values: Vec<f64> = Sampler::new(&config, 1).map(|chosen| chosen["x"].parse().unwrap()).collect();
    values.iter().filter(|value| **value < below).count() as f64 / values.len() as f64
}

#[test]
fn a_grid_is_every_combination_once() {
    let values = |name: &str, values: &[&str]| CategoricalRange {
        name: name.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let categorical_parameter_ranges = vec![values("a", &["1", "2"]), values("b", &["x", "y", "z"])];
    let config =
        config(Strategy::Grid, 0, ParameterRanges { categorical_parameter_ranges, ..Default::default() });
    let sampler = Sampler::new(&config, 9);
    assert_eq!(sampler.jobs(), 6);
    let all: Vec<_> = sampler.map(|chosen| format!("{}{}", chosen["a"], chosen["b"])).collect();
    assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
}

#[test]
fn numbers_are_spread_as_was_asked_for() {
    let near =
        |found: f64, expected: f64| assert!((found - expected).abs() < 0.02, "{found}, not {expected}");
    near(share(range("0", "10", Scaling::Linear), false, 1.0), 0.1);
    near(share(range("0.001", "10", Scaling::Logarithmic), false, 0.1), 0.5);
    // Auto takes the logarithm over three decades, and not over two.
    near(share(range("0.001", "10", Scaling::Auto), false, 0.1), 0.5);
    near(share(range("0.1", "10", Scaling::Auto), false, 1.0), 0.9 / 9.9);
    near(share(range("0.9", "0.9999", Scaling::ReverseLogarithmic), false, 0.99), 1.0 / 3.0);
    near(share(range("1", "4", Scaling::Linear), true, 1.5), 0.25);
    near(
        share(range("1", "100", Scaling::Logarithmic), true, 10.0),
        (9.5f64 / 0.5).ln() / (100.5f64 / 0.5).ln(),
    );
}

#[test]
fn one_seed_gives_one_sequence_in_every_version() {
    let ranges = ParameterRanges {
        integer_parameter_ranges: vec![range("0", "1000000", Scaling::Linear)],
        ..Default::default()
    };
    let mut config = config(Strategy::Random, 3, ranges);
    let sequence = |config: &TuningConfig, seed| -> Vec<_> {
        Sampler::new(config, seed).map(|chosen| chosen["x"].clone()).collect()
    };
    assert_eq!(sequence(&config, 0), ["883311", "431528", "26433"]);
    assert_ne!(sequence(&config, 0), sequence(&config, 1));
    config.random_seed = Some(7);
    assert_eq!(sequence(&config, 0), sequence(&config, 1));
}

proptest! {
    #[test]
    fn what_is_chosen_is_within_its_range(
        low in -1e300f64..1e300,
        high in -1e300f64..1e300,
        scaling in prop::sample::select(vec![
            Scaling::Auto, Scaling::Linear, Scaling::Logarithmic, Scaling::ReverseLogarithmic,
        ]),
        whole in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (low, high) = match scaling {
            Scaling::Logarithmic => (low.abs() + 1.0, high.abs() + 1.0),
            Scaling::ReverseLogarithmic => (low.abs() / 2e300, high.abs() / 2e300),
            _ => (low, high),
        };
        let (low, high) = if whole { ((low / 1e285).trunc(), (high / 1e285).trunc()) } else { (low, high) };
        let range = range(&low.min(high).to_string(), &low.max(high).to_string(), scaling);
        if let Ok((min, max)) = range.bounds(whole) {
            let ranges = match whole {
                true => ParameterRanges { integer_parameter_ranges: vec![range], ..Default::default() },
                false => ParameterRanges { continuous_parameter_ranges: vec![range], ..Default::default() },
            };
            let config = config(Strategy::Random, 20, ranges);
            for chosen in Sampler::new(&config, seed) {
                let value: f64 = chosen["x"].parse().unwrap();
                prop_assert!((min..=max).contains(&value), "{value} in {min}..={max}");
            }
        }
    }

    #[test]
    fn a_grid_has_no_combination_twice(sizes in prop::collection::vec(1usize..5, 1..5)) {
        let categorical_parameter_ranges: Vec<_> = sizes.iter().enumerate().map(|(index, size)| CategoricalRange {
            name: index.to_string(),
            values: (0..*size).map(|value| value.to_string()).collect(),
        }).collect();
        let config = config(Strategy::Grid, 0, ParameterRanges { categorical_parameter_ranges, ..Default::default() });
        let all: BTreeSet<_> = Sampler::new(&config, 0).collect();
        prop_assert_eq!(all.len(), sizes.iter().product::<usize>());
    }
}
