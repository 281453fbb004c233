//! The operations. What is not here is refused by its name.

use serde_json::Value;

use super::wire::Failure;
use super::{Platform, endpoints, logs, models, tags, training, transform, tuning};

/// Carries out an operation. `region` is the one that the request is signed for.
pub(super) fn carry_out(
    platform: &Platform,
    region: &str,
    operation: &str,
    body: &[u8],
) -> Result<Value, Failure> {
    match operation {
        "CreateTrainingJob" => training::create(platform, body),
        "DescribeTrainingJob" => training::describe(platform, body),
        "ListTrainingJobs" => training::list(platform, body),
        "StopTrainingJob" => training::stop(platform, body),

        "CreateHyperParameterTuningJob" => tuning::create(platform, body),
        "DescribeHyperParameterTuningJob" => tuning::describe(platform, body),
        "ListHyperParameterTuningJobs" => tuning::list(platform, body),
        "ListTrainingJobsForHyperParameterTuningJob" => tuning::training_jobs(platform, body),
        "StopHyperParameterTuningJob" => tuning::stop(platform, body),

        "CreateTransformJob" => transform::create(platform, body),
        "DescribeTransformJob" => transform::describe(platform, body),
        "ListTransformJobs" => transform::list(platform, body),
        "StopTransformJob" => transform::stop(platform, body),

        "CreateModel" => models::create(platform, region, body),
        "DescribeModel" => models::describe(platform, body),
        "ListModels" => models::list(platform, body),
        "DeleteModel" => models::delete(platform, body),

        "CreateEndpointConfig" => endpoints::config::create(platform, body),
        "DescribeEndpointConfig" => endpoints::config::describe(platform, body),
        "ListEndpointConfigs" => endpoints::config::list(platform, body),
        "DeleteEndpointConfig" => endpoints::config::delete(platform, body),

        "CreateEndpoint" => endpoints::create(platform, body),
        "DescribeEndpoint" => endpoints::describe(platform, body),
        "ListEndpoints" => endpoints::list(platform, body),
        "DeleteEndpoint" => endpoints::delete(platform, body),

        "AddTags" => tags::add(platform, body),
        "ListTags" => tags::list(platform, body),
        "DeleteTags" => tags::delete(platform, body),

        "DescribeLogStreams" => logs::streams(platform, body),
        "GetLogEvents" => logs::get(platform, body),
        "FilterLogEvents" => logs::filter(platform, body),

        other => Err(Failure::validation(format!("{other} is not supported"))),
    }
}
