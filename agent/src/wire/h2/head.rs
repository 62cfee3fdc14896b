//! Heads out of header blocks (RFC 9113, section 8.3).

use super::hpack::{Field, Fields};
use crate::wire::{
    Headers, RequestHead, ResponseHead, Role, Version,
    credentials::{clean_authority, clean_query},
    fields::{clean_header, split_target},
};

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// Trailers, or a block of which too little is known.
    Other,
}

impl Fields {
    /// What the block is, by its pseudo-header fields.
    pub fn kind(&self) -> Kind {
        let mut names = self.list.iter().filter_map(|field| field.name.as_deref());
        names
            .find_map(|name| match name {
                b":status" => Some(Kind::Response),
                b":method" | b":scheme" | b":authority" | b":path" => Some(Kind::Request),
                _ => None,
            })
            .unwrap_or(Kind::Other)
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        let status = self.text(":status")?;
        (status.len() == 3).then(|| status.parse().ok()).flatten().filter(|status| *status >= 100)
    }

    /// The head of a request. What is unknown of its method and target is empty.
    pub fn request(&self, role: Role) -> RequestHead {
        let method = self.text(":method").unwrap_or_default();
        let target = self.text(":path").unwrap_or_default();
        let (_, path, query) = split_target(method, target);
        let authority = self.text(":authority").or_else(|| self.text("host"));
        RequestHead {
            method: method.into(),
            path: path.into(),
            query: clean_query(query).into(),
            authority: authority.map(|a| clean_authority(a).into()),
            version: Version::Http2,
            role,
            headers: self.headers(),
            partial: self.is_partial(),
            session: None,
        }
    }

    /// The head of a response.
    pub fn response(&self, status: u16) -> ResponseHead {
        ResponseHead { status, headers: self.headers(), partial: self.is_partial() }
    }

    /// Is there a field that isn't known, or not whole?
    fn is_partial(&self) -> bool {
        self.cut || self.list.iter().any(|field| field.name.is_none() || field.value.is_none())
    }

    /// Those that are known, without the credentials.
    pub fn headers(&self) -> Headers {
        let clean = self.list.iter().filter_map(|field| match field {
            Field { name: Some(name), value: Some(value) } if !name.starts_with(b":") => {
                clean_header(std::str::from_utf8(name).ok()?, value)
            }
            _ => None,
        });
        Headers(clean.collect())
    }

    /// The first value of a field that is known and UTF-8.
    fn text(&self, name: &str) -> Option<&str> {
        let field = self.list.iter().find(|field| field.name.as_deref() == Some(name.as_bytes()))?;
        std::str::from_utf8(field.value.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> Fields {
        let part = |text: &'static str| (text != "?").then(|| Bytes::from_static(text.as_bytes()));
        let list = list.iter().map(|(name, value)| Field { name: part(name), value: part(value) });
        Fields { list: list.collect(), cut: false }
    }

    #[test]
    fn requests() {
        let head = fields(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "me:secret@api.example"),
            (":path", "/v1/x?api-version=1&key=k"),
            ("authorization", "Bearer k"),
            ("user-agent", "a"),
        ])
        .request(Role::Client);
        assert_eq!((&*head.method, &*head.path, &*head.query), ("POST", "/v1/x", "api-version=1"));
        assert_eq!((head.authority.as_deref(), head.partial), (Some("api.example"), false));
        assert_eq!(head.headers.0.len(), 1, "{:?}", head.headers);
        let head = fields(&[(":method", "POST"), ("?", "?"), ("host", "h"), ("?", "secret")]);
        assert_eq!(head.kind(), Kind::Request);
        let head = head.request(Role::Server);
        assert_eq!((&*head.path, head.authority.as_deref(), head.partial), ("", Some("h"), true));
        assert_eq!(head.headers.0.len(), 1, "a value without a name may be anything");
    }

    #[test]
    fn responses() {
        let table = [
            (&[(":status", "200"), ("a", "b")][..], Kind::Response, Some(200)),
            (&[(":status", "20")], Kind::Response, None),
            (&[(":status", "0x1")], Kind::Response, None),
            (&[("?", "?")], Kind::Other, None),
            (&[("grpc-status", "0")], Kind::Other, None),
        ];
        for (list, kind, status) in table {
            let fields = fields(list);
            assert_eq!((fields.kind(), fields.status()), (kind, status), "{list:?}");
        }
    }
}
