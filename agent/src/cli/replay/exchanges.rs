//! Reading recorded exchanges: JSON lines, one exchange or one WebSocket session a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use super::{
    base64,
    session::{RawSession, Session},
};

/// Longest line that is read, in bytes: far over any recorded exchange.
const MAX_LINE: u64 = 256 << 20;

/// One recorded exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Where it was recorded.
    pub source: String,
    /// The request.
    pub request: Request,
    /// The response.
    pub response: Response,
}

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// A recorded response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// Body, as it was stored: decoded or not.
    pub body: Vec<u8>,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An exchange.
    Exchange(Exchange),
    /// A WebSocket session.
    Session(Session),
}

/// What is wrong with a file of exchanges.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A line is no exchange. Reading may go on with the next.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Deserialize)]
struct RawExchange {
    source: String,
    request: RawRequest,
    response: RawResponse,
}

#[derive(Deserialize)]
struct RawRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body_b64: String,
}

#[derive(Deserialize)]
struct RawResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body_b64: String,
}

/// Which of the two a line is.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    messages: Option<&'a serde_json::value::RawValue>,
}

/// Reads a file, one entry at a time, with one error for each line that is wrong.
pub struct Exchanges<R = BufReader<File>> {
    path: PathBuf,
    input: R,
    line: usize,
    failed: bool,
}

impl Exchanges {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        match File::open(path) {
            Ok(file) => Ok(Self::new(path, BufReader::new(file))),
            Err(error) => Err(ReadError::File { path: path.to_owned(), error }),
        }
    }
}

impl<R: BufRead> Exchanges<R> {
    /// Reads `input`, which errors call by `path`.
    pub fn new(path: &Path, input: R) -> Self {
        Self { path: path.to_owned(), input, line: 0, failed: false }
    }

    /// Number of the line that was read last, from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl<R: BufRead> Iterator for Exchanges<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut text = Vec::new();
        let read = io::Read::take(&mut self.input, MAX_LINE).read_until(b'\n', &mut text);
        match read {
            Ok(0) => return None,
            Ok(_) => self.line += 1,
            Err(error) => {
                self.failed = true;
                return Some(Err(ReadError::File { path: self.path.clone(), error }));
            }
        }
        let whole = text.last() == Some(&b'\n');
        let entry = if !whole && text.len() as u64 >= MAX_LINE {
            self.failed = true;
            Err(format!("longer than {} MiB", MAX_LINE >> 20))
        } else {
            parse(&text)
                .map_err(|what| if whole { what } else { format!("{what} (the file ends within this line)") })
        };
        let line = self.line;
        Some(entry.map_err(|what| ReadError::Line { path: self.path.clone(), line, what }))
    }
}

fn parse(text: &[u8]) -> Result<Entry, String> {
    if text.trim_ascii().is_empty() {
        return Err("an empty line where an exchange is expected".to_owned());
    }
    let wrong = |what: &str| {
        let what = what.to_owned();
        move |e: serde_json::Error| match e.classify() {
            // The position says more than the line, which is always the first.
            serde_json::error::Category::Data => format!("{what}: {e}"),
            _ => format!("not JSON: {e}"),
        }
    };
    let kind: Kind<'_> = serde_json::from_slice(text).map_err(wrong("not a recorded exchange"))?;
    if kind.messages.is_some() {
        let raw: RawSession<'_> = serde_json::from_slice(text).map_err(wrong("not a recorded session"))?;
        return raw.read().map(Entry::Session);
    }
    let raw: RawExchange = serde_json::from_slice(text).map_err(wrong("not a recorded exchange"))?;
    let body = |which: &str, text: &str| {
        base64::decode(text).map_err(|at| format!("{which}.body_b64 is no base64 at character {at}"))
    };
    let request = Request {
        body: body("request", &raw.request.body_b64)?,
        method: raw.request.method,
        url: raw.request.url,
        headers: raw.request.headers,
    };
    let response = Response {
        body: body("response", &raw.response.body_b64)?,
        status: raw.response.status,
        headers: raw.response.headers,
    };
    Ok(Entry::Exchange(Exchange { source: raw.source, request, response }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Entry, String>> {
        Exchanges::new(Path::new("some.jsonl"), text.as_bytes())
            .map(|r| r.map_err(|e| e.to_string()))
            .collect()
    }

    const GOOD: &str = r#"{"source":"s","request":{"method":"GET","url":"https://h/","headers":[["a","b"]],"body_b64":""},"response":{"status":200,"headers":[],"body_b64":"b2s="}}"#;

    #[test]
    fn lines() {
        let text = format!(
            "{GOOD}\n{}\n\nnonsense\n{}\n{}\n{{\"source\":1,\"messages\":[]}}\n{}",
            r#"{"source":"w","messages":[{"direction":"sent","kind":"message","data":{}}]}"#,
            GOOD.replace("b2s=", "b2s"),
            GOOD.replace("200", "\"200\""),
            &GOOD[..60],
        );
        let read = read(&text);
        let Ok(Entry::Exchange(first)) = &read[0] else { panic!("{:?}", read[0]) };
        assert_eq!(first.response.body, b"ok");
        assert_eq!(first.request.headers, [("a".to_owned(), "b".to_owned())]);
        let Ok(Entry::Session(session)) = &read[1] else { panic!("{:?}", read[1]) };
        assert_eq!((session.source.as_str(), session.messages.len()), ("w", 1));
        let errors = [
            (2, "some.jsonl:3: an empty line"),
            (3, "some.jsonl:4: not JSON"),
            (4, "some.jsonl:5: response.body_b64 is no base64 at character 3"),
            (5, "some.jsonl:6: not a recorded exchange: invalid type: string \"200\", expected u16"),
            (6, "some.jsonl:7: not a recorded session: invalid type: integer `1`, expected a string"),
            (7, "some.jsonl:8: not JSON: EOF while parsing"),
        ];
        for (at, starts) in errors {
            let error = read[at].as_ref().expect_err("an error");
            assert!(error.starts_with(starts), "{error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
        assert!(read[7].as_ref().is_err_and(|e| e.ends_with("(the file ends within this line)")));
        assert_eq!(read.len(), 8);
    }

    #[test]
    fn a_last_line_without_line_feed_is_fine() {
        assert!(matches!(&read(GOOD)[..], [Ok(Entry::Exchange(_))]));
        assert!(read("").is_empty());
    }

    #[test]
    fn a_file_that_is_not_there() {
        let error = Exchanges::open(Path::new("no/such.jsonl")).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.starts_with("no/such.jsonl: ")));
    }
}
