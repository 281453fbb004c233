//! The runtime's own state of a container: its init process, its annotations and its environment. It is read from the file in
//! which the runtime stores it; only if that is not understood is the runtime run, which costs a process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Runtime;
use crate::config;
use crate::files;
use crate::invocation::Dialect;
use crate::policy::Annotation;

/// The runtime's own state of one container.
#[derive(Debug)]
pub struct RuntimeState {
    layout: Layout,
    /// The file of the init process.
    state: String,
    /// The file with the annotations, if it is another one.
    config: Option<String>,
}

/// The format of these files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `state.json`; annotations are `labels` of its `config` (libcontainer/container.go, BaseState; specconv).
    Runc,
    /// `status` (src/libcrun/status.c), beside it the container's `config.json`.
    Crun,
    /// `state.json` (crates/libcontainer/src/container/state.rs), or what `state` prints (runtime-spec, runtime.md, "State").
    Spec,
}

/// An init process: its pid, and its start time if the runtime stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitPid {
    /// The pid.
    pub pid: u32,
    /// proc_pid_stat(5), field 22.
    pub start: Option<u64>,
}

impl RuntimeState {
    /// Reads the state that a runtime of this dialect stores in a container's directory. The files decide
    /// which dialect it is, since wrappers have names of their own. `None`: there is no such container.
    ///
    /// # Errors
    /// A file cannot be read, or is not UTF-8.
    pub fn read(dialect: Dialect, container: &Path) -> Result<Option<Self>> {
        let names = match dialect {
            Dialect::Crun => ["status", "state.json"],
            Dialect::Runc | Dialect::Youki => ["state.json", "status"],
        };
        for name in names {
            let Some(state) = read_text(&container.join(name))? else { continue };
            if name == "status" {
                let config =
                    read_text(&container.join("config.json"))?.context("the runtime keeps no config.json")?;
                return Ok(Some(Self { layout: Layout::Crun, state, config: Some(config) }));
            }
            let layout = if state.contains("\"init_process_pid\":") { Layout::Runc } else { Layout::Spec };
            return Ok(Some(Self { layout, state, config: None }));
        }
        Ok(None)
    }

    /// Runs the runtime's `state`.
    ///
    /// # Errors
    /// It prints nothing.
    pub fn ask(runtime: &Runtime, root: &Path, id: &std::ffi::OsStr) -> Result<Self> {
        let said = runtime.stdout_of(&["--root".into(), root.into(), "state".into(), id.to_owned()])?;
        let state = String::from_utf8(said).context("the runtime's state is not UTF-8")?;
        if state.trim().is_empty() {
            bail!("{} has no state of it", runtime.path().display());
        }
        Ok(Self { layout: Layout::Spec, state, config: None })
    }

    /// The init process.
    ///
    /// # Errors
    /// There is none, or the file is malformed.
    pub fn init(&self) -> Result<InitPid> {
        #[derive(Deserialize)]
        struct Pids {
            #[serde(alias = "init_process_pid")]
            pid: u32,
            #[serde(alias = "init_process_start", alias = "process-start-time")]
            start: Option<u64>,
        }
        // Go writes members in order: these precede the configuration, which can be large.
        let head = (self.layout == Layout::Runc).then(|| self.state.split_once(",\"config\":")).flatten();
        let head = head.and_then(|(head, _)| serde_json::from_str::<Pids>(&format!("{head}}}")).ok());
        let pids = head.map_or_else(|| serde_json::from_str(&self.state), Ok);
        let Pids { pid, start } = pids.context("cannot understand the runtime's own state")?;
        if pid < 2 {
            bail!("the runtime's own state has no pid");
        }
        Ok(InitPid { pid, start: start.filter(|start| *start > 0) })
    }

    /// The annotations.
    ///
    /// # Errors
    /// The file is malformed.
    pub fn annotations(&self) -> Result<Vec<Annotation<'_>>> {
        let understood = match self.layout {
            Layout::Runc => labels(&self.state).map(of_labels),
            Layout::Crun | Layout::Spec => {
                let text = self.config.as_deref().unwrap_or(&self.state);
                config::annotations(text.as_bytes()).map_err(Into::into)
            }
        };
        understood.context("cannot understand the runtime's own state")
    }

    /// The environment of its process, from the `config.json` that crun keeps, or from the bundle's, which other
    /// runtimes name.
    ///
    /// # Errors
    /// A file is malformed, or the bundle is gone.
    pub fn environment(&self) -> Result<Vec<String>> {
        let bundle;
        let text = match &self.config {
            Some(config) => config,
            None => {
                let path = self.bundle()?.join("config.json");
                let text = read_text(&path)?;
                bundle = text.with_context(|| format!("{} is gone", path.display()))?;
                &bundle
            }
        };
        config::environment(text.as_bytes()).context("cannot read its environment with certainty")
    }

    fn bundle(&self) -> Result<PathBuf> {
        #[derive(Deserialize)]
        struct Spec {
            bundle: PathBuf,
        }
        if self.layout != Layout::Runc {
            return Ok(serde_json::from_str::<Spec>(&self.state)?.bundle);
        }
        let bundle = labels(&self.state)?.pop().and_then(|last| Some(last.strip_prefix(BUNDLE)?.into()));
        bundle.context("the runtime's own state names no bundle")
    }
}

/// The label with the bundle's directory, which specconv appends to the annotations.
const BUNDLE: &str = "bundle=";

/// A file's text; `None` if it does not exist.
fn read_text(path: &Path) -> Result<Option<String>> {
    match files::read(path, files::DOCUMENT_LIMIT) {
        Ok(snapshot) => {
            let text = String::from_utf8(snapshot.bytes);
            text.map(Some).with_context(|| format!("{} is not UTF-8", path.display()))
        }
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            _ => Err(error),
        },
    }
}

/// runc's labels, each `NAME=VALUE`. The rest of the file is skipped where that is certain: a quotation mark
/// inside a string is preceded by a backslash, so these bytes are the name of a member, and no member after
/// the configuration has that name.
fn labels(state: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct RuncState {
        config: RuncConfig,
    }
    #[derive(Deserialize)]
    struct RuncConfig {
        labels: Option<Vec<String>>,
    }
    const MEMBER: &str = ",\"labels\":";
    let behind = state.rfind(MEMBER).map(|at| &state[at + MEMBER.len()..]);
    let found = behind.and_then(|behind| {
        let mut stream = serde_json::Deserializer::from_str(behind).into_iter::<Vec<String>>();
        stream.next()?.ok()
    });
    match found {
        Some(labels) => Ok(labels),
        None => Ok(serde_json::from_str::<RuncState>(state)?.config.labels.unwrap_or_default()),
    }
}

fn of_labels(mut labels: Vec<String>) -> Vec<Annotation<'static>> {
    labels.pop_if(|label| label.starts_with(BUNDLE));
    let annotation = |label: String| {
        let (name, value) = label.split_once('=').unwrap_or((&label, ""));
        Annotation { name: name.to_owned().into(), value: Some(value.to_owned().into()) }
    };
    labels.into_iter().map(annotation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(layout: Layout, state: &str, config: Option<&str>) -> RuntimeState {
        RuntimeState { layout, state: state.into(), config: config.map(str::to_owned) }
    }

    fn names(kept: &RuntimeState) -> Vec<(String, String)> {
        let pair = |annotation: Annotation| {
            (annotation.name.to_string(), annotation.value.map(|value| value.to_string()).unwrap_or_default())
        };
        kept.annotations().unwrap().into_iter().map(pair).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn runcs_state_is_read_in_any_order_and_with_anything_in_its_strings() {
        let odd = r#"{"id":"x","init_process_pid":7,"init_process_start":9,"created":"t","config":{"hostname":",\"labels\":[\"a=b\"]","#;
        let whole = format!(
            "{odd}{}",
            r#""version":"1","labels":["io.x=true","a=x=y","e\"=,\"labels\":[]","bundle=/b"],"no_new_keyring":false},"rootless":false}"#
        );
        let state = kept(Layout::Runc, &whole, None);
        assert_eq!(state.init().unwrap(), InitPid { pid: 7, start: Some(9) });
        let wanted = [pair("io.x", "true"), pair("a", "x=y"), pair("e\"", ",\"labels\":[]")];
        assert_eq!(names(&state), wanted);
        let other =
            r#"{ "config": {"labels" : ["io.x=true"]}, "init_process_start": 0, "init_process_pid": 7 }"#;
        let other = kept(Layout::Runc, other, None);
        assert_eq!(other.init().unwrap(), InitPid { pid: 7, start: None });
        assert_eq!(names(&other), [pair("io.x", "true")]);
        assert!(names(&kept(Layout::Runc, r#"{"config":{"a":1,"labels":null}}"#, None)).is_empty());
    }

    #[test]
    fn cruns_and_youkis_states_are_read() {
        let crun = kept(
            Layout::Crun,
            "{\n \"pid\": 7,\n \"process-start-time\": 9,\n \"rootfs\": \"/r\"\n}",
            Some(r#"{"annotations":{"io.x":"true"}}"#),
        );
        assert_eq!(
            (crun.init().unwrap(), names(&crun)),
            (InitPid { pid: 7, start: Some(9) }, vec![pair("io.x", "true")])
        );
        let youki = kept(
            Layout::Spec,
            r#"{"id":"x","pid":7,"annotations":{"io.x":"true"},"useSystemd":false}"#,
            None,
        );
        assert_eq!(
            (youki.init().unwrap(), names(&youki)),
            (InitPid { pid: 7, start: None }, vec![pair("io.x", "true")])
        );
    }

    #[test]
    fn the_environment_is_that_of_the_kept_configuration_or_of_the_bundle() {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path().to_str().unwrap();
        let config = r#"{"process":{"env":["A=1","B"]}}"#;
        let states = [
            kept(Layout::Crun, "{}", Some(config)),
            kept(Layout::Runc, &format!(r#"{{"config":{{"labels":["a=b","bundle={path}"]}}}}"#), None),
            kept(Layout::Spec, &format!(r#"{{"id":"x","bundle":"{path}"}}"#), None),
        ];
        for state in &states[1..] {
            let why = format!("{:#}", state.environment().unwrap_err());
            assert_eq!(why, format!("{path}/config.json is gone"));
        }
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        for state in states {
            assert_eq!(state.environment().unwrap(), ["A=1", "B"], "{:?}", state.layout);
        }
        assert!(kept(Layout::Runc, r#"{"config":{"labels":["a=b"]}}"#, None).environment().is_err());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "{", "[]", "null", "{\"config\":{\"labels\":[1]}}", "{\"init_process_pid\":\"7\"}"] {
            let state = kept(Layout::Runc, text, None);
            assert!(state.init().is_err() && state.annotations().is_err(), "{text}");
        }
        for pid in ["0", "1", "-1", "4294967296", "null"] {
            assert!(kept(Layout::Spec, &format!("{{\"pid\":{pid}}}"), None).init().is_err(), "{pid}");
        }
    }
}
