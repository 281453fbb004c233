//! The verbs `render` and `pod`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{complain, jobs, print, read, refuse};
use crate::check::{self, Host};
use crate::pod;
use crate::render::{self, Options};
use crate::request::read_training;
use crate::settings::Settings;
use crate::train::NotAccepted;

/// Prints the manifests of a training job for a cluster
#[derive(Debug, Args)]
pub(super) struct Render {
    /// The document of create-training-job; `-` for stdin
    request: PathBuf,
    /// Where the job is created
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The image of isolate-job (hack/kubernetes/job-image)
    #[arg(long, default_value = concat!("isolate-job:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// A Secret of that namespace, whose keys become variables of the containers that transfer data, such as AWS_ACCESS_KEY_ID
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// A ServiceAccount of that namespace that may get and watch its pods; without it the manifests have one with its Role
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
}

pub(super) fn render(what: &Render, settings: Settings, json: bool) -> Result<ExitCode> {
    let request = &what.request;
    match read(request).and_then(|text| manifests(&text, what, settings)) {
        Ok(manifests) => {
            print(&format!("{manifests:#}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refused) => refuse(request, refused, json),
    }
}

fn manifests(text: &[u8], what: &Render, settings: Settings) -> Result<serde_json::Value, NotAccepted> {
    let host = Host { settings };
    check::check(text, &host)?;
    let document = read_training(text)?;
    let region = jobs::region(&host.settings);
    let Render { namespace, image, secret, service_account, .. } = what;
    let (secret, service_account) = (secret.as_deref(), service_account.as_deref());
    let options = Options { namespace, image, secret, service_account, region: &region };
    Ok(render::render(&document, &host.settings, &options)?)
}

pub(super) fn pod(what: &pod::Arguments, settings: &Settings, config: Option<&Path>) -> Result<ExitCode> {
    let region = jobs::region(settings);
    pod::pod(what, config.map(Path::to_owned), settings, &region, complain).map(jobs::exit)
}
