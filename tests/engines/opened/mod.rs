//! What stays open in an isolated container by `io.oci-isolate.ingress`, `.peers` and `.job`, behind real engines.
//!
//! Docker 20.10 cannot pass annotations; there the settings open the same.

mod collective;
mod internal;
mod job;
mod pasta;
mod podman;
mod published;
mod refused;
mod service;

use std::process::Command;
use std::time::Duration;

use test_support::cached;
use test_support::command::{Finished, command_within, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::host::EngineHost;

/// Fetches the page from address `$0`, port `$1`. `grep` answers for it: 1 is "refused at once", 124 a hang.
const FETCH: &str = "exec 3<>/dev/tcp/$0/$1 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep inside <&3";

/// The words by which a container is isolated and has this open, `ingress=80/tcp` or `job=train`: annotations, or settings
/// that say so from now on.
fn opened(docker: &Docker, what: &str) -> Vec<String> {
    if docker.release == Release::Docker28 {
        return [docker.isolation(), &["--annotation", &format!("io.oci-isolate.{what}")]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
    }
    let (name, value) = what.split_once('=').unwrap();
    docker.host.write("always.toml", &format!("mode = \"always\"\n[openings]\n{name} = \"{value}\"\n"));
    vec!["--runtime=always".to_owned()]
}

fn comes_to_answer(host: &EngineHost, address: &str) -> bool {
    wait_for(Duration::from_secs(30), || host.world.can_connect(address).then_some(())).is_some()
}

/// Complaints unless the host itself can fetch the page, within the time that a program takes to start.
fn is_fetched_by_host(host: &EngineHost, address: &str, port: &str) -> Vec<String> {
    let fetch = || say(host.command("timeout").args(["4", "bash", "-c", FETCH, address, port]));
    match wait_for(Duration::from_secs(30), || fetch().well().then_some(())) {
        Some(()) => vec![],
        None => vec![format!("{address}:{port} does not answer the host: {}", fetch())],
    }
}

/// The same of a container.
fn is_fetched_by(docker: &Docker, from: &str, address: &str, port: &str) -> Vec<String> {
    let fetch = || docker.docker(&["exec", from, "timeout", "4", "bash", "-c", FETCH, address, port]);
    match wait_for(Duration::from_secs(30), || fetch().well().then_some(())) {
        Some(()) => vec![],
        None => vec![format!("{from} does not reach {address}:{port}: {}", fetch())],
    }
}

/// A command on a client's machine: outside of the host, behind its uplink.
fn client(host: &EngineHost, program: &str) -> Command {
    let mut client = command_within(300, "nsenter");
    client.arg(format!("--net=/run/netns/{}-out", host.world.name)).arg(program);
    client
}

/// The words by which a container of the image `mpi`, which becomes known to this Docker, runs programs from here.
fn mpi(docker: &Docker) -> [String; 2] {
    let archive = std::fs::File::open(cached("mpi", "hack/mpi").join("image.tar")).unwrap();
    say(docker.client("/usr/bin/docker").args(["import", "-", "mpi"]).stdin(archive)).must();
    std::fs::create_dir(docker.host.dir().join("programs")).unwrap();
    for (name, text) in [
        ("serve.py", include_str!("serve.py")),
        ("pairs.py", include_str!("pairs.py")),
        ("reduce.py", include_str!("reduce.py")),
        ("outward.py", include_str!("outward.py")),
        ("talk.py", include_str!("talk.py")),
    ] {
        docker.host.write(&format!("programs/{name}"), text);
    }
    ["-v".to_owned(), format!("{}:/work:ro", docker.host.at("programs"))]
}

/// Runs `isolatectl` on the host.
fn isolatectl(docker: &Docker, args: &[&str]) -> Finished {
    let program = docker.host.dir().join("isolatectl");
    if !program.exists() {
        std::fs::copy(test_support::isolatectl(), &program).unwrap();
    }
    say(docker.host.command(program.to_str().unwrap()).args(args))
}

/// The whole id of a container.
fn id(docker: &Docker, name: &str) -> String {
    docker.must(&["inspect", "-f", "{{.Id}}", name])
}

/// The address of a container in its one network.
fn address(docker: &Docker, name: &str) -> String {
    docker.must(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name])
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
