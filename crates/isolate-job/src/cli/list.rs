//! `isolate-job list`: all jobs, of every kind.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::jobs::{is_over, readable};
use super::{complain, print};
use crate::settings::Settings;
use crate::store::Store;
use crate::train::now;

/// The members of `Describe` that a list has, and the names of all kinds.
const LISTED: [&str; 14] = [
    "TrainingJobName",
    "TrainingJobArn",
    "TrainingJobStatus",
    "SecondaryStatus",
    "HyperParameterTuningJobName",
    "HyperParameterTuningJobArn",
    "HyperParameterTuningJobStatus",
    "TrainingJobStatusCounters",
    "TransformJobName",
    "TransformJobArn",
    "TransformJobStatus",
    "TuningJobArn",
    "CreationTime",
    "LastModifiedTime",
];

pub(super) fn list(settings: &Settings, json: bool) -> Result<ExitCode> {
    let (mut rows, mut documents, mut notes) =
        (vec![["NAME", "STATUS", "SECONDARY", "AGE"].map(str::to_owned)], vec![], vec![]);
    for job in Store::new(&settings.state).list()? {
        let Some(described) = readable(&job) else { continue };
        let (Some(status), Some(created)) = (described.status(), described.creation_time()) else { continue };
        let interrupted = !job.is_supervised()? && !is_over(&job, &described)?;
        if interrupted {
            notes.push(format!("{} is interrupted; `isolate-job resume {0}` continues", job.name));
        }
        let mut document = json!(described);
        if let Value::Object(members) = &mut document {
            members.retain(|name, _| LISTED.contains(&name.as_str()));
            members.insert("Interrupted".to_owned(), json!(interrupted));
        }
        documents.push(document);
        let secondary = if interrupted { "interrupted in " } else { "" };
        rows.push([
            job.name,
            format!("{status:?}"),
            format!("{secondary}{}", described.detail()),
            age(now().seconds_since(created)),
        ]);
    }
    if json {
        print(&format!("{:#}\n", Value::from(documents)))?;
    } else {
        print(&table(&rows))?;
    }
    for note in notes {
        complain(&note);
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let line = |[name, status, secondary, age]: &[String; 4]| {
        format!("{name:0$}  {status:1$}  {secondary:2$}  {age}\n", widths[0], widths[1], widths[2])
    };
    rows.iter().map(line).collect()
}

/// In the largest unit of which there are two.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(seconds), text);
        }
    }
}
