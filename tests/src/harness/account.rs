//! The agent's own account, read from the table that it prints.

use std::collections::BTreeMap;

/// Counters by name; one that is not in the table is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account(BTreeMap<(String, String), u64>);

impl Account {
    /// Reads the table `ROOM  COUNT  NAME` out of other lines; of several tables the last one counts.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counters = BTreeMap::new();
        for line in lines {
            let mut words = line.split_whitespace();
            let (Some(room), Some(count)) = (words.next(), words.next()) else { continue };
            let Ok(count) = count.parse() else { continue };
            let name = words.collect::<Vec<_>>().join(" ");
            if !name.is_empty() && room.chars().all(|c| c.is_ascii_lowercase()) {
                counters.insert((room.to_owned(), name), count);
            }
        }
        Self(counters)
    }

    /// The value of a counter.
    pub fn get(&self, room: &str, name: &str) -> u64 {
        self.0.get(&(room.to_owned(), name.to_owned())).copied().unwrap_or(0)
    }

    /// Is there any counter at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Plaintext bytes that were not captured, whatever the reason.
    pub fn bytes_not_captured(&self) -> u64 {
        self.0
            .iter()
            .filter(|((room, name), _)| {
                room == "capture"
                    && ["bytes ignored", "bytes lost", "bytes cut"].iter().any(|p| name.starts_with(p))
            })
            .map(|(_, n)| n)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_among_other_lines() {
        let text = "capturing 3 processes\ncapture            70000  bytes lost, ring buffer full\n\
                    genai                  3  LLM calls\ncapture   5 bytes ignored, not HTTP\n\ngenai 4 LLM calls";
        let account = Account::parse(text.lines());
        assert_eq!(account.get("genai", "LLM calls"), 4);
        assert_eq!(account.get("genai", "no such"), 0);
        assert_eq!(account.bytes_not_captured(), 70_005);
        assert!(Account::parse(["a line of prose"]).is_empty());
    }
}
