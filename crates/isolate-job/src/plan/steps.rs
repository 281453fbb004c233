//! The transfer steps of a job: one channel in, one result out, or one channel that is streamed while the container runs.

use serde::{Deserialize, Serialize};

use super::session_policy::Access;
use crate::request::{
    Channel, CompressionType, Distribution, InputMode, Model, OutputCompression, RecordWrapper, S3DataType,
    S3ModelDataType, S3Uri, TrainingJob, TransformJob,
};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `channel train`, `model`, `output`, `checkpoints`.
    pub name: String,
    /// The member of the request that names the place in Amazon S3.
    pub member: String,
    /// Into the container or out of it.
    pub direction: Direction,
    /// What is in Amazon S3.
    pub uri: S3Uri,
    /// In which form.
    pub form: Form,
    /// The directory in the container.
    pub directory: String,
    /// What of Amazon S3 the step reaches; of a manifest's objects it is known when the manifest is read.
    pub accesses: Vec<Access>,
    /// With which key what is written is encrypted.
    pub kms: Option<String>,
    /// What a FIFO gets of the objects, if it is one.
    pub pipe: Option<Pipe>,
}

impl Step {
    /// Its directory below `--root`, if it is there: what the container has in /opt/ml, or what is sent to it and answered.
    #[must_use]
    pub fn below_root(&self) -> Option<&str> {
        ["/opt/ml/", "/invocations/"].iter().find_map(|root| self.directory.strip_prefix(root))
    }
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Into the container, before it starts.
    In,
    /// Out of it.
    Out,
    /// Into the container, while it runs.
    Stream,
}

/// How a channel in Pipe mode is streamed. Its FIFOs are the step's directory, an underscore, and the number of the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// Each object is decompressed.
    pub is_gzip: bool,
    /// Each object, or each attribute of a line, becomes a record of RecordIO.
    pub is_wrapped: bool,
    /// The order of each epoch is another one.
    pub seed: Option<i64>,
    /// Of an AugmentedManifestFile.
    pub attributes: Vec<String>,
}

/// What data is in Amazon S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Objects whose keys begin so; sharded or not.
    Prefix(Distribution),
    /// Objects that a manifest names; sharded or not.
    Manifest(Distribution),
    /// Attributes in the lines of an AugmentedManifestFile, and the objects that they name; sharded or not.
    Augmented(Distribution),
    /// One object, as it is.
    Object,
    /// A tar.gz that is unpacked or packed.
    Archive,
    /// An object for each file.
    Tree,
}

/// The steps of a training job.
///
/// # Errors
/// A URI that is none, which a request that was read does not have.
pub fn of_training(job: &TrainingJob) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mode = job.algorithm_specification.training_input_mode;
    for (index, channel) in job.input_data_config.iter().enumerate() {
        let source = channel.source();
        let directory = format!("/opt/ml/input/data/{}", channel.channel_name);
        let name = format!("channel {}", channel.channel_name);
        let distribution = source.s3_data_distribution_type.unwrap_or_default();
        let member = format!("InputDataConfig[{index}].DataSource.S3DataSource.S3Uri");
        let step = channel_step(name, member, &source.s3_uri, source.s3_data_type, distribution, directory)?;
        steps.push(match channel.mode(mode) {
            InputMode::Pipe => Step { direction: Direction::Stream, pipe: Some(pipe(channel)), ..step },
            InputMode::File | InputMode::FastFile => step,
        });
    }
    let output = &job.output_data_config;
    if let Some(checkpoints) = &job.checkpoint_config {
        let uri = S3Uri::read(&checkpoints.s3_uri)?;
        let directory = checkpoints.local_path().to_owned();
        let below = folder(&uri);
        steps.push(Step {
            name: "checkpoints".to_owned(),
            member: "CheckpointConfig.S3Uri".to_owned(),
            direction: Direction::In,
            uri: below.clone(),
            form: Form::Prefix(Distribution::FullyReplicated),
            directory: directory.clone(),
            accesses: vec![Access::Prefix(below.clone())],
            kms: None,
            pipe: None,
        });
        steps.push(Step {
            name: "checkpoints".to_owned(),
            member: "CheckpointConfig.S3Uri".to_owned(),
            direction: Direction::Out,
            uri: below.clone(),
            form: Form::Tree,
            directory,
            accesses: vec![Access::WriteBelow(below)],
            kms: output.kms_key_id.clone(),
            pipe: None,
        });
    }
    let all = S3Uri::read(&output.s3_output_path)?.below(&format!("{}/output", job.training_job_name));
    for (name, directory) in [("model", "/opt/ml/model"), ("output", "/opt/ml/output/data")] {
        let (form, end) = match output.compression_type.unwrap_or_default() {
            OutputCompression::Gzip => (Form::Archive, format!("{name}.tar.gz")),
            OutputCompression::None => (Form::Tree, format!("{name}/")),
        };
        let uri = all.below(&end);
        let access = match form {
            Form::Archive => Access::Write(uri.clone()),
            _ => Access::WriteBelow(uri.clone()),
        };
        steps.push(Step {
            name: name.to_owned(),
            member: "OutputDataConfig.S3OutputPath".to_owned(),
            direction: Direction::Out,
            uri: uri.clone(),
            form,
            directory: directory.to_owned(),
            accesses: vec![access],
            kms: output.kms_key_id.clone(),
            pipe: None,
        });
    }
    Ok(steps)
}

/// The steps of a model: at most one.
///
/// # Errors
/// A URI that is none, which a request that was read does not have.
pub fn of_model(model: &Model) -> Result<Vec<Step>, String> {
    let container = &model.primary_container;
    let source = container.model_data_source.as_ref().map(|source| &source.s3_data_source);
    let (uri, form) = match (&container.model_data_url, source) {
        (Some(url), _) => (S3Uri::read(url)?, Form::Archive),
        (None, Some(source)) => {
            let form = match (source.s3_data_type, source.compression_type) {
                (S3ModelDataType::S3Prefix, _) => Form::Prefix(Distribution::FullyReplicated),
                (S3ModelDataType::S3Object, crate::request::CompressionType::Gzip) => Form::Archive,
                (S3ModelDataType::S3Object, crate::request::CompressionType::None) => Form::Object,
            };
            (S3Uri::read(&source.s3_uri)?, form)
        }
        (None, None) => return Ok(Vec::new()),
    };
    let member = match &container.model_data_url {
        Some(_) => "PrimaryContainer.ModelDataUrl",
        None => "PrimaryContainer.ModelDataSource.S3DataSource.S3Uri",
    };
    let access = match form {
        Form::Prefix(_) => Access::Prefix(uri.clone()),
        _ => Access::Object(uri.clone()),
    };
    Ok(vec![Step {
        name: "model".to_owned(),
        member: member.to_owned(),
        direction: Direction::In,
        uri,
        form,
        directory: "/opt/ml/model".to_owned(),
        accesses: vec![access],
        kms: None,
        pipe: None,
    }])
}

/// The steps of a transform job. Its objects go to the container as requests.
///
/// # Errors
/// A URI that is none, which a request that was read does not have.
pub fn of_transform(job: &TransformJob) -> Result<Vec<Step>, String> {
    let source = &job.transform_input.data_source.s3_data_source;
    let distribution = Distribution::FullyReplicated;
    let input = channel_step(
        "input".to_owned(),
        "TransformInput.DataSource.S3DataSource.S3Uri".to_owned(),
        &source.s3_uri,
        source.s3_data_type,
        distribution,
        "/invocations/input".to_owned(),
    )?;
    let uri = folder(&S3Uri::read(&job.transform_output.s3_output_path)?);
    let output = Step {
        name: "output".to_owned(),
        member: "TransformOutput.S3OutputPath".to_owned(),
        direction: Direction::Out,
        uri: uri.clone(),
        form: Form::Tree,
        directory: "/invocations/output".to_owned(),
        accesses: vec![Access::WriteBelow(uri)],
        kms: job.transform_output.kms_key_id.clone(),
        pipe: None,
    };
    Ok(vec![input, output])
}

fn channel_step(
    name: String,
    member: String,
    uri: &str,
    kind: S3DataType,
    distribution: Distribution,
    directory: String,
) -> Result<Step, String> {
    let uri = S3Uri::read(uri)?;
    let (form, access) = match kind {
        S3DataType::ManifestFile => (Form::Manifest(distribution), Access::Object(uri.clone())),
        S3DataType::AugmentedManifestFile => (Form::Augmented(distribution), Access::Object(uri.clone())),
        _ => (Form::Prefix(distribution), Access::Prefix(uri.clone())),
    };
    Ok(Step {
        name,
        member,
        direction: Direction::In,
        uri,
        form,
        directory,
        accesses: vec![access],
        kms: None,
        pipe: None,
    })
}

fn pipe(channel: &Channel) -> Pipe {
    Pipe {
        is_gzip: channel.compression_type == Some(CompressionType::Gzip),
        is_wrapped: channel.record_wrapper_type == Some(RecordWrapper::RecordIO),
        seed: channel.shuffle_config.as_ref().map(|config| config.seed),
        attributes: channel.source().attribute_names.clone(),
    }
}

/// With a slash at its end, so that what begins alike is not meant.
fn folder(uri: &S3Uri) -> S3Uri {
    let key = uri.key.trim_end_matches('/');
    let key = if key.is_empty() { String::new() } else { format!("{key}/") };
    S3Uri { bucket: uri.bucket.clone(), key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Request, read};

    fn shown(steps: Vec<Step>) -> Vec<String> {
        let arrow = |step: &Step| match step.direction {
            Direction::In => "->",
            Direction::Out => "<-",
            Direction::Stream => "=>",
        };
        steps
            .iter()
            .map(|step| {
                format!("{}: {} {} {} {:?}", step.name, step.uri, arrow(step), step.directory, step.form)
            })
            .collect()
    }

    #[test]
    fn a_training_job_moves_channels_checkpoints_and_results() {
        let Request::Training(job) = read(include_bytes!("../request/tests/training.json")).unwrap() else {
            panic!()
        };
        let expected = [
            "channel train: s3://data/boston/train -> /opt/ml/input/data/train Prefix(ShardedByS3Key)",
            "channel validation: s3://data/boston/validation.manifest -> /opt/ml/input/data/validation Manifest(FullyReplicated)",
            "checkpoints: s3://results/checkpoints/ -> /opt/ml/checkpoints Prefix(FullyReplicated)",
            "checkpoints: s3://results/checkpoints/ <- /opt/ml/checkpoints Tree",
            "model: s3://results/boston/boston-2026/output/model.tar.gz <- /opt/ml/model Archive",
            "output: s3://results/boston/boston-2026/output/output.tar.gz <- /opt/ml/output/data Archive",
        ];
        assert_eq!(shown(of_training(&job.data).unwrap()), expected);
    }

    #[test]
    fn a_channel_is_streamed_if_its_own_mode_or_that_of_the_job_is_pipe() {
        let Request::Training(mut job) = read(include_bytes!("../request/tests/training.json")).unwrap()
        else {
            panic!()
        };
        job.data.algorithm_specification.training_input_mode = InputMode::Pipe;
        let [own, channel] = job.data.input_data_config.as_mut_slice() else { panic!() };
        assert_eq!(own.input_mode, Some(InputMode::FastFile));
        channel.compression_type = Some(CompressionType::Gzip);
        channel.shuffle_config = Some(crate::request::ShuffleConfig { seed: 7 });
        channel.data_source.s3_data_source.s3_data_type = S3DataType::AugmentedManifestFile;
        channel.data_source.s3_data_source.attribute_names = vec!["image-ref".to_owned()];
        let steps = of_training(&job.data).unwrap();
        assert_eq!((steps[0].direction, &steps[0].pipe), (Direction::In, &None));
        let expected = "channel validation: s3://data/boston/validation.manifest => /opt/ml/input/data/validation Augmented(FullyReplicated)";
        assert_eq!(shown(vec![steps[1].clone()]), [expected]);
        let attributes = vec!["image-ref".to_owned()];
        let pipe = Pipe { is_gzip: true, is_wrapped: false, seed: Some(7), attributes };
        assert_eq!(steps[1].pipe, Some(pipe));
    }

    #[test]
    fn a_model_is_read_and_a_transform_job_goes_through_requests() {
        let Request::Model(model) = read(include_bytes!("../request/tests/model.json")).unwrap() else {
            panic!()
        };
        let expected = ["model: s3://models/boston/ -> /opt/ml/model Prefix(FullyReplicated)"];
        assert_eq!(shown(of_model(&model.data).unwrap()), expected);
        let Request::Transform(job) = read(include_bytes!("../request/tests/transform.json")).unwrap() else {
            panic!()
        };
        let expected = [
            "input: s3://data/batch/ -> /invocations/input Prefix(FullyReplicated)",
            "output: s3://results/batch/ <- /invocations/output Tree",
        ];
        assert_eq!(shown(of_transform(&job.data).unwrap()), expected);
    }
}
