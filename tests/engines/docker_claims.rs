//! What holds on every Docker. `docker_20` and `docker_28` say on which.
//!
//! First what bare runc lets through, then the shim without isolation, then isolation.

use std::time::Duration;

use test_support::capture::Capture;
use test_support::command::wait_for;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::probe::{ITSELF, NAMELESS, OPEN, OPEN6, Report, credentials_in};
use test_support::{CREDENTIALS, ISOLATE};

/// The bait: without it, "nothing gets out" would not mean anything.
pub(crate) fn with_bare_runc_everything_gets_out(docker: &Docker) {
    let mut findings = Findings::default();
    docker.must(&["network", "create", "own"]);
    let capture = Capture::start(&docker.host);
    for (tag, args) in [("bridge", &["--runtime=bare"][..]), ("own", &["--runtime=bare", "--network=own"])] {
        let report = docker.probe(tag, args);
        findings.about(tag, report.reaches(&OPEN));
        findings.about(tag, report.reaches(&ITSELF));
        if tag == "bridge" {
            findings.about(tag, report.reaches(&OPEN6));
        }
        findings.claim(report.has_credentials().len() == 4, format!("{tag}: the credentials are not there"));
        for kind in ["direct", "nslookup", "libc"] {
            let name = format!("{tag}-{kind}.outside.example");
            let questions = docker.host.world.questions();
            findings.claim(questions.contains(&name), format!("no DNS server was asked for {name}"));
        }
    }
    let packets = capture.finish();
    findings.claim(packets.len() > 20, format!("only {} packets were seen", packets.len()));
    findings.settle();
}

/// Why removing the interfaces is not enough.
pub(crate) fn with_bare_runc_dns_gets_out_of_a_container_that_has_no_interface(docker: &Docker) {
    docker.must(&["network", "create", "own"]);
    let script = "ip link del eth0; nslookup hole.outside.example";
    let args =
        ["--rm", "--runtime=bare", "--network=own", "--cap-add=NET_ADMIN", "probe", "sh", "-c", script];
    let said = docker.run(&[&args]);
    let asked = docker.host.world.questions().contains(&"hole.outside.example".to_owned());
    assert!(asked, "the hole that the seal closes is not there: {said}");
}

/// The shim where no isolation is asked for.
pub(crate) fn without_isolation_the_shim_leaves_every_network_as_it_is(docker: &Docker) {
    let mut findings = Findings::default();
    docker.must(&["network", "create", "own"]);
    for network in ["bridge", "own", "host"] {
        let report = docker.probe(network, &["--runtime=shim", "--network", network]);
        findings.about(network, report.reaches(&OPEN));
        findings.claim(report.has_credentials().len() == 4, format!("{network}: the credentials are gone"));
    }
    docker.background("web", &["--runtime=shim", "-p=8080:80"]);
    let answers = wait_for(Duration::from_secs(30), || {
        docker.host.world.can_connect("198.51.100.2:8080").then_some(())
    });
    findings.claim(answers.is_some(), "a published port does not answer");
    let exec = docker.docker(&["exec", "-e", CREDENTIALS[1], "web", "sh", "-c", "env; exit 7"]);
    findings.claim(exec.status == Some(7), format!("exec lost its exit status: {exec}"));
    findings.claim(exec.out.contains(CREDENTIALS[1]), "exec lost its environment");
    findings.settle();
}

/// Every network that Docker has, one container after the other, and not one packet.
pub(crate) fn nothing_gets_out_of_an_isolated_container_whatever_its_network(docker: &Docker) {
    let mut findings = Findings::default();
    docker.must(&["network", "create", "own"]);
    let links = docker.host.world.host.ip("-o link");
    let capture = Capture::start(&docker.host);
    for network in ["bridge", "own", "none", "host"] {
        let report = docker.probe(network, &[docker.isolation(), &["--network", network]].concat());
        // With no network at all Docker writes no address for the container's name into /etc/hosts.
        let itself = if network == "none" { &NAMELESS[..] } else { &ITSELF[..] };
        findings.about(network, report.sealed(itself));
    }
    findings.about("host", capture.saw_nothing());
    // The link numbers of bridges that had no port are the same; a veth must not have stayed behind.
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned).collect()
    };
    let after = names(&docker.host.world.host.ip("-o link"));
    findings.claim(names(&links) == after, format!("the host's links changed from\n{links}\nto {after:?}"));
    findings.settle();
}

/// `--network container:X`, for an X that is isolated and one that is not.
pub(crate) fn a_container_that_joins_anothers_network_is_isolated_too(docker: &Docker) {
    let mut findings = Findings::default();
    docker.background("open", &["--runtime=bare"]);
    docker.background("isolated", docker.isolation());
    let capture = Capture::start(&docker.host);
    for other in ["open", "isolated"] {
        let network = format!("--network=container:{other}");
        let report = docker.probe(other, &[docker.isolation(), &[&network]].concat());
        findings.about(&format!("with the network of an {other} container"), report.sealed(&ITSELF));
    }
    let page = "timeout 1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'";
    let share = |other: &str| {
        let network = format!("--network=container:{other}");
        docker.run(&[&["--rm"], docker.isolation(), &[&network, "probe", "sh", "-c", page]]).out
    };
    findings
        .claim(share("isolated").contains("inside"), "isolated containers of a pod do not share localhost");
    findings
        .claim(!share("open").contains("inside"), "it still shares localhost with a container that is open");
    findings.about("host", capture.saw_nothing());
    findings.about("the open container", docker.probe_in("open", "open").reaches(&OPEN));
    findings.settle();
}

/// `-p` without an annotation that opens the port.
pub(crate) fn a_published_port_of_an_isolated_container_does_not_answer(docker: &Docker) {
    let mut findings = Findings::default();
    docker.background("web", &[docker.isolation(), &["-p=8080:80"]].concat());
    findings.claim(!docker.host.world.can_connect("198.51.100.2:8080"), "the published port answers");
    let inspect = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker.must(&["inspect", "-f", inspect, "web"]);
    findings
        .claim(!docker.host.world.can_connect(&format!("{address}:80")), "the container's address answers");
    findings.about("web", docker.probe_in("web", "web").sealed(&ITSELF));
    findings.settle();
}

/// The life of a container, with every road that starts it again.
pub(crate) fn restart_stop_start_and_rm_keep_a_container_isolated(docker: &Docker) {
    let mut findings = Findings::default();
    let namespaces = "lsns -t net -n -o NS | sort | uniq | wc -l";
    let before = docker.host.sh(namespaces).must();
    let capture = Capture::start(&docker.host);

    let twice = ["-d", "--name=twice", "--restart=on-failure:1"];
    docker.run(&[&twice, docker.isolation(), &["probe", "sh", "-c", "probe twice; exit 1"]]).must();
    let state = "{{.State.Status}} {{.RestartCount}}";
    let ended = wait_for(Duration::from_secs(30), || {
        (docker.must(&["inspect", "-f", state, "twice"]) == "exited 1").then_some(())
    });
    findings.claim(ended.is_some(), "the restart policy did not restart the container once");
    let logs = docker.must(&["logs", "twice"]);
    let runs: Vec<_> = logs.split_inclusive("done").filter(|run| run.contains("attempt")).collect();
    findings.claim(runs.len() == 2, format!("{} runs are in the log, not 2", runs.len()));
    for (run, text) in runs.iter().enumerate() {
        findings.about(&format!("run {}", run + 1), Report::parse(text).sealed(&ITSELF));
    }
    docker.must(&["rm", "twice"]);

    docker.background("life", &[docker.isolation(), &["--restart=always"]].concat());
    for step in [&["restart", "-t=0", "life"][..], &["stop", "-t=0", "life"], &["start", "life"]] {
        docker.must(step);
        if step[0] != "stop" {
            findings.about(step[0], docker.probe_in("life", step[0]).sealed(&ITSELF));
        }
    }
    docker.must(&["kill", "--signal=HUP", "life"]);
    docker.must(&["rm", "-f", "life"]);
    findings.about("host", capture.saw_nothing());

    let records =
        docker.host.sh("find /run/oci-isolate -type f ! -name 'runtime-*' 2>/dev/null || true").must();
    findings.claim(records.is_empty(), format!("records stayed behind: {records}"));
    let settled =
        wait_for(Duration::from_secs(30), || (docker.host.sh(namespaces).must() == before).then_some(()));
    findings.claim(settled.is_some(), "network namespaces stayed behind");
    findings.settle();
}

/// dockerd builds the environment of both from its own, unfiltered configuration.
pub(crate) fn exec_and_healthcheck_see_no_credentials(docker: &Docker) {
    let mut findings = Findings::default();
    let health =
        ["--health-cmd=env >/tmp/health", "--health-interval=1s", "-e", "HARMLESS=1", "--cap-add=NET_ADMIN"];
    docker.background("web", &[docker.isolation(), &health].concat());

    let exec =
        docker.docker(&["exec", "-e", CREDENTIALS[1], "-e", "OWN=2", "web", "sh", "-c", "env; exit 7"]);
    findings.about("exec", credentials_in(exec.out.lines()));
    findings.claim(exec.status == Some(7), format!("exec lost its exit status: {exec}"));
    for kept in ["HARMLESS=1", "OWN=2"] {
        findings.claim(exec.out.lines().any(|line| line == kept), format!("exec lost {kept}"));
    }
    findings.about("exec", docker.probe_in("web", "exec").sealed(&ITSELF));

    let status = "{{.State.Health.Status}}";
    let healthy = wait_for(Duration::from_secs(15), || {
        (docker.must(&["inspect", "-f", status, "web"]) == "healthy").then_some(())
    });
    findings.claim(healthy.is_some(), "the container never became healthy");
    let environ = docker.must(&["exec", "web", "cat", "/tmp/health"]);
    findings.about("HEALTHCHECK", credentials_in(environ.lines()));
    findings.claim(environ.lines().any(|line| line == "HARMLESS=1"), "HEALTHCHECK lost HARMLESS=1");
    findings.settle();
}

/// An interface that is added when the runtime is not called.
pub(crate) fn a_network_connected_later_carries_nothing(docker: &Docker) {
    let mut findings = Findings::default();
    docker.must(&["network", "create", "late"]);
    let address =
        |name: &str| docker.must(&["inspect", "-f", "{{.NetworkSettings.Networks.late.IPAddress}}", name]);
    docker.background("neighbour", &["--runtime=bare", "--network=late"]);
    docker.background("bare", &["--runtime=bare"]);
    docker.background("web", docker.isolation());
    // There is no route to the world through a second network, but one to the other containers on it.
    let call = format!("exec 3<>/dev/tcp/{}/80", address("neighbour"));
    let call = |name: &str| docker.docker(&["exec", name, "timeout", "2", "bash", "-c", &call]);
    docker.must(&["network", "connect", "late", "bare"]);
    findings.claim(call("bare").well(), "a bare container does not reach its neighbour either");

    let capture = Capture::start(&docker.host);
    docker.must(&["network", "connect", "late", "web"]);
    findings.about("connected", docker.probe_in("web", "late").silent(&ITSELF));
    let said = call("web");
    // 143 is what timeout says when it had to end the attempt.
    findings.claim(
        said.status == Some(1),
        format!("it should not reach its neighbour, and notice at once: {said}"),
    );
    findings.about("host", capture.saw_nothing());
    findings
        .claim(!docker.host.world.can_connect(&format!("{}:80", address("web"))), "its new address answers");

    let after = ["disconnect late web", "connect late web", "disconnect bridge web"];
    for words in after.map(|line| [&["network"], line.split(' ').collect::<Vec<_>>().as_slice()].concat()) {
        let said = docker.docker(&words);
        findings.claim(said.well(), format!("Docker lost its way: {said}"));
    }
    docker.must(&["restart", "-t=0", "web"]);
    findings.about("restarted", docker.probe_in("web", "restarted").sealed(&ITSELF));
    findings.settle();
}

/// What compose starts, and what it starts beside it.
pub(crate) fn compose_isolates_the_service_that_asks_for_it(docker: &Docker) {
    let mut findings = Findings::default();
    let isolation = match docker.release {
        Release::Docker20 => "    runtime: always\n".to_owned(),
        Release::Docker28 => format!("    runtime: shim\n    annotations: [\"{ISOLATE}\"]\n"),
    };
    let environment: String = CREDENTIALS.iter().map(|line| format!("      - {line}\n")).collect();
    let services = ["isolated", "open"].map(|name| {
        let own = if name == "isolated" { &isolation } else { "    runtime: bare\n" };
        format!("  {name}:\n    image: probe\n    command: probe {name}\n    container_name: {name}\n{own}")
            + &format!("    environment:\n{environment}")
    });
    let version = if docker.release == Release::Docker20 { "version: \"2.4\"\n" } else { "" };
    let file = docker.host.write("compose.yaml", &format!("{version}services:\n{}", services.concat()));
    let compose = |words: &[&str]| {
        let mut compose = docker.client("/usr/bin/docker-compose");
        test_support::command::say(compose.args(["-p", "demo", "-f", &file]).args(words)).must()
    };
    compose(&["up", "-d"]);
    docker.must(&["wait", "isolated", "open"]);
    findings.about("isolated", Report::parse(&docker.must(&["logs", "isolated"])).sealed(&ITSELF));
    findings.about("open", Report::parse(&docker.must(&["logs", "open"])).reaches(&OPEN));
    let asked: Vec<_> =
        docker.host.world.questions().into_iter().filter(|name| name.starts_with("isolated")).collect();
    findings.claim(asked.is_empty(), format!("DNS was asked for {asked:?}"));
    compose(&["down", "-t", "0"]);
    findings.settle();
}

/// dockerd, containerd and its shim hand their environment down to the runtime.
pub(crate) fn the_daemons_environment_can_name_the_settings(release: Release) {
    let docker = Docker::start_with(release, Some("mode = \"always\"\n"));
    let mut findings = Findings::default();
    findings.about("container", docker.probe("named", &["--runtime=shim"]).sealed(&ITSELF));
    findings.settle();
}

/// A policy file that cannot be read must not pass for "no isolation".
pub(crate) fn settings_that_cannot_be_read_refuse_the_container_aloud(docker: &Docker) {
    let said = docker.run(&[&["--rm", "--runtime=broken", "probe", "probe", "broken"]]);
    assert!(!said.well() && said.out.is_empty(), "the container ran: {said}");
    assert!(said.err.contains("oci-isolate:"), "the error does not say who refused: {said}");
}

/// Only where there are annotations.
pub(crate) fn an_answer_that_is_neither_yes_nor_no_is_refused_aloud(docker: &Docker) {
    let maybe = ISOLATE.replace("=true", "=maybe");
    let said = docker.run(&[&["--rm", "--runtime=shim", "--annotation", &maybe, "probe", "probe", "maybe"]]);
    assert!(!said.well() && said.out.is_empty(), "the container ran: {said}");
    assert!(said.err.contains("oci-isolate:") && said.err.contains("maybe"), "the error is silent: {said}");
}
