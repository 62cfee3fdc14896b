//! The static table and the dynamic one (RFC 7541, sections 2.3 and 4, appendix A).

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Field, Malformed};

/// Size of the dynamic table before anybody changes it (RFC 9113, section 6.5.2).
const DEFAULT_SIZE: usize = 4096;

/// The dynamic table is kept up to this size. Peers may agree on more; what falls out here is unknown then.
const MAX_SIZE: usize = 128 * 1024;

/// What an entry takes beside its name and value (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

/// Both tables. What lies behind the known entries of the dynamic one is unknown: nothing, or what was put
/// there before the last loss.
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Field>,
    /// Of the entries; the missing names of some count nothing.
    size: usize,
    limit: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: DEFAULT_SIZE }
    }
}

impl Table {
    /// The field with this index; of an unknown one nothing.
    pub fn field(&self, index: usize) -> Result<Field, Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = STATIC.get(index) {
            let known = |text: &'static [u8]| Some(Bytes::from_static(text));
            return Ok(Field { name: known(name), value: known(value) });
        }
        Ok(self.entries.get(index - STATIC.len()).cloned().unwrap_or_default())
    }

    pub fn insert(&mut self, field: Field) {
        self.size += size(&field);
        self.entries.push_front(field);
        self.evict();
    }

    pub fn resize(&mut self, limit: usize) {
        self.limit = limit.min(MAX_SIZE);
        self.evict();
    }

    /// The size of what is known.
    pub fn held(&self) -> usize {
        self.size
    }

    /// Nothing is known of the entries any more.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    fn evict(&mut self) {
        while self.size > self.limit
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= size(&oldest);
        }
    }
}

fn size(field: &Field) -> usize {
    OVERHEAD + [&field.name, &field.value].into_iter().flatten().map(Bytes::len).sum::<usize>()
}

#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];
