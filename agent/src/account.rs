//! What the agent saw, ignored, lost and cut, each under a name that gives the reason.
//!
//! Nothing may be dropped anywhere without one of these counters moving: it is how a user learns the
//! difference between "no calls were made" and "calls were made and I missed them".

mod rules;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

pub use rules::Rule;
use rules::Rules;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $room:literal, $name:literal;)+) => {
        /// One counter of the [`Account`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// Every counter, in the order in which data walks through the rooms.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The room that counts.
            pub const fn room(self) -> &'static str { match self { $(Self::$variant => $room,)+ } }

            /// What is counted, as shown to the user; units are part of the name.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }
        }
    };
}

counters! {
    /// Files in which TLS functions were found and probed.
    FilesProbed = "probe", "files probed";
    /// Files that looked like a TLS library but could not be probed.
    FilesRefused = "probe", "files that could not be probed";
    /// Processes that are left out, since they ask for it or by a rule of the user.
    ProcessesLeftOut = "probe", "processes left out";
    /// Library calls that moved plaintext, in processes that are watched.
    LibraryCalls = "capture", "library calls";
    /// Plaintext bytes that those calls moved.
    BytesMoved = "capture", "bytes moved by the libraries";
    /// Bytes delivered to the agent.
    BytesCaptured = "capture", "bytes captured";
    /// Bytes left in the kernel because the connection is not LLM traffic.
    BytesIgnored = "capture", "bytes ignored, not LLM traffic";
    /// Bytes left in the kernel because the connection does not speak HTTP.
    BytesNotHttp = "capture", "bytes ignored, not HTTP";
    /// Bytes lost because the ring buffer was full.
    BytesLostRing = "capture", "bytes lost, ring buffer full";
    /// Bytes left out because one library call was longer than the cap.
    BytesLostCap = "capture", "bytes cut, over the cap of a call";
    /// Bytes lost because the page was not readable from the probe.
    BytesLostFault = "capture", "bytes lost, page not readable";
    /// Connections or calls in flight that the kernel's tables had no room for.
    TableFull = "capture", "kernel table full";
    /// Records that did not parse under the ABI.
    RecordsMalformed = "capture", "records malformed";
    /// Keys of which it was never seen which socket they belong to: each is taken for a connection of its own.
    KeysUnlinked = "capture", "cipher keys without a socket";
    /// Beginnings and ends of processes and connections lost because the ring buffer was full.
    EventsLost = "capture", "lifecycle events lost, ring buffer full";
    /// Connections that carried plaintext.
    Connections = "stream", "connections";
    /// Connections whose beginning was not seen.
    ConnectionsLate = "stream", "connections attached late";
    /// Bytes missing in the streams, as seen from their numbering.
    GapBytes = "stream", "bytes missing in streams";
    /// Bytes that arrived twice and were left out once.
    DuplicateBytes = "stream", "bytes seen twice";
    /// Connections dropped from the tables because there were too many.
    ConnectionsEvicted = "stream", "connections evicted";
    /// Connections forgotten because nothing was heard of them for long.
    ConnectionsIdle = "stream", "connections idle";
    /// HTTP exchanges that were begun.
    Exchanges = "wire", "HTTP exchanges";
    /// HTTP/2 exchanges that were not followed, because too many of their connection were open.
    ExchangesRefused = "wire", "HTTP exchanges over the limit";
    /// HTTP/2 heads without a method, path or status, which were told by bytes that were missed.
    HeadsUnknown = "wire", "HTTP/2 heads that refer to bytes missed";
    /// Connections that turned out to speak no protocol that is read.
    ConnectionsUnread = "wire", "connections in another protocol";
    /// Connections that were given up, since they or all together held too much.
    ConnectionsGivenUp = "wire", "connections given up, buffers full";
    /// Bytes of HTTP that could not be parsed and were skipped.
    BytesUnparsed = "wire", "bytes unparsed";
    /// Bodies whose content encoding could not be decoded.
    BodiesUndecoded = "wire", "bodies undecoded";
    /// Bodies that were cut at their limit.
    BodiesCut = "wire", "bodies cut at the limit";
    /// WebSocket messages.
    Messages = "wire", "WebSocket messages";
    /// WebSocket messages that belong to no exchange.
    MessagesApart = "wire", "WebSocket messages outside of calls";
    /// WebSocket messages of which bytes are missing, or that refer to such.
    MessagesUnread = "wire", "WebSocket messages unreadable";
    /// WebSocket messages that were cut at their limit.
    MessagesCut = "wire", "WebSocket messages cut at the limit";
    /// Exchanges that are not LLM calls.
    ExchangesNotLlm = "genai", "exchanges that are not LLM calls";
    /// Requests to an LLM API that are no inference (model lists, token counting, files).
    ExchangesNotInference = "genai", "LLM API requests that are no inference";
    /// LLM calls in an API that is not read yet.
    CallsUnread = "genai", "LLM calls in APIs that are not read yet";
    /// LLM calls rebuilt.
    Calls = "genai", "LLM calls";
    /// Requests and notifications of the Model Context Protocol.
    McpCalls = "genai", "MCP calls";
    /// Calls that ended before their response was complete.
    CallsCut = "genai", "LLM calls cut short";
    /// Calls of which bytes are missing.
    CallsDamaged = "genai", "LLM calls with bytes missing";
    /// Values of a kind that the contract does not know yet, passed on as they came.
    UnknownValues = "genai", "values new to the contract";
    /// Bodies of LLM calls that are not the JSON that their API promises.
    BodiesMalformed = "genai", "bodies malformed";
    /// Messages, parts, tools and choices left out of calls by a limit.
    PartsOmitted = "genai", "message parts over the limit";
    /// Credentials taken out of content.
    RedactedCredentials = "policy", "credentials redacted";
    /// E-mail addresses taken out of content.
    RedactedEmails = "policy", "e-mail addresses redacted";
    /// Card numbers taken out of content.
    RedactedCards = "policy", "card numbers redacted";
    /// Account numbers taken out of content.
    RedactedIbans = "policy", "IBANs redacted";
    /// Phone numbers taken out of content.
    RedactedPhones = "policy", "phone numbers redacted";
    /// IP addresses taken out of content.
    RedactedIps = "policy", "IP addresses redacted";
    /// What the user's own rules took out of content.
    RedactedCustom = "policy", "findings of own rules redacted";
    /// Prompt templates that were forgotten because too many were known.
    TemplatesForgotten = "policy", "prompt templates forgotten";
    /// Calls kept by sampling, by the reason.
    CallsSampled = "policy", "calls sampled";
    /// Calls that sampling left out: they make no span.
    CallsUnsampled = "policy", "calls not sampled";
    /// Calls that were not kept for being the first of a kind, because too many were in the same minute.
    NewKindsPassed = "policy", "calls first of a kind, over the limit";
    /// Calls of cohorts for which there was no room, so that sampling takes them for one.
    CohortsShared = "policy", "calls of cohorts over the limit";
    /// Templates, revisions, tool sets and tenants that sampling forgot before their time, for others.
    KindsForgotten = "policy", "kinds of calls forgotten, too many";
    /// Traces with kept calls that sampling forgot before their time, for others.
    TracesForgotten = "policy", "sampled traces forgotten, too many";
    /// Violations of the contract found while building spans.
    ContractViolations = "contract", "contract violations";
    /// Attributes and fields of spans that were cut to their length limit.
    ValuesCut = "contract", "attribute values cut";
    /// Spans written to the journal.
    SpansWritten = "journal", "spans written";
    /// Spans of an earlier run that an output did not have yet, once for each output.
    SpansLeft = "journal", "spans left from before";
    /// Spans refused because too many waited to be written.
    SpansUnwritten = "journal", "spans dropped, queue full";
    /// Spans that could not be written.
    SpansUnwritable = "journal", "spans lost, not writable";
    /// Delivered spans that the journal let go for its size.
    SpansGoneSize = "journal", "delivered spans let go, over size";
    /// Delivered spans that the journal let go for their age.
    SpansGoneAge = "journal", "delivered spans let go, over age";
    /// Spans that the journal dropped for its size before an output had them, once for each.
    SpansLostSize = "journal", "undelivered spans dropped, over size";
    /// Spans that the journal dropped for their age before an output had them, once for each.
    SpansLostAge = "journal", "undelivered spans dropped, over age";
    /// Spans in the journal that can't be read any more, once for each output.
    SpansUnreadable = "journal", "undelivered spans dropped, unreadable";
    /// Databases that were damaged, and moved aside.
    JournalsDamaged = "journal", "databases moved aside, damaged";
    /// Spans that an output did not take yet and that are kept for the next run, once for each output.
    SpansKept = "journal", "spans kept for later";
    /// Spans handed to the exporters.
    Spans = "export", "spans";
    /// Spans that an exporter delivered.
    SpansDelivered = "export", "spans delivered";
    /// Spans that an exporter refused or failed to deliver.
    SpansFailed = "export", "spans not delivered";
    /// Spans dropped because an exporter's queue was full.
    SpansDropped = "export", "spans dropped, queue full";
    /// Requests with metrics that did not reach the collector; the next one has the same numbers.
    MetricsNotPushed = "export", "pushes of metrics that failed";
    /// Files with content that were removed for their size.
    ContentGoneSize = "export", "content files let go, over size";
    /// Files with content that were removed for their age.
    ContentGoneAge = "export", "content files let go, over age";
}

/// All counters of one agent. Cheap to add to from any thread.
#[derive(Debug)]
pub struct Account {
    counts: [AtomicU64; Counter::ALL.len()],
    rules: Rules,
}

impl Default for Account {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; Counter::ALL.len()], rules: Rules::default() }
    }
}

impl Account {
    /// Adds `n` to a counter.
    pub fn add(&self, counter: Counter, n: u64) {
        self.counts[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one to a counter, and to what it says of a rule. When it is time to say so in the log (the first time, then once a minute at most), it gives how
    /// many there were since that was last said.
    pub fn add_to_rule(&self, counter: Counter, rule: Rule) -> Option<u64> {
        self.add(counter, 1);
        self.rules.add(counter, rule, Instant::now())
    }

    /// What a counter counted, rule by rule; of all rules together it is the counter's value, as far as it was counted by rule.
    pub fn rules(&self, counter: Counter) -> Vec<(Rule, u64)> {
        self.rules.of(counter)
    }

    /// Sets a counter whose truth is kept elsewhere (the kernel's own counters).
    pub fn set(&self, counter: Counter, n: u64) {
        self.counts[counter as usize].store(n, Ordering::Relaxed);
    }

    /// The counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Ordering::Relaxed)
    }
}

/// The table that is printed at exit and on SIGUSR1: the counters that moved, by room.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for counter in Counter::ALL {
            let n = self.get(*counter);
            if n > 0 {
                writeln!(f, "{:<9} {n:>14}  {}", counter.room(), counter.name())?;
            }
            for (rule, n) in self.rules(*counter) {
                writeln!(f, "{:<9} {n:>14}  {}, {rule}", counter.room(), counter.name())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_shows_what_moved_and_nothing_else() {
        let account = Account::default();
        account.add(Counter::Calls, 2);
        account.add(Counter::Calls, 1);
        account.set(Counter::BytesLostRing, 70_000);
        let table = account.to_string();
        assert_eq!(
            table.lines().collect::<Vec<_>>(),
            ["capture            70000  bytes lost, ring buffer full", "genai                  3  LLM calls"]
        );
    }

    #[test]
    fn rules_stand_below_their_counter() {
        let account = Account::default();
        let missing = Rule { kind: "missing", about: "server.port" };
        assert_eq!(account.add_to_rule(Counter::ContractViolations, missing), Some(0));
        assert_eq!(account.add_to_rule(Counter::ContractViolations, missing), None);
        account.add_to_rule(Counter::ContractViolations, Rule { kind: "type", about: "server.port" });
        account.add_to_rule(Counter::ValuesCut, Rule { kind: "", about: "url.path" });
        let table = account.to_string();
        assert_eq!(
            table.lines().collect::<Vec<_>>(),
            [
                "contract               3  contract violations",
                "contract               2  contract violations, missing: server.port",
                "contract               1  contract violations, type: server.port",
                "contract               1  attribute values cut",
                "contract               1  attribute values cut, url.path",
            ]
        );
    }

    #[test]
    fn the_book_explains_every_counter_and_no_other() {
        // Rows of its tables: | room | name | meaning | what to do |
        let explained: Vec<(&str, &str)> = include_str!("../../docs/accounting.md")
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
                Some((*cells.first()?, *cells.get(1)?))
            })
            .filter(|(room, _)| *room != "room")
            .collect();
        let counted: Vec<(&str, &str)> = Counter::ALL.iter().map(|c| (c.room(), c.name())).collect();
        assert_eq!(explained, counted, "docs/accounting.md and account.rs differ");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|c| (c.room(), c.name())).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
    }
}
