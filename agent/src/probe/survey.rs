//! What files and processes hold, for who asks.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{cache::Cache, elf, examine::Examined, examiner::look, identity::Identity, maps, programs};

/// A file and what it holds.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Path, as who asked or who has mapped it sees it.
    pub path: PathBuf,
    /// What it holds, or why it could not be read.
    pub outcome: Result<Arc<Examined>, String>,
}

/// Examines on request, each file once.
pub struct Survey {
    proc_root: PathBuf,
    cache: Cache,
    known: HashMap<Identity, Arc<Examined>>,
}

impl Survey {
    /// A survey of the processes below `proc_root` (`/proc`).
    pub fn new(proc_root: impl Into<PathBuf>, cache: Cache) -> Self {
        Self { proc_root: proc_root.into(), cache, known: HashMap::new() }
    }

    /// A program by name or path, and what interprets it if it is a script.
    pub fn program(&mut self, program: &Path) -> Vec<Surveyed> {
        programs::of_command(program)
            .into_iter()
            .map(|path| Surveyed { outcome: self.examine(elf::open(&path)), path })
            .collect()
    }

    /// Every file that the process has mapped for execution.
    ///
    /// # Errors
    /// There is no such process, or it may not be looked at.
    pub fn process(&mut self, pid: u32) -> io::Result<Vec<Surveyed>> {
        let files = maps::executable_files(&self.proc_root, pid)?;
        let examine = |file: maps::Mapped| {
            let opened = file.reach(&self.proc_root, pid).and_then(|(path, _)| elf::open(&path));
            Surveyed { outcome: self.examine(opened), path: file.path }
        };
        Ok(files.into_iter().map(examine).collect())
    }

    fn examine(&mut self, file: io::Result<File>) -> Result<Arc<Examined>, String> {
        let file = file.map_err(|error| error.to_string())?;
        let identity = Identity::of(&file).map_err(|error| error.to_string())?;
        if let Some(known) = self.known.get(&identity) {
            return Ok(Arc::clone(known));
        }
        let examined = look(&identity, &file, &self.cache).ok_or("it was written to meanwhile")?;
        self.known.insert(identity, Arc::clone(&examined));
        Ok(examined)
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.cache.keep(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_and_a_program_of_the_path() {
        let mut survey = Survey::new("/proc", Cache::in_memory());
        let own = std::env::current_exe().unwrap();
        let files = survey.process(std::process::id()).unwrap();
        let found = files.iter().find(|f| f.path == own).unwrap();
        // It holds the TLS of its own exporter.
        assert!(found.outcome.as_ref().unwrap().findings.iter().all(|finding| finding.stack == "ring"));
        assert!(survey.process(u32::MAX).is_err());
        let shell = survey.program("sh".as_ref());
        assert!(shell.len() == 1 && shell[0].outcome.is_ok(), "{shell:?}");
        assert!(survey.program("/no/such/program".as_ref()).is_empty());
    }
}
