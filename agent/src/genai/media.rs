//! Images, audio, video and documents inside messages.

use super::{budget::Budget, call::Part};

/// `image`, `audio`, `video`, else `document`.
pub(super) fn modality(mime_type: &str) -> &'static str {
    match mime_type.split('/').next() {
        Some("image") => "image",
        Some("audio") => "audio",
        Some("video") => "video",
        _ => "document",
    }
}

/// Content by URL. A `data:` URL (RFC 2397) holds the content itself, whose bytes are not kept.
pub(super) fn of_url(modality: &'static str, url: &str, budget: &mut Budget) -> Option<Part> {
    let Some((head, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(',')) else {
        return Some(Part::Uri { modality, uri: budget.whole(url)? });
    };
    let mime_type = budget.label(head.split(';').next().unwrap_or_default());
    Some(Part::Blob { modality, mime_type, encoded_len: data.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::{super::budget::tests::budget, *};

    #[test]
    fn urls() {
        let cases = [
            ("https://x.example/a.png", r#"Uri { modality: "image", uri: "https://x.example/a.png" }"#),
            (
                "data:image/png;base64,AAAA",
                r#"Blob { modality: "image", mime_type: Some("image/png"), encoded_len: 4 }"#,
            ),
            ("data:,ab", r#"Blob { modality: "image", mime_type: None, encoded_len: 2 }"#),
            ("data:broken", r#"Uri { modality: "image", uri: "data:broken" }"#),
        ];
        for (url, expected) in cases {
            let part = of_url("image", url, &mut budget()).unwrap();
            assert_eq!(format!("{part:?}"), expected, "{url}");
        }
        assert_eq!([modality("audio/wav"), modality("application/pdf")], ["audio", "document"]);
    }
}
