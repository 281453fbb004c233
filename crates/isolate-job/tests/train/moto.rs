//! moto (`hack/s3`) in place of Amazon S3 and STS, on a port of the throw-away host's loopback.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use test_support::command::{say, wait_for};

use crate::server::{Moto, exchange};
use crate::site::{Engine, Site};

/// A port of the throw-away host's loopback.
const PORT: u16 = 4566;

/// Settings of an engine that lead there.
pub(crate) fn settings(site: &Site, engine: &str) {
    let endpoint = format!("endpoint = \"http://127.0.0.1:{PORT}\"");
    site.settings(&format!(
        "{engine}\n[s3]\n{endpoint}\nregion = \"eu-west-1\"\naddressing = \"path\"\n[role]\n{endpoint}\n"
    ));
}

/// moto on that port, and settings that lead there.
pub(crate) fn serve(site: &Site) -> Moto {
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let network = &site.host().world.host;
    let inside = format!("--net={}", network.path());
    let moto = Moto::spawn(&["nsenter", &inside], "127.0.0.1", PORT, address);
    let answers = || network.inside(move || TcpStream::connect(address).is_ok()).then_some(());
    assert!(wait_for(Duration::from_secs(60), answers).is_some(), "moto does not start");
    let engine = match &site.engine {
        Engine::Docker(_) => "engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"\n".to_owned(),
        Engine::Podman(_) => {
            format!("engine = \"podman\"\nengine-path = {:?}\n", site.host().at("podman.sh"))
        }
    };
    settings(site, &engine);
    moto
}

/// A request to it.
pub(crate) fn request(site: &Site, method: &str, target: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let (method, target) = (method.to_owned(), target.to_owned());
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    site.host().world.host.inside(move || exchange(address, &method, &target, "", &body))
}

pub(crate) fn put(site: &Site, target: &str, body: &[u8]) {
    assert_eq!(request(site, "PUT", target, body.to_vec()).0, 200, "{target}");
}

/// The files of an archive in Amazon S3.
pub(crate) fn unpacked(site: &Site, name: &str) -> tempfile::TempDir {
    let (_, _, archive) =
        request(site, "GET", &format!("/results/out/{name}/output/model.tar.gz"), Vec::new());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.tar.gz");
    fs::write(&path, archive).unwrap();
    say(Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(directory.path())).must();
    directory
}
