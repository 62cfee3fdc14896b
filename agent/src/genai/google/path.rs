//! Google's paths: a resource, a colon, and the method that is called on it
//! (<https://google.aip.dev/136>).

use super::super::text;

/// The last name of the resource, and the method.
pub(in crate::genai) fn method(path: &str) -> Option<(&str, &str)> {
    path.rsplit('/').next()?.rsplit_once(':')
}

/// The last name of the resource, percent-decoded: a model.
pub(in crate::genai) fn model(path: &str) -> Option<String> {
    let (name, _) = method(path)?;
    text::percent_decode(name).filter(|name| !name.is_empty())
}

/// The model and the method of a path at Vertex AI that has this publisher
/// (<https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models>).
pub(in crate::genai) fn published<'a>(path: &'a str, publisher: &str) -> Option<(String, &'a str)> {
    let (before, method) = path.rsplit_once(':')?;
    let (before, name) = before.rsplit_once("/models/")?;
    let is_it = before.rsplit_once("/publishers/").is_some_and(|(_, found)| found == publisher);
    let name = text::percent_decode(name).filter(|name| !name.is_empty() && !name.contains('/'))?;
    is_it.then_some((name, method))
}

/// Does this method of a published model hand the model's own request on, and is the answer a stream?
pub(in crate::genai) fn raw(method: &str) -> Option<bool> {
    match method {
        "rawPredict" => Some(false),
        "streamRawPredict" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for (path, found, of) in [
            ("/v1beta/models/gemini-m:embedContent", Some(("gemini-m", "embedContent")), Some("gemini-m")),
            ("/v1beta/models/a%20b:embedContent", Some(("a%20b", "embedContent")), Some("a b")),
            ("/v1internal:x", Some(("v1internal", "x")), Some("v1internal")),
            ("/:x", Some(("", "x")), None),
            ("/v1/models/m", None, None),
        ] {
            assert_eq!((method(path), model(path).as_deref()), (found, of), "{path}");
        }
    }

    #[test]
    fn publishers() {
        let base = "/v1/projects/p/locations/l/publishers/anthropic/models";
        for (path, expected) in [
            (format!("{base}/claude@1:rawPredict"), Some(("claude@1", "rawPredict"))),
            (format!("{base}/claude%401:streamRawPredict"), Some(("claude@1", "streamRawPredict"))),
            (format!("{base}/:rawPredict"), None),
            (format!("{base}/a/b:rawPredict"), None),
            (format!("{base}/claude"), None),
            ("/v1/publishers/google/models/g:rawPredict".to_owned(), None),
        ] {
            let found = published(&path, "anthropic");
            assert_eq!(found.as_ref().map(|(name, method)| (name.as_str(), *method)), expected, "{path}");
        }
        assert_eq!(
            [raw("rawPredict"), raw("streamRawPredict"), raw("predict")],
            [Some(false), Some(true), None]
        );
    }
}
