//! The verbs that serve: `listen` and `deploy`.

use core::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::listen;
use crate::settings::Settings;

pub(super) fn listen(
    mut settings: Settings,
    config: Option<&Path>,
    address: Option<SocketAddr>,
) -> Result<ExitCode> {
    settings.listen.address = address.unwrap_or(settings.listen.address);
    listen::listen(&settings, config)?;
    Ok(ExitCode::SUCCESS)
}
