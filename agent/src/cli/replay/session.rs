//! Recorded WebSocket sessions.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::base64;
use crate::capture::Direction;

/// A recorded WebSocket session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where it was recorded.
    pub source: String,
    /// Absolute URL of the request that opened it; a path alone where none was recorded and the messages tell which API
    /// they are of.
    pub url: String,
    /// Header fields of that request.
    pub request_headers: Vec<(String, String)>,
    /// Header fields of the response to it.
    pub response_headers: Vec<(String, String)>,
    /// What was said, in order.
    pub messages: Vec<Message>,
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who said it: the client has sent it.
    pub direction: Direction,
    /// Text, not binary.
    pub text: bool,
    /// All of it.
    pub data: Vec<u8>,
}

#[derive(Deserialize)]
pub(super) struct RawSession<'a> {
    source: String,
    request: Option<RawRequest>,
    response: Option<RawResponse>,
    #[serde(borrow)]
    messages: Vec<RawMessage<'a>>,
}

#[derive(Deserialize)]
struct RawRequest {
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct RawResponse {
    #[serde(default)]
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    direction: Option<String>,
    kind: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl RawSession<'_> {
    /// What it is, or what is wrong with it. A record that is no message (a close, say) is left out.
    pub(super) fn read(self) -> Result<Session, String> {
        let mut messages = Vec::new();
        for (at, raw) in self.messages.iter().enumerate() {
            if let Some(message) = raw.read().map_err(|what| format!("messages[{at}]{what}"))? {
                messages.push(message);
            }
        }
        let (url, request_headers) = match self.request {
            Some(request) => (request.url, request.headers),
            None => (messages.iter().find_map(api).unwrap_or_default().to_owned(), Vec::new()),
        };
        Ok(Session {
            source: self.source,
            url,
            request_headers,
            response_headers: self.response.map(|response| response.headers).unwrap_or_default(),
            messages,
        })
    }
}

impl RawMessage<'_> {
    fn read(&self) -> Result<Option<Message>, String> {
        let text = match self.kind.as_deref() {
            Some("message" | "text") => true,
            Some("binary") => false,
            _ => return Ok(None),
        };
        let direction = match self.direction.as_deref() {
            Some("sent") => Direction::Sent,
            Some("received") => Direction::Received,
            _ => return Err(".direction is neither `sent` nor `received`".to_owned()),
        };
        // JSON stands as it is; anything else is a string.
        let json = self.data.map_or("null", RawValue::get);
        let string: Option<String> = serde_json::from_str(json).ok();
        let data = match string {
            Some(string) if !text => {
                base64::decode(&string).map_err(|at| format!(".data is no base64 at character {at}"))?
            }
            Some(string) => string.into_bytes(),
            None => json.as_bytes().to_vec(),
        };
        Ok(Some(Message { direction, text, data }))
    }
}

/// Where sessions are opened in which such a message is said.
fn api(message: &Message) -> Option<&'static str> {
    let said: Map<String, Value> = serde_json::from_slice(&message.data).ok()?;
    let kind = said.get("type").and_then(Value::as_str).unwrap_or_default();
    if said.contains_key("setup") {
        Some("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent")
    } else if ["session.", "conversation.", "input_audio_buffer."].iter().any(|start| kind.starts_with(start))
    {
        Some("/v1/realtime")
    } else if kind == "response.create" {
        let responses = said.contains_key("model") || said.contains_key("input");
        Some(if responses { "/v1/responses" } else { "/v1/realtime" })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Session, String> {
        serde_json::from_str::<RawSession<'_>>(json).map_err(|e| e.to_string())?.read()
    }

    #[test]
    fn messages() {
        let session = read(
            r#"{"source":"s","request":{"url":"wss://h/v1/responses","headers":[["a","b"]]},"messages":[
            {"direction":"sent","kind":"text","data":"{\"a\" :1}"},{"direction":"received","kind":"message","data":{"b" :2}},
            {"direction":"received","kind":"binary","data":"AAE="},{"direction":null,"kind":"close","data":null}]}"#,
        )
        .unwrap();
        let shown: Vec<_> =
            session.messages.iter().map(|m| (m.direction, m.text, m.data.as_slice())).collect();
        let expected = [
            (Direction::Sent, true, &b"{\"a\" :1}"[..]),
            (Direction::Received, true, b"{\"b\" :2}"),
            (Direction::Received, false, &[0, 1]),
        ];
        assert_eq!(shown, expected);
        assert_eq!((session.url.as_str(), session.request_headers.len()), ("wss://h/v1/responses", 1));
        for (message, error) in [
            (r#"{"direction":"up","kind":"text","data":"x"}"#, "messages[0].direction is neither"),
            (r#"{"direction":"sent","kind":"binary","data":"A"}"#, "messages[0].data is no base64"),
        ] {
            let read = read(&format!(r#"{{"source":"s","messages":[{message}]}}"#));
            assert!(read.as_ref().is_err_and(|e| e.starts_with(error)), "{read:?}");
        }
    }

    #[test]
    fn apis() {
        let cases = [
            (
                r#"{"setup":{}}"#,
                "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            ),
            (r#"{"type":"session.created"}"#, "/v1/realtime"),
            (r#"{"type":"response.create"}"#, "/v1/realtime"),
            (r#"{"type":"response.create","model":"m"}"#, "/v1/responses"),
            (r#"{"type":"other"}"#, ""),
            ("7", ""),
        ];
        for (data, url) in cases {
            let session = read(&format!(
                r#"{{"source":"s","messages":[{{"direction":"sent","kind":"message","data":{data}}}]}}"#
            ));
            assert_eq!(session.unwrap().url, url, "{data}");
        }
    }
}
