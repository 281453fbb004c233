//! What the ways lead to, on the host: a directory with files and sockets, servers, a process. All of it is prove's own,
//! answers with a word that no other program knows, and is gone with it.

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{self as unix, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, VsockAddr};
use nix::sys::stat::Mode;
use nix::unistd;

use super::probe::NOBODY;

/// The host's side.
#[derive(Debug)]
pub(super) struct Site {
    /// Unique on this host: of the directory, the network, the image, the containers.
    pub(super) name: String,
    /// What only this side knows.
    pub(super) word: String,
    /// The directory.
    pub(super) dir: PathBuf,
    /// A TCP server on the host's loopback.
    pub(super) loopback: SocketAddr,
    /// A taken port of the machine's virtual sockets, or why there is none.
    pub(super) vsock: Result<(OwnedFd, u32), String>,
    /// A process of the host that runs as `nobody`, or why there is none.
    pub(super) process: Result<u32, String>,
    /// A file in the host's /dev/shm.
    pub(super) shared: PathBuf,
    victim: Option<Child>,
}

impl Site {
    /// # Errors
    /// Something of it cannot be made.
    pub(super) fn new() -> Result<Self> {
        let mut random = [0; 8];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .context("cannot read /dev/urandom")?;
        let word = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = format!("oci-isolate-prove-{word}");
        let dir = std::env::temp_dir().join(&name);
        // Another user's process has to get through it, and to see nothing of it.
        let made = DirBuilder::new().mode(0o711).create(&dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        let shared = Path::new("/dev/shm").join(&name);
        let site = Self::fill(name, word, dir.clone(), shared.clone());
        if site.is_err() {
            remove(&dir, &shared);
        }
        site
    }

    fn fill(name: String, word: String, dir: PathBuf, shared: PathBuf) -> Result<Self> {
        let write = |path: &Path, text: &str| {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::create_dir(dir.join("sockets")).context("cannot make a directory")?;
        write(&dir.join("secret"), &word)?;
        write(&dir.join("credentials"), &credentials(&word))?;
        write(&shared, &word)?;
        let fifo = dir.join("fifo");
        unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).context("cannot make a FIFO")?;
        serve_fifo(fifo, &word);
        serve_unix(
            UnixListener::bind(dir.join("sockets/engine")).context("cannot bind a Unix socket")?,
            &word,
        );
        let address =
            unix::SocketAddr::from_abstract_name(&name).context("cannot bind an abstract socket")?;
        serve_unix(UnixListener::bind_addr(&address).context("cannot bind an abstract socket")?, &word);
        let victim = Command::new("/bin/cat")
            .uid(NOBODY)
            .gid(NOBODY)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Ok(Self {
            loopback: serve_tcp(&word).context("cannot listen on the loopback")?,
            vsock: bind_vsock().map_err(|error| format!("this host has no vsock: {error}")),
            process: victim
                .as_ref()
                .map(Child::id)
                .map_err(|error| format!("cannot start /bin/cat: {error}")),
            victim: victim.ok(),
            name,
            word,
            dir,
            shared,
        })
    }

    /// The whole name of something that is made.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The name of the container that answers.
    pub(super) fn peer(&self) -> String {
        self.full("peer")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(victim) = &mut self.victim {
            let _ = victim.kill();
            let _ = victim.wait();
        }
        remove(&self.dir, &self.shared);
    }
}

fn remove(dir: &Path, shared: &Path) {
    let _ = fs::remove_dir_all(dir);
    let _ = fs::remove_file(shared);
}

/// A file of credentials that lead nowhere.
pub(super) fn credentials(word: &str) -> String {
    format!("[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {word}\n")
}

/// The number of a disk of this host that root may open.
pub(super) fn disk() -> Result<u64, String> {
    let disks = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let nodes = disks.map(|disk| Path::new("/dev").join(disk.file_name()));
    let number =
        nodes.filter(|node| File::open(node).is_ok()).find_map(|node| Some(fs::metadata(node).ok()?.rdev()));
    number.ok_or_else(|| "this host has no disk in /dev that can be opened".to_owned())
}

fn serve_tcp(word: &str) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let word = word.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(word.as_bytes());
        }
    });
    Ok(address)
}

fn serve_unix(listener: UnixListener, word: &str) {
    let word = word.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(word.as_bytes());
        }
    });
}

/// Each reader gets the word; until one comes, opening waits.
fn serve_fifo(path: PathBuf, word: &str) {
    let word = format!("{word}\n");
    thread::spawn(move || {
        while let Ok(mut fifo) = File::options().write(true).open(&path) {
            let _ = fifo.write_all(word.as_bytes());
            drop(fifo);
            // So that the same reader has seen its end before the next word.
            thread::sleep(Duration::from_millis(200));
        }
    });
}

/// A port that is taken, which can be seen from everywhere on the machine.
fn bind_vsock() -> nix::Result<(OwnedFd, u32)> {
    /// VMADDR_CID_ANY, and VMADDR_PORT_ANY: the kernel chooses one.
    const ANY: u32 = u32::MAX;
    let socket = socket::socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(socket.as_raw_fd(), &VsockAddr::new(ANY, ANY))?;
    let port = socket::getsockname::<VsockAddr>(socket.as_raw_fd())?.port();
    Ok((socket, port))
}
