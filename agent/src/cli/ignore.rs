//! What the command line says of processes that are left out.

use crate::policy::ignore::Rule;

/// Options of every verb that looks at processes.
#[derive(Debug, clap::Args)]
pub(super) struct IgnoreArgs {
    /// Look at nothing of these processes: exe=GLOB, as for --exe; uid=N; cgroup=GLOB, with what is below
    /// it; or label=KEY=GLOB of their pod or container. May be given more than once. Those that have
    /// PLAINSPAN_IGNORE=1 in their environment are left out anyway.
    #[arg(long, value_name = "RULE")]
    ignore: Vec<Rule>,
}

impl IgnoreArgs {
    /// The rules.
    pub(super) fn rules(&self) -> Vec<Rule> {
        self.ignore.clone()
    }
}
