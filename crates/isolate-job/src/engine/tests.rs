//! Command lines as engines were given them, and answers as engines gave them (`answers/`, recorded from Docker 20.10.24,
//! Docker 28.5.2, Podman 4.3.1 and Podman 5.8.6).

use super::*;
use crate::request::{Request, read};

fn docker() -> Engine {
    Engine { kind: Kind::Docker, program: "docker".to_owned(), runtime: "shim".to_owned() }
}

fn podman() -> Engine {
    Engine { kind: Kind::Podman, program: "podman".to_owned(), runtime: "oci-isolate".to_owned() }
}

fn training() -> Vec<Container> {
    let Request::Training(job) = read(include_bytes!("../request/tests/training.json")).unwrap() else {
        panic!()
    };
    of_training(&job.data, "/var/lib/oci-isolate/jobs")
}

fn words(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

#[test]
fn containers_of_a_job_are_created_by_docker() {
    let argv = training()[1].create(&docker()).unwrap();
    let expected = [
        "docker",
        "create",
        "--runtime=shim",
        "--name=isolate-boston-2026-algo-2",
        "--label=oci-isolate.job=boston-2026",
        "--annotation=io.oci-isolate.network-isolation=true",
        "--annotation=io.oci-isolate.job=boston-2026",
        "--hostname=algo-2",
        "--network=isolate-boston-2026",
        "--env-file=/var/lib/oci-isolate/jobs/boston-2026/algo-2/environment",
        "--mount=type=bind,source=/var/lib/oci-isolate/jobs/boston-2026/algo-2/opt-ml,target=/opt/ml",
        "--log-driver=json-file",
        "--stop-timeout=120",
        "--pull=never",
        "--entrypoint=python3",
        "registry.example:5000/team/train:1.2",
        "/train.py",
        "--fast",
    ];
    assert_eq!(words(&argv), expected);
}

#[test]
fn and_by_podman_which_has_the_runtime_before_the_verb_and_an_entry_point_as_a_list() {
    let mut container = training().remove(0);
    container.cpus = Some(1.5);
    container.memory = Some(1 << 30);
    let argv = container.create(&podman()).unwrap();
    assert_eq!(words(&argv)[..3], ["podman", "--runtime=oci-isolate", "create"]);
    let has = |word: &str| assert!(argv.iter().any(|given| given == word), "{argv:#?}");
    has("--cpus=1.5");
    has("--memory=1073741824");
    has("--memory-swap=1073741824");
    has("--log-driver=k8s-file");
    has("--entrypoint=[\"python3\",\"/train.py\"]");
    assert_eq!(words(&argv)[argv.len() - 2..], ["registry.example:5000/team/train:1.2", "--fast"]);
}

#[test]
fn one_container_has_no_network_and_is_told_to_train() {
    let Request::Tuning(tuning) = read(include_bytes!("../request/tests/tuning.json")).unwrap() else {
        panic!()
    };
    let request = tuning.data.training_job(&tuning.given, "tune-001", &Default::default());
    let job = crate::request::read_training(&serde_json::to_vec(&request).unwrap()).unwrap();
    let containers = of_training(&job.data, "/jobs");
    assert_eq!(containers.len(), 1);
    let argv = containers[0].create(&docker()).unwrap();
    assert!(argv.contains(&"--network=none".to_owned()), "{argv:?}");
    assert!(!argv.iter().any(|word| word.contains("io.oci-isolate.job")), "{argv:?}");
    assert_eq!(words(&argv)[argv.len() - 2..], ["team/train", "train"]);
}

#[test]
fn a_container_has_its_address_its_peers_and_the_size_of_its_shared_memory() {
    let container = Container {
        shm: Some(1 << 20),
        address: Some([10, 1, 0, 2].into()),
        peers: vec![("algo-2".to_owned(), [10, 1, 0, 3].into())],
        env_file: "/jobs/j/algo-1/environment".to_owned(),
        ..recorded()
    };
    for engine in [docker(), podman()] {
        let argv = container.create(&engine).unwrap();
        for word in ["--ip=10.1.0.2", "--add-host=algo-2:10.1.0.3", "--shm-size=1048576"] {
            assert!(argv.iter().any(|given| given == word), "{word}: {argv:#?}");
        }
    }
}

#[test]
fn the_runtime_is_known_to_the_engine_or_not() {
    let docker_said = r#"{"runc":{"path":"runc"},"shim":{"path":"/usr/bin/oci-isolate","status":{"a":"b"}}}"#;
    assert_eq!(runtime_path(&docker(), docker_said).unwrap(), "/usr/bin/oci-isolate");
    let other = Engine { runtime: "other".to_owned(), ..docker() };
    assert!(
        runtime_path(&other, docker_said).unwrap_err().to_string().contains("knows no runtime \"other\"")
    );
    let podman_said = r#"{"name":"oci-isolate","path":"/usr/bin/oci-isolate","version":"runc"}"#;
    assert_eq!(runtime_path(&podman(), podman_said).unwrap(), "/usr/bin/oci-isolate");
    for said in ["", "[]", "{\"runtimes\": 7}"] {
        assert!(runtime_path(&docker(), said).is_err(), "{said}");
    }
}

#[test]
fn a_model_is_served_on_the_hosts_loopback() {
    let Request::Model(model) = read(include_bytes!("../request/tests/model.json")).unwrap() else {
        panic!()
    };
    let argv = of_model(&model.data, "/jobs").create(&docker()).unwrap();
    for word in [
        "--annotation=io.oci-isolate.ingress=8080/tcp",
        "--network=bridge",
        "--publish=127.0.0.1::8080",
        "--stop-timeout=30",
        "serve",
    ] {
        assert!(argv.iter().any(|given| given == word), "{word}: {argv:#?}");
    }
}

#[test]
fn a_checkpoint_directory_elsewhere_is_mounted_there() {
    let Request::Training(mut job) = read(include_bytes!("../request/tests/training.json")).unwrap() else {
        panic!()
    };
    job.data.checkpoint_config.as_mut().unwrap().local_path = Some("/checkpoints".to_owned());
    let argv = of_training(&job.data, "/jobs")[0].create(&docker()).unwrap();
    let mount = "--mount=type=bind,source=/jobs/boston-2026/algo-1/checkpoints,target=/checkpoints";
    assert!(argv.contains(&mount.to_owned()), "{argv:#?}");
}

#[test]
fn paths_that_an_engine_would_take_apart_are_refused() {
    for state in ["/jobs,readonly", "/a:b", "relative", "/a\nb", "/a\"b", "/a=b"] {
        let mut container = training().remove(0);
        container.env_file = format!("{state}/environment");
        assert!(
            container.create(&docker()).unwrap_err().contains("cannot be passed to an engine"),
            "{state}"
        );
    }
}

#[test]
fn the_other_verbs_are_those_of_the_manual() {
    let engine = docker();
    for (argv, expected) in [
        (engine.version(), "docker version --format {{json .}}"),
        (engine.has_image("a"), "docker image inspect --format {{.Id}} a"),
        (engine.pull("a"), "docker pull --quiet a"),
        (engine.runtimes(), "docker info --format {{json .Runtimes}}"),
        (podman().runtimes(), "podman --runtime=oci-isolate info --format {{json .Host.OCIRuntime}}"),
        (
            engine.create_network("j", None),
            "docker network create --internal --label oci-isolate.job=j isolate-j",
        ),
        (
            engine.create_network("j", Some("10.1.0.0/24")),
            "docker network create --internal --label oci-isolate.job=j --subnet=10.1.0.0/24 isolate-j",
        ),
        (engine.inspect_network("j"), "docker network inspect isolate-j"),
        (engine.remove_network("j"), "docker network rm isolate-j"),
        (engine.start("c"), "docker start c"),
        (engine.logs("c"), "docker logs --follow c"),
        (engine.wait("c"), "docker wait c"),
        (engine.stop("c", 120), "docker stop -t 120 c"),
        (engine.remove(&["c".to_owned(), "d".to_owned()]), "docker rm --force --volumes c d"),
        (engine.inspect("c"), "docker inspect --type container --format json c"),
        (engine.list("j"), "docker ps --all --quiet --no-trunc --filter label=oci-isolate.job=j"),
    ] {
        assert_eq!(argv.join(" "), expected);
    }
}

#[test]
fn engines_that_cannot_pass_annotations_are_refused_with_the_way_out() {
    assert_eq!(accept(Kind::Docker, include_str!("answers/docker-28.version")).unwrap(), "28.5.2+dfsg4");
    assert_eq!(accept(Kind::Podman, include_str!("answers/podman-4.version")).unwrap(), "4.3.1");
    assert_eq!(accept(Kind::Podman, include_str!("answers/podman-5.version")).unwrap(), "5.8.6");
    let refused = |kind, answer: &str| accept(kind, answer).unwrap_err().to_string();
    let old = refused(Kind::Docker, include_str!("answers/docker-20.version"));
    assert!(
        old.starts_with("Docker 20.10.24") && old.contains("install Docker 24 or later, or Podman 4"),
        "{old}"
    );
    let podman = include_str!("answers/podman-5.version");
    assert!(refused(Kind::Docker, podman).contains("set engine = \"podman\""));
    assert!(
        refused(Kind::Podman, include_str!("answers/docker-28.version")).contains("set engine = \"docker\"")
    );
    assert!(refused(Kind::Podman, &podman.replace("5.8", "3.4")).contains("install Podman 4"));
    let alone = r#"{"Client":{"Version":"28.5.2","ApiVersion":"1.50"},"Server":null}"#;
    assert!(refused(Kind::Docker, alone).contains("no Docker daemon answers"));
    for answer in ["", "json", "{\"Client\":7}", r#"{"Server":{"Version":"dev"}}"#] {
        assert!(accept(Kind::Docker, answer).is_err(), "{answer}");
    }
}

/// As recorded: `create` with the flags above, one container, no network.
fn recorded() -> Container {
    Container {
        job: "j".to_owned(),
        hostname: "algo-1".to_owned(),
        image: "probe".to_owned(),
        entrypoint: Vec::new(),
        arguments: Vec::new(),
        env_file: String::new(),
        mounts: Vec::new(),
        network: Network::None,
        cpus: None,
        memory: None,
        shm: None,
        address: None,
        peers: Vec::new(),
        stop_timeout: 120,
    }
}

#[test]
fn what_engines_made_is_what_was_asked_for() {
    for (engine, created, ended) in [
        (docker(), include_str!("answers/docker-28.created"), include_str!("answers/docker-28.ended")),
        (podman(), include_str!("answers/podman-4.created"), include_str!("answers/podman-4.ended")),
        (podman(), include_str!("answers/podman-5.created"), include_str!("answers/podman-5.ended")),
    ] {
        let found = inspected(created).unwrap();
        assert_eq!((found.state.status.as_str(), found.state.pid, found.id.len()), ("created", 0, 64));
        assert_eq!(found.is(&recorded(), &engine), Ok(()));
        let found = inspected(ended).unwrap();
        let state = State { status: "exited".to_owned(), pid: 0, exit_code: 3, oom_killed: false };
        assert_eq!(found.state, state);

        // Each deviation is named.
        let runc = Engine { runtime: "runc".to_owned(), ..engine.clone() };
        assert!(found.is(&recorded(), &runc).unwrap_err().contains("has the runtime"));
        let served = Container { network: Network::Serve(([127, 0, 0, 1], 0).into()), ..recorded() };
        assert!(
            found
                .is(&served, &engine)
                .unwrap_err()
                .contains("does not have the annotation io.oci-isolate.ingress")
        );
        let other = Container { hostname: "algo-2".to_owned(), ..recorded() };
        assert!(
            found.is(&other, &engine).unwrap_err().contains("has the host name \"algo-1\", not \"algo-2\"")
        );
        let without = created.replace("io.oci-isolate.network-isolation", "io.oci-isolate.nothing");
        assert!(inspected(&without).unwrap().is(&recorded(), &engine).is_err());
        // An opening that the image has brought along.
        let more = "\"io.oci-isolate.peers\":\"10.0.0.0/24\",\"io.oci-isolate.network-isolation\"";
        let opened = created.replace("\"io.oci-isolate.network-isolation\"", more);
        let said = inspected(&opened).unwrap().is(&recorded(), &engine).unwrap_err();
        assert!(said.contains("annotation io.oci-isolate.peers, which was not requested"), "{said}");
        let bridge = created.replace("\"NetworkMode\": \"none\"", "\"NetworkMode\": \"bridge\"");
        let bridge = bridge.replace("\"NetworkMode\":\"none\"", "\"NetworkMode\":\"bridge\"");
        assert!(
            inspected(&bridge).unwrap().is(&recorded(), &engine).unwrap_err().contains("has the network")
        );
    }
}

#[test]
fn answers_are_ids_and_numbers_or_errors() {
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(id(&format!("WARNING: something\n{digest}\n")).unwrap(), digest);
    assert_eq!(ids(&format!("{digest}\n{digest}\n")).unwrap().len(), 2);
    assert_eq!(ids("").unwrap().len(), 0);
    for answer in ["", "abc", "Error: no such container"] {
        assert!(id(answer).is_err(), "{answer}");
    }
    assert_eq!(exit_code("137\n").unwrap(), 137);
    assert_eq!(exit_code("-1").unwrap(), -1);
    for answer in ["", "1\n2", "Error"] {
        assert!(exit_code(answer).is_err(), "{answer}");
    }
    for answer in ["", "[]", "{}", "[{}]"] {
        assert!(inspected(answer).is_err(), "{answer}");
    }
}
