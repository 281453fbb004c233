//! The verbs that serve: `deploy` and `listen`.

use core::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{complain, print, read, refuse};
use crate::deploy::{self, Options};
use crate::listen;
use crate::settings::Settings;
use crate::status::Exit;
use crate::store::{Job, Store};

pub(super) fn deploy(
    request: &Path,
    until: Option<&Path>,
    options: &Options,
    settings: &Settings,
    config: Option<&Path>,
    json: bool,
) -> Result<ExitCode> {
    let accepted = read(request).and_then(|text| deploy::accept(&text, settings, until));
    let (job, lock) = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => return refuse(request, refused, json),
    };
    ended(&job, deploy::deploy(&job, lock, options, config, json)?)
}

/// What `deploy` becomes when the model's data is here.
pub(super) fn serve(name: &str, options: &Options, settings: &Settings, json: bool) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let ready = |address: SocketAddr| {
        if json {
            // A reader that has gone away is no reason to end.
            let _ = print(&format!("{}\n", json!({ "ModelName": name, "Address": address })));
        } else {
            complain(&format!("{name} is served on http://{address}"));
        }
    };
    ended(&job, deploy::serve(&job, settings, options, ready)?)
}

/// The reason of a failure is the last line on stderr.
fn ended(job: &Job, exit: Exit) -> Result<ExitCode> {
    if exit == Exit::Failed {
        complain(&deploy::failure(job)?);
    }
    Ok(ExitCode::from(exit as u8))
}

pub(super) fn listen(
    mut settings: Settings,
    config: Option<&Path>,
    address: Option<SocketAddr>,
) -> Result<ExitCode> {
    settings.listen.address = address.unwrap_or(settings.listen.address);
    listen::listen(settings, config)?;
    Ok(ExitCode::SUCCESS)
}
