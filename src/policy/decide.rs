//! The verdict on one container: its annotations, its environment and the host's settings in, a `Decision` out.
//! Every outcome carries its why. The environment counts only where the settings refer to it.
//!
//! An annotation may tighten what the settings demand, never loosen it, and never choose a path or a program.

use super::environment::values;
use super::nonce::nonce;
use super::platform::{self, Beside, Demand, PLATFORM, Part, PlatformContainer};
use super::{Annotation, Policy, SWITCH, glob, misspelt, only, openings, without_switch};
use crate::settings::{Match, Mode, Property, Settings};

/// What happens to a container that an engine wants created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The real runtime is exec'd as if the shim were not there.
    PassThrough(&'static str),
    /// The container is isolated by this policy.
    Isolate(Box<Policy>),
    /// The container is not isolated, and keeps the network of a pod in which others are.
    Platform(PlatformContainer),
    /// The container is not isolated; what isolation would do is written down.
    Observe(Observed),
    /// The container is not created; what the user is told.
    Refuse(String),
}

/// A container that asks to be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What asked for it, for the report.
    pub why: String,
    /// By which it would be isolated, or why it would be refused.
    pub policy: Result<Box<Policy>, String>,
}

/// Decides by the container's annotations, the environment of its process (which may be left empty unless
/// [`super::reads_environment`]) and the host's settings. Refused are: a switch that is neither true
/// nor false, an annotation that is given twice or is a misspelling of one of ours, a container that the
/// settings refuse, openings that are invalid or not allowed by the settings, and openings of a container
/// without the switch.
#[must_use]
pub fn decide(settings: &Settings, annotations: &[Annotation], environment: &[String]) -> Decision {
    verdict(settings, annotations, environment).unwrap_or_else(Decision::Refuse)
}

fn verdict(
    settings: &Settings,
    annotations: &[Annotation],
    environment: &[String],
) -> Result<Decision, String> {
    let matches = settings.require.iter().filter_map(|require| match &require.property {
        Property::Annotation(name) => Some(name),
        Property::Variable(_) => None,
    });
    let refused = settings.refuse.iter().map(|refusal| &refusal.annotation);
    misspelt(annotations, settings.annotations.iter().chain(matches).chain(refused).map(String::as_str))?;
    let mut demanded = (settings.mode == Mode::Always).then(|| "mode = \"always\"".to_owned());
    let mut why = demanded.clone();
    let (mut switched_off, mut observed) = (false, None);
    for key in std::iter::once(SWITCH).chain(settings.annotations.iter().map(String::as_str)) {
        match only(annotations, key)? {
            None => {}
            Some(value) if value.is_empty() || value.eq_ignore_ascii_case("true") => {
                why.get_or_insert_with(|| format!("annotation {key}"));
            }
            Some(value) if value.eq_ignore_ascii_case("false") => switched_off = true,
            Some(value) if value.eq_ignore_ascii_case("observe") => {
                observed.get_or_insert_with(|| format!("annotation {key}"));
            }
            Some(value) => {
                return Err(format!(
                    "annotation {key} is {value:?}; it takes \"true\", \"false\", \"observe\" or nothing"
                ));
            }
        }
    }
    for Match { property, matches } in &settings.require {
        let (is_met, shown) = match property {
            Property::Annotation(name) => {
                (only(annotations, name)?.is_some_and(|value| glob(matches, value)), name.clone())
            }
            // Programs differ on which of several values counts.
            Property::Variable(name) => {
                (values(environment, name).any(|value| glob(matches, value)), format!("env {name}"))
            }
        };
        if is_met {
            let demand = format!("[[require]] {shown} matches {matches:?}");
            why.get_or_insert_with(|| demand.clone());
            demanded.get_or_insert(demand);
        }
    }
    match (why, observed) {
        (Some(why), _) => {
            let beside = match platform::part(settings, annotations, demanded.as_deref())? {
                Some(Part::Platform(container)) => return Ok(Decision::Platform(container)),
                Some(Part::Isolated(beside)) => Some(beside),
                None => None,
            };
            let demand = |why| Ok::<_, String>(Demand { why, sandbox: platform::sandbox(annotations)? });
            let policy = policy(settings, annotations, environment, why, beside)?;
            let demanded = demanded.map(demand).transpose()?;
            Ok(Decision::Isolate(Box::new(Policy { demanded, ..policy })))
        }
        (None, _) if switched_off => Ok(Decision::PassThrough("switched off by annotation")),
        (None, Some(why)) => {
            if only(annotations, PLATFORM)?.is_some() {
                return Err(format!(
                    "{why} is \"observe\", which is not possible with annotation {PLATFORM}"
                ));
            }
            let policy = policy(settings, annotations, environment, why.clone(), None).map(Box::new);
            Ok(Decision::Observe(Observed { why, policy }))
        }
        (None, None) => {
            without_switch(annotations)?;
            Ok(Decision::PassThrough("no annotation asks for it"))
        }
    }
}

/// What a container gets whose isolation something asks for.
fn policy(
    settings: &Settings,
    annotations: &[Annotation],
    environment: &[String],
    why: String,
    beside: Option<Beside>,
) -> Result<Policy, String> {
    for refusal in &settings.refuse {
        if only(annotations, &refusal.annotation)?.is_some_and(|value| glob(&refusal.matches, value)) {
            return Err(format!(
                "{} ({} matches {:?} in the settings)",
                refusal.reason, refusal.annotation, refusal.matches
            ));
        }
    }
    let openings = openings(settings, annotations, environment)?;
    if beside.is_some() && !openings.is_empty() {
        return Err(format!(
            "annotation {PLATFORM}: it is not possible with ingress, peers or job; move the data by pods of their own"
        ));
    }
    let nonce = nonce(settings, annotations)?;
    let credentials = settings.credentials.clone();
    let answers = settings.rules.clone();
    let seccomp = settings.seccomp.clone();
    Ok(Policy {
        why,
        firewall: settings.firewall,
        links: settings.links,
        attempts: settings.attempts.counted(),
        credentials,
        seccomp,
        openings,
        beside,
        demanded: None,
        answers,
        nonce,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Job, Openings};

    fn job(name: &str) -> Job {
        Job { namespace: None, name: name.to_owned() }
    }

    fn notes<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Annotation<'a>> {
        pairs.iter().map(|(n, v)| Annotation { name: (*n).into(), value: Some((*v).into()) }).collect()
    }

    fn isolates(settings: &str, pairs: &[(&str, &str)]) -> Result<bool, String> {
        let settings = Settings::parse(settings).unwrap();
        match decide(&settings, &notes(pairs), &[]) {
            Decision::Isolate(_) => Ok(true),
            Decision::PassThrough(_) => Ok(false),
            Decision::Observe(observed) => Err(observed.why),
            Decision::Platform(container) => Err(container.why),
            Decision::Refuse(why) => Err(why),
        }
    }

    #[test]
    fn the_switch_reads_true_empty_false_and_absent_in_any_case() {
        for (value, yes) in [("true", true), ("TRUE", true), ("", true), ("false", false), ("False", false)] {
            assert_eq!(isolates("", &[(SWITCH, value)]), Ok(yes), "{value:?}");
        }
        assert_eq!(isolates("", &[]), Ok(false));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for value in ["maybe", "1", " true", "yes", "true\n"] {
            let error = isolates("", &[(SWITCH, value)]).unwrap_err();
            assert!(error.contains(SWITCH) && error.contains("takes \"true\""), "{error}");
        }
    }

    #[test]
    fn observe_loosens_nothing_that_the_settings_demand_and_nothing_that_another_key_asks_for() {
        let observed = |settings: &str, pairs: &[(&str, &str)]| match decide(
            &Settings::parse(settings).unwrap(),
            &notes(pairs),
            &[],
        ) {
            Decision::Observe(observed) => Some(observed.policy.map(|policy| policy.why)),
            _ => None,
        };
        let asked = format!("annotation {SWITCH}");
        for value in ["observe", "OBSERVE"] {
            assert_eq!(observed("", &[(SWITCH, value)]), Some(Ok(asked.clone())), "{value:?}");
        }
        let ours = (SWITCH, "observe");
        assert_eq!(isolates("mode = \"always\"", &[ours]), Ok(true));
        let required = "[[require]]\nannotation = \"image\"\nmatches = \"*/marketplace/*\"";
        assert_eq!(isolates(required, &[("image", "r/marketplace/x"), ours]), Ok(true));
        let keys = "annotations = [\"com.example.isolate\"]";
        assert_eq!(isolates(keys, &[("com.example.isolate", "true"), ours]), Ok(true));
        assert_eq!(isolates(keys, &[("com.example.isolate", "false"), ours]), Ok(false));
        // What would be refused is observed, too.
        let refuse = "[[refuse]]\nannotation = \"image\"\nmatches = \"x\"\nreason = \"no\"";
        let refusal = "no (image matches \"x\" in the settings)".to_owned();
        assert_eq!(observed(refuse, &[("image", "x"), ours]), Some(Err(refusal)));
        let why = format!("{asked} is \"observe\", which is not possible with annotation {PLATFORM}");
        assert_eq!(isolates("", &[(PLATFORM, "stage"), ours]), Err(why));
    }

    #[test]
    fn a_value_that_is_not_a_string_and_a_second_value_are_refused() {
        let number = [Annotation { name: SWITCH.into(), value: None }];
        assert_eq!(
            decide(&Settings::default(), &number, &[]),
            Decision::Refuse(format!("annotation {SWITCH} is not a string"))
        );
        assert_eq!(
            isolates("", &[(SWITCH, "false"), (SWITCH, "true")]),
            Err(format!("annotation {SWITCH} is given twice"))
        );
    }

    #[test]
    fn what_is_nearly_one_of_ours_is_refused_whether_isolated_or_not() {
        for other in [("a", "b"), (SWITCH, "true"), (SWITCH, "false")] {
            for name in
                ["IO.oci-isolate.network-isolation", "io.oci-isolate.platforms", "io.oci-isolate.job\0x"]
            {
                let why = isolates("", &[other, (name, "true")]).unwrap_err();
                assert!(why.contains(" is not known; "), "{why}");
            }
        }
        let ours = "annotations = [\"io.oci-isolate.on\"]";
        assert_eq!(isolates(ours, &[("io.oci-isolate.on", "true")]), Ok(true));
    }

    #[test]
    fn a_name_that_goes_on_behind_a_nul_is_refused_where_the_name_counts() {
        let settings = "annotations = [\"com.example.isolate\"]";
        let why = "annotation \"com.example.isolate\\0x\" is com.example.isolate to some decoders and unknown to others";
        assert_eq!(isolates(settings, &[("com.example.isolate\0x", "true")]), Err(why.into()));
        assert_eq!(isolates("", &[("com.example.isolate\0x", "true")]), Ok(false));
    }

    #[test]
    fn openings_of_a_container_that_is_not_isolated_are_refused_unless_that_is_said() {
        for name in ["io.oci-isolate.ingress", "io.oci-isolate.peers", "io.oci-isolate.job"] {
            let why = isolates("", &[(name, "x")]).unwrap_err();
            assert!(why.starts_with(&format!(
                "annotation {name} is for isolated containers, and this one is not; "
            )));
            assert!(why.contains("add --annotation io.oci-isolate.network-isolation=true"), "{why}");
            assert_eq!(isolates("", &[(name, "x"), (SWITCH, "false")]), Ok(false));
        }
    }

    #[test]
    fn a_further_key_switches_on_and_never_off() {
        let settings = "annotations = [\"com.example.isolate\"]";
        assert_eq!(isolates(settings, &[("com.example.isolate", "true")]), Ok(true));
        assert_eq!(isolates(settings, &[("com.example.isolate", "false"), (SWITCH, "true")]), Ok(true));
        assert_eq!(isolates(settings, &[("com.example.isolate", "true"), (SWITCH, "false")]), Ok(true));
        assert!(isolates(settings, &[("com.example.isolate", "on")]).is_err());
    }

    #[test]
    fn no_annotation_loosens_what_the_settings_demand() {
        assert_eq!(isolates("mode = \"always\"", &[(SWITCH, "false")]), Ok(true));
        let required = "[[require]]\nannotation = \"image\"\nmatches = \"*/marketplace/*\"";
        assert_eq!(isolates(required, &[("image", "r/marketplace/x"), (SWITCH, "false")]), Ok(true));
        assert_eq!(isolates(required, &[("image", "r/ours/x")]), Ok(false));
    }

    #[test]
    fn what_the_settings_require_of_the_environment_isolates_whatever_the_annotations_say() {
        let settings = Settings::parse("[[require]]\nenv = \"TRAINING_JOB_NAME\"\nmatches = \"a*\"").unwrap();
        let decided = |environment: &[&str]| {
            let environment: Vec<_> = environment.iter().map(|entry| (*entry).to_owned()).collect();
            decide(&settings, &notes(&[(SWITCH, "false")]), &environment)
        };
        for environment in [&["TRAINING_JOB_NAME=a-1"][..], &["TRAINING_JOB_NAME=b", "TRAINING_JOB_NAME=a"]] {
            let Decision::Isolate(policy) = decided(environment) else { panic!("{environment:?}") };
            assert_eq!(policy.why, "[[require]] env TRAINING_JOB_NAME matches \"a*\"");
        }
        for environment in
            [&[][..], &["TRAINING_JOB_NAME=b"], &["TRAINING_JOB_NAME"], &["X=TRAINING_JOB_NAME=a"]]
        {
            assert!(matches!(decided(environment), Decision::PassThrough(_)), "{environment:?}");
        }
    }

    #[test]
    fn the_job_is_a_variable_of_the_environment_where_the_settings_name_one() {
        let settings = Settings::parse("mode = \"always\"\n[openings]\njob = \"${JOB}\"").unwrap();
        let decided = |asked: &[(&str, &str)], environment: &[&str]| {
            let environment: Vec<_> = environment.iter().map(|entry| (*entry).to_owned()).collect();
            match decide(&settings, &notes(asked), &environment) {
                Decision::Isolate(policy) => Ok(policy.openings.job),
                other => Err(format!("{other:?}")),
            }
        };
        assert_eq!(decided(&[], &["JOB=train-1"]), Ok(Some(job("train-1"))));
        assert_eq!(decided(&[], &["JOB=train-1", "JOB=train-1"]), Ok(Some(job("train-1"))));
        assert_eq!(decided(&[], &["JOBS=train-1", "JOB"]), Ok(None));
        assert_eq!(decided(&[("io.oci-isolate.job", "b")], &["JOB=a b"]), Ok(Some(job("b"))));
        for (environment, words) in [
            (
                &["JOB="][..],
                "openings.job: JOB of the container's environment: \\\"\\\" is not a valid name of a job",
            ),
            (&["JOB=a b"], "\\\"a b\\\" is not a valid name of a job"),
            (
                &["JOB=a", "JOB=b"],
                "openings.job: JOB is in the container's environment twice, with different values",
            ),
        ] {
            let why = decided(&[], environment).unwrap_err();
            assert!(why.contains(words), "{environment:?}: {why}");
        }
    }

    #[test]
    fn a_refused_image_is_refused_with_its_reason_and_only_when_isolated() {
        let settings =
            "[[refuse]]\nannotation = \"image\"\nmatches = \"*sagemaker-rl*\"\nreason = \"needs Amazon S3\"";
        assert_eq!(
            isolates(settings, &[("image", "x/sagemaker-rl-ray"), (SWITCH, "true")]),
            Err("needs Amazon S3 (image matches \"*sagemaker-rl*\" in the settings)".into())
        );
        assert_eq!(isolates(settings, &[("image", "x/sagemaker-rl-ray")]), Ok(false));
    }

    #[test]
    fn openings_are_read_of_isolated_containers_only_and_within_the_settings() {
        let bad = [
            ("io.oci-isolate.ingress", "0"),
            ("io.oci-isolate.peers", "8.8.8.8"),
            ("io.oci-isolate.job", ""),
        ];
        for (key, value) in bad {
            assert_eq!(isolates("", &[(key, value), (SWITCH, "false")]), Ok(false));
            let why = isolates("mode = \"always\"", &[(key, value)]).unwrap_err();
            assert!(why.starts_with(&format!("annotation {key}: ")), "{why}");
        }
        let ingress = ("io.oci-isolate.ingress", "8080");
        assert_eq!(isolates("", &[(SWITCH, "true"), ingress]), Ok(true));
        assert_eq!(
            isolates("[ingress]\nallowed = false", &[(SWITCH, "true"), ingress]),
            Err("annotation io.oci-isolate.ingress: the settings do not allow it (ingress.allowed = false)"
                .into())
        );
        assert_eq!(
            isolates("", &[(SWITCH, "true"), ingress, ingress]),
            Err("annotation io.oci-isolate.ingress is given twice".into())
        );
    }

    #[test]
    fn what_the_settings_open_stays_open_unless_an_annotation_of_that_name_says_otherwise() {
        let settings =
            "[ingress]\nallowed = false\n[openings]\ningress = \"80\"\njob = \"a\"\npeers = \"10.0.0.1\"";
        let settings = Settings::parse(settings).unwrap();
        let opened = |asked: &[(&str, &str)]| match decide(&settings, &notes(asked), &[]) {
            Decision::Isolate(policy) => Ok(policy.openings),
            Decision::PassThrough(why) => Err(why.to_owned()),
            Decision::Observe(observed) => Err(observed.why),
            Decision::Platform(container) => Err(container.why),
            Decision::Refuse(why) => Err(why),
        };
        let by_settings = opened(&[(SWITCH, "true")]).unwrap();
        assert_eq!(by_settings.ingress[0].to_string(), "80/tcp");
        assert_eq!((by_settings.peers.len(), by_settings.job.clone()), (1, Some(job("a"))));
        let by_both = opened(&[(SWITCH, "true"), ("io.oci-isolate.job", "b")]).unwrap();
        assert_eq!(by_both, Openings { job: Some(job("b")), ..by_settings });
        let further = opened(&[(SWITCH, "true"), ("io.oci-isolate.ingress", "81")]).unwrap_err();
        assert!(further.ends_with("the settings do not allow it (ingress.allowed = false)"), "{further}");
        assert_eq!(opened(&[]).unwrap_err(), "no annotation asks for it");
    }

    #[test]
    fn what_is_asked_for_is_in_the_policy() {
        let asked = [(SWITCH, ""), ("io.oci-isolate.peers", "10.0.0.1"), ("io.oci-isolate.job", "train")];
        let Decision::Isolate(policy) = decide(&Settings::default(), &notes(&asked), &[]) else { panic!() };
        assert_eq!(*policy.openings.peers, ["10.0.0.1/32".parse().unwrap()]);
        assert_eq!((policy.openings.job, policy.openings.ingress.len()), (Some(job("train")), 0));
    }
}
