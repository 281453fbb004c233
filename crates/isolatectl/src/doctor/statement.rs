//! Signed statements, where the settings ask for them: the directory in which facts are left, the key, facts that wait for a signature,
//! and what signs them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Finding;
use crate::program_version;
use crate::statement::unsigned;

/// The key of the unit.
const KEY: &str = "etc/oci-isolate/statement.key";

/// The unit that verifies and signs.
const TIMER: &str = "oci-isolate-statement.timer";

/// So long after a container was deleted its facts may wait. The unit signs each minute.
const LATE: Duration = Duration::from_secs(600);

/// Findings about the file of statements, if there is one.
pub(super) fn check(root: &Path, statements: Option<&Path>) -> Vec<Finding> {
    let Some(statements) = statements else { return Vec::new() };
    let mut found = vec![directory(statements)];
    found.extend(key(&root.join(KEY)));
    found.push(waiting(statements));
    // With another root, units are not of this host.
    if root == Path::new("/") && Path::new("/run/systemd/system").exists() {
        let mut asked = Command::new("systemctl");
        let answer = program_version::output(asked.args(["is-active", TIMER]));
        found.push(timer(answer, root.join(KEY).exists()));
    }
    found
}

fn directory(statements: &Path) -> Finding {
    const CHECK: &str = "statement";
    let shown = statements.display();
    let above = statements.parent().unwrap_or(Path::new("/"));
    if above.is_dir() {
        return Finding::ok(CHECK, format!("facts are left beside {shown}"));
    }
    let says = format!("containers leave no facts: {} is no directory", above.display());
    Finding::fail(CHECK, says, format!("mkdir {}", above.display()))
}

/// Whether others can sign, too; nothing if the key is elsewhere.
fn key(path: &Path) -> Option<Finding> {
    const CHECK: &str = "statement-key";
    let shown = path.display();
    match fs::metadata(path) {
        Err(_) => None,
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let says = format!("others than the owner of {shown} may read it, and sign as this host");
            Some(Finding::fail(CHECK, says, "make another key, and chmod 600 it"))
        }
        Ok(_) => Some(Finding::ok(CHECK, format!("only its owner can read {shown}"))),
    }
}

fn waiting(statements: &Path) -> Finding {
    const CHECK: &str = "statement-signed";
    const SIGN: &str =
        "isolatectl statement sign says why, if a timer runs it; otherwise let one do so (docs/statement.md)";
    let all = match unsigned(statements) {
        Ok(all) => all,
        Err(error) => return Finding::fail(CHECK, format!("{error:#}"), SIGN),
    };
    let is_late = |path: &&Path| {
        let written = fs::metadata(path).and_then(|meta| meta.modified());
        written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > LATE))
    };
    let late = all.iter().map(|path| &**path).filter(is_late).count();
    if late == 0 {
        return Finding::ok(CHECK, format!("facts that wait for a signature: {}", all.len()));
    }
    let says = format!("facts that have waited for a signature for more than ten minutes: {late}");
    Finding::warn(CHECK, says, SIGN)
}

/// What systemd says of the timer. Its unit does nothing without the key, and has not failed then.
fn timer(answer: Option<Vec<u8>>, has_key: bool) -> Finding {
    const CHECK: &str = "statement-timer";
    let answer = answer.unwrap_or_default();
    let state = String::from_utf8_lossy(&answer).trim().to_owned();
    if state == "active" && !has_key {
        let what = "make the key (docs/statement.md), unless the unit was given another one";
        return Finding::warn(
            CHECK,
            format!("{TIMER} is active, and there is no /{KEY}: nothing is verified, and nothing signed"),
            what,
        );
    }
    if state == "active" {
        return Finding::ok(CHECK, format!("{TIMER} is active"));
    }
    let state = if state.is_empty() { "unknown".to_owned() } else { state };
    let what = format!(
        "systemctl enable --now {TIMER}, unless something else runs isolatectl verify --all and statement sign: what was not \
         verified never held"
    );
    Finding::warn(CHECK, format!("{TIMER} is {state}"), what)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::CheckStatus::{self, Fail, Ok as Fine, Warn};

    fn states(found: &[Finding]) -> Vec<(&str, CheckStatus)> {
        found.iter().map(|finding| (&*finding.check, finding.state)).collect()
    }

    #[test]
    fn without_statements_there_is_nothing_to_find() {
        assert!(check(Path::new("/"), None).is_empty());
    }

    #[test]
    fn a_key_that_others_read_and_facts_that_pile_up_are_found() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("log/statements");
        let found = || check(root.path(), Some(&file));
        assert_eq!(states(&found()), [("statement", Fail), ("statement-signed", Fine)]);
        let waiting = root.path().join("log/statements.d");
        fs::create_dir_all(&waiting).unwrap();
        fs::create_dir_all(root.path().join("etc/oci-isolate")).unwrap();
        fs::write(root.path().join(KEY), "").unwrap();
        let mode = |mode| fs::set_permissions(root.path().join(KEY), Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        assert_eq!(
            states(&found()),
            [("statement", Fine), ("statement-key", Fail), ("statement-signed", Fine)]
        );
        mode(0o600);
        assert_eq!(found()[1].state, Fine);
        // What cannot be understood is never signed.
        fs::write(waiting.join("a.json"), "{}").unwrap();
        assert_eq!(found()[2].says, "facts that wait for a signature: 1");
        let file = File::open(waiting.join("a.json")).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - 2 * LATE).unwrap();
        let signed = &found()[2];
        assert_eq!(signed.state, Warn);
        assert_eq!(signed.says, "facts that have waited for a signature for more than ten minutes: 1");
    }

    #[test]
    fn a_timer_that_is_not_active_is_a_warning() {
        assert_eq!(timer(Some(b"active\n".to_vec()), true).state, Fine);
        let finding = timer(Some(b"active\n".to_vec()), false);
        assert_eq!(finding.state, Warn);
        assert!(finding.says.contains("there is no /etc/oci-isolate/statement.key"), "{}", finding.says);
        for (answer, says) in [
            (Some(&b"inactive\n"[..]), "oci-isolate-statement.timer is inactive"),
            (Some(b""), "oci-isolate-statement.timer is unknown"),
            (None, "oci-isolate-statement.timer is unknown"),
        ] {
            let finding = timer(answer.map(<[u8]>::to_vec), true);
            assert_eq!((finding.state, &*finding.says), (Warn, says));
        }
    }
}
