//! CreateHyperParameterTuningJob, and the checks beyond its schema.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ranges::ParameterRanges;
use super::refused::Refused;
use super::training::{
    Channel, CheckpointConfig, InputMode, MetricDefinition, OutputDataConfig, ResourceConfig,
    StoppingCondition, Tag, VpcConfig,
};

/// CreateHyperParameterTuningJob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TuningJob {
    /// Unique on this host; its training jobs' names begin with it.
    pub hyper_parameter_tuning_job_name: String,
    /// What is tried, and how much of it.
    pub hyper_parameter_tuning_job_config: TuningConfig,
    /// What all of its training jobs have in common.
    pub training_job_definition: Definition,
    /// Kept with the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// What is tried, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TuningConfig {
    pub strategy: Strategy,
    pub hyper_parameter_tuning_job_objective: Objective,
    pub resource_limits: ResourceLimits,
    #[serde(default)]
    pub parameter_ranges: ParameterRanges,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_job_early_stopping_type: Option<EarlyStopping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<u32>,
}

/// How the next hyperparameters are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum Strategy {
    Random,
    Grid,
    Bayesian,
    Hyperband,
}

/// The metric to optimise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Objective {
    #[serde(rename = "Type")]
    pub kind: ObjectiveType,
    pub metric_name: String,
}

/// The direction of the optimisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum ObjectiveType {
    Maximize,
    Minimize,
}

/// How much is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ResourceLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_number_of_training_jobs: Option<u32>,
    pub max_parallel_training_jobs: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_runtime_in_seconds: Option<u32>,
}

/// When training jobs are stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum EarlyStopping {
    Off,
    Auto,
}

/// What all training jobs of a tuning job have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Definition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition_name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub static_hyper_parameters: BTreeMap<String, String>,
    pub algorithm_specification: TunedAlgorithm,
    pub role_arn: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_data_config: Vec<Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<VpcConfig>,
    pub output_data_config: OutputDataConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_config: Option<ResourceConfig>,
    /// In place of the one above, as SageMaker's SDK has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyper_parameter_tuning_resource_config: Option<ResourceConfig>,
    pub stopping_condition: StoppingCondition,
    #[serde(default)]
    pub enable_network_isolation: bool,
    #[serde(default)]
    pub enable_inter_container_traffic_encryption: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_config: Option<CheckpointConfig>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// What is run, and how it reads its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TunedAlgorithm {
    pub training_image: String,
    pub training_input_mode: InputMode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_definitions: Vec<MetricDefinition>,
}

/// The most training jobs of a tuning job.
const MOST_JOBS: u64 = 750;

/// The most hyperparameters of all ParameterRanges together.
const MOST_RANGES: usize = 30;

impl Definition {
    /// The containers of each training job.
    #[must_use]
    pub fn resources(&self) -> Option<&ResourceConfig> {
        self.resource_config.as_ref().or(self.hyper_parameter_tuning_resource_config.as_ref())
    }
}

impl TuningJob {
    /// The CreateTrainingJob request of one of its training jobs: the definition as it was given, with these
    /// hyperparameters beside the static ones.
    #[must_use]
    pub fn training_job(
        &self,
        given: &Map<String, Value>,
        name: &str,
        chosen: &BTreeMap<String, String>,
    ) -> Map<String, Value> {
        let mut request =
            given.get("TrainingJobDefinition").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut hyperparameters = self.training_job_definition.static_hyper_parameters.clone();
        hyperparameters.extend(chosen.clone());
        let metric = &self.hyper_parameter_tuning_job_config.hyper_parameter_tuning_job_objective.metric_name;
        hyperparameters.insert(OBJECTIVE.to_owned(), metric.clone());
        request.remove("StaticHyperParameters");
        request.remove("DefinitionName");
        if let Some(resources) = request.remove("HyperParameterTuningResourceConfig") {
            request.insert("ResourceConfig".to_owned(), resources);
        }
        request.insert("TrainingJobName".to_owned(), json!(name));
        request.insert("HyperParameters".to_owned(), json!(hyperparameters));
        request
    }

    /// What is wrong with it beyond the schema. Its training jobs are checked by reading the request of one.
    pub(super) fn refused(&self) -> Vec<Refused> {
        let mut refused = Vec::new();
        let config = &self.hyper_parameter_tuning_job_config;
        let mut no = |path: &str, why: String| {
            refused.push(Refused::new(format!("HyperParameterTuningJobConfig{path}"), why))
        };
        if matches!(config.strategy, Strategy::Bayesian | Strategy::Hyperband) {
            no(".Strategy", format!("{:?} is not supported; give Random or Grid", config.strategy));
        }
        if config.training_job_early_stopping_type == Some(EarlyStopping::Auto) {
            no(".TrainingJobEarlyStoppingType", "Auto is not supported; give Off or leave it out".to_owned());
        }
        let limits = &config.resource_limits;
        match (config.strategy, limits.max_number_of_training_jobs) {
            (Strategy::Random, None) => {
                no(".ResourceLimits.MaxNumberOfTrainingJobs", "is missing; Random tries as many".to_owned());
            }
            (Strategy::Random, Some(most)) if u64::from(most) > MOST_JOBS => {
                no(".ResourceLimits.MaxNumberOfTrainingJobs", format!("{most}; the most is {MOST_JOBS}"));
            }
            (Strategy::Random, Some(most)) if limits.max_parallel_training_jobs > most => {
                let why = format!("{} at a time of {most}; give no more", limits.max_parallel_training_jobs);
                no(".ResourceLimits.MaxParallelTrainingJobs", why);
            }
            _ => {}
        }
        let ranges = &config.parameter_ranges;
        let names = ranges.names();
        if names.is_empty() || names.len() > MOST_RANGES {
            no(".ParameterRanges", format!("{} ranges; give 1 to {MOST_RANGES}", names.len()));
        }
        let mut seen = HashSet::new();
        for (path, name) in &names {
            if !seen.insert(*name) {
                no(
                    &format!(".ParameterRanges.{path}.Name"),
                    "is a duplicate; give one range for each".to_owned(),
                );
            }
            if self.training_job_definition.static_hyper_parameters.contains_key(*name) || *name == OBJECTIVE
            {
                no(
                    &format!(".ParameterRanges.{path}.Name"),
                    "is a static hyperparameter, too; remove one".to_owned(),
                );
            }
        }
        for (list, whole, all) in [
            ("IntegerParameterRanges", true, &ranges.integer_parameter_ranges),
            ("ContinuousParameterRanges", false, &ranges.continuous_parameter_ranges),
        ] {
            for (index, range) in all.iter().enumerate() {
                if let Err(why) = range.bounds(whole) {
                    no(&format!(".ParameterRanges.{list}[{index}]"), why);
                }
            }
        }
        if let (Strategy::Grid, grid, given) =
            (config.strategy, ranges.grid(), limits.max_number_of_training_jobs)
        {
            if grid > MOST_JOBS {
                no(".ParameterRanges", format!("Grid tries {grid} combinations; the most is {MOST_JOBS}"));
            } else if given.is_some_and(|given| u64::from(given) != grid) {
                let why = format!("Grid tries all {grid} combinations; leave it out");
                no(".ResourceLimits.MaxNumberOfTrainingJobs", why);
            }
        }
        if config.strategy == Strategy::Grid && ranges.categorical_parameter_ranges.len() < names.len() {
            let why =
                "Grid tries all values of categorical ranges; give the numbers as CategoricalParameterRanges";
            no(".ParameterRanges", why.to_owned());
        }
        let definition = &self.training_job_definition;
        if definition.resource_config.is_some() && definition.hyper_parameter_tuning_resource_config.is_some()
        {
            refused.push(Refused::new(
                "TrainingJobDefinition.HyperParameterTuningResourceConfig",
                "is there beside ResourceConfig; give one of them",
            ));
            return refused;
        }
        let mut no = |path: &str, why: String| {
            refused.push(Refused::new(format!("HyperParameterTuningJobConfig{path}"), why))
        };
        let metric = &config.hyper_parameter_tuning_job_objective.metric_name;
        let metrics = &self.training_job_definition.algorithm_specification.metric_definitions;
        if !metrics.iter().any(|known| known.name == *metric) {
            let why = "has no definition; add one to TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions";
            no(".HyperParameterTuningJobObjective.MetricName", why.to_owned());
        }
        refused
    }
}

/// The hyperparameter by which SageMaker gives a program the objective's name.
const OBJECTIVE: &str = "_tuning_objective_metric";
