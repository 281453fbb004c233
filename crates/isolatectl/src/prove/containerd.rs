//! containerd by its own client `ctr`, with the configuration that its clients write themselves. Containers run this program in a
//! directory; their network is the host's CNI network, if there is one.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use serde_json::Value;

use super::call::{Called, Turn, call, start};
use super::engine::{self, EngineKind, Request, TriedEngine};
use super::image::ProbeImage;
use super::site::Site;
use super::spec::{self, Frame};
use super::way::{Ask, Peer};

/// containerd with prove's directory and peer.
#[derive(Debug)]
pub(super) struct ContainerdEngine<'s> {
    runtime: &'s str,
    site: &'s Site,
    image: &'s ProbeImage,
    turn: &'s Turn<'s>,
    version: String,
    peer: Peer,
    /// The root file system of all.
    root: PathBuf,
    /// containerd's default configuration.
    default: Value,
    /// The client of the peer, which takes its network down again when that has ended; and its process.
    client: Option<Child>,
    pid: Option<String>,
    /// Whether `ctr run --cni` makes a network.
    has_network: bool,
}

/// How long the peer may take to answer, and its client to end. An engine that takes longer is of no use for this.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often containers are ended and listed again at most.
const ROUNDS: usize = 20;

impl<'s> ContainerdEngine<'s> {
    /// # Errors
    /// containerd does not answer, or cannot run a container of the runtime.
    pub(super) fn prepare(
        runtime: &'s str,
        site: &'s Site,
        image: &'s ProbeImage,
        turn: &'s Turn<'s>,
    ) -> Result<Self> {
        let version = ctr(&["version"], Some(turn))?.must().context("the engine does not answer")?;
        // The client's is before it.
        let server = version.split_once("Server:").map_or("", |(_, server)| server);
        let version = server.lines().find_map(|line| line.trim().strip_prefix("Version:"));
        let default = ctr(&["oci", "spec"], Some(turn))?.must().context("cannot get a configuration")?;
        let mut engine = Self {
            runtime,
            site,
            image,
            turn,
            version: version.unwrap_or("of an unknown version").trim().to_owned(),
            peer: Peer::of(site),
            root: site.dir.join("rootfs"),
            default: serde_json::from_str(&default).context("ctr oci spec printed something else")?,
            client: None,
            pid: None,
            has_network: true,
        };
        image.unpack(&engine.root)?;
        engine.start_peer().context("cannot start a container")?;
        engine.peer.later = Err("ctr connects no running container to a network".into());
        engine.peer.server = Err("containerd has no name server".into());
        Ok(engine)
    }

    /// With the host's network or, if that cannot be made, without one.
    fn start_peer(&mut self) -> Result<()> {
        if let Err(why) = self.start_peer_once()? {
            self.has_network = false;
            self.start_peer_once()?.map_err(Error::msg)?;
            self.peer.addresses = Err(format!("ctr run --cni makes no network: {why}"));
        }
        Ok(())
    }

    /// Why it ended at once, or nothing.
    ///
    /// # Errors
    /// It did not answer.
    fn start_peer_once(&mut self) -> Result<Result<(), String>> {
        let asks = [Ask::Network];
        let life = self.turn.longest().as_secs().to_string();
        let request =
            Request { name: "peer", isolated: false, asks: &asks, words: &["serve", &self.site.word, &life] };
        let (log, errors) = (self.log("peer"), self.log("peer-client"));
        // What one before it left.
        let _ = fs::remove_file(&log);
        let words = self.words(&request, &["--rm"])?;
        // Ended when it is dropped.
        let client = self.client.insert(start(EngineKind::Containerd.program(), &texts(&words), &errors)?);
        let end = Instant::now() + PATIENCE;
        let said = loop {
            // A line that is cut has no end yet.
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.ends_with('\n') {
                break said;
            }
            if client.try_wait().context("cannot wait for ctr")?.is_some() {
                let said = [&log, &errors].map(|file| fs::read_to_string(file).unwrap_or_default());
                return Ok(Err(said.join(" ").trim().replace('\n', " ")));
            }
            self.turn.must_last()?;
            ensure!(Instant::now() < end, "it did not answer within {} seconds", PATIENCE.as_secs());
            thread::sleep(Duration::from_millis(20));
        };
        let addresses = serde_json::from_str(&said).with_context(|| format!("the container said {said}"))?;
        self.peer.addresses = Ok(addresses);
        let pid = self.pid_of_peer()?;
        engine::must_be_here(&pid, self.site)?;
        self.pid = Some(pid);
        Ok(Ok(()))
    }

    fn pid_of_peer(&self) -> Result<String> {
        let tasks = self.call(&["tasks", "list"])?.must().context("cannot list containers")?;
        let peer = self.site.peer();
        let pid = tasks.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(&peer)).then(|| words.next().map(str::to_owned)).flatten()
        });
        pid.context("containerd does not list its container")
    }

    /// Where a container's program writes: ctr itself loses the end of what a program says that ends at once.
    fn log(&self, name: &str) -> PathBuf {
        self.site.dir.join(format!("{name}.log"))
    }

    fn log_option(&self, name: &str) -> String {
        format!("--log-uri=file://{}", self.log(name).display())
    }

    /// The words of `ctr run`, whose configuration is written to a file.
    fn words(&self, request: &Request<'_>, how: &[&str]) -> Result<Vec<String>> {
        let frame = Frame {
            default: &self.default,
            root: &self.root,
            program: &self.image.program,
            peer: self.pid.as_deref(),
        };
        let name = self.site.full(request.name);
        let spec = spec::spec(&frame, &name, request)?;
        let file = self.site.dir.join(format!("{}.json", request.name));
        fs::write(&file, spec.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        let mut words = vec!["run".to_owned(), format!("--runc-binary={}", self.runtime)];
        words.extend(how.iter().map(|word| (*word).to_owned()));
        words.extend([self.log_option(request.name), format!("--config={}", file.display())]);
        if self.has_network && request.asks.contains(&Ask::Network) {
            words.push("--cni".into());
        }
        words.push(name);
        Ok(words)
    }

    fn call(&self, words: &[&str]) -> Result<Called> {
        ctr(words, Some(self.turn))
    }

    /// What the client said, and what the program did.
    fn heard(&self, name: &str, words: &[&str]) -> Result<Called> {
        let mut said = self.call(words)?;
        said.out += &fs::read_to_string(self.log(name)).unwrap_or_default();
        Ok(said)
    }
}

impl TriedEngine for ContainerdEngine<'_> {
    fn version(&self) -> &str {
        &self.version
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn has_peer(&self) -> bool {
        self.pid.as_deref().is_some_and(|pid| engine::is_here(pid, self.site))
    }

    fn run(&self, request: &Request<'_>) -> Result<Called> {
        self.heard(request.name, &texts(&self.words(request, &["--rm"])?))
    }

    fn start(&self, request: &Request<'_>) -> Result<Called> {
        let mut said = self.call(&texts(&self.words(request, &["--detach"])?))?;
        if said.is_well() {
            said.out = self.site.full(request.name);
        }
        Ok(said)
    }

    fn connect(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn exec(&self, request: &Request<'_>, words: &[&str]) -> Result<Called> {
        let name = format!("{}-exec", request.name);
        let (log, whole) = (self.log_option(&name), self.site.full(request.name));
        let mut call = vec!["tasks", "exec", "--exec-id", &name, &log, &whole];
        call.extend(self.image.program.iter().map(String::as_str));
        call.push(super::PROBE);
        call.extend(words);
        self.heard(&name, &call)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let name = self.site.full(name);
        // Also when its turn is over.
        ctr(&["tasks", "delete", "--force", &name], None)?.must()?;
        ctr(&["containers", "delete", &name], None)?.must().map(drop)
    }
}

impl Drop for ContainerdEngine<'_> {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            end_peer(self.site, client);
        }
    }
}

/// Ends the peer, and waits for its client, which removes its network.
fn end_peer(site: &Site, client: &mut Child) {
    let end = Instant::now() + PATIENCE;
    while matches!(client.try_wait(), Ok(None)) {
        if Instant::now() > end {
            let _ = client.kill();
            let _ = client.wait();
            return;
        }
        let _ = ctr(&["tasks", "kill", "--signal=KILL", &site.peer()], None);
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends and removes containers.
///
/// # Errors
/// What is left, and why.
pub(super) fn clean(site: &Site) -> Result<()> {
    let list = || -> Result<Vec<String>> {
        let all = ctr(&["containers", "list", "--quiet"], None)?.must()?;
        Ok(all.lines().filter(|name| name.starts_with(&site.name)).map(str::to_owned).collect())
    };
    let mut left = list()?;
    for _ in 0..ROUNDS {
        if left.is_empty() {
            break;
        }
        for name in &left {
            // The client of one that ends removes it meanwhile.
            let _ = ctr(&["tasks", "delete", "--force", name], None);
            let _ = ctr(&["containers", "delete", name], None);
        }
        thread::sleep(Duration::from_millis(100));
        left = list()?;
    }
    ensure!(left.is_empty(), "containers are left: {}", left.join(" "));
    Ok(())
}

fn ctr(words: &[&str], turn: Option<&Turn<'_>>) -> Result<Called> {
    call(EngineKind::Containerd.program(), words, turn)
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
