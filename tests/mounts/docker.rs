//! The mount rules under Docker, with its default and with an unconfined profile.

use test_support::bench::{TOKEN, listen, refused, tools};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

const CONNECT: &str = "LD_LIBRARY_PATH=/tools/lib/x86_64-linux-gnu /tools/bin/perl /tools/connect.pl";

fn claims(release: Release) {
    let docker = Docker::start(release);
    let mut findings = Findings::default();
    let dir = docker.host.dir().to_owned();
    tools(&dir.join("tools"));
    std::fs::create_dir_all(dir.join("shared")).unwrap();
    std::fs::create_dir_all(dir.join("late")).unwrap();
    std::fs::create_dir_all(dir.join("home/.aws")).unwrap();
    std::fs::write(dir.join("home/.aws/credentials"), "aws_access_key_id = x\n").unwrap();
    listen(&dir.join("shared/engine.sock"));
    let volume = |name: &str, rest: &str| format!("{}:{rest}", dir.join(name).display());
    let tools = volume("tools", "/tools:ro");
    let run = |isolate: bool, options: &[&str], script: &str| {
        let how = if isolate { docker.isolation() } else { &["--runtime=bare"] };
        docker.run(&[&["--rm", "-v", &tools], how, options, &["probe", "sh", "-c", script]])
    };
    for profile in ["seccomp=builtin", "seccomp=unconfined"] {
        let profile: &[&str] = if profile.ends_with("builtin") { &[] } else { &["--security-opt", profile] };
        for (mount, script, words) in [
            (
                volume("shared/engine.sock", "/in.sock:ro"),
                format!("{CONNECT} /in.sock"),
                "of /in.sock is a socket",
            ),
            // It is there, and dead: the directory is an overlay, or the socket is covered.
            (volume("shared", "/in:ro"), format!("{CONNECT} /in/engine.sock"), "Connection refused"),
            (volume("shared", "/in"), format!("{CONNECT} /in/engine.sock"), "Connection refused"),
        ] {
            let options = [profile, &["-v", &mount]].concat();
            let open = run(false, &options, &script);
            findings.claim(open.out == TOKEN, format!("{mount} is not open without the shim: {open}"));
            findings.about(&mount, refused(&run(true, &options, &script), words).err().into_iter().collect());
        }
        for (mount, words) in [
            (format!("{}:/in.sock", dir.join("docker.sock").display()), "is a socket; drop -v"),
            ("/:/in".to_owned(), "is the system's /;"),
            ("/run:/in".to_owned(), "is the system's /run"),
            ("/proc:/in".to_owned(), "is the system's /proc"),
            ("/dev:/in".to_owned(), "is the system's /dev"),
        ] {
            let options = [profile, &["-v", &mount]].concat();
            findings.claim(
                run(false, &options, "true").well(),
                format!("{mount} does not mount without the shim"),
            );
            findings.about(&mount, refused(&run(true, &options, "true"), words).err().into_iter().collect());
        }
    }
    // Files of a home that is mounted, and an exec that asks for them again.
    let home = volume("home", "/root");
    let script = "cat /root/.aws/credentials";
    findings
        .claim(run(false, &["-v", &home], script).well(), "the credentials are not there without the shim");
    let closed = run(true, &["-v", &home], script);
    findings.claim(!closed.well() && !closed.out.contains("aws"), format!("they are: {closed}"));
    docker.background("home", &[docker.isolation(), &["-v", &home]].concat());
    let exec = docker.docker(&["exec", "--user=1000", "home", "cat", "/root/.aws/credentials"]);
    findings.claim(!exec.out.contains("aws_access"), format!("exec reads them: {exec}"));

    // Ordinary containers: volumes, tmpfs, a file, an init, a read-only root, all of it at once.
    docker.must(&["volume", "create", "data"]);
    let read = volume("tools", "/ro:ro");
    let file = volume("tools/connect.pl", "/file.pl:ro");
    let ordinary = [
        "-v",
        "data:/data",
        "-v",
        &read,
        "-v",
        &file,
        "--tmpfs=/tmp",
        "--init",
        "--read-only",
        "--ipc=private",
        "--shm-size=8m",
    ];
    let script = "echo kept >/data/f && cat /data/f && test -s /ro/bin/perl && test -s /file.pl && touch /tmp/x /dev/shm/x";
    let said = run(true, &ordinary, script);
    findings.claim(said.out == "kept", format!("an ordinary container does not work: {said}"));
    findings.claim(run(true, &["-v", "data:/data"], "cat /data/f").out == "kept", "the volume was not kept");
    findings.settle();
}

#[test]
fn docker_20_mounts_nothing_that_leads_out() {
    claims(Release::Docker20);
}

#[test]
fn docker_28_mounts_nothing_that_leads_out() {
    claims(Release::Docker28);
}
