//! Requests of the SageMaker API as data. Reading is strict: a member that is unknown, duplicate, unsupported, of the wrong
//! type or out of bounds refuses the document; the error has the member's path and says what to do.

mod json;
mod members;

mod model;
mod ranges;
mod refused;
mod schema;
mod training;
mod transform;
mod tuning;
mod uri;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use json::Json;

pub use model::{
    ContainerDefinition, ContainerMode, Model, ModelDataSource, S3ModelDataSource, S3ModelDataType,
};
pub use ranges::{CategoricalRange, ParameterRange, ParameterRanges, Scaling};
pub use refused::{Refusals, Refused};
#[cfg(test)]
pub(crate) use schema::answer;
pub use schema::source;
pub use training::{
    AlgorithmSpecification, Channel, CheckpointConfig, CompressionType, DataSource, Distribution, InputMode,
    MetricDefinition, OutputCompression, OutputDataConfig, RecordWrapper, RemoteDebugConfig, ResourceConfig,
    S3DataSource, S3DataType, SessionChainingConfig, ShuffleConfig, StoppingCondition, Tag, TrainingJob,
    VpcConfig,
};
pub use transform::{
    AssemblyType, BatchStrategy, DataProcessing, JoinSource, ModelClientConfig, SplitType,
    TransformDataSource, TransformInput, TransformJob, TransformOutput, TransformResources,
    TransformS3DataSource,
};
pub use tuning::{
    Definition, EarlyStopping, Objective, ObjectiveType, ResourceLimits, Strategy, TunedAlgorithm,
    TuningConfig, TuningJob,
};
pub use uri::{MOST_OF_KEY, S3Uri};

/// A request that can be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<T> {
    /// What it asks for.
    pub data: T,
    /// Its members as they were given, which `Describe` answers again.
    pub given: Map<String, Value>,
    /// Members that change nothing here: the path, and why.
    pub without_effect: Vec<(String, &'static str)>,
}

/// One of the requests.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub enum Request {
    /// CreateTrainingJob.
    Training(Document<TrainingJob>),
    /// CreateModel.
    Model(Document<Model>),
    /// CreateHyperParameterTuningJob.
    Tuning(Document<TuningJob>),
    /// CreateTransformJob.
    Transform(Document<TransformJob>),
}

/// The most bytes of a request.
pub const MOST: usize = 4 << 20;

/// Which operation a document asks for, by the member that names its result. A transform job names a model, too.
const NAMES: [(&str, &str); 4] = [
    ("TransformJobName", "CreateTransformJob"),
    ("TrainingJobName", "CreateTrainingJob"),
    ("HyperParameterTuningJobName", "CreateHyperParameterTuningJob"),
    ("ModelName", "CreateModel"),
];

/// Reads a request of any of the operations.
///
/// # Errors
/// Every reason why the request is refused.
pub fn read(text: &[u8]) -> Result<Request, Refusals> {
    let json = parse(text)?;
    let Json::Object(members) = &json else {
        return Err(Refused::new("", format!("the document is {}; expected an object", json.kind())).into());
    };
    let found = NAMES.iter().find(|(name, _)| members.iter().any(|(member, _)| member == name));
    match found.map(|(_, operation)| *operation) {
        Some("CreateTransformJob") => transform(json).map(Request::Transform),
        Some("CreateTrainingJob") => training(json).map(Request::Training),
        Some("CreateHyperParameterTuningJob") => tuning(json).map(Request::Tuning),
        Some("CreateModel") => model(json).map(Request::Model),
        _ => {
            let names = NAMES.map(|(name, _)| name).join(", ");
            Err(Refused::new("", format!("cannot tell which request this is; give one of {names}")).into())
        }
    }
}

/// Reads CreateTrainingJob.
///
/// # Errors
/// Every reason why the request is refused.
pub fn read_training(text: &[u8]) -> Result<Document<TrainingJob>, Refusals> {
    training(parse(text)?)
}

/// Reads CreateModel.
///
/// # Errors
/// Every reason why the request is refused.
pub fn read_model(text: &[u8]) -> Result<Document<Model>, Refusals> {
    model(parse(text)?)
}

/// Reads the request of any other operation as the type that it is carried out from.
///
/// # Errors
/// Every reason why the request is refused.
pub fn read_as<T: DeserializeOwned>(operation: &str, text: &[u8]) -> Result<Document<T>, Refusals> {
    typed(operation, parse(text)?, |_| Vec::new())
}

fn training(json: Json) -> Result<Document<TrainingJob>, Refusals> {
    typed("CreateTrainingJob", json, TrainingJob::refused)
}

fn model(json: Json) -> Result<Document<Model>, Refusals> {
    typed("CreateModel", json, Model::refused)
}

fn transform(json: Json) -> Result<Document<TransformJob>, Refusals> {
    typed("CreateTransformJob", json, TransformJob::refused)
}

fn tuning(json: Json) -> Result<Document<TuningJob>, Refusals> {
    let document = typed("CreateHyperParameterTuningJob", json, TuningJob::refused)?;
    // Its training jobs are read as they will be, so that none is refused later.
    let first = document.data.training_job(&document.given, "first", &Default::default());
    training(serde_json::from_value(Value::Object(first)).expect("it was JSON before")).map_err(
        |refusals| {
            let below = |refused: Refused| Refused {
                path: format!("TrainingJobDefinition.{}", refused.path),
                ..refused
            };
            Refusals(refusals.0.into_iter().map(below).collect())
        },
    )?;
    Ok(document)
}

fn parse(text: &[u8]) -> Result<Json, Refused> {
    if text.len() > MOST {
        return Err(Refused::new("", format!("the document has more than {} MiB", MOST >> 20)));
    }
    serde_json::from_slice(text).map_err(|error| Refused::new("", format!("not JSON: {error}")))
}

fn typed<T: DeserializeOwned>(
    operation: &str,
    json: Json,
    check: fn(&T) -> Vec<Refused>,
) -> Result<Document<T>, Refusals> {
    let found = schema::request(operation, &json);
    if !found.refused.is_empty() {
        return Err(Refusals(found.refused));
    }
    let given = json.into_value();
    let data: T =
        serde_json::from_value(given.clone()).map_err(|error| Refused::new("", error.to_string()))?;
    let refused = check(&data);
    if !refused.is_empty() {
        return Err(Refusals(refused));
    }
    let Value::Object(given) = given else { return Err(Refused::new("", "expected an object").into()) };
    Ok(Document { data, given, without_effect: found.without_effect })
}

#[cfg(test)]
mod tests;
