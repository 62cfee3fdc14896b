//! What a model's name makes the provider do, so that unmodified clients can steer it.

use std::time::Duration;

/// How an answer that dies in its middle dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// TLS `close_notify`, then TCP FIN: an orderly close in the wrong moment.
    Close,
    /// TCP FIN without `close_notify`, as a process that crashed leaves it.
    Quit,
    /// TCP RST.
    Reset,
}

/// The script of one answer. The words of a model's name that starts with `test-`, joined by `-`; a word
/// with a number takes it from the word after it: `test-slow-100-events-5`. Unknown words say nothing, so a
/// name can carry a mark of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// `tool`: the model calls the tool `get_weather`.
    pub tool: bool,
    /// `reason`: tokens were spent on reasoning.
    pub reason: bool,
    /// `cached`: part of the prompt came from a cache, and part was written to it.
    pub cached: bool,
    /// `length`: the token limit ended the answer.
    pub length: bool,
    /// `filter`: a content filter ended it (OpenAI), the model refused (Anthropic).
    pub filter: bool,
    /// `gzip`: the response is compressed if the client accepts it.
    pub gzip: bool,
    /// `fail`: a stream reports an error in its middle and ends.
    pub fail: bool,
    /// `error-STATUS`: the answer is the provider's error of that status.
    pub error: Option<u16>,
    /// `late-MS`: the time before the answer begins.
    pub late: Duration,
    /// `slow-MS`: the time between the events of a stream.
    pub slow: Duration,
    /// `stall-MS`: the time for which a stream stands still in its middle.
    pub stall: Duration,
    /// `loop`: every piece of content but the first is the same.
    pub looping: bool,
    /// `leak`: the text has [`super::LEAKED`], each split over pieces.
    pub leak: bool,
    /// `events-N`: pieces of content in a stream, words in a plain answer.
    pub events: Option<usize>,
    /// `big-BYTES`: the least length of the text.
    pub big: usize,
    /// `close`, `quit`, `reset`: the connection dies in the middle of the answer.
    pub death: Option<Death>,
}

impl Script {
    /// The script that a model's name asks for.
    pub fn of(model: &str) -> Self {
        let mut script = Self::default();
        let Some(rest) = model.strip_prefix("test-") else { return script };
        let mut words = rest.split('-').peekable();
        while let Some(word) = words.next() {
            let number = words.peek().and_then(|w| w.parse::<u64>().ok());
            match (word, number) {
                ("tool", _) => script.tool = true,
                ("reason", _) => script.reason = true,
                ("cached", _) => script.cached = true,
                ("length", _) => script.length = true,
                ("filter", _) => script.filter = true,
                ("gzip", _) => script.gzip = true,
                ("fail", _) => script.fail = true,
                ("error", Some(n)) => script.error = u16::try_from(n).ok(),
                ("late", Some(n)) => script.late = Duration::from_millis(n),
                ("slow", Some(n)) => script.slow = Duration::from_millis(n),
                ("stall", Some(n)) => script.stall = Duration::from_millis(n),
                ("loop", _) => script.looping = true,
                ("leak", _) => script.leak = true,
                ("events", Some(n)) => script.events = usize::try_from(n).ok(),
                ("big", Some(n)) => script.big = usize::try_from(n).unwrap_or(0),
                ("close", _) => script.death = Some(Death::Close),
                ("quit", _) => script.death = Some(Death::Quit),
                ("reset", _) => script.death = Some(Death::Reset),
                _ => {}
            }
        }
        script
    }

    /// The pieces of text of one choice. Every text names its exchange, and carries [`super::REPLY_MARK`],
    /// which tests look for where no content may be.
    pub fn text(&self, number: u64, choice: usize) -> Vec<String> {
        let count = self.events.unwrap_or(6).max(1);
        let filler = "lorem ipsum ".repeat(self.big / 12 / count + usize::from(self.big > 0));
        let [mail, key] = super::LEAKED.map(|secret| secret.split_at(secret.len() / 2));
        (0..count)
            .map(|i| match i {
                0 => format!("Reply {number}/{choice} {} {filler}", super::REPLY_MARK),
                _ if self.looping => "Let me check that once more. ".to_owned(),
                1 if self.leak => format!("ask {}", mail.0),
                2 if self.leak => format!("{} or use {}", mail.1, key.0),
                3 if self.leak => format!("{} please ", key.1),
                i => format!("word{i} é {filler}"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_steer() {
        let quiet = Script::default();
        let cases = [
            ("gpt-4o-mini", quiet.clone()),
            ("slow-100", quiet.clone()),
            ("test-anything-mark7", quiet.clone()),
            ("test-tool-cached", Script { tool: true, cached: true, ..quiet.clone() }),
            (
                "test-slow-100-events-5",
                Script { slow: Duration::from_millis(100), events: Some(5), ..quiet.clone() },
            ),
            ("test-error-529", Script { error: Some(529), ..quiet.clone() }),
            ("test-error", quiet.clone()),
            ("test-leak", Script { leak: true, ..quiet.clone() }),
            (
                "test-stall-2500-loop",
                Script { stall: Duration::from_millis(2500), looping: true, ..quiet.clone() },
            ),
            (
                "test-late-30-reset",
                Script { late: Duration::from_millis(30), death: Some(Death::Reset), ..quiet },
            ),
        ];
        for (model, script) in cases {
            assert_eq!(Script::of(model), script, "{model}");
        }
    }

    #[test]
    fn text_is_as_long_as_asked() {
        let script = Script::of("test-big-100000-events-3");
        let text = script.text(1, 0);
        assert_eq!(text.len(), 3);
        assert!(text.concat().len() >= 100_000);
    }
}
