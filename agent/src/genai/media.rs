//! Images, audio, video and documents inside messages.

use super::{
    blob::Code,
    budget::Budget,
    call::Part,
    field::{Escaped, Field},
};

/// `image`, `audio`, `video`, else `document`.
pub(super) fn modality(mime_type: &str) -> &'static str {
    match mime_type.split('/').next() {
        Some("image") => "image",
        Some("audio") => "audio",
        Some("video") => "video",
        _ => "document",
    }
}

/// Content that stands there in base64; its bytes are not kept. `None` if the field is no string.
pub(super) fn of_base64(
    modality: &'static str,
    mime_type: Option<String>,
    data: Field<'_>,
    budget: &mut Budget,
) -> Option<Part> {
    let data = data.escaped(budget)?;
    Some(sent(modality, mime_type, data, Code::Base64, budget))
}

/// The same of content that is known to stand there, and be it nothing.
pub(super) fn blob(
    modality: &'static str,
    mime_type: Option<String>,
    data: Field<'_>,
    budget: &mut Budget,
) -> Part {
    let data = data.escaped(budget).unwrap_or(Escaped::EMPTY);
    sent(modality, mime_type, data, Code::Base64, budget)
}

/// Content by URL. A `data:` URL (RFC 2397) holds the content itself, whose bytes are not kept.
pub(super) fn of_url(modality: &'static str, url: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let written = url.escaped(budget)?;
    let Some((head, data)) = written.strip_prefix("data:").and_then(|rest| rest.split_once(',')) else {
        let url = url.text(budget)?;
        return Some(Part::Uri { modality, mime_type: None, uri: budget.whole(&url)? });
    };
    let head = head.text();
    let mime_type = budget.label(head.split(';').next().unwrap_or_default());
    let base64 = head.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"));
    let code = if base64 { Code::Base64 } else { Code::Percent };
    Some(sent(modality, mime_type, data, code, budget))
}

/// Is this a `data:` URL?
pub(super) fn is_data_url(url: Field<'_>) -> bool {
    url.json().starts_with("\"data:")
}

fn sent(
    modality: &'static str,
    mime_type: Option<String>,
    data: Escaped<'_>,
    code: Code,
    budget: &Budget,
) -> Part {
    let mut measure = budget.measure(code);
    data.pieces(|piece| measure.push(piece));
    let encoded_len = measure.encoded_len();
    Part::Blob { modality, mime_type, encoded_len, digest: measure.digest() }
}

#[cfg(test)]
mod tests {
    use super::{super::budget::tests::budget, *};

    fn of(url: &str, budget: &mut Budget) -> String {
        let json = serde_json::to_string(url).unwrap();
        format!("{:?}", of_url("image", Field::root(json.as_bytes()).unwrap(), budget).unwrap())
    }

    #[test]
    fn urls() {
        let cases = [
            (
                "https://x.example/a.png",
                r#"Uri { modality: "image", mime_type: None, uri: "https://x.example/a.png" }"#,
            ),
            (
                "data:image/png;base64,AAAA",
                r#"Blob { modality: "image", mime_type: Some("image/png"), encoded_len: 4, digest: None }"#,
            ),
            ("data:,ab", r#"Blob { modality: "image", mime_type: None, encoded_len: 2, digest: None }"#),
            ("data:broken", r#"Uri { modality: "image", mime_type: None, uri: "data:broken" }"#),
        ];
        for (url, expected) in cases {
            assert_eq!(of(url, &mut budget()), expected, "{url}");
        }
        assert_eq!([modality("audio/wav"), modality("application/pdf")], ["audio", "document"]);
    }

    #[test]
    fn digests_of_what_a_url_holds() {
        const ABC: &str = "Some(3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)";
        let cases = [
            ("data:image/png;base64,YWJj", ABC),
            ("data:image/png;name=x;BASE64,YWJj", ABC),
            ("data:;base64,YW\nJj", ABC),
            ("data:text/plain,ab%63", ABC),
            ("data:image/png;base64,YW%4Aj", "None"),
        ];
        let mut budget = budget().hashing(true);
        for (url, expected) in cases {
            let part = of(url, &mut budget);
            assert!(part.ends_with(&format!("digest: {expected} }}")), "{url}: {part}");
        }
    }

    #[test]
    fn slashes_may_be_escaped() {
        let field = Field::root(br#""data:image\/png;base64,+\/+\/""#).unwrap();
        let part = of_url("image", field, &mut budget().hashing(true)).unwrap();
        let Part::Blob { mime_type, encoded_len: 4, digest: Some(digest), .. } = part else {
            panic!("{part:?}")
        };
        assert_eq!((mime_type.as_deref(), digest.size), (Some("image/png"), 3));
        // fb ff bf
        assert!(digest.hex().starts_with("337672c9cc7a511c"), "{digest:?}");
    }

    #[test]
    fn base64_or_nothing() {
        let field = |json: &'static str| Field::root(json.as_bytes()).unwrap();
        let mut budget = budget();
        assert!(of_base64("audio", None, field("7"), &mut budget).is_none());
        assert!(matches!(blob("audio", None, field("null"), &mut budget), Part::Blob { encoded_len: 0, .. }));
        assert!(matches!(
            blob("audio", None, field("\"AA\""), &mut budget),
            Part::Blob { encoded_len: 2, .. }
        ));
        assert_eq!(budget.unknown, 1);
    }
}
