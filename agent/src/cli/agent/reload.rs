//! Settings that change while a capture is at work.

use tracing::warn;

use super::{Agent, say};

impl Agent {
    /// Reads the settings again. What can change at once does, for the calls that begin from now on; those that are open go
    /// on, and nothing that was captured is dropped, but of processes that are left out from now on.
    pub(super) fn reload(&mut self) {
        match self.read_again() {
            Ok(done) => say(&format!("plainspan: settings read again: {done}\n")),
            Err(error) => say(&format!("plainspan: the settings stay as they are: {error:#}\n")),
        }
    }

    /// Tells what has changed. On an error nothing has.
    fn read_again(&mut self) -> anyhow::Result<String> {
        let (args, changed) = self.settings.again().map_err(anyhow::Error::msg)?;
        let by_executable = self.targets.by_executable() && !args.exe.is_empty();
        let at_once = |name: &str| match name {
            "api-rule" | "content" | "content-rule" | "redact" | "secret" | "fingerprints" | "identity"
            | "identity-plain" | "ignore" => true,
            "exe" => by_executable,
            _ => name == "sample" || name.starts_with("sample-"),
        };
        let (now, later): (Vec<_>, Vec<_>) = changed.into_iter().partition(|name| at_once(name));
        let executables = now.iter().any(|name| name == "exe");
        let ignored = now.iter().any(|name| name == "ignore");
        let content = args.output.content.policy(&self.account)?;
        let (key, plain) = args.output.fingerprints.key_and_plain(&args.output.content)?;
        if executables {
            self.targets.set_executables(&args.exe)?;
        }
        self.pipeline.set_rules(args.output.api_rule.clone());
        self.pipeline.set_digests(content.keeps_any());
        self.pipeline.set_sources(args.output.fingerprints.sources());
        self.spans.set_content(content);
        self.spans.set_sampling(args.output.sample.settings());
        self.spans.fingerprinter().configure(key, plain);
        if executables {
            self.leave_unchosen();
            self.sweep();
        }
        if ignored {
            self.left_out.set_rules(args.ignore.rules());
            self.leave_out_again();
        }
        for name in &later {
            warn!("{name} has changed in the configuration, but needs a restart");
        }
        let now = if now.is_empty() {
            "nothing has changed".to_owned()
        } else {
            format!("{} changed", now.join(", "))
        };
        let later =
            if later.is_empty() { String::new() } else { format!("; after a restart: {}", later.join(", ")) };
        self.settings = args.settings;
        Ok(format!("{now}{later}"))
    }

    /// Watches those no more that were chosen by their executable and are not any longer.
    fn leave_unchosen(&mut self) {
        for pid in self.prober.processes() {
            let chosen = self.targets.pids.contains(&pid) || self.targets.matches_executable(pid);
            if self.kernel.watches(pid) && !chosen {
                self.kernel.unwatch(pid);
            }
        }
    }
}
