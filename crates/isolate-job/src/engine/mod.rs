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

/// The kind of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// docker.
    Docker,
    /// podman.
    Podman,
}

/// An engine: its program, and the shim's name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The kind of engine.
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
    /// A command line of the engine's program.
    fn argv<const N: usize>(&self, words: [&str; N]) -> Argv {
        std::iter::once(self.program.as_str()).chain(words).map(str::to_owned).collect()
    }

    /// Prints the version. Not by `--format json`, which Docker before 23 takes for a template.
    #[must_use]
    pub fn version(&self) -> Argv {
        self.argv(["version", "--format", "{{json .}}"])
    }

    /// Exits with status 0 if the image is present.
    #[must_use]
    pub fn has_image(&self, image: &str) -> Argv {
        self.argv(["image", "inspect", "--format", "{{.Id}}", image])
    }

    /// Pulls an image.
    #[must_use]
    pub fn pull(&self, image: &str) -> Argv {
        self.argv(["pull", "--quiet", image])
    }

    /// Lists the runtimes that it knows; [`runtime_path`] reads the output.
    #[must_use]
    pub fn runtimes(&self) -> Argv {
        match self.kind {
            Kind::Docker => self.argv(["info", "--format", "{{json .Runtimes}}"]),
            // Podman fails if it does not know the runtime.
            Kind::Podman => {
                let runtime = format!("--runtime={}", self.runtime);
                self.argv([&runtime, "info", "--format", "{{json .Host.OCIRuntime}}"])
            }
        }
    }

    /// Creates a job's internal network. Containers can be given addresses only in a network whose subnet was given.
    #[must_use]
    pub fn create_network(&self, job: &str, subnet: Option<&str>) -> Argv {
        let label = format!("{LABEL}={job}");
        let mut argv = self.argv(["network", "create", "--internal", "--label", &label]);
        argv.extend(subnet.map(|subnet| format!("--subnet={subnet}")));
        argv.push(container::network(job));
        argv
    }

    /// Inspects that network; [`Subnet::read`] reads the output.
    #[must_use]
    pub fn inspect_network(&self, job: &str) -> Argv {
        self.argv(["network", "inspect", &container::network(job)])
    }

    /// Removes that network.
    #[must_use]
    pub fn remove_network(&self, job: &str) -> Argv {
        self.argv(["network", "rm", &container::network(job)])
    }

    /// Starts a container that was created.
    #[must_use]
    pub fn start(&self, name: &str) -> Argv {
        self.argv(["start", name])
    }

    /// Follows the output of a container until it ends.
    #[must_use]
    pub fn logs(&self, name: &str) -> Argv {
        self.argv(["logs", "--follow", name])
    }

    /// Waits for the end of a container; the output is its exit status.
    #[must_use]
    pub fn wait(&self, name: &str) -> Argv {
        self.argv(["wait", name])
    }

    /// Sends SIGTERM, and SIGKILL after this many seconds.
    #[must_use]
    pub fn stop(&self, name: &str, seconds: u32) -> Argv {
        // The long name of the flag differs between versions.
        self.argv(["stop", "-t", &seconds.to_string(), name])
    }

    /// Removes containers, running or not, and the anonymous volumes of their images. Mounted directories stay.
    #[must_use]
    pub fn remove(&self, all: &[String]) -> Argv {
        let mut argv = self.argv(["rm", "--force", "--volumes"]);
        argv.extend_from_slice(all);
        argv
    }

    /// Inspects a container.
    #[must_use]
    pub fn inspect(&self, name: &str) -> Argv {
        self.argv(["inspect", "--type", "container", "--format", "json", name])
    }

    /// Lists the ids of a job's containers, running or not.
    #[must_use]
    pub fn list(&self, job: &str) -> Argv {
        let filter = format!("label={LABEL}={job}");
        self.argv(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
    }
}

#[cfg(test)]
mod tests;
