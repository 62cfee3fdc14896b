//! What one call may keep in memory, and what had to be left out because of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    blob::{Code, Measure},
    call::Content,
    text,
};

/// Longest identifier, model name or tool name that is believed, in bytes. A cut id would be a wrong id, so
/// longer ones are left out and counted.
const LABEL_MAX: usize = 4096;

/// Limits of what is kept of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one JSON body that are gathered before it is read.
    pub body: u64,
    /// Bytes of one text (a part, a tool's arguments) in a [`super::Call`].
    pub content: u64,
    /// Bytes of all texts of one call together.
    pub call_content: u64,
    /// Messages, parts, tools and stop sequences of one call together.
    pub items: u64,
    /// Choices of one streamed answer.
    pub choices: usize,
    /// Bytes that all calls in flight may hold together.
    pub in_flight: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            content: 1 << 20,
            call_content: 32 << 20,
            items: 32 << 10,
            choices: 128,
            in_flight: 512 << 20,
        }
    }
}

/// Bytes held by all calls in flight.
#[derive(Debug, Default)]
pub(super) struct Pool(AtomicU64);

/// What one call may still keep. Gives everything back to the pool when it is dropped.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    pool: Arc<Pool>,
    held: u64,
    content_left: u64,
    items_left: u64,
    /// Digests of binary content are asked for.
    hash: bool,
    /// Messages, parts and tools that were left out.
    pub(super) omitted: u64,
    /// Values that were not understood: a kind that is new to us, or a field of another JSON type.
    pub(super) unknown: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits, pool: Arc<Pool>) -> Self {
        Self {
            limits,
            pool,
            held: 0,
            content_left: limits.call_content,
            items_left: limits.items,
            hash: false,
            omitted: 0,
            unknown: 0,
        }
    }

    /// The same, with or without digests of binary content: only what is exported needs them.
    pub(super) fn hashing(mut self, hash: bool) -> Self {
        self.hash = hash;
        self
    }

    /// Binary content that goes by.
    pub(super) fn measure(&self, code: Code) -> Measure {
        Measure::new(code, self.hash)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reserves `n` bytes out of what all calls may hold together.
    pub(super) fn hold(&mut self, n: u64) -> bool {
        let limit = self.limits.in_flight;
        let grown = self.pool.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(n).filter(|total| *total <= limit)
        });
        if grown.is_ok() {
            self.held += n;
        }
        grown.is_ok()
    }

    /// Gives `n` bytes back.
    pub(super) fn release(&mut self, n: u64) {
        let n = n.min(self.held);
        self.held -= n;
        self.pool.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// What was kept so far is kept by somebody else from now on: there is as much room as at first.
    pub(super) fn renew(&mut self) {
        self.release(self.held);
        self.content_left = self.limits.call_content;
        self.items_left = self.limits.items;
    }

    /// May another message, part or tool be kept? If not, it is counted.
    pub(super) fn item(&mut self) -> bool {
        if let Some(left) = self.items_left.checked_sub(1) {
            self.items_left = left;
            return true;
        }
        self.omitted += 1;
        false
    }

    /// Appends as much of `text` as the limits allow; the rest is counted in `to`.
    pub(super) fn append(&mut self, to: &mut Content, text: &str) {
        if to.cut > 0 {
            // Text after a cut would read as if nothing were missing before it.
            to.cut += text.len() as u64;
            return;
        }
        let room = self.limits.content.saturating_sub(to.text.len() as u64).min(self.content_left);
        let mut keep = text::head(text, usize::try_from(room).unwrap_or(usize::MAX)).len();
        if keep > 0 && !self.hold(keep as u64) {
            keep = 0;
        }
        self.content_left -= keep as u64;
        to.text.push_str(&text[..keep]);
        to.cut += (text.len() - keep) as u64;
    }

    /// A new text within the limits.
    pub(super) fn content(&mut self, text: &str) -> Content {
        let mut content = Content::default();
        self.append(&mut content, text);
        content
    }

    /// A text that makes no sense when it is cut (a URI, a schema): whole or not at all.
    pub(super) fn whole(&mut self, text: &str) -> Option<String> {
        let content = self.content(text);
        if content.cut > 0 {
            self.omitted += 1;
            return None;
        }
        Some(content.text)
    }

    /// A name or id; an empty one is none, an absurdly long one is counted.
    pub(super) fn label(&mut self, text: &str) -> Option<String> {
        if text.len() > LABEL_MAX {
            self.unknown += 1;
            return None;
        }
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.release(self.held);
    }
}

/// A body that is gathered until it can be read in one go.
#[derive(Debug, Default)]
pub(super) struct Gather {
    bytes: Vec<u8>,
    /// How long it is to become, as its sender says; 0 if that is not known.
    expected: usize,
    broken: bool,
}

impl Gather {
    /// Adds bytes; returns how many were left out by a limit.
    pub(super) fn push(&mut self, bytes: &[u8], budget: &mut Budget) -> u64 {
        if self.broken {
            return 0;
        }
        let len = bytes.len() as u64;
        if self.bytes.len() as u64 + len > budget.limits.body || !budget.hold(len) {
            self.spoil(budget);
            return len;
        }
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
        0
    }

    /// The sender says how long it is. That is believed as far as it goes: room is made for what comes, and for no
    /// more than is to come.
    pub(super) fn expect(&mut self, len: u64) {
        self.expected = usize::try_from(len).unwrap_or(0);
    }

    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return;
        }
        let doubled = needed.max(2 * self.bytes.capacity());
        let wanted = if needed <= self.expected { doubled.min(self.expected) } else { doubled };
        self.bytes.reserve_exact(wanted - self.bytes.len());
    }

    /// Something is missing: what is left can't be read, so it is not kept either.
    pub(super) fn spoil(&mut self, budget: &mut Budget) {
        self.broken = true;
        budget.release(self.bytes.len() as u64);
        self.bytes = Vec::new();
    }

    /// The body, if nothing of it is missing.
    pub(super) fn take(&mut self, budget: &mut Budget) -> Option<Vec<u8>> {
        budget.release(self.bytes.len() as u64);
        let bytes = std::mem::take(&mut self.bytes);
        (!self.broken).then_some(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A budget with default limits, for the tests of other files.
    pub(in crate::genai) fn budget() -> Budget {
        Budget::new(Limits::default(), Arc::default())
    }

    #[test]
    fn texts_are_cut_at_a_character_and_stay_cut() {
        let limits = Limits { content: 4, ..Limits::default() };
        let mut budget = Budget::new(limits, Arc::default());
        let mut content = budget.content("abcé");
        assert_eq!(content, Content { text: "abc".into(), cut: 2 });
        budget.append(&mut content, "x");
        assert_eq!(content, Content { text: "abc".into(), cut: 3 });
    }

    #[test]
    fn all_texts_of_a_call_share_a_limit() {
        let limits = Limits { call_content: 5, ..Limits::default() };
        let mut budget = Budget::new(limits, Arc::default());
        assert_eq!(budget.content("abc").cut, 0);
        assert_eq!(budget.content("abc"), Content { text: "ab".into(), cut: 1 });
        assert_eq!((budget.whole("a"), budget.omitted), (None, 1));
    }

    #[test]
    fn items_over_the_limit_are_counted() {
        let mut budget = Budget::new(Limits { items: 2, ..Limits::default() }, Arc::default());
        assert_eq!([budget.item(), budget.item(), budget.item()], [true, true, false]);
        assert_eq!(budget.omitted, 1);
    }

    #[test]
    fn calls_share_a_pool_and_give_back() {
        let limits = Limits { in_flight: 10, ..Limits::default() };
        let pool = Arc::new(Pool::default());
        let mut first = Budget::new(limits, Arc::clone(&pool));
        let mut second = Budget::new(limits, Arc::clone(&pool));
        let mut body = Gather::default();
        assert_eq!(body.push(b"12345678", &mut first), 0);
        assert_eq!(second.content("abc").cut, 3);
        assert_eq!(body.push(b"9ab", &mut first), 3);
        assert_eq!((body.push(b"c", &mut first), body.take(&mut first)), (0, None));
        assert_eq!(second.content("abc").cut, 0);
        drop((first, second));
        assert_eq!(pool.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn there_is_no_more_room_than_what_is_to_come() {
        for (expected, capacity) in [(0, 12), (10, 10), (7, 12), (1 << 40, 12)] {
            let (mut body, mut budget) = (Gather::default(), budget());
            body.expect(expected);
            for piece in [&b"abc"[..], b"def", b"ghij"] {
                body.push(piece, &mut budget);
            }
            assert_eq!((body.bytes.capacity(), &*body.bytes), (capacity, &b"abcdefghij"[..]), "{expected}");
        }
    }

    #[test]
    fn labels_are_whole_or_absent() {
        let mut budget = budget();
        assert_eq!(budget.label(""), None);
        assert_eq!(budget.label("gpt-4o").as_deref(), Some("gpt-4o"));
        assert_eq!((budget.label(&"x".repeat(LABEL_MAX + 1)), budget.unknown), (None, 1));
    }
}
