//! Which processes are left out: nothing of them is looked at.

use std::{fmt, str::FromStr};

use globset::{GlobBuilder, GlobMatcher};

use crate::resource::Candidate;

/// A rule of which processes are left out.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As the user wrote it.
    text: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exe(GlobMatcher),
    Uid(u32),
    Cgroup(GlobMatcher),
    Label { key: String, value: Option<GlobMatcher> },
}

/// A rule that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is no rule of what is left out ({reason}): write it as exe=GLOB, uid=N, cgroup=GLOB or label=KEY=GLOB"
)]
pub struct RuleError {
    text: String,
    reason: String,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |reason: String| RuleError { text: text.to_owned(), reason };
        let (what, value) = text.split_once('=').ok_or_else(|| wrong("there is no '='".to_owned()))?;
        let glob = |pattern: &str| {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| wrong(error.kind().to_string()))
        };
        let asked = match what {
            // A pattern without a directory means the program's name, wherever it is.
            "exe" if value.contains('/') => Test::Exe(glob(value)?),
            "exe" => Test::Exe(glob(&format!("**/{value}"))?),
            "uid" => Test::Uid(value.parse().map_err(|_| wrong(format!("{value:?} is no user id")))?),
            "cgroup" => {
                // Who is below it belongs to it.
                let value = value.trim_end_matches('/');
                Test::Cgroup(glob(&format!("{{{value},{value}/**}}"))?)
            }
            "label" => {
                let (key, value) =
                    value.split_once('=').map_or((value, None), |(key, value)| (key, Some(value)));
                Test::Label { key: key.to_owned(), value: value.map(glob).transpose()? }
            }
            _ => return Err(wrong(format!("{what:?} is none of exe, uid, cgroup, label"))),
        };
        Ok(Self { text: text.to_owned(), test: asked })
    }
}

impl Rule {
    /// Does the process fall under it? `None` if that can't be known any more.
    fn fits(&self, process: &Candidate<'_>) -> Option<bool> {
        Some(match &self.test {
            Test::Exe(glob) => glob.is_match(process.executable()?),
            Test::Uid(uid) => process.uid()? == *uid,
            Test::Cgroup(glob) => glob.is_match(process.cgroup()?),
            Test::Label { key, value } => process
                .labels()?
                .iter()
                .any(|(name, text)| name == key && value.as_ref().is_none_or(|glob| glob.is_match(text))),
        })
    }

    /// Is it about the cgroup?
    pub fn is_of_cgroup(&self) -> bool {
        matches!(self.test, Test::Cgroup(_))
    }

    fn kind(&self) -> &'static str {
        match self.test {
            Test::Exe(_) => "exe",
            Test::Uid(_) => "uid",
            Test::Cgroup(_) => "cgroup",
            Test::Label { .. } => "label",
        }
    }
}

/// Why a process is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It asks for it in its environment.
    Asked,
    /// A rule of the user.
    Rule {
        /// What the rule is about.
        kind: &'static str,
        /// As the user wrote it.
        text: String,
    },
    /// It was gone before it could be told whether it falls under this rule of the user: privacy comes first.
    Unknown {
        /// As the user wrote it.
        text: String,
    },
}

impl Reason {
    /// What it is counted under.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked => "PLAINSPAN_IGNORE=1",
            Self::Rule { kind, .. } => kind,
            Self::Unknown { .. } => "gone too soon to tell",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("its environment has PLAINSPAN_IGNORE=1"),
            Self::Rule { text, .. } => write!(f, "--ignore {text}"),
            Self::Unknown { text } => write!(f, "gone too soon to tell of --ignore {text}"),
        }
    }
}

/// Why the process is left out, by the first rule that it falls under, or may have fallen under. `asks` is what its environment says.
pub fn reason(rules: &[Rule], process: &Candidate<'_>, asks: bool) -> Option<Reason> {
    if asks {
        return Some(Reason::Asked);
    }
    let mut unknown = None;
    for rule in rules {
        match rule.fits(process) {
            Some(true) => return Some(Reason::Rule { kind: rule.kind(), text: rule.text.clone() }),
            Some(false) => {}
            None => unknown = unknown.or(Some(rule)),
        }
    }
    unknown.map(|rule| Reason::Unknown { text: rule.text.clone() })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;
    use crate::capture::Program;

    fn process(root: &Path) {
        let dir = root.join("42");
        fs::create_dir_all(&dir).unwrap();
        symlink("/opt/app/bin/worker", dir.join("exe")).unwrap();
        fs::write(dir.join("status"), "Name:\tworker\nUid:\t1000\t1000\t1000\t1000\n").unwrap();
        fs::write(dir.join("cgroup"), "0::/system.slice/batch.service/inner\n").unwrap();
        fs::write(dir.join("environ"), "OTEL_RESOURCE_ATTRIBUTES=k8s.pod.label.app=batch-7\0").unwrap();
    }

    #[test]
    fn rules_fit_what_they_name() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path());
        #[rustfmt::skip]
        let rows = [
            ("exe=worker", true), ("exe=work*", true), ("exe=/opt/**", true), ("exe=/opt/*", false), ("exe=bin", false),
            ("uid=1000", true), ("uid=100", false),
            ("cgroup=/system.slice/batch.service", true), ("cgroup=/system.slice/*/inner", true),
            ("cgroup=/system.slice", true), ("cgroup=/system.slice/batch", false), ("cgroup=/user.slice/**", false),
            ("label=app", true), ("label=app=batch-*", true), ("label=app=shop", false), ("label=tier", false),
        ];
        for (text, wanted) in rows {
            let rules = [text.parse().unwrap()];
            let found = reason(&rules, &Candidate::new(proc.path(), 42), false);
            assert_eq!(found.is_some(), wanted, "{text}");
            assert!(found.is_none_or(|found| found.to_string() == format!("--ignore {text}")));
        }
        assert_eq!(reason(&[], &Candidate::new(proc.path(), 42), true), Some(Reason::Asked));
    }

    #[test]
    fn of_a_process_that_is_gone_the_kernel_has_told() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path());
        let program = Program { uid: 7, path: "/usr/bin/curl".into(), ..Program::default() };
        let gone = Candidate::new(proc.path(), 43).seen(&program, Some("/system.slice/a.service"));
        for (text, wanted) in [
            ("exe=curl", Some("exe")),
            ("exe=python*", None),
            ("uid=7", Some("uid")),
            ("uid=8", None),
            ("cgroup=/system.slice", Some("cgroup")),
            ("cgroup=/user.slice", None),
            ("label=app", Some("gone too soon to tell")),
        ] {
            let found = reason(&[text.parse().unwrap()], &gone, false);
            assert_eq!(found.as_ref().map(Reason::kind), wanted, "{text}");
        }
        let known = ["label=app".parse().unwrap(), "uid=7".parse().unwrap()];
        assert_eq!(
            reason(&known, &gone, false).unwrap().to_string(),
            "--ignore uid=7",
            "what is known counts first"
        );
    }

    #[test]
    fn what_is_no_rule_says_what_would_be_one() {
        for (text, wanted) in [
            ("worker", "there is no '='"),
            ("name=a", "\"name\" is none of"),
            ("uid=root", "\"root\" is no user id"),
            ("exe=a[", "unclosed character class"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(wanted) && error.ends_with("label=KEY=GLOB"), "{error}");
        }
    }
}
