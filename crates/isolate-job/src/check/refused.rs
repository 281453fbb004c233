//! What the settings refuse of a request.

use std::collections::BTreeSet;

use crate::request::{InputMode, Refusals, Refused, TrainingJob};
use crate::settings::PipeMode;

/// So that no container runs without isolation by oversight.
pub(super) fn isolated(asked: bool, path: &str) -> Result<(), Refusals> {
    if asked {
        return Ok(());
    }
    Err(Refused {
        path: path.to_owned(),
        why: "is not true; every container is isolated here, give true".to_owned(),
    }
    .into())
}

/// Channels in Pipe mode, by the member that gives the mode; `at` is where the training job is in the document.
pub(crate) fn input_modes(job: &TrainingJob, pipe_mode: PipeMode, at: &str) -> Result<(), Refusals> {
    let of_job = job.algorithm_specification.training_input_mode;
    let pipes = job.input_data_config.iter().enumerate();
    let pipes = pipes.filter(|(_, channel)| channel.mode(of_job) == InputMode::Pipe);
    let paths: BTreeSet<_> = pipes
        .map(|(index, channel)| match channel.input_mode {
            Some(_) => format!("{at}InputDataConfig[{index}].InputMode"),
            None => format!("{at}AlgorithmSpecification.TrainingInputMode"),
        })
        .collect();
    if pipe_mode == PipeMode::Allowed || paths.is_empty() {
        return Ok(());
    }
    let why = "Pipe is refused by pipe-mode = \"refused\" in the settings; give File, or change the setting";
    Err(Refusals(paths.into_iter().map(|path| Refused { path, why: why.to_owned() }).collect()))
}
