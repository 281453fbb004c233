//! Named network namespaces that are removed with the test, and sockets opened inside them.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::command::{command, say};

/// The prefix of all names; the id of the test's process follows.
pub const PREFIX: &str = "oci-isolate-test-";

/// A unique name.
pub fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A network namespace with a name under /run/netns.
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace `name` with its loopback up.
    pub fn new(name: String) -> Self {
        say(command("ip").args(["netns", "add", &name])).must();
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    /// Runs `ip` inside, with the words of `line`.
    #[track_caller]
    pub fn ip(&self, line: &str) -> String {
        say(command("ip").args(["-n", &self.name]).args(line.split(' '))).must()
    }

    /// The file that keeps the namespace alive.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Runs `open` in the namespace. A socket stays in the namespace in which it was opened.
    pub fn inside<T: Send + 'static>(&self, open: impl FnOnce() -> T + Send + 'static) -> T {
        let file = File::open(self.path()).unwrap();
        // A thread of its own: the namespace belongs to the thread, and must not stick to the caller's.
        let opener = std::thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            open()
        });
        opener.join().unwrap()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(say(command("ip").args(["netns", "del", &self.name])));
    }
}

/// Whether `name` belongs to a test whose process is gone.
pub fn is_orphan(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

/// Removes the namespaces of killed tests.
pub fn sweep() {
    let names = say(command("ip").args(["netns", "list"])).out;
    for name in names.lines().filter_map(|line| line.split(' ').next()).filter(|name| is_orphan(name)) {
        drop(say(command("ip").args(["netns", "del", name])));
    }
}
