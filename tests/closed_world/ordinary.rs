//! What people type: command lines of Docker and Podman that have nothing to do with a network run isolated as they do with
//! the bare runtime.

use test_support::ISOLATE;
use test_support::command::Finished;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::EngineHost;
use test_support::podman::{self, Podman, User};

/// An ordinary command line: its options, with the host's directory for `@`, and what the container runs.
struct Line(&'static str, &'static str);

const BOTH: &[Line] = &[
    Line("--read-only --tmpfs /tmp", "echo x >/tmp/x && cat /tmp/x"),
    Line("--read-only --tmpfs /tmp:rw,noexec,nosuid,size=65536k,mode=1777", "echo x >/tmp/x && cat /tmp/x"),
    Line("-v @/data:/data", "echo out >/data/out; cat /data/in"),
    Line("-v @/data:/data:ro", "cat /data/in; echo x >/data/y || echo read-only"),
    Line("-v @/data/in:/data/in:ro", "cat /data/in"),
    Line("--mount type=bind,source=@/data,target=/data,readonly", "cat /data/in"),
    Line("--mount type=tmpfs,destination=/scratch", "echo x >/scratch/x && cat /scratch/x"),
    Line("-v named:/named", "echo x >/named/x && cat /named/x"),
    Line("-v /anonymous", "echo x >/anonymous/x && cat /anonymous/x"),
    Line("--user 1000:1000", "id -u"),
    Line("--user 65534:65534 -w /tmp", "id -u; pwd"),
    Line("--group-add 44 --user 1000", "id -G"),
    Line("--shm-size 128m", "df -m /dev/shm | tail -n 1 | sed 's/  */ /g' | cut -d' ' -f2"),
    Line("--ulimit nofile=1024:1024 --ulimit core=0", "ulimit -n"),
    Line("--cap-drop ALL", "grep CapBnd /proc/self/status"),
    Line(
        "--cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges",
        "grep -e CapBnd -e NoNew /proc/self/status",
    ),
    Line("--security-opt label=disable", "echo started"),
    Line("--security-opt seccomp=unconfined", "echo started"),
    Line("--hostname web --add-host db:10.1.2.3", "hostname; grep db /etc/hosts"),
    Line("--dns 10.9.9.9 --dns-search example.com", "grep -c 10.9.9.9 /etc/resolv.conf"),
    Line("--env-file @/env -e B=2", "echo $A $B"),
    Line("--label a=b", "echo started"),
    Line("--memory 256m --cpus 1 --pids-limit 100", "echo started"),
    Line("--device /dev/null:/dev/nothing", "echo x >/dev/nothing && echo written"),
    Line("--device /dev/fuse", "test -c /dev/fuse && echo there"),
    Line("--ipc private", "ls /dev/shm | wc -l"),
    Line(
        "--sysctl net.ipv4.ip_unprivileged_port_start=0",
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    ),
    Line("--sysctl kernel.shmmax=1048576", "cat /proc/sys/kernel/shmmax"),
    Line("--stop-signal SIGINT --stop-timeout 3", "echo started"),
    Line("--health-cmd true --health-interval 1s", "echo started"),
    Line("--oom-score-adj 500", "cat /proc/self/oom_score_adj"),
    Line("-v /etc/localtime:/etc/localtime:ro", "test -s /etc/localtime && echo there"),
    Line("-v /etc/passwd:/etc/passwd:ro -v /etc/group:/etc/group:ro", "head -n 1 /etc/passwd"),
    Line("-p 8080:80", "echo started"),
    Line("--entrypoint /bin/echo", "-n"),
];

const DOCKER: &[Line] = &[
    Line("--init", "echo started"),
    Line("--cgroupns private", "cat /proc/self/cgroup | wc -l"),
    Line("--uts host", "hostname"),
];

const PODMAN: &[Line] = &[
    Line("--pid private", "echo $$"),
    Line("--restart on-failure:2", "echo started"),
    Line("--pull never", "echo started"),
    Line("--read-only --read-only-tmpfs", "echo x >/tmp/x && cat /tmp/x"),
    Line("-v @/data:/data:Z", "cat /data/in"),
    Line("-v @/data:/data:z,U", "cat /data/in"),
    Line("-v @/data:/data:O", "echo x >/data/x; cat /data/in"),
    Line("--tz local", "echo started"),
    Line("--systemd=true", "echo started"),
    Line("--sdnotify ignore", "echo started"),
    Line("--log-driver none", "true"),
    Line("--no-hosts", "echo started"),
    Line("--secret word,type=env,target=WORD --secret word", "echo $WORD; cat /run/secrets/word"),
    Line("--timeout 60", "echo started"),
    Line("--umask 0077", "umask"),
    Line("--unsetenv HOME", "echo started"),
];

/// Of a user only.
const ROOTLESS: &[Line] = &[
    Line("--userns keep-id", "id -u"),
    Line("--userns keep-id:uid=1000,gid=1000", "id -u"),
    Line("--userns nomap", "id -u"),
    Line("--group-add keep-groups", "echo started"),
];

fn data(host: &EngineHost) {
    host.sh(&format!(
        "umask 0; mkdir -p {0}/data; echo in >{0}/data/in; echo A=1 >{0}/env",
        host.at("").trim_end_matches('/')
    ))
    .must();
}

/// Compares both runs of each line; `run` gets the options and the program.
fn compare(about: &str, host: &EngineHost, lines: &[&[Line]], run: impl Fn(bool, &[&str]) -> Finished) {
    let mut findings = Findings::default();
    let here = host.at("");
    for Line(options, script) in lines.iter().copied().flatten() {
        let options = options.replace('@', here.trim_end_matches('/'));
        let options: Vec<&str> = options.split(' ').collect();
        let program =
            if options[0] == "--entrypoint" { &["probe", "-n"][..] } else { &["probe", "sh", "-c", script] };
        let words = [&options[..], program].concat();
        let (bare, isolated) = (run(false, &words), run(true, &words));
        findings.claim(bare.well(), format!("{about}: not ordinary there: {bare}"));
        let same = (bare.status, &bare.out) == (isolated.status, &isolated.out);
        findings.claim(same, format!("{about}: {isolated}\n  and with the bare runtime {:?}", bare.out));
    }
    findings.settle();
}

fn docker(release: Release) {
    let docker = Docker::start(release);
    data(&docker.host);
    compare("docker", &docker.host, &[BOTH, DOCKER], |isolated, words| {
        let how = if isolated { docker.isolation() } else { &["--runtime=bare"] };
        docker.docker(&[&["run", "--rm"], how, words].concat())
    });
}

#[test]
fn with_docker_20_they_run() {
    docker(Release::Docker20);
}

#[test]
fn with_docker_28_they_run() {
    docker(Release::Docker28);
}

fn podman(release: podman::Release, user: User) {
    let podman = Podman::start_with_crun(release, user);
    data(&podman.host);
    podman
        .host
        .sh(&format!("chown -R --reference={} {}", podman.host.at("home"), podman.host.at("data")))
        .must();
    podman.must(&["secret", "create", "word", &podman.host.write("word", "word")]);
    let of_user = if user == User::Rootless { ROOTLESS } else { &[] };
    compare("podman", &podman.host, &[BOTH, PODMAN, of_user], |isolated, words| {
        let (runtime, how) =
            if isolated { ("oci-isolate", &["--annotation", ISOLATE][..]) } else { ("bare", &[][..]) };
        podman.run(runtime, &[how, words])
    });
}

#[test]
fn with_podman_4_they_run() {
    podman(podman::Release::Podman4, User::Root);
}

#[test]
fn with_podman_5_they_run() {
    podman(podman::Release::Podman5, User::Root);
}

#[test]
fn with_podman_5_of_a_user_they_run() {
    podman(podman::Release::Podman5, User::Rootless);
}
