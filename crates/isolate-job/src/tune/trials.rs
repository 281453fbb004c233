//! Which training jobs a tuning job has: their names and hyperparameters. They follow from the request and from the time at which it was
//! accepted, and the same question has the same answer.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::plan::Sampler;
use crate::request::TuningJob;
use crate::status::TuningStatus;

/// A training job of a tuning job; it need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// `NAME-001-1f0c2a9b`, as SageMaker names them.
    pub name: String,
    /// Its hyperparameters, without the static ones.
    pub chosen: BTreeMap<String, String>,
}

/// All training jobs, in their order.
#[must_use]
pub fn trials(job: &TuningJob, status: &TuningStatus) -> Vec<Trial> {
    let name = &job.hyper_parameter_tuning_job_name;
    // Another tuning job of the same name, after this one was removed, has other names and without RandomSeed other hyperparameters.
    let digest = |number: u64| {
        let arn = &status.hyper_parameter_tuning_job_arn;
        let text = format!("{arn}\n{}\n{number}", status.creation_time.millis());
        Sha256::digest(text.as_bytes()).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    let sampler = Sampler::new(&job.hyper_parameter_tuning_job_config, digest(0));
    let named = sampler.zip(1..).map(|(chosen, number)| Trial {
        name: format!("{name}-{number:03}-{:08x}", digest(number) >> 32),
        chosen,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Request, read};
    use crate::status::{Scope, Time};

    #[test]
    fn names_and_hyperparameters_are_the_same_again_and_others_at_another_time() {
        let text = include_str!("../request/tests/tuning.json")
            .replace("\"RandomSeed\": 7", "\"Strategy\": \"Random\"");
        let text = text.replacen("\"Strategy\": \"Random\",\n", "", 1);
        let Request::Tuning(job) = read(text.as_bytes()).unwrap() else { panic!() };
        let at = |millis| {
            let scope = Scope::of_role("arn:aws:iam::111122223333:role/x", "eu-west-1");
            trials(&job.data, &TuningStatus::new(&job, &scope, Time::from_millis(millis)))
        };
        let all = at(1_764_446_210_123);
        assert_eq!(all.len(), 8);
        assert_eq!(all, at(1_764_446_210_123));
        let other = at(1_764_446_210_124);
        assert!(
            all.iter().zip(&other).all(|(one, other)| one.name != other.name && one.chosen != other.chosen)
        );
        let suffix = all[1].name.strip_prefix("tune-002-").unwrap();
        assert!(suffix.len() == 8 && suffix.chars().all(|c| c.is_ascii_hexdigit()), "{suffix}");
        // The longest name that the API has, and the most training jobs.
        assert!(32 + "-750-".len() + suffix.len() <= 63);
    }
}
