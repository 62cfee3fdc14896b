//! The options of the journal.

use std::{path::PathBuf, time::Duration};

use super::moment;
use crate::{
    export::Keep,
    journal::{self, Limits, Location},
};

/// Options of every verb that writes to the journal.
#[derive(Debug, clap::Args)]
pub(super) struct KeepArgs {
    /// File in which spans are kept until they are delivered, and for 'plainspan calls'; 'none' for
    /// none [default of run: /var/lib/plainspan/journal.db; of replay: none].
    #[arg(long, value_name = "PATH", env = "PLAINSPAN_JOURNAL", hide_env = true)]
    journal: Option<Location>,
    /// Most bytes that the journal holds; 1 MiB at least.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 40))]
    journal_size: u64,
    /// How long the journal keeps a span, as 12h or 30d.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = moment::duration)]
    journal_age: Duration,
}

impl KeepArgs {
    /// The journal of a source that can't wait, which has one unless the user says otherwise.
    pub(super) fn by_default(&self) -> Option<Keep> {
        match &self.journal {
            Some(Location::None) => None,
            Some(Location::File(path)) => Some(self.keep(path.clone(), true, false)),
            None => Some(self.keep(default_path()?, false, false)),
        }
    }

    /// The journal of a source that can wait, which has one if the user says so.
    pub(super) fn if_asked(&self) -> Option<Keep> {
        match &self.journal {
            Some(Location::File(path)) => Some(self.keep(path.clone(), true, true)),
            _ => None,
        }
    }

    fn keep(&self, path: PathBuf, required: bool, patient: bool) -> Keep {
        let limits = Limits { bytes: self.journal_size, age: self.journal_age, ..Limits::default() };
        Keep { path, limits, required, patient }
    }
}

/// Where this user's journal is when nothing is said.
pub(super) fn default_path() -> Option<PathBuf> {
    journal::default_path(rustix::process::geteuid().is_root(), &|name| std::env::var_os(name))
}
