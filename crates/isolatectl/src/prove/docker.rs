//! Docker and Podman by their own clients, which are alike. Everything that is made has the site's name, and is removed by it.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use oci_isolate::policy::SWITCH;

use super::call::{Called, Turn, call};
use super::engine::{self, EngineKind, Request, TriedEngine};
use super::image::ProbeImage;
use super::site::Site;
use super::way::{Ask, Peer};

/// Docker or Podman with prove's image, networks and peer in it, until it is cleaned.
#[derive(Debug)]
pub(super) struct DockerEngine<'s> {
    kind: EngineKind,
    runtime: &'s str,
    site: &'s Site,
    image: &'s ProbeImage,
    turn: &'s Turn<'s>,
    version: String,
    peer: Peer,
    /// The peer's process.
    pid: String,
}

impl<'s> DockerEngine<'s> {
    /// # Errors
    /// The engine does not answer, or cannot run a container of the runtime.
    pub(super) fn prepare(
        kind: EngineKind,
        runtime: &'s str,
        site: &'s Site,
        image: &'s ProbeImage,
        turn: &'s Turn<'s>,
    ) -> Result<Self> {
        let mut engine = Self {
            kind,
            runtime,
            site,
            image,
            turn,
            version: String::new(),
            peer: Peer::of(site),
            pid: String::new(),
        };
        let format = match kind {
            EngineKind::Podman => "{{.Client.Version}}",
            _ => "{{.Server.Version}}",
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
        let later = site.full(LATER);
        engine.must(&["network", "create", &later]).context("cannot make a network")?;
        let life = turn.longest().as_secs().to_string();
        let serve = Request {
            name: "peer",
            isolated: false,
            asks: &[Ask::Network],
            words: &["serve", &site.word, &life],
        };
        engine.start(&serve)?.must().context("cannot start a container")?;
        engine.pid = engine.must_be_here()?;
        engine.connect("peer").context("cannot connect a container")?;
        let addresses = engine.addresses(&site.name, PEERS)?;
        let later = engine.addresses(&later, PEERS)?;
        ensure!(
            !addresses.is_empty() && !later.is_empty(),
            "the engine gave a container no address on its networks"
        );
        engine.peer.addresses = Ok(addresses);
        engine.peer.later = Ok(later);
        let server = match kind {
            EngineKind::Podman => engine.addresses(&site.name, "{{.Gateway}}")?.pop(),
            _ => Some(Ipv4Addr::new(127, 0, 0, 11).into()),
        };
        engine.peer.server = server.ok_or("the engine has no name server for its network".into());
        Ok(engine)
    }

    /// # Errors
    /// It is the engine of another host, or does not tell.
    fn must_be_here(&self) -> Result<String> {
        let pid = self.must(&["container", "inspect", "--format", "{{.State.Pid}}", &self.site.peer()]);
        let pid = pid.context("cannot inspect a container")?;
        engine::must_be_here(&pid, self.site)?;
        Ok(pid)
    }

    /// What the engine tells of the peer on a network.
    fn addresses(&self, network: &str, fields: &str) -> Result<Vec<IpAddr>> {
        let format = format!("{{{{with index .NetworkSettings.Networks \"{network}\"}}}}{fields}{{{{end}}}}");
        let said = self.must(&["container", "inspect", "--format", &format, &self.site.peer()]);
        let said = said.context("cannot inspect a container")?;
        Ok(said.split_whitespace().filter_map(|word| word.parse().ok()).collect())
    }

    fn words(&self, request: &Request<'_>, how: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = match self.kind {
            EngineKind::Podman => vec![format!("--runtime={}", self.runtime), "run".into()],
            _ => vec!["run".into(), format!("--runtime={}", self.runtime)],
        };
        words.extend(how.iter().map(|word| (*word).to_owned()));
        words.extend([
            format!("--name={}", self.site.full(request.name)),
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
            Ask::Unmasked if self.kind == EngineKind::Podman => "--security-opt=unmask=ALL".into(),
            Ask::Unmasked => "--security-opt=systempaths=unconfined".into(),
            Ask::Variable(name, value) => format!("--env={name}={value}"),
            Ask::Connectable if self.kind == EngineKind::Podman => format!("--network={}", self.site.name),
            Ask::Connectable | Ask::Argument(_) | Ask::VariableOfExec(..) => return None,
        })
    }

    fn call(&self, words: &[&str]) -> Result<Called> {
        call(self.kind.program(), words, Some(self.turn))
    }

    fn must(&self, words: &[&str]) -> Result<String> {
        self.call(words)?.must()
    }
}

impl TriedEngine for DockerEngine<'_> {
    fn version(&self) -> &str {
        &self.version
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn has_peer(&self) -> bool {
        engine::is_here(&self.pid, self.site)
    }

    fn run(&self, request: &Request<'_>) -> Result<Called> {
        self.call(&texts(&self.words(request, &["--rm"])))
    }

    fn start(&self, request: &Request<'_>) -> Result<Called> {
        self.call(&texts(&self.words(request, &["--rm", "--detach"])))
    }

    fn connect(&self, name: &str) -> Result<()> {
        self.must(&["network", "connect", &self.site.full(LATER), &self.site.full(name)]).map(drop)
    }

    fn exec(&self, request: &Request<'_>, words: &[&str]) -> Result<Called> {
        let mut call = vec!["exec".to_owned()];
        call.extend(request.asks.iter().filter_map(|ask| match ask {
            Ask::VariableOfExec(name, value) => Some(format!("--env={name}={value}")),
            _ => None,
        }));
        call.push(self.site.full(request.name));
        call.extend(self.image.program.iter().cloned().chain([super::PROBE.to_owned()]));
        call.extend(words.iter().map(|word| (*word).to_owned()));
        self.call(&texts(&call))
    }

    fn remove(&self, name: &str) -> Result<()> {
        // Also when its turn is over.
        call(self.kind.program(), &["rm", "--force", &self.site.full(name)], None)?.must().map(drop)
    }
}

/// Removes containers, networks and the image.
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
    let mut attempt = |words: &[&str]| must(words).map_err(|error| errors.push(format!("{error:#}"))).ok();
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

/// The peer's own addresses.
const PEERS: &str = "{{.IPAddress}} {{.GlobalIPv6Address}}";

/// How often the containers are removed and listed again at most.
const ROUNDS: usize = 10;

/// The last part of the name of the network that containers are connected to while they run.
const LATER: &str = "later";

/// The label of every container.
const LABEL: &str = "oci-isolate-prove";

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
