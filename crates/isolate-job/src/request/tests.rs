//! What is taken comes back, what is refused is refused by its path, and no member is on no list.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::members::{LISTS, Verdict, lists, needed, verdict};
use super::schema::{Kind, regex, schema};
use super::*;

const TRAINING: &str = include_str!("tests/training.json");
const MODEL: &str = include_str!("tests/model.json");
const TUNING: &str = include_str!("tests/tuning.json");
const TRANSFORM: &str = include_str!("tests/transform.json");

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The document with another value at a pointer; without it for null.
fn with(text: &str, pointer: &str, to: Value) -> Vec<u8> {
    let mut document = value(text);
    let (above, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Object(members) if to == Value::Null => drop(members.remove(name).unwrap()),
        Value::Object(members) => drop(members.insert(name.to_owned(), to)),
        Value::Array(items) if name == "-" => items.push(to),
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = to,
        _ => panic!("{pointer}"),
    }
    serde_json::to_vec(&document).unwrap()
}

fn refused(text: &[u8]) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(refusals) => refusals.0.iter().map(ToString::to_string).collect(),
    }
}

/// That this value at this pointer is refused, once, and how.
#[track_caller]
fn assert_refused(text: &str, pointer: &str, to: Value, expected: &str) {
    let refused = refused(&with(text, pointer, to.clone()));
    assert!(refused.len() == 1 && refused[0].contains(expected), "{pointer} = {to}: {refused:#?}");
}

/// Structures of the requests, as far as they are taken.
fn reached() -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let requests = schema().operations.iter().filter(|(name, _)| name.ends_with(".request"));
    let mut next: Vec<&str> = requests.map(|(_, shape)| shape.as_str()).collect();
    while let Some(name) = next.pop() {
        let shape = &schema().shapes[name];
        next.extend(shape.member.as_deref().into_iter().chain(shape.value.as_deref()));
        if shape.kind == Kind::Structure && reached.insert(name) {
            let taken = shape.members.iter().filter(|(member, _)| verdict(name, member) == Verdict::Taken);
            next.extend(taken.map(|(_, below)| below.as_str()));
        }
    }
    reached
}

#[test]
fn every_member_is_on_exactly_one_list() {
    let mut complaints = Vec::new();
    let (mut taken, mut without_effect, mut refused) = (0, 0, 0);
    for name in reached() {
        let Some(lists) = lists().find(|lists| lists.name == name) else {
            complaints.push(format!("{name} has no lists"));
            continue;
        };
        let (inert, against) = (lists.without_effect.iter(), lists.refused.iter());
        let mut listed: Vec<&str> = lists.taken.to_vec();
        listed.extend(inert.chain(against).map(|(member, _)| *member));
        for member in schema().shapes[name].members.keys() {
            let times = listed.iter().filter(|listed| *listed == member).count();
            complaints.extend((times != 1).then(|| format!("{name}.{member} is on {times} lists")));
        }
        let strangers = listed.iter().filter(|member| !schema().shapes[name].members.contains_key(**member));
        complaints.extend(strangers.map(|member| format!("{name} has no member {member}")));
        taken += lists.taken.len();
        without_effect += lists.without_effect.len();
        refused += lists.refused.len();
    }
    let all: usize = reached().iter().map(|name| schema().shapes[*name].members.len()).sum();
    println!("{}: {taken} taken, {without_effect} without effect, {refused} refused", schema().source);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(taken + without_effect + refused, all);
    let reached: Vec<_> = reached().into_iter().collect();
    let strangers: Vec<_> = lists().map(|lists| lists.name).filter(|name| !reached.contains(name)).collect();
    assert!(strangers.is_empty(), "{strangers:?} are reached by no member that is taken");
}

#[test]
fn what_is_needed_is_taken() {
    for lists in lists() {
        for member in needed(lists.name) {
            assert_eq!(verdict(lists.name, member), Verdict::Taken, "{}.{member}", lists.name);
        }
    }
}

#[test]
fn the_patterns_of_what_is_taken_can_be_tried() {
    for name in reached() {
        for (member, below) in &schema().shapes[name].members {
            let pattern = schema().shapes[below].pattern.as_ref();
            if verdict(name, member) == Verdict::Taken && !["TagKey", "TagValue"].contains(&below.as_str()) {
                assert!(pattern.is_none_or(|pattern| regex(pattern).is_some()), "{below}: {pattern:?}");
            }
        }
    }
}

/// Every member that is taken is in these documents, and so in the data that is made of them.
#[test]
fn full_documents_come_back() {
    let back = |text: &str| {
        let (data, given, without_effect) = match read(text.as_bytes()).unwrap_or_else(|why| panic!("{why}"))
        {
            Request::Training(document) => {
                (serde_json::to_value(document.data), document.given, document.without_effect)
            }
            Request::Model(document) => {
                (serde_json::to_value(document.data), document.given, document.without_effect)
            }
            Request::Tuning(document) => {
                (serde_json::to_value(document.data), document.given, document.without_effect)
            }
            Request::Transform(document) => {
                (serde_json::to_value(document.data), document.given, document.without_effect)
            }
        };
        assert_eq!(Value::Object(given.clone()), value(text));
        let mut expected = Value::Object(given);
        for (path, _) in without_effect {
            let pointer = format!("/{}", path.replace('.', "/"));
            let (above, name) = pointer.rsplit_once('/').unwrap();
            expected.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(data.unwrap(), expected);
    };
    [TRAINING, MODEL, TUNING, TRANSFORM].into_iter().for_each(back);
    back(&TUNING.replace("\"ResourceConfig\"", "\"HyperParameterTuningResourceConfig\""));
    // And none is missing in them but those that exclude each other or are not supported yet.
    let all = [TRAINING, MODEL, TUNING, TRANSFORM].concat();
    let without =
        ["ShuffleConfig", "Seed", "AttributeNames", "ModelDataUrl", "HyperParameterTuningResourceConfig"];
    for lists in LISTS {
        for member in lists.taken {
            assert!(all.contains(&format!("\"{member}\":")) || without.contains(member), "{member}");
        }
    }
}

#[test]
fn every_taken_member_of_a_wrong_type_is_refused_by_its_path() {
    fn walk(text: &str, value: &Value, pointer: &str, path: &str, count: &mut usize) {
        let wrong = match value {
            Value::String(_) => json!(7),
            Value::Object(_) => json!([]),
            _ => json!("word"),
        };
        if !pointer.is_empty() {
            for (wrong, why) in [(wrong, "expected"), (json!({"": null}), ""), (json!(1.5), "")] {
                if let Err(refusals) = read(&with(text, pointer, wrong.clone())) {
                    let is_here =
                        |refused: &Refused| refused.path.starts_with(path) && refused.why.contains(why);
                    assert!(refusals.0.iter().any(is_here), "{pointer} = {wrong}: {path}: {refusals}");
                } else {
                    panic!("{pointer} = {wrong} is taken");
                }
                *count += 1;
            }
        }
        match value {
            Value::Object(members) => {
                for (name, below) in members {
                    let is_key = ["HyperParameters", "Environment"].iter().any(|map| path.ends_with(map));
                    let dot = if path.is_empty() { "" } else { "." };
                    let path =
                        if is_key { format!("{path}[{name:?}]") } else { format!("{path}{dot}{name}") };
                    walk(text, below, &format!("{pointer}/{name}"), &path, count);
                }
            }
            Value::Array(items) => {
                for (index, below) in items.iter().enumerate() {
                    walk(text, below, &format!("{pointer}/{index}"), &format!("{path}[{index}]"), count);
                }
            }
            _ => {}
        }
    }
    let mut count = 0;
    for text in [TRAINING, MODEL, TUNING, TRANSFORM] {
        // Not those by whose presence the operation is told.
        for (name, below) in value(text).as_object().unwrap() {
            walk(text, below, &format!("/{name}"), name, &mut count);
        }
    }
    assert!(count > 300, "{count}");
}

#[test]
fn what_types_do_not_say_is_refused_by_path() {
    let channel = "/InputDataConfig/1";
    let source = "/InputDataConfig/1/DataSource/S3DataSource";
    for (pointer, to, expected) in [
        ("/Nonsense".to_owned(), json!(1), "Nonsense: is not a member of CreateTrainingJobRequest"),
        (
            "/rolearn".to_owned(),
            json!("x"),
            "rolearn: is not a member of CreateTrainingJobRequest; did you mean RoleArn?",
        ),
        ("/TrainingJobName".to_owned(), json!("-a"), "TrainingJobName: \"-a\" does not match"),
        (
            "/TrainingJobName".to_owned(),
            json!("a".repeat(64)),
            "TrainingJobName: 64 characters; the most is 63",
        ),
        ("/RoleArn".to_owned(), Value::Null, "RoleArn: is missing"),
        ("/ResourceConfig".to_owned(), Value::Null, "ResourceConfig: is missing"),
        ("/AlgorithmSpecification/TrainingImage".to_owned(), Value::Null, "TrainingImage: is missing"),
        (
            "/AlgorithmSpecification/TrainingImage".to_owned(),
            json!("--privileged"),
            "is not an image reference",
        ),
        ("/AlgorithmSpecification/ContainerEntrypoint/0".to_owned(), json!(""), "is empty"),
        ("/AlgorithmSpecification/AlgorithmName".to_owned(), json!("x"), "AlgorithmName: is not supported"),
        ("/AlgorithmSpecification/MetricDefinitions/0/Regex".to_owned(), json!("a=(?=b)(.)"), "look-around"),
        ("/AlgorithmSpecification/MetricDefinitions/0/Regex".to_owned(), json!("loss"), "has no group"),
        (format!("{channel}/ChannelName"), json!("train"), "InputDataConfig[1].ChannelName: is a duplicate"),
        (
            format!("{channel}/ChannelName"),
            json!(".."),
            "InputDataConfig[1].ChannelName: is not a directory name",
        ),
        (
            format!("{channel}/ChannelName"),
            json!("a/b"),
            "InputDataConfig[1].ChannelName: \"a/b\" does not match",
        ),
        (format!("{channel}/CompressionType"), json!("Gzip"), "InputDataConfig[1].CompressionType: "),
        (format!("{channel}/RecordWrapperType"), json!("RecordIO"), "InputDataConfig[1].RecordWrapperType: "),
        (format!("{channel}/ShuffleConfig"), json!({"Seed": 1}), "InputDataConfig[1].ShuffleConfig: "),
        (
            format!("{source}/S3Uri"),
            json!("https://a/b"),
            "InputDataConfig[1].DataSource.S3DataSource.S3Uri: is not an S3 URI",
        ),
        (format!("{source}/S3Uri"), json!("data"), "DataSource.S3DataSource.S3Uri: \"data\" does not match"),
        (format!("{source}/S3DataType"), json!("AugmentedManifestFile"), "S3DataSource.S3DataType: "),
        (format!("{source}/S3DataType"), json!("Converse"), "S3DataSource.S3DataType: "),
        (format!("{source}/AttributeNames"), json!(["a"]), "S3DataSource.AttributeNames: "),
        (format!("{source}/HubAccessConfig"), json!({}), "S3DataSource.HubAccessConfig: is not supported"),
        ("/ResourceConfig/InstanceCount".to_owned(), json!(0), "ResourceConfig.InstanceCount: 0 containers"),
        ("/ResourceConfig/InstanceCount".to_owned(), json!(5_000_000_000_i64), "is not an integer that fits"),
        ("/ResourceConfig/InstanceCount".to_owned(), json!(2.0), "is not an integer that fits"),
        (
            "/ResourceConfig/VolumeSizeInGB".to_owned(),
            json!(-1),
            "ResourceConfig.VolumeSizeInGB: -1; the least is 0",
        ),
        ("/ResourceConfig/InstanceType".to_owned(), json!("ml.huge"), "\"ml.huge\" is not one of ml."),
        ("/CheckpointConfig/LocalPath".to_owned(), json!("/opt/ml/model"), "CheckpointConfig.LocalPath: "),
        ("/CheckpointConfig/LocalPath".to_owned(), json!("/etc"), "CheckpointConfig.LocalPath: "),
        ("/CheckpointConfig/LocalPath".to_owned(), json!("/a/../etc"), "CheckpointConfig.LocalPath: "),
        ("/CheckpointConfig/LocalPath".to_owned(), json!("/a,readonly"), "CheckpointConfig.LocalPath: "),
        ("/Environment/A".to_owned(), json!("a\nB=b"), "Environment[\"A\"]: has a line break"),
        ("/Environment/A=B".to_owned(), json!("a"), "Environment[\"A=B\"]: \"A=B\" does not match"),
        ("/Environment/A".to_owned(), json!("a\0"), "Environment[\"A\"]: contains a NUL"),
        ("/Tags/0/Key".to_owned(), json!("a;b"), "Tags[0].Key: \"a;b\" does not match"),
        ("/OutputDataConfig/S3OutputPath".to_owned(), json!("s3:///x"), "OutputDataConfig.S3OutputPath: "),
        ("/OutputDataConfig".to_owned(), json!(null), "OutputDataConfig: is missing"),
        (
            "/RemoteDebugConfig/EnableRemoteDebug".to_owned(),
            json!(true),
            "RemoteDebugConfig.EnableRemoteDebug: ",
        ),
        ("/DebugHookConfig/S3OutputPath".to_owned(), json!(7), "DebugHookConfig.S3OutputPath: is a number"),
        ("/VpcConfig/Subnets".to_owned(), json!([]), "VpcConfig.Subnets: 0 items; the least is 1"),
    ] {
        assert_refused(TRAINING, &pointer, to, expected);
    }
    assert_refused(MODEL, "/ExecutionRoleArn", Value::Null, "ExecutionRoleArn: is missing");
    assert_refused(MODEL, "/PrimaryContainer/ModelDataUrl", json!("s3://models/x"), "PrimaryContainer: has ");
    assert_refused(MODEL, "/PrimaryContainer/Mode", json!("MultiModel"), "PrimaryContainer.Mode: ");
    assert_refused(MODEL, "/Containers", json!([]), "Containers: is not supported");
    let s3 = "/PrimaryContainer/ModelDataSource/S3DataSource";
    assert_refused(MODEL, &format!("{s3}/CompressionType"), json!("Gzip"), "S3DataSource.CompressionType: ");
    assert_refused(MODEL, &format!("{s3}/S3Uri"), json!("s3://models/x"), "end it with a slash");
    let config = "/HyperParameterTuningJobConfig";
    for (pointer, to, expected) in [
        ("/Strategy", json!("Bayesian"), "Strategy: Bayesian is not supported; give Random or Grid"),
        ("/Strategy", json!("Hyperband"), "Strategy: Hyperband is not supported"),
        ("/TrainingJobEarlyStoppingType", json!("Auto"), "TrainingJobEarlyStoppingType: Auto"),
        ("/ResourceLimits/MaxNumberOfTrainingJobs", Value::Null, "MaxNumberOfTrainingJobs: is missing"),
        ("/ResourceLimits/MaxParallelTrainingJobs", json!(90), "MaxParallelTrainingJobs: 90 at a time"),
        (
            "/ParameterRanges/CategoricalParameterRanges/0/Name",
            json!("depth"),
            "Ranges[0].Name: is a duplicate",
        ),
        (
            "/ParameterRanges/CategoricalParameterRanges/0/Name",
            json!("epochs"),
            "Ranges[0].Name: is a static",
        ),
        ("/ParameterRanges/AutoParameters", json!([]), "ParameterRanges.AutoParameters: is not supported"),
        ("/HyperParameterTuningJobObjective/MetricName", json!("x"), "MetricName: has no definition"),
    ] {
        assert_refused(TUNING, &format!("{config}{pointer}"), to, expected);
    }
    let mut grid = value(TUNING);
    grid["HyperParameterTuningJobConfig"]["Strategy"] = json!("Grid");
    let said = refused(&serde_json::to_vec(&grid).unwrap());
    assert!(said.len() == 2 && said[0].contains("Grid tries all 2 combinations; leave it out"), "{said:?}");
    assert!(said[1].contains("give the numbers as CategoricalParameterRanges"), "{said:?}");
    assert_refused(
        TUNING,
        "/TrainingJobDefinition/OutputDataConfig/S3OutputPath",
        json!("https://a/b"),
        "TrainingJobDefinition.OutputDataConfig.S3OutputPath: is not an S3 URI",
    );
    for (pointer, to) in [
        ("/BatchStrategy", json!("MultiRecord")),
        ("/TransformInput/SplitType", json!("TFRecord")),
        ("/TransformInput/CompressionType", json!("Gzip")),
        ("/TransformInput/DataSource/S3DataSource/S3DataType", json!("Converse")),
        ("/TransformResources/InstanceCount", json!(2)),
        ("/DataProcessing/JoinSource", json!("Input")),
        ("/DataProcessing/InputFilter", json!("$")),
    ] {
        assert_refused(TRANSFORM, pointer, to, &format!("{}: ", pointer[1..].replace('/', ".")));
    }
}

#[test]
fn twenty_one_channels_are_refused() {
    let channels: Vec<_> = (0..21)
        .map(|index| {
            let mut channel = value(TRAINING)["InputDataConfig"][0].clone();
            channel["ChannelName"] = json!(format!("c{index}"));
            channel
        })
        .collect();
    assert_refused(
        TRAINING,
        "/InputDataConfig",
        json!(channels),
        "InputDataConfig: 21 items; the most is 20",
    );
    assert!(read(&with(TRAINING, "/InputDataConfig", json!(channels[..20]))).is_ok());
}

#[test]
fn members_and_keys_that_stand_twice_are_refused() {
    let text = TRAINING.trim_end().trim_end_matches('}').to_owned() + ",\"RoleArn\":\"x\"}";
    assert_eq!(refused(text.as_bytes()), ["RoleArn: is given twice; remove one"]);
    let text = TRAINING.replace("\"Environment\": {", "\"Environment\": {\"A\": \"1\", \"A\": \"2\",");
    assert_eq!(refused(text.as_bytes()), ["Environment[\"A\"]: is given twice; remove one"]);
}

#[test]
fn what_is_no_document_is_refused() {
    let deep = "[".repeat(100_000);
    for (text, expected) in [
        ("", "not JSON"),
        ("{} {}", "not JSON: trailing characters"),
        ("[]", "the document is a list"),
        ("{}", "cannot tell which request this is; give one of TransformJobName, TrainingJobName"),
        ("{\"TrainingJobName\": \"\\ud800\"}", "not JSON"),
        (deep.as_str(), "not JSON: recursion limit"),
    ] {
        let refused = refused(text.as_bytes());
        assert!(refused.len() == 1 && refused[0].starts_with(expected), "{refused:?}");
    }
    assert!(refused(&vec![b' '; MOST + 1])[0].contains("more than 4 MiB"));
    assert!(refused(b"{\"TrainingJobName\": \"\xff\"}")[0].starts_with("not JSON"));
}

#[test]
fn as_many_reasons_are_said_as_a_person_reads() {
    let many: Map<_, _> = (0..1000).map(|index| (format!("X{index}"), json!(1))).collect();
    let mut document = value(TRAINING);
    document.as_object_mut().unwrap().extend(many);
    assert_eq!(refused(&serde_json::to_vec(&document).unwrap()).len(), 20);
}

#[test]
fn a_training_job_of_a_tuning_job_is_a_request_of_its_own() {
    let Request::Tuning(tuning) = read(TUNING.as_bytes()).unwrap() else { panic!() };
    let chosen = [("depth".to_owned(), "7".to_owned())].into();
    let request = tuning.data.training_job(&tuning.given, "tune-001", &chosen);
    let job = read_training(&serde_json::to_vec(&request).unwrap()).unwrap().data;
    assert_eq!(job.training_job_name, "tune-001");
    let expected = [("_tuning_objective_metric", "loss"), ("depth", "7"), ("epochs", "3")];
    assert_eq!(
        job.hyper_parameters,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
}

proptest! {
    #[test]
    fn no_bytes_make_reading_fail_otherwise(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&text);
    }

    /// Whatever stands in place of one member, the document is read or refused with a path below it.
    #[test]
    fn a_member_with_any_value_is_refused_below_its_path(
        name in prop::sample::select(value(TRAINING).as_object().unwrap().keys().cloned().collect::<Vec<_>>()),
        word in ".{0,20}",
        depth in 0usize..4,
    ) {
        let mut to = json!(word);
        for level in 0..depth {
            to = if level % 2 == 0 { json!([to]) } else { json!({ "S3Uri": to }) };
        }
        if name != "TrainingJobName" && let Err(refusals) = read(&with(TRAINING, &format!("/{name}"), to)) {
            prop_assert!(refusals.0.iter().all(|refused| refused.path.starts_with(&name)), "{}", refusals);
        }
    }
}

/// Changes of the second channel, the first of which is in Pipe mode.
fn with_pipe(changes: &[(&str, Value)]) -> Result<Request, Refusals> {
    let mut request: Value = serde_json::from_str(TRAINING).unwrap();
    request["InputDataConfig"][0]["InputMode"] = json!("Pipe");
    for (pointer, value) in changes {
        let channel = &mut request["InputDataConfig"][1];
        match pointer.rsplit_once('/') {
            Some((above, name)) => channel.pointer_mut(&format!("/{above}")).unwrap()[name] = value.clone(),
            None => channel[*pointer] = value.clone(),
        }
    }
    read(request.to_string().as_bytes())
}

#[test]
fn a_channel_in_pipe_mode_takes_what_belongs_to_it() {
    let source = "DataSource/S3DataSource";
    let (kind, names) = (format!("{source}/S3DataType"), format!("{source}/AttributeNames"));
    let augmented = (kind.as_str(), json!("AugmentedManifestFile"));
    let pipe = ("InputMode", json!("Pipe"));
    let all = [
        pipe.clone(),
        ("CompressionType", json!("Gzip")),
        ("RecordWrapperType", json!("RecordIO")),
        ("ShuffleConfig", json!({ "Seed": -1 })),
    ];
    with_pipe(&all).unwrap();
    with_pipe(&[pipe.clone(), augmented.clone(), (&names, json!(["image-ref", "label"]))]).unwrap();
    // "train_01" is no number of an epoch, and "train_" has none.
    for name in ["train_01", "train_", "train-0"] {
        with_pipe(&[("ChannelName", json!(name))]).unwrap();
    }
    for (changes, expected) in [
        (vec![pipe.clone(), augmented.clone()], "[1].DataSource.S3DataSource.AttributeNames: is missing"),
        (vec![augmented, (&names, json!(["label"]))], "[1].DataSource.S3DataSource.S3DataType: "),
        (vec![pipe, (&names, json!(["label"]))], "[1].DataSource.S3DataSource.AttributeNames: belongs to"),
        (vec![("ChannelName", json!("train_0"))], "[1].ChannelName: is the name of a FIFO of channel train"),
    ] {
        let refusals = with_pipe(&changes).unwrap_err().to_string();
        assert!(refusals.contains(&format!("InputDataConfig{expected}")), "{refusals}");
        assert_eq!(refusals.lines().count(), 1, "{refusals}");
    }
}
