//! WHO: a process id becomes a description of the process.
//!
//! Everything comes from `/proc/PID`, whose contents the process itself decides to a large part (its
//! arguments, its environment, even its executable's name): every read is bounded, and what is shown of
//! the arguments has its credentials masked.

mod arguments;
mod candidate;
mod cgroups;
mod container;
mod environment;
mod kubernetes;
mod owner;
mod processes;
mod procfs;
mod service;

pub(crate) use arguments::KEY_PREFIXES;
pub use candidate::Candidate;
pub use cgroups::Cgroups;
pub use processes::{Limits, Processes};
pub use procfs::host_name;

/// Who a process is, as far as `/proc` tells. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Process id, as the agent's `/proc` shows it.
    pub pid: u32,
    /// Parent's process id.
    pub parent_pid: Option<u32>,
    /// Path of the executable, as the process's own mount namespace has it.
    pub executable_path: Option<String>,
    /// Last component of that path.
    pub executable_name: Option<String>,
    /// The command: the first argument.
    pub command: Option<String>,
    /// All arguments, bounded; credentials in them are masked.
    pub command_args: Vec<String>,
    /// Name of the owning user, or the uid as text.
    pub owner: Option<String>,
    /// Service name: `OTEL_SERVICE_NAME` of the process's own environment, else derived from the command
    /// (`app.py`, `server.js`, else the executable's name).
    pub service_name: Option<String>,
    /// `service.namespace` in `OTEL_RESOURCE_ATTRIBUTES` of the process's own environment.
    pub service_namespace: Option<String>,
    /// Namespace of the Kubernetes pod that it runs in, as its environment or its account says.
    pub kubernetes_namespace: Option<String>,
    /// Container id from the cgroup path (64 hexadecimal digits).
    pub container_id: Option<String>,
    /// Name of the machine; `None` where only the name of the agent's own container is known.
    pub host_name: Option<String>,
    /// Cgroup v2 path, as the agent's own cgroup namespace shows it.
    pub cgroup: Option<String>,
}

impl ProcessInfo {
    /// What the service belongs to: the namespace that it was told, else that of its pod.
    pub fn namespace(&self) -> Option<&str> {
        self.service_namespace.as_deref().or(self.kubernetes_namespace.as_deref())
    }
}
