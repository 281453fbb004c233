//! Command lines of Docker and Podman, and the parsing of their output. Only exit statuses, ids and JSON are relied on, never
//! human-readable text, and no value from a request can be taken for a flag.

mod answer;
mod container;
mod network;
mod version;

pub use answer::{BadAnswer, Inspected, State, exit_code, id, ids, inspected, runtime_path};
pub use container::{Container, Network, of_model, of_training};
pub use network::Subnet;
pub use version::{Refused, accept};

/// Whose program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// docker.
    Docker,
    /// podman.
    Podman,
}

/// An engine: its program and the shim as it knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Whose program it is.
    pub kind: Kind,
    /// `docker`, or a path.
    pub program: String,
    /// The runtime's name, or a path for Podman.
    pub runtime: String,
}

/// A command line.
pub type Argv = Vec<String>;

/// The label by which a job's containers are found.
pub const LABEL: &str = "oci-isolate.job";

impl Engine {
    /// A command line of the program's.
    fn argv<const N: usize>(&self, words: [&str; N]) -> Argv {
        std::iter::once(self.program.as_str()).chain(words).map(str::to_owned).collect()
    }

    /// Which version it is. Not `--format json`, which Docker before 23 takes for a template.
    #[must_use]
    pub fn version(&self) -> Argv {
        self.argv(["version", "--format", "{{json .}}"])
    }

    /// Whether an image is there: status 0.
    #[must_use]
    pub fn has_image(&self, image: &str) -> Argv {
        self.argv(["image", "inspect", "--format", "{{.Id}}", image])
    }

    /// Gets an image.
    #[must_use]
    pub fn pull(&self, image: &str) -> Argv {
        self.argv(["pull", "--quiet", image])
    }

    /// Which runtimes it knows; the answer is read by [`runtime_path`].
    #[must_use]
    pub fn runtimes(&self) -> Argv {
        match self.kind {
            Kind::Docker => self.argv(["info", "--format", "{{json .Runtimes}}"]),
            // With a runtime that it does not know it fails.
            Kind::Podman => {
                let runtime = format!("--runtime={}", self.runtime);
                self.argv([&runtime, "info", "--format", "{{json .Host.OCIRuntime}}"])
            }
        }
    }

    /// Makes a job's own network, which leads nowhere. Only a network whose subnet was given takes addresses of containers.
    #[must_use]
    pub fn create_network(&self, job: &str, subnet: Option<&str>) -> Argv {
        let label = format!("{LABEL}={job}");
        let mut argv = self.argv(["network", "create", "--internal", "--label", &label]);
        argv.extend(subnet.map(|subnet| format!("--subnet={subnet}")));
        argv.push(container::network(job));
        argv
    }

    /// What it knows of that network; the answer is read by [`Subnet::read`].
    #[must_use]
    pub fn inspect_network(&self, job: &str) -> Argv {
        self.argv(["network", "inspect", &container::network(job)])
    }

    /// Removes it.
    #[must_use]
    pub fn remove_network(&self, job: &str) -> Argv {
        self.argv(["network", "rm", &container::network(job)])
    }

    /// Starts a container that was created.
    #[must_use]
    pub fn start(&self, name: &str) -> Argv {
        self.argv(["start", name])
    }

    /// All that a container says, until it ends.
    #[must_use]
    pub fn logs(&self, name: &str) -> Argv {
        self.argv(["logs", "--follow", name])
    }

    /// Waits for its end; the answer is its exit status.
    #[must_use]
    pub fn wait(&self, name: &str) -> Argv {
        self.argv(["wait", name])
    }

    /// SIGTERM, and SIGKILL after so many seconds.
    #[must_use]
    pub fn stop(&self, name: &str, seconds: u32) -> Argv {
        // The long name of the flag differs between versions.
        self.argv(["stop", "-t", &seconds.to_string(), name])
    }

    /// Removes a container, whether it runs or not, with the anonymous volumes of its image. Directories of ours stay.
    #[must_use]
    pub fn remove(&self, name: &str) -> Argv {
        self.argv(["rm", "--force", "--volumes", name])
    }

    /// What the engine knows of a container.
    #[must_use]
    pub fn inspect(&self, name: &str) -> Argv {
        self.argv(["inspect", "--type", "container", "--format", "json", name])
    }

    /// The ids of a job's containers, running or not.
    #[must_use]
    pub fn list(&self, job: &str) -> Argv {
        let filter = format!("label={LABEL}={job}");
        self.argv(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
    }
}

#[cfg(test)]
mod tests;
