//! What the process cannot do, and what cannot be done to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::faulty::{Fault, Faulty};
use crate::run::{Place, SECRET};
use crate::server::shared;
use crate::transfers::noise;

/// A user with nothing.
const NOBODY: u32 = 65534;

/// Waits until the transfer runs: everything was given up by then.
fn transferring(place: &Place, child: &mut Child) {
    while place.files("input/data/train~partial/files").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn read_as_nobody(path: &Path) -> bool {
    Command::new("cat").arg(path).uid(NOBODY).gid(NOBODY).output().unwrap().status.success()
}

#[test]
fn its_environment_and_memory_are_not_even_its_own_users() {
    let server = Faulty::start(Fault::Slow, noise(100));
    let place = Place::with_channel("bucket", "s3://bucket/t/", server.address);
    let directory = place.directory.path();
    let mut command = place.command(&["in"]);
    for path in [directory.to_owned(), directory.join("root")] {
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut child = command.uid(NOBODY).gid(NOBODY).spawn().unwrap();
    transferring(&place, &mut child);
    let process = Path::new("/proc").join(child.id().to_string());
    // The credentials are in there, as root sees.
    let environment = fs::read(process.join("environ")).unwrap();
    assert!(environment.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    for file in ["environ", "mem", "maps", "auxv"] {
        assert!(!read_as_nobody(&process.join(file)), "{file}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Another process of that user is open to it.
    let mut other = Command::new("sleep").arg("60").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let environ = Path::new("/proc").join(other.id().to_string()).join("environ");
    while !read_as_nobody(&environ) {
        std::thread::sleep(Duration::from_millis(20));
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

/// The same command with CAP_DAC_OVERRIDE and no other capability.
fn bounded(command: &Command) -> Command {
    let mut bounded = Command::new("/usr/bin/setpriv");
    bounded
        .args(["--bounding-set", "-all,+dac_override", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    bounded.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bounded.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    bounded
}

#[test]
fn it_has_one_capability_gains_none_and_dumps_no_core() {
    // The last as in a pod, where it may have this one only.
    for (direction, is_bounded, capability) in
        [("in", false, 1 << 1), ("out", false, 1 << 2), ("out", true, 1 << 1)]
    {
        let server = Faulty::start(Fault::Slow, noise(100));
        let mut place = Place::with_channel("bucket", "s3://bucket/t/", server.address);
        let mut command = place.command(&[direction]);
        let mut child = if direction == "in" {
            let mut child = command.spawn().unwrap();
            transferring(&place, &mut child);
            child
        } else {
            // It waits for a server that does not answer.
            let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            place = Place::new(crate::run::training("bucket"), silent.local_addr().unwrap());
            let mut command = place.command(&["out"]);
            if is_bounded {
                command = bounded(&command);
            }
            let child = command.spawn().unwrap();
            silent.accept().unwrap();
            child
        };
        let process = Path::new("/proc").join(child.id().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        for set in ["CapEff:", "CapPrm:"] {
            assert_eq!(field(set), capability, "{direction} {is_bounded} {set}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(set), 0, "{direction} {set}");
        }
        assert_eq!(field("NoNewPrivs:"), 1);
        let limits = fs::read_to_string(process.join("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn it_and_what_it_starts_write_below_the_containers_directories_only() {
    let moto = shared();
    moto.bucket("written");
    moto.put("written", "t/a", b"a");
    let place = Place::with_channel("written", "s3://written/t/", moto.address);
    let directory = place.directory.path();
    let (inside, outside) = (place.path("inside"), directory.join("outside"));
    let existing = directory.join("existing");
    fs::write(&existing, "content").unwrap();
    let keys = json!({ "Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s" });
    let script = format!(
        "#!/bin/sh\n: >{}\n: >{}\n: >{}\nrm -f {}\necho '{keys}'\nexit 0\n",
        inside.display(),
        outside.display(),
        existing.display(),
        existing.display()
    );
    let program = directory.join("program");
    // A failed redirection ends the shell, unless it is a subshell's.
    let script = script
        .lines()
        .map(|line| if line.starts_with(':') { format!("( {line} )\n") } else { format!("{line}\n") });
    fs::write(&program, script.collect::<String>()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = place.command_with(program.to_str().unwrap(), &["in"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(inside.exists() && !outside.exists());
    assert_eq!(fs::read_to_string(&existing).unwrap(), "content");
    // The same program by itself writes everywhere.
    assert!(Command::new(&program).output().unwrap().status.success());
    assert!(outside.exists() && !existing.exists());
}

#[test]
fn it_and_what_it_starts_connect_to_no_unix_socket() {
    let moto = shared();
    moto.bucket("sockets");
    moto.put("sockets", "t/a", b"a");
    let place = Place::with_channel("sockets", "s3://sockets/t/", moto.address);
    let directory = place.directory.path();
    // In place of the engine's.
    let path = directory.join("docker.sock");
    let engine = std::os::unix::net::UnixListener::bind(&path).unwrap();
    engine.set_nonblocking(true).unwrap();
    // In place of a daemon that takes datagrams.
    let log = std::os::unix::net::UnixDatagram::bind(directory.join("log")).unwrap();
    log.set_nonblocking(true).unwrap();
    let program = directory.join("program.py");
    let script = format!(
        r#"
import ctypes, json, socket
try:
    socket.socket(socket.AF_UNIX).connect("{}")
except PermissionError:
    pass
try:
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)[0].sendto(b"x", "{}")
except PermissionError:
    pass
socket.socketpair()
# io_uring_setup(2) of one entry.
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(425, 1, bytes(120)) == -1 and ctypes.get_errno() == 13
print(json.dumps({{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s"}}))
"#,
        path.display(),
        directory.join("log").display()
    );
    fs::write(&program, script).unwrap();
    let process = format!("/usr/bin/python3 {}", program.display());
    let output = place.command_with(&process, &["in"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(engine.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(log.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // The same program by itself connects, and then fails since it may use io_uring.
    assert!(!Command::new("/usr/bin/python3").arg(&program).output().unwrap().status.success());
    engine.accept().unwrap();
    assert_eq!(log.recv(&mut [0]).unwrap(), 1);
}
