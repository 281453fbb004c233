//! What a request would do: transfers, session policies, container command lines, and what stays open. Nothing is started.

mod refused;
mod shown;

use serde_json::{Map, Value, json};

pub(crate) use refused::input_modes;
use refused::isolated;
use shown::{form, quoted, shown, titled};

use crate::engine::{Argv, Container, Network, of_model};
use crate::plan::{
    Form, Grantee, Step, session_policy, steps_of_model, steps_of_training, steps_of_transform,
};
use crate::request::{Document, Refusals, Refused, Request, VpcConfig, source};
use crate::settings::Settings;

/// What a request would do.
#[derive(Debug)]
pub struct Report {
    operation: &'static str,
    name: String,
    steps: Vec<(Step, Value)>,
    /// Command lines.
    starts: Vec<Argv>,
    opened: Vec<String>,
    notes: Vec<String>,
    without_effect: Vec<(String, &'static str)>,
}

/// The settings and paths that a job would have.
#[derive(Debug)]
pub struct Host {
    /// The engine, the directory of jobs, the limits of containers.
    pub settings: Settings,
}

/// Reads a request and determines what it would do.
///
/// # Errors
/// Every reason why it would be refused.
pub fn check(text: &[u8], host: &Host) -> Result<Report, Refusals> {
    match crate::request::read(text)? {
        Request::Training(job) => training(&job, host, ""),
        Request::Model(model) => {
            isolated(model.data.enable_network_isolation, "EnableNetworkIsolation")?;
            let role = model.data.execution_role_arn.as_deref().unwrap_or_default();
            let steps = steps_of_model(&model.data).map_err(no)?;
            let container = of_model(&model.data, &host.settings.state);
            let mut report = Report::new("CreateModel", &model.data.model_name, &model.without_effect);
            report.steps = with_policies(steps, role)?;
            report.start(vec![container], host)?;
            report.subnets(model.data.vpc_config.as_ref(), host);
            Ok(report)
        }
        Request::Tuning(job) => {
            let definition = &job.data.training_job_definition;
            isolated(definition.enable_network_isolation, "TrainingJobDefinition.EnableNetworkIsolation")?;
            let config = &job.data.hyper_parameter_tuning_job_config;
            let name = &job.data.hyper_parameter_tuning_job_name;
            let sampler = crate::plan::Sampler::new(config, 0);
            let (count, mut sampler) = (sampler.jobs(), sampler);
            let chosen = sampler.next().unwrap_or_default();
            let request = job.data.training_job(&job.given, &format!("{name}-001"), &chosen);
            let first = crate::request::read_training(Value::Object(request).to_string().as_bytes())?;
            let mut report = training(&first, host, "TrainingJobDefinition.")?;
            report.operation = "CreateHyperParameterTuningJob";
            report.name.clone_from(name);
            report.without_effect.clone_from(&job.without_effect);
            let parallel = config.resource_limits.max_parallel_training_jobs;
            report.notes.insert(
                0,
                format!(
                    "{count} training jobs, {parallel} at a time, by {:?}; the first is shown",
                    config.strategy
                ),
            );
            Ok(report)
        }
        Request::Transform(job) => {
            let mut report =
                Report::new("CreateTransformJob", &job.data.transform_job_name, &job.without_effect);
            // The role is the model's, which is not in this document.
            report.steps = steps_of_transform(&job.data)
                .map_err(no)?
                .into_iter()
                .map(|step| (step, Value::Null))
                .collect();
            let model = &job.data.model_name;
            report
                .notes
                .push(format!("the container, its isolation and the role are those of model {model}"));
            Ok(report)
        }
    }
}

/// A training job, whose members are at this path of the document.
fn training(job: &Document<crate::request::TrainingJob>, host: &Host, at: &str) -> Result<Report, Refusals> {
    isolated(job.data.enable_network_isolation, &format!("{at}EnableNetworkIsolation"))?;
    input_modes(&job.data, host.settings.pipe_mode, at)?;
    let steps = steps_of_training(&job.data).map_err(no)?;
    let mut report = Report::new("CreateTrainingJob", &job.data.training_job_name, &job.without_effect);
    report.steps = with_policies(steps, &job.data.role_arn)?;
    report.start(host.settings.containers(&job.data), host)?;
    report.subnets(job.data.vpc_config.as_ref(), host);
    if report.steps.iter().any(|(step, _)| matches!(step.form, Form::Manifest(_))) {
        report.notes.push(
            "objects in a manifest are read under a session policy for the manifest's prefix".to_owned(),
        );
    }
    if report.steps.iter().any(|(step, _)| step.pipe.is_some()) {
        report.notes.push(
            "in Pipe mode the container decides when its objects are read, which the owner of their bucket can see"
                .to_owned(),
        );
    }
    if report.steps.iter().any(|(step, _)| matches!(step.form, Form::Augmented(_))) {
        report.notes.push(
            "objects that an augmented manifest names are read under a session policy for what their keys have in \
             common"
                .to_owned(),
        );
    }
    let mode = job.data.algorithm_specification.training_input_mode;
    for channel in &job.data.input_data_config {
        if channel.mode(mode) == crate::request::InputMode::FastFile {
            report.notes.push(format!(
                "channel {} uses FastFile; its files are staged before the container starts, as in File mode",
                channel.channel_name
            ));
        }
    }
    if job.data.enable_inter_container_traffic_encryption {
        report
            .notes
            .push("traffic between containers does not leave this host, and is not encrypted".to_owned());
    }
    let seconds = job.data.stopping_condition.max_runtime_in_seconds;
    report.notes.push(format!("stopped after {seconds} s"));
    Ok(report)
}

fn no(why: String) -> Refusals {
    Refused { path: String::new(), why }.into()
}

fn with_policies(steps: Vec<Step>, role: &str) -> Result<Vec<(Step, Value)>, Refusals> {
    let grantee = Grantee::of_role(role);
    let policy = |step: Step| {
        let text = session_policy(&grantee, &step.accesses, step.kms.as_deref())
            .map_err(|error| Refused { path: step.member.clone(), why: error.to_string() })?;
        let policy = serde_json::from_str(&text).map_err(|error| no(error.to_string()))?;
        Ok((step, policy))
    };
    steps.into_iter().map(policy).collect()
}

impl Report {
    fn new(operation: &'static str, name: &str, without_effect: &[(String, &'static str)]) -> Self {
        Self {
            operation,
            name: name.to_owned(),
            steps: Vec::new(),
            starts: Vec::new(),
            opened: Vec::new(),
            notes: Vec::new(),
            without_effect: without_effect.to_vec(),
        }
    }

    fn start(&mut self, containers: Vec<Container>, host: &Host) -> Result<(), Refusals> {
        self.opened.push(match containers.first().map(|container| container.network) {
            Some(Network::Job) => {
                format!("the {} containers reach each other, and nothing else", containers.len())
            }
            Some(Network::Serve(_)) => {
                "a port of 127.0.0.1 leads to port 8080 of the container; it reaches nothing".to_owned()
            }
            Some(Network::None) | None => "nothing: the container has no network".to_owned(),
        });
        let engine = host.settings.engine();
        if containers.first().is_some_and(|container| container.network == Network::Job) {
            self.starts.push(engine.create_network(&self.name, None));
        }
        for container in containers {
            self.starts.push(container.create(&engine).map_err(no)?);
        }
        Ok(())
    }

    fn subnets(&mut self, vpc: Option<&VpcConfig>, host: &Host) {
        self.opened.push(match vpc {
            Some(vpc) => format!("data is moved through {}", vpc.subnets.join(", ")),
            None => "data is moved through this host's own network".to_owned(),
        });
        let unknown = host.settings.unknown_subnets(vpc);
        self.notes.extend(unknown.iter().map(|refused| format!("refused on this host: {refused}")));
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{} {}", self.operation, self.name)];
        let mut section = |title: &str, items: Vec<String>| {
            if !items.is_empty() {
                lines.push(format!("\n{title}"));
                lines.extend(items.iter().map(|item| format!("  {item}")));
            }
        };
        section("moves", self.steps.iter().map(|(step, _)| shown(step)).collect());
        let policies = self.steps.iter().filter(|(_, policy)| !policy.is_null());
        section(
            "session policy of each step",
            policies.map(|(step, policy)| format!("{}: {policy}", titled(step))).collect(),
        );
        let command = |argv: &Argv| argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        section("starts", self.starts.iter().map(command).collect());
        section("opens", self.opened.clone());
        section("notes", self.notes.clone());
        section(
            "members without effect",
            self.without_effect.iter().map(|(path, why)| format!("{path}: {why}")).collect(),
        );
        lines.join("\n") + "\n"
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let step = |(step, policy): &(Step, Value)| {
            json!({
                "name": step.name,
                "direction": step.direction,
                "member": step.member,
                "uri": step.uri.to_string(),
                "form": form(step.form),
                "directory": step.directory,
                "kms_key_id": step.kms,
                "streamed": step.pipe.as_ref().map(|pipe| {
                    json!({
                        "gzip": pipe.is_gzip,
                        "record_io": pipe.is_wrapped,
                        "seed": pipe.seed,
                        "attributes": pipe.attributes,
                    })
                }),
                "session_policy": policy,
            })
        };
        let without_effect: Map<_, _> =
            self.without_effect.iter().map(|(path, why)| (path.clone(), json!(why))).collect();
        json!({
            "api": source(),
            "operation": self.operation,
            "name": self.name,
            "moves": self.steps.iter().map(step).collect::<Vec<_>>(),
            "starts": self.starts,
            "opens": self.opened,
            "notes": self.notes,
            "without_effect": without_effect,
        })
    }
}
