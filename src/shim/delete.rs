//! `delete`: the record goes when the runtime has deleted the container, and stays when it has not.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use anyhow::Result;

use super::Call;

pub(super) fn delete(call: &Call) -> Result<ExitCode> {
    let place = call.place()?.filter(|place| place.is_there());
    let Some(place) = place else { match call.runtime.exec(call.args, &[])? {} };
    let status = call.runtime.run(call.args)?;
    if status.success() {
        place.forget()?;
    }
    // A shell's convention for a runtime that was killed.
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
