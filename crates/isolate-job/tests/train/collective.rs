//! Distributed training programs with the entrypoint of the request: Open MPI (`hack/mpi`), and a rendezvous as that of torchrun.

use std::fs::{self, File};
use std::process::Stdio;

use serde_json::json;
use test_support::cached;
use test_support::command::say;

use crate::site::{Asked, Engine, Site, asked};

const PROGRAMS: [(&str, &str); 3] = [
    ("start.sh", include_str!("../../../../hack/mpi.d/start.sh")),
    ("reduce.py", include_str!("../../../../tests/engines/opened/reduce.py")),
    ("rendezvous.py", include_str!("../../../../hack/mpi.d/rendezvous.py")),
];

/// Runs a program of the channel `code` on two hosts; what they wrote, in order.
#[track_caller]
fn lines(site: &Site, name: &str, entrypoint: [&str; 2]) -> Vec<String> {
    let more = json!({
        "AlgorithmSpecification": {
            "TrainingImage": "mpi",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": entrypoint,
        },
        "InputDataConfig": [{
            "ChannelName": "code",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/code/" } },
        }],
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1 },
    });
    let done = site.train(&Asked { more, ..asked(name, "") });
    assert_eq!(done.status, Some(0), "{done}");
    let mut lines: Vec<_> = done.out.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn open_mpi_and_a_rendezvous_by_name_run_on_two_hosts() {
    let site = Site::docker();
    let Engine::Docker(docker) = &site.engine else { unreachable!() };
    let archive = File::open(cached("mpi/image.tar", "hack/mpi")).unwrap();
    let mut import = docker.client("/usr/bin/docker");
    say(import.args(["import", "-", "mpi"]).stdin(Stdio::from(archive))).must();
    fs::create_dir(site.path("s3/data/code")).unwrap();
    for (name, text) in PROGRAMS {
        fs::write(site.path("s3/data/code").join(name), text).unwrap();
    }
    let code = "/opt/ml/input/data/code";
    let found = lines(&site, "mpi", ["bash", &format!("{code}/start.sh")]);
    assert_eq!(found, ["algo-1 algo-1 2 3 3.0 3.0", "algo-1 algo-2 2 3 3.0 3.0"]);
    let found = lines(&site, "rendezvous", ["python3", &format!("{code}/rendezvous.py")]);
    assert_eq!(found, ["algo-1 rank 0 of 2 met algo-1 algo-2", "algo-2 rank 1 of 2 met algo-1 algo-2"]);
}
