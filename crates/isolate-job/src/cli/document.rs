//! The document that a verb is given: how it is read, and why it is refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{complain, print};
use crate::request::{MOST, Refusals};
use crate::status::Exit;
use crate::train::NotAccepted;

/// Why nothing was started.
pub(super) fn refuse(request: &Path, refused: NotAccepted, json: bool) -> Result<ExitCode> {
    match refused {
        NotAccepted::Failed(error) => return Err(error),
        NotAccepted::Host(why) => {
            if json {
                print(&format!("{:#}\n", json!({ "refused": [{ "path": "", "why": why }] })))?;
            }
            complain(&why);
        }
        NotAccepted::Request(Refusals(all)) => {
            if json {
                let all: Vec<_> = all.iter().map(|one| json!({ "path": one.path, "why": one.why })).collect();
                print(&format!("{:#}\n", json!({ "refused": all })))?;
            }
            for refused in &all {
                complain(&format!("{}: {refused}", request.display()));
            }
        }
    }
    Ok(ExitCode::from(Exit::Refused as u8))
}

/// Reads the largest request that is accepted, and one byte more.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, NotAccepted> {
    let cannot = |error| NotAccepted::Host(format!("cannot read {}: {error}", path.display()));
    bytes(path).map_err(cannot)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MOST as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        file.take(most).read_to_end(&mut text)?;
    }
    Ok(text)
}
