//! Versions of a contract: `MAJOR.MINOR.PATCH`, as semver.org has them, without labels.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A version of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Raised by a change that breaks consumers.
    pub major: u32,
    /// Raised by an addition; while the major version is 0, by a change that breaks consumers, too.
    pub minor: u32,
    /// Raised by any other change.
    pub patch: u32,
}

/// The text is no version.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not MAJOR.MINOR.PATCH")]
pub struct NoVersion(String);

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let digits =
            |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let parts: Option<Vec<u32>> = text.split('.').map(digits).collect();
        match parts.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(NoVersion(text.to_owned())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let parse = |text: &str| text.parse::<Version>().unwrap();
        assert!(parse("0.2.0") < parse("0.10.0"));
        assert!(parse("0.10.0") < parse("1.0.0"));
        assert_eq!(parse("1.20.3").to_string(), "1.20.3");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "+1.2.3", "1..3", "v1.2.3", "1.2.99999999999"] {
            let error = text.parse::<Version>().unwrap_err();
            assert!(error.to_string().contains("MAJOR.MINOR.PATCH"), "{text}");
        }
    }
}
