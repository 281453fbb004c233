//! An engine by its own client, as its user calls it. Everything that is made has the site's name, and is removed by it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use oci_isolate::files;
use oci_isolate::policy::SWITCH;

use super::call::{Called, Interrupt, call};
use super::image::{CREDENTIAL_FILE, ProbeImage};
use super::site::Site;
use super::way::{Ask, Peer};

/// An engine that prove knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EngineKind {
    Docker,
    Podman,
}

impl EngineKind {
    /// Its client, and its name.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// An engine with prove's image, network and peer in it, until it is dropped.
#[derive(Debug)]
pub(super) struct TriedEngine<'s> {
    kind: EngineKind,
    runtime: &'s str,
    site: &'s Site,
    image: &'s ProbeImage,
    interrupt: &'s Interrupt,
    /// Its version.
    pub(super) version: String,
    /// The container that answers.
    pub(super) peer: Peer,
}

/// What a container is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    /// The last part of its name.
    pub(super) name: &'r str,
    pub(super) isolated: bool,
    pub(super) asks: &'r [Ask],
    /// What this program is told there.
    pub(super) words: &'r [&'r str],
}

impl<'s> TriedEngine<'s> {
    /// # Errors
    /// The engine does not answer, or cannot run a container of the runtime.
    pub(super) fn prepare(
        kind: EngineKind,
        runtime: &'s str,
        site: &'s Site,
        image: &'s ProbeImage,
        interrupt: &'s Interrupt,
    ) -> Result<Self> {
        let peer = Peer { addresses: Vec::new(), later: Vec::new(), name: site.peer(), server: None };
        let mut engine = Self { kind, runtime, site, image, interrupt, version: String::new(), peer };
        let format = match kind {
            EngineKind::Docker => "{{.Server.Version}}",
            EngineKind::Podman => "{{.Client.Version}}",
        };
        engine.version =
            engine.must(&["version", "--format", format]).context("the engine does not answer")?;
        let tar = image.tar.to_string_lossy();
        engine.must(&["import", &tar, &site.name]).context("cannot import an image")?;
        let create = ["network", "create"];
        if !engine.call(&[&create[..], &["--ipv6", &site.name]].concat())?.is_well() {
            engine.must(&[&create[..], &[&site.name]].concat()).context("cannot make a network")?;
        }
        // Without IPv6: Docker connects no running container to a network with it that lets no advertisement through.
        let later = engine.full(LATER);
        engine.must(&["network", "create", &later]).context("cannot make a network")?;
        let serve =
            Request { name: "peer", isolated: false, asks: &[Ask::Network], words: &["serve", &site.word] };
        engine.start(&serve)?.must().context("cannot start a container")?;
        engine.must_be_here()?;
        engine.connect("peer").context("cannot connect a container")?;
        engine.peer.addresses = engine.addresses(&site.name, PEERS)?;
        engine.peer.later = engine.addresses(&later, PEERS)?;
        ensure!(
            !engine.peer.addresses.is_empty() && !engine.peer.later.is_empty(),
            "the engine gave a container no address on its networks"
        );
        engine.peer.server = match kind {
            EngineKind::Docker => Some(Ipv4Addr::new(127, 0, 0, 11).into()),
            EngineKind::Podman => engine.addresses(&site.name, "{{.Gateway}}")?.pop(),
        };
        Ok(engine)
    }

    /// # Errors
    /// It is the engine of another host, as by DOCKER_HOST: what is tried would be this host's, and not be there.
    fn must_be_here(&self) -> Result<()> {
        let pid = self.must(&["container", "inspect", "--format", "{{.State.Pid}}", &self.site.peer()]);
        let pid = pid.context("cannot inspect a container")?;
        // Not its command line, which it has only a moment after the engine has started it.
        let file = Path::new("/proc").join(&pid).join("root").join(CREDENTIAL_FILE);
        let is_here = files::read(&file, files::SMALL_LIMIT)
            .is_ok_and(|file| String::from_utf8_lossy(&file.bytes).contains(&self.site.word));
        ensure!(
            is_here,
            "the engine is not this host's: process {pid} here is not that of its container; run prove where the engine \
             runs, without DOCKER_HOST, CONTAINER_HOST or a context"
        );
        Ok(())
    }

    /// What the engine tells of the peer on a network.
    fn addresses(&self, network: &str, fields: &str) -> Result<Vec<IpAddr>> {
        let format = format!("{{{{with index .NetworkSettings.Networks \"{network}\"}}}}{fields}{{{{end}}}}");
        let said = self.must(&["container", "inspect", "--format", &format, &self.site.peer()]);
        let said = said.context("cannot inspect a container")?;
        Ok(said.split_whitespace().filter_map(|word| word.parse().ok()).collect())
    }

    /// Runs a container to its end.
    ///
    /// # Errors
    /// The client cannot be run.
    pub(super) fn run(&self, request: &Request<'_>) -> Result<Called> {
        self.call(&texts(&self.words(request, &["--rm"])))
    }

    /// Starts a container that stays.
    ///
    /// # Errors
    /// The client cannot be run.
    pub(super) fn start(&self, request: &Request<'_>) -> Result<Called> {
        self.call(&texts(&self.words(request, &["--rm", "--detach"])))
    }

    /// Connects a container that runs to the second network.
    ///
    /// # Errors
    /// It cannot be connected.
    pub(super) fn connect(&self, name: &str) -> Result<()> {
        self.must(&["network", "connect", &self.full(LATER), &self.full(name)]).map(drop)
    }

    /// Runs the probe in a container that runs, with a variable.
    ///
    /// # Errors
    /// The client cannot be run.
    pub(super) fn exec(&self, name: &str, variable: &str, words: &[&str]) -> Result<Called> {
        let name = self.full(name);
        let program = self.image.program.iter().map(String::as_str);
        let program: Vec<_> = program.chain([super::PROBE]).chain(words.iter().copied()).collect();
        self.call(&[&["exec", "--env", variable, &name], &program[..]].concat())
    }

    /// Ends a container that was started.
    ///
    /// # Errors
    /// The client cannot be run.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.must(&["rm", "--force", &self.full(name)]).map(drop)
    }

    /// The whole name of a container.
    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.site.name)
    }

    fn words(&self, request: &Request<'_>, how: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = match self.kind {
            EngineKind::Docker => vec!["run".into(), format!("--runtime={}", self.runtime)],
            EngineKind::Podman => vec![format!("--runtime={}", self.runtime), "run".into()],
        };
        words.extend(how.iter().map(|word| (*word).to_owned()));
        words.extend([
            format!("--name={}", self.full(request.name)),
            format!("--label={LABEL}={}", self.site.name),
        ]);
        if request.isolated {
            words.push(format!("--annotation={SWITCH}=true"));
        }
        words.extend(request.asks.iter().filter_map(|ask| self.option(ask)));
        words.push(self.site.name.clone());
        words.extend(self.image.program.iter().cloned());
        words.push(super::PROBE.to_owned());
        words.extend(request.words.iter().map(|word| (*word).to_owned()));
        words.extend(request.asks.iter().filter_map(|ask| match ask {
            Ask::Argument(text) => Some(text.clone()),
            _ => None,
        }));
        words
    }

    /// None: it is no option.
    fn option(&self, ask: &Ask) -> Option<String> {
        Some(match ask {
            Ask::Network => format!("--network={}", self.site.name),
            Ask::HostNetwork => "--network=host".into(),
            Ask::NetworkOfPeer => format!("--network=container:{}", self.site.peer()),
            Ask::HostPid => "--pid=host".into(),
            Ask::PidOfPeer => format!("--pid=container:{}", self.site.peer()),
            Ask::HostIpc => "--ipc=host".into(),
            Ask::Capability(name) => format!("--cap-add={name}"),
            Ask::Device(path) => format!("--device={path}"),
            Ask::AllDisks => "--device-cgroup-rule=b *:* rwm".into(),
            // Unlike --volume, it makes no source that is missing.
            Ask::Mount(source, at) => {
                format!("--mount=type=bind,source={},target={at},readonly", source.display())
            }
            Ask::NoProfile => "--security-opt=seccomp=unconfined".into(),
            Ask::Unmasked if self.kind == EngineKind::Docker => {
                "--security-opt=systempaths=unconfined".into()
            }
            Ask::Unmasked => "--security-opt=unmask=ALL".into(),
            Ask::Variable(name, value) => format!("--env={name}={value}"),
            Ask::Argument(_) => return None,
        })
    }

    fn call(&self, words: &[&str]) -> Result<Called> {
        call(self.kind.program(), words, Some(self.interrupt))
    }

    fn must(&self, words: &[&str]) -> Result<String> {
        self.call(words)?.must()
    }

    /// Removes everything, whatever of it there is, also after an interrupt. What fails is no reason to leave the rest.
    ///
    /// # Errors
    /// What is left, and why.
    pub(super) fn clean(kind: EngineKind, site: &Site) -> Result<()> {
        let must = |words: &[&str]| call(kind.program(), words, None)?.must();
        let filter = format!("label={LABEL}={}", site.name);
        let list = || must(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        let mut left = list();
        for _ in 0..ROUNDS {
            for container in left.iter().flat_map(|left| left.lines()) {
                // One that ends by itself is removed by the engine meanwhile.
                let _ = must(&["rm", "--force", container]);
            }
            thread::sleep(Duration::from_millis(100));
            let before = std::mem::replace(&mut left, list());
            // Twice: the engine may have been about to make one, or to answer.
            match (before, &left) {
                (Ok(before), Ok(left)) if before.is_empty() && left.is_empty() => break,
                (Err(_), Err(_)) => break,
                _ => (),
            }
        }
        let mut errors = Vec::new();
        match left {
            Ok(left) if left.is_empty() => (),
            Ok(left) => errors.push(format!("containers are left: {}", left.replace('\n', " "))),
            Err(error) => errors.push(format!("{error:#}")),
        }
        let mut attempt =
            |words: &[&str]| must(words).map_err(|error| errors.push(format!("{error:#}"))).ok();
        let networks = attempt(&["network", "ls", "--format", "{{.Name}}"]).unwrap_or_default();
        for network in networks.lines().filter(|name| name.starts_with(&site.name)) {
            attempt(&["network", "rm", network]);
        }
        if attempt(&["images", "--quiet", &site.name]).is_some_and(|images| !images.is_empty()) {
            attempt(&["rmi", "--force", &site.name]);
        }
        ensure!(errors.is_empty(), "{}", errors.join("; "));
        Ok(())
    }
}

/// The peer's own addresses.
const PEERS: &str = "{{.IPAddress}} {{.GlobalIPv6Address}}";

/// How often the containers are removed and listed again at most.
const ROUNDS: usize = 10;

/// The last part of the name of the network that containers are connected to while they run.
const LATER: &str = "later";

/// The label of every container.
const LABEL: &str = "oci-isolate-prove";

/// Whether there is such a program in PATH.
pub(super) fn is_there(kind: EngineKind) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::is_file(&directory.join(kind.program())))
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
