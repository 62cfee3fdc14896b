//! Traffic as the kernel programs deliver it: raw records of literal exchanges, each on a connection of its own.

use std::io::Write;

use agent_common as abi;

/// A token of a streamed answer; nothing in it is special.
const TOKEN: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1-mini-2025-04-14","service_tier":"default","system_fingerprint":"fp_06737a9306","choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}],"usage":null}"#;

const LAST: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1-mini-2025-04-14","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":200,"total_tokens":219}}"#;

/// An answer of one sentence.
pub const ANSWER: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4.1-mini-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_06737a9306"}"#;

/// Head of a response, as far as it is the same for all.
pub const RESPONSE: &str = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: cloudflare\r\n\
    x-request-id: req_123\r\nopenai-processing-ms: 512\r\nset-cookie: a=b\r\n";

/// The raw records of one connection, with its close at the end.
pub struct Traffic {
    /// In the form of the ring buffer.
    pub records: Vec<Vec<u8>>,
    /// Payload in all.
    pub bytes: u64,
    conn: u64,
    offsets: [u64; 2],
}

impl Traffic {
    /// A connection without records.
    pub fn new(conn: u64) -> Self {
        Self { records: Vec::new(), bytes: 0, conn, offsets: [0; 2] }
    }

    /// One library call, cut into records as the kernel programs cut it.
    pub fn call(mut self, direction: u8, payload: &[u8]) -> Self {
        for part in payload.chunks(abi::CHUNK) {
            let mut raw = Vec::with_capacity(64 + part.len());
            self.prefix(&mut raw, abi::KIND_DATA, direction, part.len() as u32);
            let offset = self.offsets[usize::from(direction)];
            for word in [self.conn, 1, offset, 0] {
                raw.extend_from_slice(&word.to_ne_bytes());
            }
            raw.extend_from_slice(&(payload.len() as u32).to_ne_bytes());
            raw.extend_from_slice(&0u32.to_ne_bytes());
            raw.extend_from_slice(part);
            self.records.push(raw);
            self.offsets[usize::from(direction)] += part.len() as u64;
            self.bytes += part.len() as u64;
        }
        self
    }

    /// The connection is released.
    pub fn close(mut self) -> Self {
        let mut raw = Vec::new();
        self.prefix(&mut raw, abi::KIND_CLOSE, 0, 0);
        for word in [self.conn, 1, self.offsets[0], self.offsets[1], 0, 0] {
            raw.extend_from_slice(&word.to_ne_bytes());
        }
        self.records.push(raw);
        self
    }

    fn prefix(&self, raw: &mut Vec<u8>, kind: u8, direction: u8, len: u32) {
        raw.extend_from_slice(&[kind, direction, 0, 0]);
        raw.extend_from_slice(&len.to_ne_bytes());
        raw.extend_from_slice(&(self.records.len() as u64 * 1_000_000).to_ne_bytes());
        raw.extend_from_slice(&7u32.to_ne_bytes());
        raw.extend_from_slice(&7u32.to_ne_bytes());
    }
}

/// The head of a request and its body, in two calls.
pub fn request(conn: u64, host_path: (&str, &str), body: &[u8]) -> Traffic {
    let (host, path) = host_path;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\nuser-agent: OpenAI/Python 1.99.1\r\n\
         content-type: application/json\r\nauthorization: Bearer sk-none\r\nx-stainless-lang: python\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Traffic::new(conn).call(abi::SENT, head.as_bytes()).call(abi::SENT, body)
}

/// Where chats are had.
pub const CHAT: (&str, &str) = ("api.openai.com", "/v1/chat/completions");

/// A body that asks this.
pub fn question(stream: bool, text: &str) -> Vec<u8> {
    let head = format!(r#"{{"model":"gpt-4.1-mini","stream":{stream},"temperature":0.5,"#);
    let messages = r#""messages":[{"role":"system","content":"You are terse."},{"role":"user","content":""#;
    [head.as_str(), messages, text, "\"}]}"].concat().into_bytes()
}

/// A call that is answered with one JSON body.
pub fn json_call(conn: u64) -> Traffic {
    let head =
        format!("{RESPONSE}content-type: application/json\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
    request(conn, CHAT, &question(false, "Hello!"))
        .call(abi::RECEIVED, head.as_bytes())
        .call(abi::RECEIVED, ANSWER.as_bytes())
        .close()
}

/// A call whose one message is so many bytes long.
pub fn large_request(conn: u64, len: usize) -> Traffic {
    let line = "fn main() { println!(\\\"hello\\\"); } // a file that somebody quotes\\n";
    let head =
        format!("{RESPONSE}content-type: application/json\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
    request(conn, CHAT, &question(false, &line.repeat(len / line.len())))
        .call(abi::RECEIVED, head.as_bytes())
        .call(abi::RECEIVED, ANSWER.as_bytes())
        .close()
}

/// A call that is answered with so many server-sent events, each in a chunk and a library call of its own.
pub fn sse_call(conn: u64, events: usize, gzip: bool) -> Traffic {
    let encoding = if gzip { "content-encoding: gzip\r\n" } else { "" };
    let head = format!(
        "{RESPONSE}content-type: text/event-stream; charset=utf-8\r\n{encoding}transfer-encoding: chunked\r\n\r\n"
    );
    let mut traffic = request(conn, CHAT, &question(true, "Hello!")).call(abi::RECEIVED, head.as_bytes());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for n in 1..=events {
        let event = format!("data: {}\n\n", if n == events { LAST } else { TOKEN });
        let event = if gzip {
            // Writing to memory does not fail.
            let _ = encoder.write_all(event.as_bytes()).and_then(|()| encoder.flush());
            std::mem::take(encoder.get_mut())
        } else {
            event.into_bytes()
        };
        traffic = traffic.call(abi::RECEIVED, &chunk(&event));
    }
    let end = if gzip { encoder.finish().unwrap_or_default() } else { b"data: [DONE]\n\n".to_vec() };
    traffic.call(abi::RECEIVED, &chunk(&end)).call(abi::RECEIVED, b"0\r\n\r\n").close()
}

/// A call that is answered with so many server-sent events, of whose response each byte is a library call of its own.
pub fn single_bytes(conn: u64, events: usize) -> Traffic {
    let head = format!("{RESPONSE}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut response = head.into_bytes();
    for n in 1..=events {
        let event = format!("data: {}\n\n", if n == events { LAST } else { TOKEN });
        response.extend(chunk(event.as_bytes()));
    }
    response.extend(chunk(b"data: [DONE]\n\n"));
    response.extend(b"0\r\n\r\n");
    let traffic = request(conn, CHAT, &question(true, "Hello!"));
    response.iter().fold(traffic, |traffic, byte| traffic.call(abi::RECEIVED, &[*byte])).close()
}

/// Events over HTTP/2, each in a frame and a library call of its own.
pub fn http2_call(conn: u64, events: usize) -> Traffic {
    let body = question(true, "Hello!");
    let (host, path) = CHAT;
    let head =
        [(":method", "POST"), (":path", path), (":authority", host), ("content-type", "application/json")];
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat();
    let mut traffic = Traffic::new(conn)
        .call(abi::SENT, &preface)
        .call(abi::SENT, &frame(1, 4, 1, &block(&head)))
        .call(abi::SENT, &frame(0, 1, 1, &body))
        .call(abi::RECEIVED, &frame(4, 0, 0, &[]))
        .call(
            abi::RECEIVED,
            &frame(1, 4, 1, &block(&[(":status", "200"), ("content-type", "text/event-stream")])),
        );
    for n in 1..=events {
        let event = format!("data: {}\n\n", if n == events { LAST } else { TOKEN });
        traffic = traffic.call(abi::RECEIVED, &frame(0, 0, 1, event.as_bytes()));
    }
    traffic.call(abi::RECEIVED, &frame(0, 1, 1, b"data: [DONE]\n\n")).close()
}

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header block of literals (RFC 7541, section 6.2.1).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    fields.iter().flat_map(literal).collect()
}

/// An exchange that is no LLM call, with an answer of so many records.
pub fn other(conn: u64, records: usize) -> Traffic {
    let body = vec![b'x'; records * abi::CHUNK];
    let head =
        format!("{RESPONSE}content-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n", body.len());
    request(conn, ("files.example.com", "/upload"), b"{}")
        .call(abi::RECEIVED, head.as_bytes())
        .call(abi::RECEIVED, &body)
        .close()
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}
