//! The host's settings: the text of `config.toml` in, `Settings` out. All defaults are here.
//!
//! The settings file is the policy, so an unknown key or a value of the wrong type is an error and never
//! ignored: a misspelt policy must be noticed. Reading the file is the job of [`crate::files`].

mod attempts;
mod bounds;
mod family;
mod job;
mod platform;
mod requirement;
mod statement;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use attempts::AttemptSettings;
pub use bounds::{IngressBounds, PeerBounds};
pub use family::Family;
pub use job::JobSettings;
pub use platform::PlatformImage;
pub use requirement::{Match, Property};
pub use statement::StatementSettings;

/// Where the settings are looked for when neither `--isolate-config=` nor [`PATH_VARIABLE`] names a file.
pub const DEFAULT_PATH: &str = "/etc/oci-isolate/config.toml";

/// The environment variable that names the settings file.
pub const PATH_VARIABLE: &str = "OCI_ISOLATE_CONFIG";

/// The settings of the host's operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Low-level runtimes, by name or absolute path; the first that exists is used.
    pub runtime: Vec<PathBuf>,
    /// Which containers are isolated.
    pub mode: Mode,
    /// Annotations that switch isolation on besides [`crate::policy::SWITCH`].
    pub annotations: Vec<String>,
    /// Containers that are isolated whatever their own annotations say.
    pub require: Vec<Match>,
    /// Containers that are known not to work isolated; they are refused with this reason.
    pub refuse: Vec<Refusal>,
    /// Images of containers that may keep the network of a pod, where these settings demand its isolation.
    pub platform: Vec<PlatformImage>,
    /// What to do on a kernel without nf_tables.
    pub firewall: Firewall,
    /// What becomes of the network devices of a container without openings.
    pub links: Links,
    /// Whether a container that is not isolated may join namespaces of one that is.
    pub joiners: Consent,
    /// Whether an isolated container may be restored from a checkpoint.
    pub restore: Consent,
    /// Additions to the built-in list of environment variables.
    pub credentials: Credentials,
    /// The system calls that containers may make.
    pub seccomp: SeccompSettings,
    /// Whether annotations may open ports.
    pub ingress: IngressBounds,
    /// Which peers annotations may ask for.
    pub peers: PeerBounds,
    /// Openings of containers without an annotation for them.
    pub openings: DefaultOpenings,
    /// What members of a job on other nodes are given time for.
    pub job: JobSettings,
    /// Where decisions are logged.
    pub audit: Audit,
    /// Whether refused packets are counted.
    pub attempts: AttemptSettings,
    /// Whether there are statements about isolated containers.
    pub statement: StatementSettings,
    /// Answers that differ from a rule's default, by the rule's name; the rule must offer the answer.
    pub rules: BTreeMap<String, Answer>,
}

/// What a rule does about a violation of its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The configuration is changed so that the promise holds.
    Set,
    /// The container is not created; the error says why.
    Refuse,
    /// What violates the promise is removed; the report says so.
    Strip,
    /// The violation stays; the report says that the promise is not kept.
    Allow,
}

/// Which containers are isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Those that ask for it by annotation, and those that a `[[require]]` matches.
    Annotation,
    /// All, for engines that cannot pass annotations (Docker before 24).
    Always,
}

/// Whether the firewall table may be missing on a kernel without nf_tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firewall {
    /// Without the table an isolated container does not start.
    Required,
    /// Without nf_tables in the kernel the container starts with an empty namespace only, and the report says so.
    IfAvailable,
}

/// What becomes of the network devices that an engine plumbed into a container without openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    /// They are taken down and lose their addresses. Devices that the kernel may bring up again are removed.
    Down,
    /// They are removed, for which the kernel needs some 20 ms.
    Remove,
}

/// Whether something that no rule can check is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// It is refused.
    Refuse,
    /// It is let through, at the operator's risk.
    Allow,
}

/// An annotation, the glob that its value has to match, and the reason that the error gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refusal {
    /// The annotation's name.
    pub annotation: String,
    /// The glob for the annotation's value.
    pub matches: String,
    /// Why such a container cannot work isolated.
    pub reason: String,
}

/// Additions to the built-in list of credential variables; names compare without regard to ASCII case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Credentials {
    /// Further names that are removed.
    pub remove: Vec<String>,
    /// Names that stay although the built-in list or the shape of their value would remove them.
    pub keep: Vec<String>,
}

/// What the rule `seccomp` allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SeccompSettings {
    /// Further socket families.
    pub families: Vec<Family>,
    /// Whether programs of other architectures are killed, such as 32-bit ones on x86-64.
    pub native: bool,
}

/// Openings of isolated containers that have no annotation for them, each in the syntax of that annotation.
/// [`crate::policy`] parses them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DefaultOpenings {
    /// Ports that are answered.
    pub ingress: Option<String>,
    /// Peers by address.
    pub peers: Option<String>,
    /// The job, or `${NAME}`: the value of that variable in the container's environment.
    pub job: Option<String>,
}

/// Where decisions are logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Audit {
    /// The file, by its absolute path; none is written by default.
    pub file: Option<PathBuf>,
    /// Whether lines are sent to systemd-journald, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub journal: bool,
    /// Whether an isolated container whose line cannot be written does not start.
    pub required: bool,
    /// Whether containers that are passed through get lines too.
    pub passed_through: bool,
}

impl Audit {
    /// Whether lines are written anywhere.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.file.is_some() || self.journal
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: vec!["runc".into(), "crun".into()],
            mode: Mode::Annotation,
            annotations: Vec::new(),
            require: Vec::new(),
            refuse: Vec::new(),
            platform: Vec::new(),
            firewall: Firewall::Required,
            links: Links::Down,
            joiners: Consent::Refuse,
            restore: Consent::Refuse,
            credentials: Credentials::default(),
            seccomp: SeccompSettings::default(),
            ingress: IngressBounds::default(),
            peers: PeerBounds::default(),
            openings: DefaultOpenings::default(),
            job: JobSettings::default(),
            audit: Audit::default(),
            attempts: AttemptSettings::default(),
            statement: StatementSettings::default(),
            rules: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Parses the text of a settings file.
    ///
    /// # Errors
    /// Not TOML, an unknown key, a wrong type, a runtime that is neither a bare name nor an absolute path, or
    /// an invalid prefix; the message is one line and names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|e| one_line(&e, text))?;
        if settings.runtime.is_empty() {
            return Err("runtime: empty list; name at least one low-level runtime, such as \"runc\"".into());
        }
        for runtime in &settings.runtime {
            let bare = runtime.components().count() == 1 && !runtime.as_os_str().is_empty();
            if !runtime.is_absolute() && !bare {
                return Err(format!("runtime: {} is neither a name nor an absolute path", runtime.display()));
            }
        }
        match &settings.audit.file {
            Some(file) if !file.is_absolute() => {
                return Err(format!("audit: file {} is not an absolute path", file.display()));
            }
            _ if settings.audit.required && !settings.audit.is_kept() => {
                return Err("audit: required, and no file is named and no journal = true".into());
            }
            _ => {}
        }
        if settings.annotations.iter().any(String::is_empty) {
            return Err("annotations: an annotation's name is empty".into());
        }
        settings.platform.iter().try_for_each(PlatformImage::check)?;
        settings.peers.check()?;
        settings.job.check()?;
        settings.attempts.check()?;
        settings.statement.check()?;
        Ok(settings)
    }
}

/// Errors must fit one log line of the engine; toml's own span several lines.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => {
            let line =
                1 + text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count();
            format!("line {line}: {message}")
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
    }

    #[test]
    fn every_key_is_read() {
        let settings = Settings::parse(
            r#"
            runtime = ["/opt/bin/crun", "runc"]
            mode = "always"
            annotations = ["com.amazonaws.sagemaker.enable-network-isolation"]
            firewall = "if-available"
            links = "remove"
            joiners = "allow"
            restore = "allow"
            [[require]]
            annotation = "io.kubernetes.cri.image-name"
            matches = "*/marketplace/*"
            [[require]]
            env = "TRAINING_JOB_NAME"
            matches = "*"
            [[refuse]]
            annotation = "io.kubernetes.cri.image-name"
            matches = "*sagemaker-rl*"
            reason = "SageMaker RL containers need Amazon S3"
            [[platform]]
            image = "registry.example.com/platform/stage@sha256:*"
            args = ["/stage", "*", "**"]
            [credentials]
            remove = ["MY_TOKEN"]
            keep = ["AWS_PROFILE"]
            [seccomp]
            families = [40, "AF_CAN"]
            native = true
            [ingress]
            allowed = false
            [peers]
            within = ["10.1.0.0/16", "fd00::/8"]
            widest = [16, 48]
            [openings]
            ingress = "8080/tcp"
            peers = "10.1.0.5"
            job = "train-7"
            [job]
            hold = "2s"
            lease = "5m"
            [audit]
            file = "/var/log/oci-isolate/audit.log"
            journal = true
            required = true
            passed-through = true
            [attempts]
            count = true
            destinations = 16
            [statement]
            file = "/var/log/oci-isolate/statements.jsonl"
            "#,
        )
        .unwrap();
        assert!(!settings.ingress.allowed);
        assert_eq!(settings.attempts.counted(), Some(16));
        assert_eq!(settings.statement.file, Some("/var/log/oci-isolate/statements.jsonl".into()));
        assert_eq!((settings.peers.within.len(), settings.peers.widest), (2, (16, 48)));
        let openings = &settings.openings;
        let openings = [&openings.ingress, &openings.peers, &openings.job].map(Option::as_deref);
        assert_eq!(openings, [Some("8080/tcp"), Some("10.1.0.5"), Some("train-7")]);
        let [hold, lease] = [2, 300].map(Duration::from_secs).map(Some);
        assert_eq!(settings.job, JobSettings { hold, lease });
        assert_eq!(settings.mode, Mode::Always);
        assert_eq!((settings.firewall, settings.links), (Firewall::IfAvailable, Links::Remove));
        assert_eq!((settings.joiners, settings.restore), (Consent::Allow, Consent::Allow));
        let image = Property::Annotation("io.kubernetes.cri.image-name".into());
        let job = Property::Variable("TRAINING_JOB_NAME".into());
        assert_eq!(settings.require[0], Match { property: image, matches: "*/marketplace/*".into() });
        assert_eq!(settings.require[1], Match { property: job, matches: "*".into() });
        assert_eq!(settings.platform[0].image, "registry.example.com/platform/stage@sha256:*");
        assert_eq!(settings.refuse[0].reason, "SageMaker RL containers need Amazon S3");
        let file = Some("/var/log/oci-isolate/audit.log".into());
        assert_eq!(settings.audit, Audit { file, journal: true, required: true, passed_through: true });
        assert_eq!(settings.credentials.keep, ["AWS_PROFILE"]);
        assert_eq!(settings.seccomp.families.iter().map(|f| f.number()).collect::<Vec<_>>(), [40, 29]);
        assert!(settings.seccomp.native);
    }

    /// The packaged file with every key uncommented.
    fn shipped() -> String {
        let lines = include_str!("../../dist/config.toml").lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => "",
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_file_of_the_package_says_the_defaults() {
        assert_eq!(Settings::parse(include_str!("../../dist/config.toml")), Ok(Settings::default()));
        let mut settings = Settings::parse(&shipped()).unwrap();
        // Keys without a default have an example; rules have their own answers (tests/rules).
        let examples =
            [settings.require.len(), settings.refuse.len(), settings.platform.len(), settings.rules.len()];
        assert!(!examples.contains(&0));
        settings.require.clear();
        settings.refuse.clear();
        settings.platform.clear();
        settings.rules.clear();
        assert!(settings.audit.file.take().is_some() && settings.statement.file.take().is_some());
        let openings = std::mem::take(&mut settings.openings);
        assert!([openings.ingress, openings.peers, openings.job].iter().all(Option::is_some));
        let job = std::mem::take(&mut settings.job);
        assert!(job.hold.is_some() && job.lease.is_some());
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_file_of_the_package_has_every_key() {
        /// The known keys after this text, as the decoder lists them.
        fn known(text: &str) -> Vec<String> {
            let error = toml::from_str::<Settings>(&format!("{text}\nno-such-key = 1\n")).unwrap_err();
            match error.message().split_once("unknown field `no-such-key`, expected") {
                Some((_, keys)) => keys.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
                None => Vec::new(),
            }
        }
        let file = shipped();
        let has = |key: &str, table: &str| {
            // What is above the first table, or every part below a line with the table's name.
            let parts: Vec<_> = match table {
                "" => file.split("\n[").take(1).collect(),
                table => file.split(&format!("\n{table}\n")).skip(1).collect(),
            };
            let lines = parts.iter().flat_map(|part| part.lines().take_while(|line| !line.starts_with('[')));
            lines.into_iter().any(|line| line.starts_with(&format!("{key} =")))
        };
        let mut missing = Vec::new();
        let keys = known("");
        assert!(keys.iter().any(|key| key == "runtime"), "{keys:?}");
        for key in keys {
            let tables = [format!("[{key}]"), format!("[[{key}]]")];
            let below: Vec<_> = tables.iter().map(|table| (table, known(table))).collect();
            if !has(&key, "") && !tables.iter().any(|table| file.contains(table)) {
                missing.push(key);
            }
            for (table, keys) in below {
                missing.extend(
                    keys.iter().filter(|key| !has(key, table)).map(|key| format!("{key} in {table}")),
                );
            }
        }
        assert!(
            missing.is_empty(),
            "dist/config.toml lacks {missing:?}: for each add a line \"# what it is for\" and a line \"#KEY = DEFAULT\" \
             at its place (keys before the first table)"
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_its_line() {
        let error = Settings::parse("mode = \"always\"\nmoed = \"annotation\"\n").unwrap_err();
        assert!(error.starts_with("line 2: unknown field `moed`"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_wrong_type_or_value_is_an_error() {
        for text in [
            "mode = 1",
            "mode = \"sometimes\"",
            "runtime = \"runc\"",
            "runtime = []",
            "runtime = [\"bin/runc\"]",
            "runtime = [\"\"]",
            "annotations = [\"\"]",
            "firewall = true",
            "links = \"up\"",
            "joiners = true",
            "restore = \"strip\"",
            "[seccomp]\nfamilies = [64]",
            "[seccomp]\nfamilies = [-1]",
            "[seccomp]\nfamilies = [\"vsock\"]",
            "[seccomp]\nfamilies = 40",
            "[seccomp]\nnative = \"x86_64\"",
            "[[require]]\nannotation = \"a\"",
            "[[require]]\nmatches = \"*\"",
            "[[require]]\nannotation = \"a\"\nenv = \"A\"\nmatches = \"*\"",
            "[[require]]\nenv = \"A=\"\nmatches = \"*\"",
            "[[require]]\nenv = \"\"\nmatches = \"*\"",
            "[[refuse]]\nannotation = \"a\"\nmatches = \"*\"",
            "[[platform]]\nimage = \"\"\nargs = [\"/a\"]",
            "[[platform]]\nimage = \"a\"",
            "[[platform]]\nimage = \"a\"\nargs = []",
            "[[platform]]\nimage = \"a\"\nargs = [\"stage\"]",
            "[[platform]]\nimage = \"a\"\nargs = [\"/*\"]",
            "[[platform]]\nimage = \"a\"\nargs = [\"/a/../b\"]",
            "[[platform]]\nimage = \"a\"\nargs = [\"/\"]",
            "[[platform]]",
            "[[platform]]\nimages = \"a\"",
            "[audit]\nfile = \"audit.log\"",
            "[statement]\nfile = \"statements.jsonl\"",
            "[statement]\nfile = \"/\"",
            "[statement]\nfiles = \"/a\"",
            "[audit]\nrequired = true",
            "[audit]\nfile = \"/a\"\nrequire = true",
            "mode = ",
            "[ingress]\nallow = true",
            "[ingress]\nallowed = 1",
            "[peers]\nwithin = \"10.0.0.0/8\"",
            "[peers]\nwithin = [\"10.0.0.1/8\"]",
            "[peers]\nwithin = [\"10.0.0.0\"]",
            "[peers]\nwidest = [33, 64]",
            "[peers]\nwidest = [24, 129]",
            "[peers]\nwidest = [24]",
            "[peers]\nwidest = [24, 64, 1]",
            "[peers]\nwidest = 24",
            "[peers]\nnarrowest = [32, 128]",
            "[openings]\ningress = 8080",
            "[openings]\npeers = [\"10.0.0.1\"]",
            "[openings]\nport = \"8080\"",
            "[job]\nhold = 2",
            "[job]\nhold = \"2\"",
            "[job]\nhold = \"0s\"",
            "[job]\nhold = \"4s 1ms\"",
            "[job]\nlease = \"1m\"",
            "[job]\nlease = \"2d\"",
            "[job]\nholds = \"2s\"",
        ] {
            assert!(Settings::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
