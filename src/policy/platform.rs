//! The platform's containers of a pod: those that move its data and keep the pod's network and credentials,
//! beside others that are isolated.
//!
//! ```text
//! io.oci-isolate.platform   fetch, upload
//! ```
//!
//! The annotation is the pod author's; which container it is about, and its image, is the engine's word
//! ([`super::pod_engine`]).

use super::pod_engine::{PodEngine, PodRole};
use super::{Annotation, glob, only, shown};
use crate::settings::{PlatformImage, Settings};

/// The annotation that names the platform's containers of a pod.
pub const PLATFORM: &str = "io.oci-isolate.platform";

/// The most names that the annotation takes.
const LIMIT: usize = 64;

/// A container that keeps the network of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformContainer {
    /// Its name in the pod.
    pub name: String,
    /// The pod's sandbox.
    pub sandbox: PodSandbox,
    /// What lets it be the platform's, for the report.
    pub why: String,
    /// The setting that demands its isolation, if one does.
    pub demanded: Option<String>,
    /// Those `[[platform]]` that its image matches.
    pub known: Vec<PlatformImage>,
}

/// The sandbox of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSandbox {
    /// The engine that made it.
    pub engine: PodEngine,
    /// Its id.
    pub id: String,
}

/// Why the isolation of a container is demanded, whatever its annotations are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The setting.
    pub why: String,
    /// The sandbox of its pod, unless it is none of a pod, or the sandbox.
    pub sandbox: Option<PodSandbox>,
}

/// The platform's containers of the pod of an isolated container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The engine that made the pod.
    pub engine: PodEngine,
    /// Their names.
    pub names: Vec<String>,
    /// The id of the pod's sandbox, unless the container is that.
    pub sandbox: Option<String>,
}

impl PlatformContainer {
    /// Whether it runs the program of one of them.
    #[must_use]
    pub fn runs(&self, args: &[&str]) -> bool {
        self.known.iter().any(|known| is_command(&known.args, args))
    }

    /// Why it is the pod author's own and not the operator's, if it is.
    #[must_use]
    pub fn own(&self) -> Option<String> {
        let is_own = self.known.is_empty();
        is_own.then(|| {
            format!("the image of container {} is that of no [[platform]] in the settings", self.name)
        })
    }
}

/// The sandbox of the pod that a container is in, if it is in one and is not the sandbox itself.
///
/// # Errors
/// It is not clear which one that is.
pub(super) fn sandbox(annotations: &[Annotation]) -> Result<Option<PodSandbox>, String> {
    let Some(engine) = PodEngine::of(annotations)? else { return Ok(None) };
    match engine.kind(annotations)? {
        Some(PodRole::Container) => {
            Ok(Some(PodSandbox { engine, id: engine.sandbox(annotations)?.to_owned() }))
        }
        Some(PodRole::Sandbox) | None => Ok(None),
    }
}

/// The part of a container in a pod with the annotation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is the platform's.
    Platform(PlatformContainer),
    /// It is isolated, or it is the sandbox.
    Isolated(Beside),
}

/// The part of this container; `demanded` is the setting that demands its isolation, if one does. `None`: there
/// is no such annotation.
///
/// # Errors
/// The value is invalid, the container is in no pod of containerd or CRI-O, or its image may not be the platform's.
pub(super) fn part(
    settings: &Settings,
    annotations: &[Annotation],
    demanded: Option<&str>,
) -> Result<Option<Part>, String> {
    let Some(value) = only(annotations, PLATFORM)? else { return Ok(None) };
    let named = |why: String| format!("annotation {PLATFORM}: {why}");
    let names = names(value).map_err(named)?;
    let none = || {
        named("it names containers of a Kubernetes pod, and this is none (containerd's or CRI-O's)".into())
    };
    let engine = PodEngine::of(annotations).map_err(named)?.ok_or_else(none)?;
    if engine.kind(annotations).map_err(named)?.ok_or_else(none)? == PodRole::Sandbox {
        return Ok(Some(Part::Isolated(Beside { engine, names, sandbox: None })));
    }
    let (name, id) = (engine.name(annotations).map_err(named)?, engine.sandbox(annotations).map_err(named)?);
    if !names.contains(&name) {
        return Ok(Some(Part::Isolated(Beside { engine, names, sandbox: Some(id.to_owned()) })));
    }
    let image = match demanded {
        Some(_) => engine.image(annotations).map_err(named)?,
        None => engine.image(annotations).unwrap_or_default(),
    };
    let known: Vec<_> = settings.platform.iter().filter(|known| glob(&known.image, image)).cloned().collect();
    let why = match (known.first(), demanded) {
        (Some(first), _) => format!("annotation {PLATFORM}, [[platform]] image {:?}", first.image),
        (None, None) => format!("annotation {PLATFORM}"),
        (None, Some(demanded)) => {
            return Err(named(format!(
                "container {name} must be isolated ({demanded}), and its image {} is that of no [[platform]] in the \
                 settings{}",
                shown(image),
                match image.contains('@') {
                    true => "",
                    false => " (containerd 1.6 and CRI-O write one of several names, a tag before a digest)",
                }
            )));
        }
    };
    let sandbox = PodSandbox { engine, id: id.to_owned() };
    let demanded = demanded.map(str::to_owned);
    Ok(Some(Part::Platform(PlatformContainer { name, sandbox, why, demanded, known })))
}

/// Whether each word matches its pattern; a last `**` stands for any further words.
fn is_command(patterns: &[String], args: &[&str]) -> bool {
    let (patterns, args) = match patterns.split_last() {
        Some((last, patterns)) if last == "**" => (patterns, args.get(..patterns.len()).unwrap_or_default()),
        _ => (patterns, args),
    };
    patterns.len() == args.len() && patterns.iter().zip(args).all(|(pattern, arg)| glob(pattern, arg))
}

/// Container names as Kubernetes validates them (RFC 1123 labels), each once.
fn names(list: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim_ascii) {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = name.starts_with('-') || name.ends_with('-');
        if name.is_empty() || name.len() > 63 || ends || !name.chars().all(label) {
            return Err(format!("{} is not the name of a container; write NAME, NAME", shown(name)));
        }
        if names.iter().any(|known| known == name) {
            return Err(format!("{name} is named twice"));
        }
        names.push(name.to_owned());
    }
    if names.len() > LIMIT {
        return Err(format!("it has {} names; at most {LIMIT} are taken", names.len()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Decision, SWITCH, decide};

    const KIND: &str = "io.kubernetes.cri.container-type";
    const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";
    const NAME: &str = "io.kubernetes.cri.container-name";
    const IMAGE: &str = "io.kubernetes.cri.image-name";

    fn notes<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Annotation<'a>> {
        pairs.iter().map(|(n, v)| Annotation { name: (*n).into(), value: Some((*v).into()) }).collect()
    }

    /// A container of a pod with these platform containers.
    fn pod<'a>(list: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            (SWITCH, "true"),
            (PLATFORM, list),
            (KIND, "container"),
            (NAME, name),
            (SANDBOX, "s1"),
            (IMAGE, "r/a:1"),
        ]
    }

    fn verdict(settings: &str, pairs: &[(&str, &str)]) -> String {
        match decide(&Settings::parse(settings).unwrap(), &notes(pairs), &[]) {
            Decision::Platform(it) => format!("platform {} of {}: {}", it.name, it.sandbox.id, it.why),
            Decision::Isolate(policy) => {
                format!(
                    "isolated beside {}",
                    policy.beside.map(|beside| beside.names).unwrap_or_default().join(" ")
                )
            }
            Decision::PassThrough(why) => format!("passed: {why}"),
            Decision::Observe(observed) => format!("observed: {}", observed.why),
            Decision::Refuse(why) => why,
        }
    }

    #[test]
    fn the_named_containers_are_the_platforms_and_all_others_are_isolated() {
        for list in ["fetch,upload", " upload ,\tfetch "] {
            let yes = "platform fetch of s1: annotation io.oci-isolate.platform";
            assert_eq!(verdict("", &pod(list, "fetch")), yes);
            assert!(verdict("", &pod(list, "train")).starts_with("isolated beside "));
            assert!(verdict("", &pod(list, "fetch2")).starts_with("isolated beside "));
        }
        let sandbox = [(SWITCH, "true"), (PLATFORM, "fetch"), (KIND, "sandbox")];
        assert_eq!(verdict("", &sandbox), "isolated beside fetch");
    }

    #[test]
    fn where_the_settings_demand_isolation_the_image_must_be_the_platforms() {
        let of = |settings: &str, image| {
            let mut pairs = pod("fetch", "fetch");
            pairs[5].1 = image;
            verdict(settings, &pairs)
        };
        let platform = "[[platform]]\nimage = \"r/stage@sha256:*\"\nargs = [\"/stage\"]";
        let require = "[[require]]\nannotation = \"io.kubernetes.cri.image-name\"\nmatches = \"r/*\"";
        for (demand, shown) in [("mode = \"always\"", "mode = \"always\""), (require, "[[require]]")] {
            for settings in [demand.to_owned(), format!("{demand}\n{platform}")] {
                let why = of(&settings, "r/a:1");
                assert!(why.contains("container fetch must be isolated") && why.contains(shown), "{why}");
            }
            for settings in [demand.to_owned(), format!("{demand}\n{platform}")] {
                let yes = of(&settings, "r/stage@sha256:ab").starts_with("platform fetch of s1");
                assert_eq!(yes, settings.contains("[[platform]]"), "{settings}");
            }
        }
        // Nothing is demanded of another image; whether a container beside it is demanded, the sandbox's record knows.
        let settings = Settings::parse(&format!("{require}\n{platform}")).unwrap();
        let mut pairs = pod("fetch", "fetch");
        pairs[5].1 = "own/image";
        let Decision::Platform(own) = decide(&settings, &notes(&pairs), &[]) else { panic!() };
        assert!(own.own().is_some_and(|why| why.contains("container fetch is that of no [[platform]]")));
        pairs[3].1 = "train";
        pairs[5].1 = "r/train";
        let Decision::Isolate(policy) = decide(&settings, &notes(&pairs), &[]) else { panic!() };
        assert_eq!(policy.demanded.unwrap().sandbox.unwrap().id, "s1");
    }

    #[test]
    fn a_command_matches_word_by_word_and_only_a_last_pattern_stands_for_further_words() {
        for (patterns, args, yes) in [
            (&["/stage"][..], &["/stage"][..], true),
            (&["/stage"], &["/stage", "up"], false),
            (&["/stage", "up*"], &["/stage", "upload"], true),
            (&["/stage", "up*"], &["/stage"], false),
            (&["/stage", "up*"], &["/stage", "up", "x"], false),
            (&["/stage", "**"], &["/stage"], true),
            (&["/stage", "**"], &["/stage", "a", "b"], true),
            (&["/stage", "**"], &["/stages"], false),
            (&["/stage", "**"], &[], false),
            (&["/stage", "**", "x"], &["/stage", "a", "b", "x"], false),
        ] {
            let patterns: Vec<_> = patterns.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(is_command(&patterns, args), yes, "{patterns:?} {args:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_list_of_names_is_refused() {
        for (list, why) in [
            ("", "\"\" is not the name of a container"),
            ("fetch,", "\"\" is not the name of a container"),
            ("Fetch", "\"Fetch\" is not the name of a container"),
            ("fetch upload", "\"fetch upload\" is not the name of a container"),
            ("-a", "\"-a\" is not the name of a container"),
            ("*", "\"*\" is not the name of a container"),
            ("a,b,a", "a is named twice"),
        ] {
            let said = verdict("", &pod(list, "train"));
            assert!(
                said.starts_with("annotation io.oci-isolate.platform: ") && said.contains(why),
                "{list}: {said}"
            );
        }
        let many = (0..65).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",");
        assert!(verdict("", &pod(&many, "train")).contains("65 names"));
    }

    #[test]
    fn what_is_no_container_of_a_pod_is_refused() {
        let named = [(SWITCH, "true"), (PLATFORM, "fetch")];
        assert!(verdict("", &named).contains("this is none"));
        let mut forged = pod("fetch", "fetch");
        forged.push(("io.kubernetes.cri-o.ContainerName", "x"));
        assert!(verdict("", &forged).contains("a pod sets one of them itself"));
        forged[6] = ("io.container.manager", "none");
        assert!(verdict("", &forged).contains("a pod sets one of them itself"));
        for missing in [NAME, SANDBOX] {
            let pairs: Vec<_> =
                pod("fetch", "fetch").into_iter().filter(|(key, _)| *key != missing).collect();
            assert!(verdict("", &pairs).ends_with(&format!("the engine has not written {missing}")));
        }
        let twice = [pod("fetch", "fetch"), vec![(NAME, "fetch")]].concat();
        assert!(verdict("", &twice).ends_with("is given twice"));
    }

    /// A container of a pod of CRI-O.
    fn of_crio<'a>(metadata: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let pairs = vec![
            (SWITCH, "true"),
            (PLATFORM, "fetch"),
            ("io.container.manager", "cri-o"),
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.cri-o.SandboxID", "s1"),
            ("io.kubernetes.cri-o.Metadata", metadata),
            ("io.kubernetes.cri-o.ImageName", "r/stage@sha256:ab"),
        ];
        [pairs, more.to_vec()].concat()
    }

    #[test]
    fn cri_o_is_believed_what_a_pod_cannot_set() {
        let fetch = r#"{"name":"fetch","attempt":2}"#;
        assert!(verdict("", &of_crio(fetch, &[])).starts_with("platform fetch of s1"));
        assert_eq!(verdict("", &of_crio(r#"{"name":"train"}"#, &[])), "isolated beside fetch");
        let always = "mode = \"always\"\n[[platform]]\nimage = \"r/stage@sha256:*\"\nargs = [\"/stage\"]";
        assert!(verdict(always, &of_crio(fetch, &[])).starts_with("platform fetch of s1"));
        assert!(verdict("mode = \"always\"", &of_crio(fetch, &[])).contains("must be isolated"));
        let path = ("io.kubernetes.cri-o.HostnamePath", "/run/x");
        let mut sandbox = of_crio(fetch, &[path]);
        // A sandbox whose pod claims that it is a container of another one: CRI-O writes the pod's annotations last.
        assert!(verdict("", &sandbox).contains("which only a sandbox has"));
        sandbox[3].1 = "sandbox";
        assert_eq!(verdict("", &sandbox), "isolated beside fetch");
        sandbox.pop();
        assert!(verdict("", &sandbox).contains("which every sandbox has"));
        for (metadata, why) in [
            ("{}", "names no container"),
            ("fetch", "names no container"),
            (r#"{"name":""}"#, "names no container"),
            (r#"{"name":"fetch","name":"train"}"#, "names no container"),
        ] {
            let said = verdict("", &of_crio(metadata, &[]));
            assert!(said.contains(why), "{metadata}: {said}");
        }
        let forged = of_crio(fetch, &[(NAME, "fetch")]);
        assert!(verdict("", &forged).contains("a pod sets one of them itself"));
        let mut podman = of_crio(fetch, &[]);
        podman[2].1 = "libpod";
        assert!(verdict("", &podman).contains("this is none"));
    }

    #[test]
    fn openings_and_a_pod_that_is_not_isolated_are_refused() {
        for (key, value) in [
            ("io.oci-isolate.ingress", "80"),
            ("io.oci-isolate.peers", "10.0.0.1"),
            ("io.oci-isolate.job", "train"),
        ] {
            let sandbox = [(SWITCH, "true"), (PLATFORM, "fetch"), (KIND, "sandbox"), (key, value)];
            let named = [sandbox.to_vec(), vec![("io.kubernetes.cri.sandbox-namespace", "a")]].concat();
            assert!(verdict("", &named).contains("with ingress, peers or job"), "{key}");
        }
        let default = "[openings]\ningress = \"80\"";
        let sandbox = [(SWITCH, "true"), (PLATFORM, "fetch"), (KIND, "sandbox")];
        assert!(verdict(default, &sandbox).contains("with ingress, peers or job"));
        assert!(verdict("", &sandbox[1..]).contains("is for isolated containers"));
        assert!(verdict("", &[(PLATFORM, "fetch"), (SWITCH, "false")]).starts_with("passed"));
    }
}
